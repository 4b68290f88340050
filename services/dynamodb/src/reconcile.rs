//! The background work: filling new indexes, and sweeping what has expired or lost its
//! table, copying tables as they were, carrying changes between regions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_dispatch::Cloud;
use gureum_kit::reconcile::RunError;
use gureum_kit::{Outcome, Reconciler};
use gureum_schema::Error;

use crate::state::DynamoDb;
use crate::transfer::running::Transferring;

pub(crate) const BACKFILL: &str = "dynamodb.backfill";
pub(crate) const SWEEP: &str = "dynamodb.sweep";
pub(crate) const COPIES: &str = "dynamodb.copies";
pub(crate) const SHIPPING: &str = "dynamodb.replication";

struct Backfilling(Arc<DynamoDb>);
struct Sweeping(Arc<DynamoDb>);
struct Copying(Arc<DynamoDb>);
struct Shipping(Arc<DynamoDb>);

#[async_trait]
impl Reconciler for Backfilling {
    fn name(&self) -> &'static str {
        BACKFILL
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        self.0.backfill().await.map_err(Error::from)?;
        Ok(Outcome::Settled)
    }
}

#[async_trait]
impl Reconciler for Sweeping {
    fn name(&self) -> &'static str {
        SWEEP
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        let began = self.0.clock.now();
        self.0.sweep().await.map_err(Error::from)?;
        // Reading everything is kept to a small part of the time, however much there is.
        let took = self.0.clock.now() - began;
        let pause = Duration::from_millis(took.unsigned_abs() * 3).max(Duration::from_secs(10));
        Ok(Outcome::Again(pause))
    }
}

#[async_trait]
impl Reconciler for Copying {
    fn name(&self) -> &'static str {
        COPIES
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        self.0.copy_all().await.map_err(Error::from)?;
        Ok(Outcome::Settled)
    }
}

#[async_trait]
impl Reconciler for Shipping {
    fn name(&self) -> &'static str {
        SHIPPING
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        // Writers wake it; what nobody writes by a request, such as expiry, is found by looking.
        Ok(match self.0.ship().await.map_err(Error::from)? {
            true => Outcome::Again(Duration::from_millis(500)),
            false => Outcome::Settled,
        })
    }
}

impl DynamoDb {
    /// What has to run in the background; start it with the driver that the service was opened
    /// with. Exports and imports call S3 through `cloud`, and all call KMS.
    pub fn reconcilers(self: &Arc<Self>, cloud: &Arc<Cloud>) -> Vec<Arc<dyn Reconciler>> {
        // There is one cloud: a second time changes nothing.
        let _ = self.cloud.set(Arc::downgrade(cloud));
        vec![
            Arc::new(Backfilling(Arc::clone(self))),
            Arc::new(Sweeping(Arc::clone(self))),
            Arc::new(Copying(Arc::clone(self))),
            Arc::new(Shipping(Arc::clone(self))),
            Arc::new(Transferring {
                db: Arc::clone(self),
                cloud: Arc::clone(cloud),
            }),
        ]
    }
}
