//! IAM's background work. Nothing waits for it: expired sessions are refused whether or not their
//! rows are still there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_kit::reconcile::{Outcome, Reconciler, RunError};

use crate::Iam;
use crate::identity::SWEEP;

pub(crate) struct Tidying(pub(crate) Arc<Iam>);

#[async_trait]
impl Reconciler for Tidying {
    fn name(&self) -> &'static str {
        "iam.tidying"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        let tidied = self.0.tidy().await?;
        // A full sweep may have left some over.
        if tidied.sessions >= SWEEP {
            return Ok(Outcome::Again(Duration::ZERO));
        }
        Ok(Outcome::Settled)
    }
}
