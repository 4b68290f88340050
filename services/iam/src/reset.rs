//! What a reset deletes: everything but the root user and the key that the cloud was started with.

use async_trait::async_trait;
use gureum_kit::reset::{Reset, Whose};
use gureum_kit::{StoreError, Tx};

use crate::Iam;
use crate::model::{
    AccessKey, Account, Alias, Change, CredentialReport, DeletionTask, Group, InstanceProfile,
    KeyUse, ManagedPolicy, Member, OidcProvider, PolicyUse, Role, Session, SessionEnd, User,
};

#[async_trait]
impl Reset for Iam {
    fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
        whose.delete::<User>(tx, |row| &row.account)?;
        whose.delete::<Group>(tx, |row| &row.account)?;
        whose.delete::<Member>(tx, |row| &row.account)?;
        whose.delete::<Role>(tx, |row| &row.account)?;
        whose.delete::<InstanceProfile>(tx, |row| &row.account)?;
        whose.delete::<ManagedPolicy>(tx, |row| &row.account)?;
        whose.delete::<PolicyUse>(tx, |row| &row.account)?;
        whose.delete::<Account>(tx, |row| &row.account)?;
        whose.delete::<Alias>(tx, |row| &row.account)?;
        whose.delete::<CredentialReport>(tx, |row| &row.account)?;
        whose.delete::<OidcProvider>(tx, |row| &row.account)?;
        whose.delete::<DeletionTask>(tx, |row| &row.account)?;
        for key in whose.delete::<AccessKey>(tx, |row| &row.account)? {
            tx.delete::<KeyUse>(key.id)?;
        }
        for session in whose.delete::<Session>(tx, |row| &row.account)? {
            tx.delete::<SessionEnd>((session.expires.0, session.id))?;
        }
        tx.put(&Change)
    }

    fn deleted(&self, _: Whose) {
        self.cache.forget();
    }
}
