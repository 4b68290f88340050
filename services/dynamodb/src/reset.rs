//! What a reset deletes: tables and streams, backups, exports and imports; their items, records and
//! logs are buried in the background.

use std::sync::PoisonError;

use async_trait::async_trait;
use gureum_kit::reset::{Hold, Reset, Whose};
use gureum_kit::{StoreError, Tx};

use crate::backup::model::{Backup, Copy};
use crate::global::legacy::GlobalTable;
use crate::model::{Backfill, Grave, StreamInfo, Table};
use crate::state::DynamoDb;
use crate::transfer::model::{Export, Import};

#[async_trait]
impl Reset for DynamoDb {
    async fn hold(&self) -> Hold<'_> {
        Box::new(self.admin.lock().await)
    }

    fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
        let mut spaces = Vec::new();
        for table in whose.delete::<Table>(tx, |row| &row.account)? {
            spaces.push(table.id);
            spaces.extend(table.indexes().map(|index| index.id));
            spaces.extend(table.history.log);
            spaces.extend(table.legacy);
        }
        whose.delete::<GlobalTable>(tx, |row| &row.account)?;
        let streams = whose.delete::<StreamInfo>(tx, |row| &row.account)?;
        spaces.extend(streams.iter().map(|stream| stream.id));
        let backups = whose.delete::<Backup>(tx, |row| &row.table.account)?;
        spaces.extend(backups.iter().map(|backup| backup.space));
        let exports = whose.delete::<Export>(tx, |row| &row.table.account)?;
        spaces.extend(exports.iter().map(|export| export.space));
        whose.delete::<Import>(tx, |row| &row.table.account)?;
        whose.delete::<Backfill>(tx, |row| &row.account)?;
        // Nothing is buried while a copy reads it.
        whose.delete::<Copy>(tx, |row| row.purpose.account())?;
        spaces
            .into_iter()
            .try_for_each(|space| tx.put(&Grave { space }))
    }

    fn deleted(&self, whose: Whose) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.retain(|(_, account, _), _| !whose.includes(account));
        drop(tables);
        self.wake_sweep.wake();
    }
}

#[cfg(test)]
mod tests;
