//! What a reset deletes. Nothing of it is kept in memory.

use async_trait::async_trait;
use gureum_kit::reset::{Reset, Whose};
use gureum_kit::{StoreError, Tx};

use crate::model::{AliasRow, GrantRow, KeyRow};
use crate::state::Kms;

#[async_trait]
impl Reset for Kms {
    fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
        whose.delete::<KeyRow>(tx, |row| &row.account)?;
        whose.delete::<AliasRow>(tx, |row| &row.account)?;
        whose.delete::<GrantRow>(tx, |row| &row.account)?;
        Ok(())
    }
}
