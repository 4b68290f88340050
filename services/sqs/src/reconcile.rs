//! The background work of SQS, as reconcilers: sweeping and moving.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_kit::reconcile::RunError;
use gureum_kit::{Outcome, Reconciler};
use gureum_schema::Error;

use crate::state::Sqs;

pub(crate) const SWEEP: &str = "sqs.sweep";
pub(crate) const MOVES: &str = "sqs.moves";

/// Removes rows that memory has forgotten.
struct Sweeping(Arc<Sqs>);

/// Carries out message move tasks.
struct Moving(Arc<Sqs>);

#[async_trait]
impl Reconciler for Sweeping {
    fn name(&self) -> &'static str {
        SWEEP
    }

    fn period(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        self.0.sweep().await?;
        Ok(Outcome::Settled)
    }
}

#[async_trait]
impl Reconciler for Moving {
    fn name(&self) -> &'static str {
        MOVES
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        match self.0.move_step().await.map_err(Error::from)? {
            Some(rest) => Ok(Outcome::Again(rest)),
            None => Ok(Outcome::Settled),
        }
    }
}

impl Sqs {
    /// What has to run in the background; start it with the driver that the service was opened
    /// with.
    pub fn reconcilers(self: &Arc<Self>) -> Vec<Arc<dyn Reconciler>> {
        vec![
            Arc::new(Sweeping(Arc::clone(self))),
            Arc::new(Moving(Arc::clone(self))),
        ]
    }
}
