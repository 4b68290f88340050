//! Getting messages to whom they are for: what is due is tried, settled, and tried again.
//!
//! A message has one delivery for all its recipients within the cloud and one for each on the web.
//! Whoever could not be served gets a delivery of their own, with a time of its own; in a message
//! group of a FIFO topic the delivery stays, and those behind it wait. A recipient that cannot be
//! served at all goes to the dead letters.

mod attempt;
mod joint;
mod mail;
mod queue;
mod web;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_dispatch::Cloud;
use gureum_kit::reconcile::RunError;
use gureum_kit::{Outcome, Reader, Reconciler, Row, Scan, StoreError};
use gureum_schema::Error;
use tokio::sync::Semaphore;

pub(crate) use joint::Joint;
pub(crate) use queue::cx as cx_of;

use crate::errors::Refusal;
use crate::model::{DeliveryRow, MessageRow, Recipient};
use crate::schedule::{INSIDE, Next, Ticket, WEB};
use crate::state::Sns;

/// Deliveries under way at a time: within the cloud each may mean many recipients.
const AT_ONCE_INSIDE: usize = 32;
const AT_ONCE_WEB: usize = 200;

/// How a recipient fared.
pub(crate) enum Fate {
    /// It has the message, or nobody wants to know any more.
    Done,
    /// To be tried again after this many milliseconds.
    Again { pause: i64 },
}

/// Starts what is due. A delivery that ends settles itself, and wakes this for the next one.
struct Courier {
    sns: Arc<Sns>,
    cloud: Arc<Cloud>,
    web: bool,
    turns: Arc<Semaphore>,
}

impl Sns {
    /// The service's background work.
    pub fn reconcilers(self: &Arc<Self>, cloud: &Arc<Cloud>) -> Vec<Arc<dyn Reconciler>> {
        let courier = |web, at_once| {
            Arc::new(Courier {
                sns: Arc::clone(self),
                cloud: Arc::clone(cloud),
                web,
                turns: Arc::new(Semaphore::new(at_once)),
            })
        };
        vec![
            courier(false, AT_ONCE_INSIDE),
            courier(true, AT_ONCE_WEB),
            Arc::new(crate::sweep::Sweeper(Arc::clone(self))),
        ]
    }
}

#[async_trait]
impl Reconciler for Courier {
    fn name(&self) -> &'static str {
        if self.web { WEB } else { INSIDE }
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        loop {
            let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() else {
                return Ok(Outcome::Settled);
            };
            let now = self.sns.clock.now();
            let ticket = match self.sns.schedule.next(self.web, now) {
                Next::Now(ticket) => ticket,
                Next::At(due) => {
                    let wait = Duration::from_millis((due - now).unsigned_abs());
                    return Ok(Outcome::Again(wait));
                }
                Next::Nothing => return Ok(Outcome::Settled),
            };
            let (sns, cloud, web) = (Arc::clone(&self.sns), Arc::clone(&self.cloud), self.web);
            tokio::spawn(async move {
                sns.serve(&cloud, ticket).await;
                drop(turn);
                sns.schedule.wake(web);
            });
        }
    }
}

impl Sns {
    /// One round of a delivery. What fails for reasons of our own comes again a little later.
    async fn serve(&self, cloud: &Arc<Cloud>, ticket: Ticket) {
        let row = match self.store.read().get::<DeliveryRow>(ticket) {
            Ok(Some(row)) => row,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "a delivery cannot be read");
                return;
            }
        };
        if let Err(error) = self.try_serve(cloud, &row).await {
            tracing::error!(%error, topic = row.topic.2, "a delivery failed");
            let due = self.clock.now() + OWN_FAILURE;
            self.schedule.again(&DeliveryRow { due, ..row });
        }
    }

    async fn try_serve(&self, cloud: &Arc<Cloud>, row: &DeliveryRow) -> Result<(), Error> {
        let fates = self.attempt(cloud, row).await?;
        let left = self.left(row, fates);
        self.settle(row, &left).await.map_err(Refusal::from)?;
        let now = self.clock.now();
        let mut waiting = left.iter();
        if row.group.is_some() {
            match waiting.next() {
                Some(same) => self.schedule.again(same),
                None => self.schedule.finished(row, now),
            }
        } else {
            waiting.for_each(|row| self.schedule.add(row));
        }
        Ok(())
    }

    /// The deliveries that are left of this one.
    fn left(&self, row: &DeliveryRow, fates: Vec<(Recipient, Fate)>) -> Vec<DeliveryRow> {
        let now = self.clock.now();
        let again = fates
            .into_iter()
            .filter_map(|(recipient, fate)| match fate {
                Fate::Done => None,
                Fate::Again { pause } => Some((recipient, now + pause)),
            });
        let attempts = row.attempts.saturating_add(1);
        if row.group.is_some() {
            let (to, due): (Vec<_>, Vec<_>) = again.unzip();
            let due = due.into_iter().max();
            let row = due.map(|due| DeliveryRow {
                to,
                due,
                attempts,
                ..row.clone()
            });
            return row.into_iter().collect();
        }
        again
            .map(|(recipient, due)| DeliveryRow {
                lane: if row.to.len() == 1 {
                    row.lane
                } else {
                    self.number()
                },
                to: vec![recipient],
                due,
                attempts,
                ..row.clone()
            })
            .collect()
    }

    /// Puts what is left in the place of what was; with its last delivery a message goes.
    async fn settle(&self, row: &DeliveryRow, left: &[DeliveryRow]) -> Result<(), StoreError> {
        self.store
            .transact(|tx| {
                tx.delete::<DeliveryRow>(row.key())?;
                left.iter().try_for_each(|row| tx.put(row))?;
                let others = Scan::<DeliveryRow>::of((row.message,)).limit(1);
                let is_last = tx.scan(others).next().transpose()?.is_none();
                if is_last {
                    tx.delete::<MessageRow>(row.message)?;
                }
                Ok(())
            })
            .await
    }
}

/// How soon to try again when it was our own fault, in milliseconds.
const OWN_FAILURE: i64 = 5_000;
