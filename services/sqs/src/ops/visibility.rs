//! ChangeMessageVisibility and its batch.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::StoreError;
use gureum_model_sqs::types as t;

use super::batch;
use crate::errors::{Refusal, Result};
use crate::index::State;
use crate::model::Message;
use crate::queue::Queue;
use crate::seal::Receipt;
use crate::settings::MAX_VISIBILITY;
use crate::state::Sqs;

/// One message, and how long it shall stay invisible from now on.
struct Change {
    receipt: Receipt,
    handle: String,
    /// Milliseconds.
    timeout: i64,
}

pub(crate) async fn change_visibility(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::ChangeMessageVisibilityRequest,
) -> gureum_schema::Result<t::ChangeMessageVisibilityOutput> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    let change = sqs.change(&queue, input.receipt_handle, Some(input.visibility_timeout))?;
    let mut results = sqs.change_all(queue, vec![change]).await?;
    results.pop().unwrap_or(Ok(()))?;
    Ok(t::ChangeMessageVisibilityOutput {})
}

pub(crate) async fn change_visibility_batch(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::ChangeMessageVisibilityBatchRequest,
) -> gureum_schema::Result<t::ChangeMessageVisibilityBatchResult> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    let ids = input.entries.iter().map(|entry| entry.id.as_str());
    batch::check("ChangeMessageVisibilityBatchRequestEntry", ids)?;
    let mut result = t::ChangeMessageVisibilityBatchResult::default();
    let (mut ids, mut changes) = (Vec::new(), Vec::new());
    for entry in input.entries {
        match sqs.change(&queue, entry.receipt_handle, entry.visibility_timeout) {
            Ok(change) => {
                ids.push(entry.id);
                changes.push(change);
            }
            Err(refusal) => result.failed.push(batch::failed(entry.id, &refusal)),
        }
    }
    let changed = sqs.change_all(queue, changes).await?;
    for (id, changed) in ids.into_iter().zip(changed) {
        match changed {
            Ok(()) => {
                let done = t::ChangeMessageVisibilityBatchResultEntry { id };
                result.successful.push(done);
            }
            Err(refusal) => result.failed.push(batch::failed(id, &refusal)),
        }
    }
    Ok(result)
}

impl Sqs {
    fn change(&self, queue: &Queue, handle: String, timeout: Option<i32>) -> Result<Change> {
        let timeout = timeout.ok_or_else(|| Refusal::missing("VisibilityTimeout"))?;
        let seconds = u32::try_from(timeout).ok();
        let seconds = seconds.filter(|seconds| *seconds <= MAX_VISIBILITY);
        let seconds = seconds.ok_or_else(|| {
            let reason = "Must be between 0 and 43200, if provided.";
            Refusal::value("VisibilityTimeout", timeout, reason)
        })?;
        Ok(Change {
            receipt: self.receipt(queue, &handle)?,
            handle,
            timeout: i64::from(seconds) * 1000,
        })
    }

    /// Makes all changes that can be made, in one transaction.
    async fn change_all(
        self: &Arc<Self>,
        queue: Arc<Queue>,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<()>>> {
        let sqs = Arc::clone(self);
        Self::whole(async move {
            let mut changed: Vec<Message> = Vec::new();
            let mut results = vec![Ok(()); changes.len()];
            // In one order for all, so that two batches never wait for each other.
            let mut order: Vec<usize> = (0..changes.len()).collect();
            order.sort_by_key(|at| changes[*at].receipt.seq);
            for at in order {
                let seq = changes[at].receipt.seq;
                // The same message twice in one batch: the first change stands.
                if changed.last().is_some_and(|message| message.seq == seq) {
                    continue;
                }
                let claimed = sqs.claim_in_flight(&queue, &changes[at]).await;
                results[at] = claimed.map(|message| changed.push(message));
            }
            let written: Result<(), StoreError> = sqs
                .store
                .transact(|tx| changed.iter().try_for_each(|message| tx.put(message)))
                .await;
            let now = sqs.clock.now();
            let mut locked = queue.lock(now);
            for message in changed {
                match &written {
                    Ok(()) => locked.index.settle(message, now),
                    Err(_) => locked.index.release(message.seq, now),
                }
            }
            drop(locked);
            queue.settled();
            written?;
            Ok(results)
        })
        .await
    }

    /// Claims a message that is in flight by this receipt, and says how it is to be.
    async fn claim_in_flight(&self, queue: &Queue, change: &Change) -> Result<Message> {
        let gone = || {
            Refusal::value(
                "ReceiptHandle",
                &change.handle,
                "Message does not exist or is not available for visibility timeout change.",
            )
        };
        loop {
            let settling = queue.settling();
            tokio::pin!(settling);
            settling.as_mut().enable();
            {
                let now = self.clock.now();
                let mut locked = queue.lock(now);
                match locked.index.get(change.receipt.seq) {
                    Ok(None) => return Err(gone()),
                    Ok(Some((message, state))) => {
                        if message.receives != change.receipt.receive {
                            return Err(gone());
                        }
                        if state != State::InFlight {
                            return Err(Refusal::NotInFlight);
                        }
                        let visible = now + change.timeout;
                        let most = i64::from(MAX_VISIBILITY) * 1000;
                        if message.last_received.is_some_and(|at| visible > at + most) {
                            return Err(Refusal::value(
                                "VisibilityTimeout",
                                change.timeout / 1000,
                                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
                            ));
                        }
                        let claimed = locked.index.claim(change.receipt.seq);
                        let mut message = claimed.unwrap_or_default().ok_or_else(gone)?;
                        message.visible = visible;
                        return Ok(message);
                    }
                    Err(_busy) => {}
                }
            }
            settling.await;
        }
    }
}
