//! Forgetting: invitations that nobody answered, and deduplication ids whose time is over.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_kit::reconcile::RunError;
use gureum_kit::{Outcome, Reader, Reconciler, Row, Scan, StoreError, Tx};
use gureum_schema::Error;

use crate::errors::Result;
use crate::model::{Duplicate, Former};
use crate::state::Sns;

/// How long an invitation stands, in milliseconds: three days.
pub(crate) const INVITED: i64 = 3 * 86_400_000;
/// Rows removed in one transaction.
const CHUNK: usize = 1_000;

pub(crate) struct Sweeper(pub(crate) Arc<Sns>);

#[async_trait]
impl Reconciler for Sweeper {
    fn name(&self) -> &'static str {
        "sns.sweep"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self) -> std::result::Result<Outcome, RunError> {
        self.0.sweep().await.map_err(Error::from)?;
        Ok(Outcome::Settled)
    }
}

impl Sns {
    /// Forgets those who left before `moment`: their way back is closed.
    async fn forget_former(&self, moment: i64) -> Result<()> {
        let mut gone = Vec::new();
        for row in self.store.read().scan(Scan::<Former>::all()) {
            let row = row?;
            if row.left <= moment {
                gone.push(row.key());
            }
        }
        for chunk in gone.chunks(CHUNK) {
            let forget = |tx: &mut Tx| chunk.iter().try_for_each(|key| tx.delete::<Former>(key));
            self.store.transact(forget).await?;
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<()> {
        let now = self.clock.now();
        let mut old = Vec::new();
        for row in self.store.read().scan(Scan::<Duplicate>::all()) {
            let row = row?;
            if row.expires <= now {
                old.push(row.key());
            }
        }
        for chunk in old.chunks(CHUNK) {
            self.store
                .transact(|tx| {
                    for key in chunk {
                        // It may have been remembered anew meanwhile.
                        if tx
                            .get::<Duplicate>(key)?
                            .is_some_and(|row| row.expires <= now)
                        {
                            tx.delete::<Duplicate>(key)?;
                        }
                    }
                    Ok::<_, StoreError>(())
                })
                .await?;
        }
        self.forget_former(now - INVITED).await?;
        for topic in self.all() {
            let ignored = topic
                .subscriptions
                .iter()
                .filter(|one| !one.is_confirmed() && one.row.invited + INVITED <= now);
            for one in ignored {
                let _turn = self.admin.lock().await;
                let Some(topic) = self.find(&topic.key()) else {
                    continue;
                };
                let still = topic
                    .subscription(&one.row.id)
                    .filter(|one| !one.is_confirmed());
                if let Some(one) = still.cloned() {
                    self.end(&topic, &one).await?;
                }
            }
        }
        Ok(())
    }
}
