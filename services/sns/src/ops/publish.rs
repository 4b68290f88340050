//! Publish: checks a message, finds who wants it, and writes down both in one transaction.

use std::cell::OnceCell;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_kit::{Reader, StoreError};
use gureum_model_sns::types as t;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::asks;
use crate::content::{self, Content, DataKey, Fifo, Kind, MAX_MESSAGE};
use crate::errors::{Refusal, Result};
use crate::filter::{Filter, Scope};
use crate::model::{DeliveryRow, Duplicate, MessageRow, Recipient};
use crate::state::Sns;
use crate::topic::Topic;

/// How long a deduplication id is remembered, in milliseconds: five minutes.
const REMEMBER: i64 = 300_000;
/// What comes before sequence numbers, so that all have twenty digits.
const SEQUENCE_BASE: u128 = 10_000_000_000_000_000_000;

pub(crate) async fn publish(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::PublishInput,
) -> gureum_schema::Result<t::PublishResponse> {
    let topic = sns.at(&cx, asks::destination(&input)?)?;
    if content::weigh(&input.message, input.message_attributes.as_ref()) > MAX_MESSAGE {
        return Err(Refusal::parameter("Message too long").into());
    }
    let entry = t::PublishBatchRequestEntry {
        id: String::new(),
        message: input.message,
        subject: input.subject,
        message_structure: input.message_structure,
        message_attributes: input.message_attributes,
        message_deduplication_id: input.message_deduplication_id,
        message_group_id: input.message_group_id,
    };
    let draft = Draft::new(&topic, &cx, entry)?;
    let published = sns.take_in(&cx, topic, vec![draft]).await?;
    let published = published.into_iter().next().ok_or_else(lost)?;
    Ok(t::PublishResponse {
        message_id: Some(published.message),
        sequence_number: published.sequence,
    })
}

pub(crate) fn lost() -> Refusal {
    Refusal::Broken("a message was lost on its way into its topic".into())
}

pub(crate) fn signature_version(topic: &Topic) -> u8 {
    if topic.setting("SignatureVersion") == Some("2") {
        2
    } else {
        1
    }
}

/// A message that was checked; only its place among others is missing.
pub(crate) struct Draft {
    content: Content,
    /// Group and deduplication id, in a FIFO topic.
    fifo: Option<(String, String)>,
}

/// What the publisher is told.
pub(crate) struct Published {
    pub(crate) message: String,
    pub(crate) sequence: Option<String>,
}

impl Draft {
    pub(crate) fn new(topic: &Topic, cx: &Cx, entry: t::PublishBatchRequestEntry) -> Result<Self> {
        let json = match entry.message_structure.as_deref() {
            None | Some("") => false,
            Some("json") => true,
            Some(_) => return Err(Refusal::parameter("MessageStructure")),
        };
        if let Some(subject) = &entry.subject {
            content::check_subject(subject)?;
        }
        let fifo = fifo(topic, &entry)?;
        let (text, texts) = content::texts(entry.message, json)?;
        let content = Content {
            kind: Kind::Notification,
            id: id::uuid(),
            topic: topic.arn.clone(),
            display_name: topic.setting("DisplayName").unwrap_or_default().to_owned(),
            signature_version: signature_version(topic),
            at: cx.now.0,
            subject: entry.subject,
            text,
            texts,
            attributes: content::attributes(entry.message_attributes)?,
            fifo: None,
        };
        Ok(Self { content, fifo })
    }

    /// Whom it is for: those within the cloud, and those beyond it.
    fn recipients(&self, sns: &Sns, topic: &Topic) -> (Vec<Recipient>, Vec<Recipient>) {
        let attributes = OnceCell::new();
        let body = OnceCell::new();
        let wanted = |filter: &Filter| match filter.scope() {
            Scope::Attributes => {
                let facts = attributes.get_or_init(|| content::facts(&self.content.attributes));
                filter.admits(facts)
            }
            Scope::Body => {
                let body: &Option<Map<String, Value>> =
                    body.get_or_init(|| serde_json::from_str(&self.content.text).ok());
                body.as_ref().is_some_and(|body| filter.admits(body))
            }
        };
        let confirmed = topic.subscriptions.iter().filter(|one| one.is_confirmed());
        let listening = confirmed.filter(|one| one.filter.as_ref().is_none_or(wanted));
        let (web, inside): (Vec<_>, Vec<_>) =
            listening.partition(|one| sns.is_outside(one.row.protocol));
        let named = |list: Vec<&Arc<crate::topic::Subscription>>| {
            let ids = list.into_iter().map(|one| one.row.id.clone());
            ids.map(Recipient::Subscription).collect()
        };
        (named(inside), named(web))
    }
}

/// Group and deduplication id, where the topic is FIFO.
fn fifo(topic: &Topic, entry: &t::PublishBatchRequestEntry) -> Result<Option<(String, String)>> {
    let (group, given) = (&entry.message_group_id, &entry.message_deduplication_id);
    if let Some(group) = group {
        content::check_token("MessageGroupId", group)?;
    }
    if let Some(given) = given {
        content::check_token("MessageDeduplicationId", given)?;
    }
    if !topic.row.is_fifo() {
        // A group is taken from anybody (it makes queues fair), but means nothing here.
        return match given {
            Some(_) => Err(Refusal::reason(
                "MessageDeduplicationId",
                "The request includes MessageDeduplicationId parameter that is not valid for this topic type",
            )),
            None => Ok(None),
        };
    }
    let Some(group) = group else {
        return Err(Refusal::parameter(
            "The MessageGroupId parameter is required for FIFO topics",
        ));
    };
    let deduplication = match given {
        Some(id) => id.clone(),
        None if topic.is_set("ContentBasedDeduplication") => {
            hex::encode(Sha256::digest(&entry.message))
        }
        None => {
            return Err(Refusal::parameter(
                "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
            ));
        }
    };
    Ok(Some((group.clone(), deduplication)))
}

/// What is about to be written.
#[derive(Default)]
struct Plan {
    messages: Vec<MessageRow>,
    deliveries: Vec<DeliveryRow>,
    duplicates: Vec<Duplicate>,
}

impl Sns {
    /// Takes in messages, all or none. On return they are durable, with whom they are for.
    pub(crate) async fn take_in(
        self: &Arc<Self>,
        cx: &Cx,
        topic: Arc<Topic>,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Published>> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.data_key(cx, &topic).await?;
        let (sns, now) = (Arc::clone(self), cx.now.0);
        Self::whole(async move {
            // Order and duplicates are certain only for one publisher at a time.
            let _gate = match topic.row.is_fifo() {
                true => Some(topic.gate.lock().await),
                false => None,
            };
            let mut plan = Plan::default();
            let mut published = Vec::new();
            for draft in drafts {
                published.push(sns.place(&topic, draft, key.as_ref(), now, &mut plan)?);
            }
            sns.write(&plan).await?;
            plan.deliveries.iter().for_each(|row| sns.schedule.add(row));
            Ok(published)
        })
        .await
    }

    async fn write(&self, plan: &Plan) -> Result<(), StoreError> {
        if plan.messages.is_empty() && plan.duplicates.is_empty() {
            return Ok(());
        }
        self.store
            .transact(|tx| {
                plan.messages.iter().try_for_each(|row| tx.put(row))?;
                plan.deliveries.iter().try_for_each(|row| tx.put(row))?;
                plan.duplicates.iter().try_for_each(|row| tx.put(row))
            })
            .await
    }

    /// Gives a draft its place, or finds the message that it repeats.
    fn place(
        &self,
        topic: &Topic,
        mut draft: Draft,
        key: Option<&DataKey>,
        now: i64,
        plan: &mut Plan,
    ) -> Result<Published> {
        let number = self.number();
        if let Some((group, deduplication)) = draft.fifo.take() {
            let duplicate = Duplicate {
                topic: topic.row.id,
                key: match topic.setting("FifoThroughputScope") {
                    // No id has a space in it.
                    Some("MessageGroup") => format!("{group} {deduplication}"),
                    _ => deduplication.clone(),
                },
                message: draft.content.id.clone(),
                sequence: number,
                expires: now + REMEMBER,
            };
            if let Some(first) = self.repeated(&duplicate, plan, now)? {
                return Ok(Published {
                    message: first.message,
                    sequence: Some(shown(first.sequence)),
                });
            }
            plan.duplicates.push(duplicate);
            draft.content.fifo = Some(Fifo {
                group,
                deduplication,
                sequence: shown(number),
            });
        }
        let (inside, web) = draft.recipients(self, topic);
        if !inside.is_empty() || !web.is_empty() {
            plan.messages
                .push(self.keys.seal(number, &draft.content, key)?);
        }
        let delivery = |lane, to, web| DeliveryRow {
            message: number,
            lane,
            topic: topic.key(),
            topic_id: topic.row.id,
            to,
            attempts: 0,
            due: now,
            group: draft.content.fifo.as_ref().map(|fifo| fifo.group.clone()),
            web,
        };
        if !inside.is_empty() {
            plan.deliveries.push(delivery(0, inside, false));
        }
        for (lane, one) in (1..).zip(web) {
            plan.deliveries.push(delivery(lane, vec![one], true));
        }
        Ok(Published {
            message: draft.content.id,
            sequence: draft.content.fifo.map(|fifo| fifo.sequence),
        })
    }

    /// What was published before under the same deduplication id, in this batch or lately.
    fn repeated(&self, new: &Duplicate, plan: &Plan, now: i64) -> Result<Option<Duplicate>> {
        if let Some(own) = plan.duplicates.iter().find(|one| one.key == new.key) {
            return Ok(Some(own.clone()));
        }
        let known = self.store.read().get::<Duplicate>((new.topic, &new.key))?;
        Ok(known.filter(|known| known.expires > now))
    }
}

fn shown(sequence: u64) -> String {
    (SEQUENCE_BASE + u128::from(sequence)).to_string()
}
