//! GetQueueAttributes and SetQueueAttributes.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::{Cx, Unbound};
use gureum_model_sqs::types as t;
use gureum_policy::{Kind, Policy};

use super::queues::apply;
use crate::errors::{Refusal, Result};
use crate::model::QueueRow;
use crate::queue::Queue;
use crate::settings::{Redrive, SET, Settings};
use crate::state::Sqs;

/// The attribute that is kept with its principals bound to unique ids.
const POLICY: &str = "Policy";

/// What is told of a queue beside its settings.
const TOLD: [&str; 6] = [
    "QueueArn",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
];

pub(crate) async fn get_attributes(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::GetQueueAttributesRequest,
) -> gureum_schema::Result<t::GetQueueAttributesResult> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    let asked = input.attribute_names.unwrap_or_default();
    let known = |name: &str| SET.contains(&name) || TOLD.contains(&name);
    if let Some(unknown) = asked.iter().find(|name| *name != "All" && !known(name)) {
        return Err(Refusal::AttributeName(unknown.clone()).into());
    }
    let all = asked.iter().any(|name| name == "All");
    let wanted = |name: &&str| all || asked.iter().any(|asked| asked == name);
    let config = queue.config();
    let counts = queue.lock(cx.now.0).index.counts();
    let told = |name: &str| match name {
        "QueueArn" => Some(queue.arn.to_string()),
        "CreatedTimestamp" => Some((config.row.created / 1000).to_string()),
        "LastModifiedTimestamp" => Some((config.row.modified / 1000).to_string()),
        "ApproximateNumberOfMessages" => Some(counts.visible.to_string()),
        "ApproximateNumberOfMessagesNotVisible" => Some(counts.in_flight.to_string()),
        "ApproximateNumberOfMessagesDelayed" => Some(counts.delayed.to_string()),
        name => config.row.settings.get(name),
    };
    let names = SET.into_iter().chain(TOLD).filter(wanted);
    let mut attributes: BTreeMap<String, String> = names
        .filter_map(|name| Some((name.to_owned(), told(name)?)))
        .collect();
    if let Some(policy) = attributes.get_mut(POLICY) {
        *policy = cx.show_principals(policy)?;
    }
    Ok(t::GetQueueAttributesResult {
        attributes: (!attributes.is_empty()).then_some(attributes),
    })
}

pub(crate) async fn set_attributes(
    sqs: Arc<Sqs>,
    cx: Cx,
    mut input: t::SetQueueAttributesRequest,
) -> gureum_schema::Result<t::SetQueueAttributesOutput> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    bind_policy(&cx, &mut input.attributes)?;
    Sqs::whole(async move {
        sqs.alter(&queue, |settings| {
            let fifo = input.attributes.get("FifoQueue");
            // It may be repeated, never changed.
            if fifo.is_some_and(|value| !settings.fifo || value != "true") {
                return Err(Refusal::AttributeName("FifoQueue".into()));
            }
            apply(settings, &input.attributes)
        })
        .await
    })
    .await?;
    Ok(t::SetQueueAttributesOutput {})
}

/// The policy among a request's attributes, as it is to be stored.
pub(crate) fn bind_policy(
    cx: &Cx,
    attributes: &mut BTreeMap<String, String>,
) -> gureum_schema::Result<()> {
    if let Some(policy) = attributes.get_mut(POLICY) {
        *policy = cx
            .bind_principals(policy)
            .map_err(|unbound| match unbound {
                Unbound::Nobody(_) => Refusal::AttributeValue(POLICY.into()).into(),
                Unbound::Failed(error) => error,
            })?;
    }
    Ok(())
}

impl Sqs {
    /// Changes a queue's settings, all or none.
    pub(crate) async fn alter(
        &self,
        queue: &Queue,
        change: impl FnOnce(&mut Settings) -> Result<()>,
    ) -> Result<()> {
        let _turn = self.admin.lock().await;
        let mut row = queue.config().row.clone();
        change(&mut row.settings)?;
        self.check_settings(&row)?;
        row.modified = self.clock.now();
        self.save(queue, row).await
    }

    /// Writes a queue's row, then lets it take effect. The caller holds `admin`.
    pub(crate) async fn save(&self, queue: &Queue, row: QueueRow) -> Result<()> {
        if queue.lock(self.clock.now()).closed {
            return Err(Refusal::NoSuchQueue);
        }
        self.store.transact(|tx| tx.put(&row)).await?;
        queue.reconfigure(row);
        Ok(())
    }

    /// What can be told only with the rest of the world in view.
    pub(crate) fn check_settings(&self, row: &QueueRow) -> Result<()> {
        let settings = &row.settings;
        if let Some(text) = &settings.policy {
            let read = Policy::parse(text, Kind::Resource);
            read.map_err(|_| Refusal::AttributeValue(POLICY.into()))?;
        }
        match &settings.redrive {
            Some(redrive) => self.check_redrive(row, redrive),
            None => Ok(()),
        }
    }

    fn check_redrive(&self, row: &QueueRow, redrive: &Redrive) -> Result<()> {
        let shown = row.settings.get("RedrivePolicy").unwrap_or_default();
        let wrong = |reason: &str| Refusal::value("RedrivePolicy", &shown, reason);
        let (own, target) = (row.arn(), &redrive.target);
        if (&own.region, &own.account) != (&target.region, &target.account) {
            return Err(wrong(
                "Dead-letter target must be owned by the same account and in the same region.",
            ));
        }
        let Some(grave) = self.find_arn(target) else {
            return Err(wrong("Dead letter target does not exist."));
        };
        if grave.fifo != row.settings.fifo {
            return Err(wrong(
                "Dead-letter queue must be same type of queue as the source.",
            ));
        }
        let config = grave.config();
        let allow = &config.row.settings.redrive_allow;
        if allow.as_ref().is_some_and(|allow| !allow.allows(&own)) {
            return Err(wrong(
                "Queue does not have permission to redrive to the dead-letter queue.",
            ));
        }
        Ok(())
    }
}
