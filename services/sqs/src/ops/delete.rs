//! DeleteMessage, DeleteMessageBatch, PurgeQueue.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::StoreError;
use gureum_model_sqs::types as t;

use super::batch;
use crate::errors::{Refusal, Result};
use crate::index::State;
use crate::model::{Content, Message};
use crate::queue::Queue;
use crate::seal::Receipt;
use crate::state::Sqs;

/// How long a purge takes as far as the next one is concerned, in milliseconds.
const PURGE: i64 = 60_000;

pub(crate) async fn delete_message(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::DeleteMessageRequest,
) -> gureum_schema::Result<t::DeleteMessageOutput> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    let receipt = sqs.receipt(&queue, &input.receipt_handle)?;
    let one = vec![(receipt, input.receipt_handle)];
    let mut results = sqs.delete(queue, one).await?;
    results.pop().unwrap_or(Ok(()))?;
    Ok(t::DeleteMessageOutput {})
}

pub(crate) async fn delete_message_batch(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::DeleteMessageBatchRequest,
) -> gureum_schema::Result<t::DeleteMessageBatchResult> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    let ids = input.entries.iter().map(|entry| entry.id.as_str());
    batch::check("DeleteMessageBatchRequestEntry", ids)?;
    let mut result = t::DeleteMessageBatchResult::default();
    let mut good = Vec::new();
    let mut ids = Vec::new();
    for entry in input.entries {
        match sqs.receipt(&queue, &entry.receipt_handle) {
            Ok(receipt) => {
                good.push((receipt, entry.receipt_handle));
                ids.push(entry.id);
            }
            Err(refusal) => result.failed.push(batch::failed(entry.id, &refusal)),
        }
    }
    let deleted = sqs.delete(queue, good).await?;
    for (id, deleted) in ids.into_iter().zip(deleted) {
        match deleted {
            Ok(()) => {
                let done = t::DeleteMessageBatchResultEntry { id };
                result.successful.push(done);
            }
            Err(refusal) => result.failed.push(batch::failed(id, &refusal)),
        }
    }
    Ok(result)
}

impl Sqs {
    /// The receive that a handle stands for, which must be one of this queue.
    pub(crate) fn receipt(&self, queue: &Queue, handle: &str) -> Result<Receipt> {
        if handle.is_empty() {
            return Err(Refusal::missing("ReceiptHandle"));
        }
        let receipt = self.keys.receipt(handle);
        let receipt = receipt.filter(|receipt| receipt.queue == queue.id);
        receipt.ok_or_else(|| Refusal::ReceiptHandle(handle.chars().take(256).collect()))
    }

    /// Deletes messages by their receipts, in one transaction. Deleting what is gone succeeds.
    async fn delete(
        self: &Arc<Self>,
        queue: Arc<Queue>,
        receipts: Vec<(Receipt, String)>,
    ) -> Result<Vec<Result<()>>> {
        let sqs = Arc::clone(self);
        Self::whole(async move {
            let (claimed, results) = sqs.claim_for_deletion(&queue, &receipts).await;
            if claimed.is_empty() {
                return Ok(results);
            }
            let written: Result<(), StoreError> = sqs
                .store
                .transact(|tx| {
                    claimed.iter().try_for_each(|message| {
                        tx.delete::<Message>((message.queue, message.seq))?;
                        tx.delete::<Content>(message.content)
                    })
                })
                .await;
            let now = sqs.clock.now();
            let mut locked = queue.lock(now);
            for message in &claimed {
                if written.is_ok() {
                    locked.index.remove(message.seq);
                } else {
                    locked.index.release(message.seq, now);
                }
            }
            drop(locked);
            queue.settled();
            written?;
            Ok(results)
        })
        .await
    }

    async fn claim_for_deletion(
        &self,
        queue: &Queue,
        receipts: &[(Receipt, String)],
    ) -> (Vec<Message>, Vec<Result<()>>) {
        let mut claimed: Vec<Message> = Vec::new();
        let mut results = vec![Ok(()); receipts.len()];
        // In one order for all, so that two batches never wait for each other.
        let mut order: Vec<usize> = (0..receipts.len()).collect();
        order.sort_by_key(|at| receipts[*at].0.seq);
        for at in order {
            let (receipt, handle) = &receipts[at];
            if claimed.last().is_some_and(|m| m.seq == receipt.seq) {
                continue;
            }
            let found = self.claim_received(queue, *receipt, handle).await;
            results[at] = found.map(|found| claimed.extend(found));
        }
        (claimed, results)
    }

    /// Claims a message if this receipt is good for deleting it; `None` when there is nothing to
    /// delete: it is gone already, or was received again since from a standard queue.
    async fn claim_received(
        &self,
        queue: &Queue,
        receipt: Receipt,
        handle: &str,
    ) -> Result<Option<Message>> {
        loop {
            let settling = queue.settling();
            tokio::pin!(settling);
            settling.as_mut().enable();
            {
                let mut locked = queue.lock(self.clock.now());
                match locked.index.get(receipt.seq) {
                    Ok(None) => return Ok(None),
                    Ok(Some((message, state))) => {
                        let newest = message.receives == receipt.receive;
                        if queue.fifo && (!newest || state != State::InFlight) {
                            return Err(Refusal::value(
                                "ReceiptHandle",
                                handle,
                                "The receipt handle has expired.",
                            ));
                        }
                        if !newest {
                            return Ok(None);
                        }
                        // It is not busy, so claiming gives it.
                        return Ok(locked.index.claim(receipt.seq).unwrap_or_default());
                    }
                    Err(_busy) => {}
                }
            }
            settling.await;
        }
    }
}

pub(crate) async fn purge_queue(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::PurgeQueueRequest,
) -> gureum_schema::Result<t::PurgeQueueOutput> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    Sqs::whole(async move { sqs.purge(&queue).await }).await?;
    Ok(t::PurgeQueueOutput {})
}

impl Sqs {
    async fn purge(&self, queue: &Queue) -> Result<()> {
        let _turn = self.admin.lock().await;
        let mut row = queue.config().row.clone();
        let now = self.clock.now();
        if row.purged_at.is_some_and(|at| now < at + PURGE) {
            return Err(Refusal::PurgeInProgress { name: row.name });
        }
        row.purged = self.last_number();
        row.purged_at = Some(now);
        self.save(queue, row).await?;
        let purged = queue.config().row.purged;
        queue.lock(now).index.purge(purged);
        self.wake_sweep.wake();
        Ok(())
    }
}
