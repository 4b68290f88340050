//! The service's state: the store, the root key, and how key material goes in and out.

use std::sync::Arc;

use gureum_kit::names::id;
use gureum_kit::reconcile::{Driver, Waker};
use gureum_kit::{Clock, Reader, Store};

use crate::crypto::root::Root;
use crate::errors::{Refusal, Result};
use crate::model::{KeyRef, KeyRow, Material, State, Why};
use crate::names::key_arn;
use crate::reconcile;
use crate::spec::KeyUsage;

/// KMS. See the crate's page.
pub struct Kms {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) root: Root,
    /// Wakes what deletes and rotates keys, when the next date may have come nearer.
    pub(crate) keeper: Waker,
}

impl Kms {
    /// `root_key` wraps all key material; without it, what the store holds is lost. Keep it
    /// outside the store, in a file of its own.
    pub fn new(store: Store, clock: Clock, root_key: &[u8; 32], driver: &Driver) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            root: Root::new(root_key),
            keeper: driver.waker(reconcile::KEEPER),
        })
    }

    /// Wraps new material of a key.
    pub(crate) fn material(
        &self,
        key: &str,
        why: Why,
        now: i64,
        secret: &[u8],
    ) -> Result<Material> {
        let id = id::hex_digits(64);
        Ok(Material {
            sealed: self.root.wrap(key, &id, secret)?,
            id,
            created: now,
            why,
        })
    }

    /// The secret of one version of a key.
    pub(crate) fn secret(&self, key: &KeyRow, material: &Material) -> Result<Vec<u8>> {
        self.root.unwrap(&key.id, &material.id, &material.sealed)
    }

    /// The current material of a key, and its secret.
    pub(crate) fn current<'a>(&self, key: &'a KeyRow) -> Result<(&'a Material, Vec<u8>)> {
        let none = || Refusal::Broken(format!("key {} has no material", key.id));
        let material = key.current().ok_or_else(none)?;
        Ok((material, self.secret(key, material)?))
    }

    /// Changes a key in one transaction; refuses one that isn't there.
    pub(crate) async fn change<T: Send>(
        &self,
        key: &KeyRef,
        mut change: impl FnMut(&mut KeyRow) -> Result<T> + Send,
    ) -> Result<T> {
        self.store
            .transact(|tx| {
                let missing = || Refusal::no_such_key(&key_arn(key));
                let mut row = tx.get::<KeyRow>(key)?.ok_or_else(missing)?;
                let value = change(&mut row)?;
                tx.put(&row)?;
                Ok(value)
            })
            .await
    }
}

/// Runs what takes long (RSA) beside the threads that serve requests.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Refusal::Broken(error.to_string())),
    }
}

impl KeyRow {
    /// Refuses a key that is waiting to be deleted.
    pub(crate) fn alive(&self) -> Result<()> {
        match self.state {
            State::PendingDeletion { .. } => Err(Refusal::State {
                key: self.arn().to_string(),
                is: "pending deletion",
            }),
            State::Enabled | State::Disabled => Ok(()),
        }
    }

    /// Refuses a key that is not enabled.
    pub(crate) fn enabled(&self) -> Result<()> {
        self.alive()?;
        match self.state {
            State::Disabled => Err(Refusal::Disabled(self.arn().to_string())),
            _ => Ok(()),
        }
    }

    /// Refuses a key that is not enabled or was made for something else than `operation` does.
    pub(crate) fn ready(&self, usage: KeyUsage, operation: &'static str) -> Result<()> {
        self.enabled()?;
        if self.usage == usage {
            return Ok(());
        }
        Err(Refusal::Usage {
            key: self.arn().to_string(),
            usage: self.usage.name(),
            operation,
        })
    }
}

/// The end of a dry run: everything was checked and nothing is done.
pub(crate) fn unless_dry(dry_run: Option<bool>) -> Result<()> {
    if dry_run == Some(true) {
        Err(Refusal::DryRun)
    } else {
        Ok(())
    }
}
