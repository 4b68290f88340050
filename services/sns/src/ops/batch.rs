//! PublishBatch: up to ten messages in one request, failing one by one.

use std::collections::HashSet;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_sns::types as t;

use super::publish::Draft;
use crate::content::{self, MAX_MESSAGE};
use crate::errors::{Refusal, Result};
use crate::state::Sns;

const MAX_ENTRIES: usize = 10;

pub(crate) async fn publish_batch(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::PublishBatchInput,
) -> gureum_schema::Result<t::PublishBatchResponse> {
    let topic = sns.at(&cx, &input.topic_arn)?;
    let entries = input.publish_batch_request_entries;
    check(&entries)?;
    let mut failed = Vec::new();
    let (mut ids, mut drafts) = (Vec::new(), Vec::new());
    for entry in entries {
        let id = entry.id.clone();
        match Draft::new(&topic, &cx, entry) {
            Ok(draft) => {
                ids.push(id);
                drafts.push(draft);
            }
            Err(refusal) => failed.push(fault(id, &refusal)),
        }
    }
    let published = sns.take_in(&cx, topic, drafts).await?;
    let successful = ids.into_iter().zip(published);
    let successful = successful.map(|(id, published)| t::PublishBatchResultEntry {
        id: Some(id),
        message_id: Some(published.message),
        sequence_number: published.sequence,
    });
    Ok(t::PublishBatchResponse {
        successful: Some(successful.collect()),
        failed: Some(failed),
    })
}

/// What must hold for the batch as a whole.
fn check(entries: &[t::PublishBatchRequestEntry]) -> Result<()> {
    if entries.is_empty() {
        return Err(Refusal::EmptyBatch);
    }
    if entries.len() > MAX_ENTRIES {
        return Err(Refusal::TooManyEntries);
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_id = |id: &str| (1..=80).contains(&id.len()) && id.bytes().all(good);
    if !entries.iter().all(|entry| is_id(&entry.id)) {
        return Err(Refusal::EntryId);
    }
    let mut seen = HashSet::new();
    if !entries.iter().all(|entry| seen.insert(entry.id.as_str())) {
        return Err(Refusal::RepeatedId);
    }
    let weights = entries.iter();
    let weights =
        weights.map(|entry| content::weigh(&entry.message, entry.message_attributes.as_ref()));
    if weights.sum::<usize>() > MAX_MESSAGE {
        return Err(Refusal::BatchTooLong);
    }
    Ok(())
}

fn fault(id: String, refusal: &Refusal) -> t::BatchResultErrorEntry {
    let (code, message, sender_fault) = refusal.entry();
    t::BatchResultErrorEntry {
        id,
        code: code.to_owned(),
        message: Some(message),
        sender_fault,
    }
}
