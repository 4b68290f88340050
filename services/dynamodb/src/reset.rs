//! What a reset deletes: tables and streams; their items and records are buried in the background.

use std::sync::PoisonError;

use async_trait::async_trait;
use gureum_kit::reset::{Hold, Reset, Whose};
use gureum_kit::{StoreError, Tx};

use crate::model::{Backfill, Grave, StreamInfo, Table};
use crate::state::DynamoDb;

#[async_trait]
impl Reset for DynamoDb {
    async fn hold(&self) -> Hold<'_> {
        Box::new(self.admin.lock().await)
    }

    fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
        for table in whose.delete::<Table>(tx, |row| &row.account)? {
            let indexes = table.indexes().map(|index| index.id);
            for space in indexes.chain([table.id]) {
                tx.put(&Grave { space })?;
            }
        }
        for stream in whose.delete::<StreamInfo>(tx, |row| &row.account)? {
            tx.put(&Grave { space: stream.id })?;
        }
        whose.delete::<Backfill>(tx, |row| &row.account)?;
        Ok(())
    }

    fn deleted(&self, whose: Whose) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.retain(|(_, account, _), _| !whose.includes(account));
        drop(tables);
        self.wake_sweep.wake();
    }
}
