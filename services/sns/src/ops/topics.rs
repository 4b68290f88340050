//! CreateTopic, DeleteTopic, GetTopicAttributes, SetTopicAttributes.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Row;
use gureum_model_sns::types as t;

use super::tags;
use crate::errors::{Refusal, Result};
use crate::model::{SubscriptionRow, Texts, TopicKey, TopicRow};
use crate::policy::DeliveryPolicy;
use crate::settings;
use crate::state::{Sns, key_of};
use crate::topic::Topic;

pub(crate) async fn create_topic(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::CreateTopicInput,
) -> gureum_schema::Result<t::CreateTopicResponse> {
    let attributes = input.attributes.unwrap_or_default();
    let fifo = check_name(&input.name, &attributes)?;
    let tags = tags::read(input.tags.unwrap_or_default())?;
    let key = (cx.region.clone(), *cx.account(), input.name);
    let arn = Sns::whole(async move { sns.create(key, fifo, &attributes, tags).await }).await?;
    Ok(t::CreateTopicResponse {
        topic_arn: Some(arn),
    })
}

/// Whether it is the name of a FIFO topic; refuses what is no name.
fn check_name(name: &str, attributes: &Texts) -> Result<bool> {
    let fifo = match attributes.get("FifoTopic").map(String::as_str) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Refusal::parameter("FifoTopic")),
    };
    let (stem, wrong) = match name.strip_suffix(".fifo") {
        Some(stem) if fifo => (stem, ""),
        _ if fifo => {
            return Err(Refusal::parameter(
                "Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long.",
            ));
        }
        _ => (name, "Topic Name"),
    };
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if stem.is_empty() || name.len() > 256 || !stem.bytes().all(good) {
        return Err(Refusal::parameter(if wrong.is_empty() {
            "Topic Name"
        } else {
            wrong
        }));
    }
    Ok(fifo)
}

/// Sets all attributes but `FifoTopic`, which is part of the name.
fn apply(texts: &mut Texts, fifo: bool, attributes: &Texts) -> Result<()> {
    let others = attributes.iter().filter(|(name, _)| *name != "FifoTopic");
    for (name, value) in others {
        settings::set_topic(texts, fifo, name, value)?;
    }
    Ok(())
}

impl Sns {
    async fn create(
        &self,
        (region, account, name): TopicKey,
        fifo: bool,
        attributes: &Texts,
        tags: Texts,
    ) -> Result<String> {
        let _turn = self.admin.lock().await;
        let key = (region.clone(), account, name.clone());
        if let Some(topic) = self.find(&key) {
            same(&topic.row, fifo, attributes, &tags)?;
            return Ok(topic.arn.clone());
        }
        let mut row = TopicRow {
            region,
            account,
            name,
            id: self.number(),
            attributes: Texts::new(),
            tags,
            deleted: 0,
        };
        apply(&mut row.attributes, fifo, attributes)?;
        let topic = Topic::new(row)?;
        self.store.transact(|tx| tx.put(&topic.row)).await?;
        let arn = topic.arn.clone();
        self.set(topic);
        Ok(arn)
    }
}

/// Creating a topic that exists is fine as long as nothing would differ.
fn same(row: &TopicRow, fifo: bool, attributes: &Texts, tags: &Texts) -> Result<()> {
    let mut wanted = row.attributes.clone();
    apply(&mut wanted, fifo, attributes)?;
    if wanted != row.attributes {
        let why = "Topic already exists with different attributes";
        return Err(Refusal::reason("Attributes", why));
    }
    if !tags.is_empty() && *tags != row.tags {
        return Err(Refusal::reason(
            "Tags",
            "Topic already exists with different tags",
        ));
    }
    Ok(())
}

/// Deleting a topic that isn't there is fine.
pub(crate) async fn delete_topic(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::DeleteTopicInput,
) -> gureum_schema::Result<t::DeleteTopicOutput> {
    let key = key_of(&cx, &input.topic_arn)?;
    Sns::whole(async move { sns.delete(&key).await }).await?;
    Ok(t::DeleteTopicOutput {})
}

impl Sns {
    async fn delete(&self, key: &TopicKey) -> Result<()> {
        let _turn = self.admin.lock().await;
        let Some(topic) = self.find(key) else {
            return Ok(());
        };
        self.store
            .transact(|tx| {
                for one in &topic.subscriptions {
                    tx.delete::<SubscriptionRow>(one.row.key())?;
                }
                tx.delete::<TopicRow>(key)
            })
            .await?;
        self.remove(key);
        Ok(())
    }
}

pub(crate) async fn get_attributes(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::GetTopicAttributesInput,
) -> gureum_schema::Result<t::GetTopicAttributesResponse> {
    let topic = sns.at(&cx, &input.topic_arn)?;
    let pending = topic
        .subscriptions
        .iter()
        .filter(|one| !one.is_confirmed())
        .count();
    let confirmed = topic.subscriptions.len() - pending;
    let delivery = DeliveryPolicy::effective(None, topic.delivery.as_ref());
    let mut shown = topic.row.attributes.clone();
    let mut add = |name: &str, value: String| {
        shown.insert(name.to_owned(), value);
    };
    add("TopicArn", topic.arn.clone());
    add("Owner", topic.row.account.to_string());
    add("Policy", topic.shown_policy());
    add("SubscriptionsConfirmed", confirmed.to_string());
    add("SubscriptionsPending", pending.to_string());
    add("SubscriptionsDeleted", topic.row.deleted.to_string());
    add("EffectiveDeliveryPolicy", delivery.shown_for_topic());
    if topic.row.is_fifo() {
        add("FifoTopic", "true".into());
    }
    shown.entry("DisplayName".into()).or_default();
    if topic.row.is_fifo() {
        let off = || "false".to_owned();
        shown
            .entry("ContentBasedDeduplication".into())
            .or_insert_with(off);
        shown
            .entry("FifoThroughputScope".into())
            .or_insert_with(|| "Topic".into());
    }
    Ok(t::GetTopicAttributesResponse {
        attributes: Some(shown),
    })
}

pub(crate) async fn set_attributes(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::SetTopicAttributesInput,
) -> gureum_schema::Result<t::SetTopicAttributesOutput> {
    let key = sns.at(&cx, &input.topic_arn)?.key();
    let value = input.attribute_value.unwrap_or_default();
    Sns::whole(async move {
        sns.alter(&key, |row| {
            let fifo = row.is_fifo();
            settings::set_topic(&mut row.attributes, fifo, &input.attribute_name, &value)
        })
        .await
    })
    .await?;
    Ok(t::SetTopicAttributesOutput {})
}
