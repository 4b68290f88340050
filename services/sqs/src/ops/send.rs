//! SendMessage and SendMessageBatch.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::StoreError;
use gureum_kit::names::id;
use gureum_model_sqs::types as t;

use super::batch;
use crate::content::{self, Payload};
use crate::errors::{Refusal, Result};
use crate::kms::DataKey;
use crate::model::{Content, Duplicate, Message};
use crate::queue::{Inner, Queue};
use crate::seal::sha256_hex;
use crate::settings::{MAX_DELAY, MAX_MESSAGE, Scope, Settings};
use crate::state::Sqs;
use crate::window::{REMEMBER, Seen};

/// What comes before the sequence numbers that clients see, so that all have twenty digits.
const SEQUENCE_BASE: u128 = 10_000_000_000_000_000_000;

/// The sequence number of a FIFO message as clients see it: twenty digits, growing.
pub(crate) fn sequence_number(seq: u64) -> String {
    (SEQUENCE_BASE + u128::from(seq)).to_string()
}

pub(crate) async fn send_message(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::SendMessageRequest,
) -> gureum_schema::Result<t::SendMessageResult> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    let entry = t::SendMessageBatchRequestEntry {
        id: String::new(),
        message_body: input.message_body,
        delay_seconds: input.delay_seconds,
        message_attributes: input.message_attributes,
        message_system_attributes: input.message_system_attributes,
        message_deduplication_id: input.message_deduplication_id,
        message_group_id: input.message_group_id,
    };
    let draft = Draft::new(&queue.config().row.settings, &cx, entry)?;
    let digests = Digests::of(&draft.payload);
    let sent = sqs.deposit(&cx, queue, vec![draft]).await?;
    let sent = sent.into_iter().next().ok_or_else(lost)?;
    Ok(t::SendMessageResult {
        md5_of_message_body: Some(digests.body),
        md5_of_message_attributes: digests.attributes,
        md5_of_message_system_attributes: digests.system,
        message_id: Some(sent.message),
        sequence_number: sent.sequence,
    })
}

pub(crate) async fn send_message_batch(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::SendMessageBatchRequest,
) -> gureum_schema::Result<t::SendMessageBatchResult> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    let ids = input.entries.iter().map(|entry| entry.id.as_str());
    batch::check("SendMessageBatchRequestEntry", ids)?;
    let config = queue.config();
    let mut result = t::SendMessageBatchResult::default();
    let mut drafts = Vec::new();
    let mut replies = Vec::new();
    let mut size = 0;
    for entry in input.entries {
        let id = entry.id.clone();
        size += weigh(&entry);
        match Draft::new(&config.row.settings, &cx, entry) {
            Ok(draft) => {
                replies.push((id, Digests::of(&draft.payload)));
                drafts.push(draft);
            }
            Err(refusal) => result.failed.push(batch::failed(id, &refusal)),
        }
    }
    let limit = MAX_MESSAGE;
    if size > limit {
        return Err(Refusal::BatchTooLong { limit, size }.into());
    }
    let sent = sqs.deposit(&cx, queue, drafts).await?;
    let entry = |((id, digests), sent): ((String, Digests), Sent)| t::SendMessageBatchResultEntry {
        id,
        message_id: sent.message,
        md5_of_message_body: digests.body,
        md5_of_message_attributes: digests.attributes,
        md5_of_message_system_attributes: digests.system,
        sequence_number: sent.sequence,
    };
    result.successful = replies.into_iter().zip(sent).map(entry).collect();
    Ok(result)
}

fn lost() -> Refusal {
    Refusal::Broken("a message was lost on its way into its queue".into())
}

/// The size of an entry before it is known to be good.
fn weigh(entry: &t::SendMessageBatchRequestEntry) -> usize {
    let attributes = entry.message_attributes.iter().flatten();
    entry.message_body.len()
        + attributes
            .map(|(name, value)| {
                name.len()
                    + value.data_type.len()
                    + value.string_value.as_ref().map_or(0, String::len)
                    + value.binary_value.as_ref().map_or(0, |bytes| bytes.len())
            })
            .sum::<usize>()
}

/// What the reply says, for the client to compare.
struct Digests {
    body: String,
    attributes: Option<String>,
    system: Option<String>,
}

impl Digests {
    fn of(payload: &Payload) -> Self {
        Self {
            body: payload.body_md5(),
            attributes: payload.attributes_md5(),
            system: payload.system_md5(),
        }
    }
}

/// A message that was checked and is ready to be given a place.
pub(crate) struct Draft {
    payload: Payload,
    group: Option<String>,
    /// How long it stays invisible at first, in milliseconds.
    delay: i64,
    sse: bool,
    /// Under what it is remembered, in a FIFO queue.
    duplicate_key: Option<String>,
}

/// Where a message went, or where the one went that it repeats.
pub(crate) struct Sent {
    pub(crate) message: String,
    pub(crate) sequence: Option<String>,
}

impl Draft {
    fn new(settings: &Settings, cx: &Cx, entry: t::SendMessageBatchRequestEntry) -> Result<Self> {
        if entry.message_body.is_empty() {
            return Err(Refusal::missing("MessageBody"));
        }
        let mut payload = Payload {
            attributes: content::attributes(entry.message_attributes)?,
            system: content::system_attributes(entry.message_system_attributes)?,
            body: entry.message_body,
            sender: cx.caller.id.clone(),
            deduplication_id: None,
        };
        let limit = settings.max_message as usize;
        if payload.size() > limit {
            return Err(Refusal::Parameters(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."
            )));
        }
        content::check_text(&payload.body, "message body")?;
        if let Some(group) = &entry.message_group_id {
            content::check_token("MessageGroupId", group)?;
        }
        let delay = delay(settings, entry.delay_seconds)?;
        let duplicate_key = if settings.fifo {
            let group = entry.message_group_id.as_deref();
            let group = group.ok_or_else(|| Refusal::missing("MessageGroupId"))?;
            let id = deduplication_id(settings, entry.message_deduplication_id, &payload.body)?;
            let key = match settings.deduplication_scope {
                Scope::Queue => id.clone(),
                // No id has a space in it.
                Scope::Group => format!("{group} {id}"),
            };
            payload.deduplication_id = Some(id);
            Some(key)
        } else if let Some(id) = &entry.message_deduplication_id {
            return Err(Refusal::value(
                "MessageDeduplicationId",
                id,
                "The request include parameter that is not valid for this queue type.",
            ));
        } else {
            None
        };
        Ok(Self {
            payload,
            group: entry.message_group_id,
            delay,
            sse: settings.sse,
            duplicate_key,
        })
    }

    /// Seals what the message says, so that only its place is missing.
    fn seal(self, sqs: &Sqs, key: Option<&DataKey>) -> Result<Sealed> {
        let id = sqs.number();
        let mut data = rmp_serde::to_vec_named(&self.payload)
            .map_err(|error| Refusal::Broken(error.to_string()))?;
        let salt = if self.sse || key.is_some() {
            let plain = key.map(|key| &*key.plain);
            let salt = sqs.keys.seal(id, &mut data, plain);
            Some(salt.ok_or_else(|| Refusal::Broken("a message could not be sealed".into()))?)
        } else {
            None
        };
        let data = data.into();
        Ok(Sealed {
            content: Content {
                id,
                salt,
                kms: key.map(|key| key.sealed.clone()),
                data,
            },
            group: self.group,
            delay: self.delay,
            duplicate_key: self.duplicate_key,
        })
    }
}

/// A draft whose content is ready to be written.
struct Sealed {
    content: Content,
    group: Option<String>,
    delay: i64,
    duplicate_key: Option<String>,
}

impl Sealed {
    /// The rows of this message, given its place. `at` is when it was sent.
    fn rows(self, queue: u64, seq: u64, at: i64, id: String) -> (Message, Content) {
        let message = Message {
            queue,
            seq,
            id,
            content: self.content.id,
            sent: at,
            visible: at + self.delay,
            receives: 0,
            receives_before: 0,
            first_received: None,
            last_received: None,
            group: self.group,
            source: None,
        };
        (message, self.content)
    }
}

/// The delay in milliseconds: the message's own, where it may have one, or the queue's.
fn delay(settings: &Settings, own: Option<i32>) -> Result<i64> {
    let seconds = match own {
        None => settings.delay,
        Some(own) if settings.fifo && own != 0 => {
            return Err(Refusal::value(
                "DelaySeconds",
                own,
                "The request include parameter that is not valid for this queue type.",
            ));
        }
        Some(_) if settings.fifo => settings.delay,
        Some(own) => u32::try_from(own)
            .ok()
            .filter(|seconds| *seconds <= MAX_DELAY)
            .ok_or_else(|| {
                Refusal::value("DelaySeconds", own, "DelaySeconds must be >= 0 and <= 900.")
            })?,
    };
    Ok(i64::from(seconds) * 1000)
}

fn deduplication_id(settings: &Settings, given: Option<String>, body: &str) -> Result<String> {
    match given {
        Some(id) => {
            content::check_token("MessageDeduplicationId", &id)?;
            Ok(id)
        }
        None if settings.content_deduplication => Ok(sha256_hex(body)),
        None => Err(Refusal::Parameters(
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly".into(),
        )),
    }
}

/// What a deposit is about to write.
#[derive(Default)]
struct Plan {
    messages: Vec<Message>,
    contents: Vec<Content>,
    duplicates: Vec<Duplicate>,
    sent: Vec<Sent>,
}

impl Sqs {
    /// Puts messages into a queue, all or none; they can be received once they are durable.
    async fn deposit(
        self: &Arc<Self>,
        cx: &Cx,
        queue: Arc<Queue>,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Sent>> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.data_key(cx, &queue).await?;
        let (sqs, now) = (Arc::clone(self), cx.now.0);
        Self::whole(async move {
            let seal = |draft: Draft| draft.seal(&sqs, key.as_ref());
            let drafts = drafts.into_iter().map(seal).collect::<Result<_>>()?;
            let plan = sqs.place(&queue, drafts, now).await?;
            let written = sqs.write(&plan).await;
            let mut locked = queue.lock(sqs.clock.now());
            for duplicate in &plan.duplicates {
                locked.window.settle(&duplicate.key, written.is_ok());
            }
            for message in plan.messages {
                match &written {
                    Ok(()) => locked.index.settle(message, sqs.clock.now()),
                    Err(_) => drop(locked.index.remove(message.seq)),
                }
            }
            drop(locked);
            queue.settled();
            written?;
            Ok(plan.sent)
        })
        .await
    }

    async fn write(&self, plan: &Plan) -> Result<(), StoreError> {
        if plan.messages.is_empty() {
            return Ok(());
        }
        let write = |tx: &mut gureum_kit::Tx| {
            plan.messages.iter().try_for_each(|row| tx.put(row))?;
            plan.contents.iter().try_for_each(|row| tx.put(row))?;
            plan.duplicates.iter().try_for_each(|row| tx.put(row))
        };
        self.store.transact(write).await
    }

    /// Gives every draft its place in the queue, or finds the message that it repeats. Waits while
    /// such a message is itself still being written: a repetition is acknowledged only with it.
    async fn place(&self, queue: &Queue, drafts: Vec<Sealed>, now: i64) -> Result<Plan> {
        loop {
            let settling = queue.settling();
            tokio::pin!(settling);
            settling.as_mut().enable();
            {
                let mut locked = queue.lock(now);
                if locked.closed {
                    return Err(Refusal::NoSuchQueue);
                }
                let unsure = |draft: &Sealed| {
                    let key = draft.duplicate_key.as_deref();
                    key.is_some_and(|key| matches!(locked.window.seen(key), Seen::Pending(_)))
                };
                if !drafts.iter().any(unsure) {
                    return Ok(self.place_now(queue, &mut locked, drafts, now));
                }
            }
            settling.await;
        }
    }

    fn place_now(&self, queue: &Queue, inner: &mut Inner, drafts: Vec<Sealed>, now: i64) -> Plan {
        let mut plan = Plan::default();
        // A repetition within one batch finds the first one pending; both are written together.
        let mut own: BTreeMap<String, (String, u64)> = BTreeMap::new();
        for draft in drafts {
            let key = draft.duplicate_key.clone();
            let known = key.as_deref().and_then(|key| match inner.window.seen(key) {
                Seen::New => None,
                Seen::Sent(first) | Seen::Pending(first) => {
                    Some((first.message.clone(), first.seq))
                }
            });
            let known = known.or_else(|| key.as_ref().and_then(|key| own.get(key).cloned()));
            let (message, seq) = match known {
                Some(first) => first,
                None => {
                    let (seq, id) = (self.number(), id::uuid());
                    let (message, content) = draft.rows(queue.id, seq, now, id.clone());
                    plan.messages.push(message);
                    plan.contents.push(content);
                    if let Some(key) = key {
                        own.insert(key, (id.clone(), seq));
                    }
                    (id, seq)
                }
            };
            let sequence = queue.fifo.then(|| sequence_number(seq));
            plan.sent.push(Sent { message, sequence });
        }
        for (key, (message, seq)) in own {
            let duplicate = Duplicate {
                queue: queue.id,
                key,
                message,
                seq,
                expires: now + REMEMBER,
            };
            inner.window.begin(duplicate.clone());
            plan.duplicates.push(duplicate);
        }
        for message in &plan.messages {
            inner.index.begin(message.clone());
        }
        plan
    }
}
