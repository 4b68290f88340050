//! TagQueue, UntagQueue, ListQueueTags.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_sqs::types as t;

use crate::errors::{Refusal, Result};
use crate::queue::Queue;
use crate::state::Sqs;

const MAX_TAGS: usize = 50;

type Tags = BTreeMap<String, String>;

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-tags.html>
pub(crate) fn check(tags: &Tags) -> Result<()> {
    let wrong = |message: &str| Err(Refusal::Parameters(message.to_owned()));
    if tags.len() > MAX_TAGS {
        return wrong("Too many tags added for queue: at most 50 are allowed.");
    }
    for (key, value) in tags {
        if !(1..=128).contains(&key.chars().count()) {
            return wrong("Tag keys must be between 1 and 128 characters in length.");
        }
        if value.chars().count() > 256 {
            return wrong("Tag values must be between 0 and 256 characters in length.");
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return wrong("Tag keys that start with 'aws:' are reserved for system use.");
        }
    }
    Ok(())
}

pub(crate) async fn tag_queue(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::TagQueueRequest,
) -> gureum_schema::Result<t::TagQueueOutput> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    sqs.retag(queue, |tags| tags.extend(input.tags)).await?;
    Ok(t::TagQueueOutput {})
}

pub(crate) async fn untag_queue(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::UntagQueueRequest,
) -> gureum_schema::Result<t::UntagQueueOutput> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    sqs.retag(queue, move |tags| {
        tags.retain(|key, _| !input.tag_keys.contains(key));
    })
    .await?;
    Ok(t::UntagQueueOutput {})
}

pub(crate) async fn list_tags(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::ListQueueTagsRequest,
) -> gureum_schema::Result<t::ListQueueTagsResult> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    let tags = queue.config().row.tags.clone();
    Ok(t::ListQueueTagsResult {
        tags: (!tags.is_empty()).then_some(tags),
    })
}

impl Sqs {
    async fn retag(
        self: &Arc<Self>,
        queue: Arc<Queue>,
        change: impl FnOnce(&mut Tags) + Send + 'static,
    ) -> Result<()> {
        let sqs = Arc::clone(self);
        Self::whole(async move {
            let _turn = sqs.admin.lock().await;
            let mut row = queue.config().row.clone();
            change(&mut row.tags);
            check(&row.tags)?;
            sqs.save(&queue, row).await
        })
        .await
    }
}
