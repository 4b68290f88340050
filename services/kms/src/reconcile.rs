//! The background work of KMS: deletes keys whose waiting period is over, rotates keys that are
//! due.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_kit::reconcile::RunError;
use gureum_kit::{Outcome, Reader, Reconciler, Row, Scan};
use gureum_schema::Error;

use crate::crypto;
use crate::errors::Result;
use crate::model::{AliasRow, GrantRow, KeyRef, KeyRow, Why};
use crate::spec::KeySpec;
use crate::state::Kms;

pub(crate) const KEEPER: &str = "kms.keys";

struct Keeper(Arc<Kms>);

#[async_trait]
impl Reconciler for Keeper {
    fn name(&self) -> &'static str {
        KEEPER
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self) -> std::result::Result<Outcome, RunError> {
        self.0.keep().await.map_err(Error::from)?;
        Ok(Outcome::Settled)
    }
}

impl Kms {
    /// What has to run in the background; start it with the driver that the service was made
    /// with.
    pub fn reconcilers(self: &Arc<Self>) -> Vec<Arc<dyn Reconciler>> {
        vec![Arc::new(Keeper(Arc::clone(self)))]
    }

    /// Deletes and rotates what is due by now.
    pub(crate) async fn keep(&self) -> Result<()> {
        let now = self.clock.now();
        let (mut deleted, mut rotated) = (Vec::new(), Vec::new());
        for row in self.store.read().scan(Scan::<KeyRow>::all()) {
            let row = row?;
            if row.deletion_due(now) {
                deleted.push(row.key());
            } else if row.rotation_due(now) {
                rotated.push(row.key());
            }
        }
        for key in deleted {
            self.delete(key, now).await?;
        }
        for key in rotated {
            self.rotate(key, now).await?;
        }
        Ok(())
    }

    /// Deletes a key with all that hangs on it, unless its deletion was cancelled meanwhile.
    async fn delete(&self, key: KeyRef, now: i64) -> Result<()> {
        self.store
            .transact(|tx| {
                let row = tx.get::<KeyRow>(&key)?;
                let Some(row) = row.filter(|row| row.deletion_due(now)) else {
                    return Ok(());
                };
                for alias in &row.aliases {
                    tx.delete::<AliasRow>((&row.region, &row.account, alias))?;
                }
                let grants = tx.scan(Scan::<GrantRow>::of(key.clone()));
                let grants = grants.collect::<std::result::Result<Vec<_>, _>>()?;
                for grant in grants {
                    tx.delete::<GrantRow>(grant.key())?;
                }
                Ok(tx.delete::<KeyRow>(&key)?)
            })
            .await
    }

    async fn rotate(&self, key: KeyRef, now: i64) -> Result<()> {
        let secret = crypto::generate(KeySpec::Symmetric)?;
        let material = self.material(&key.2, Why::Automatic, now, &secret)?;
        self.store
            .transact(|tx| {
                let row = tx.get::<KeyRow>(&key)?;
                if let Some(mut row) = row.filter(|row| row.rotation_due(now)) {
                    row.rotate(material.clone());
                    tx.put(&row)?;
                }
                Ok(())
            })
            .await
    }
}
