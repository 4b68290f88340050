//! What a reset deletes. Nothing of it is kept in memory.

use async_trait::async_trait;
use gureum_kit::reset::{Reset, Whose};
use gureum_kit::{StoreError, Tx};

use crate::Ssm;
use crate::command::model::{CommandRow, InvocationRow, OpenRow};
use crate::model::{ParameterRow, VersionRow};

#[async_trait]
impl Reset for Ssm {
    fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
        whose.delete::<ParameterRow>(tx, |row| &row.account)?;
        whose.delete::<VersionRow>(tx, |row| &row.account)?;
        whose.delete::<CommandRow>(tx, |row| &row.account)?;
        whose.delete::<InvocationRow>(tx, |row| &row.account)?;
        whose.delete::<OpenRow>(tx, |row| &row.account)?;
        Ok(())
    }
}
