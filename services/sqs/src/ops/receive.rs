//! ReceiveMessage: taking messages, waiting for them, and giving up those received too often.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Reader;
use gureum_model_sqs::types as t;

use super::send::sequence_number;
use crate::content::{self, Payload, Value};
use crate::errors::{Refusal, Result};
use crate::index::{State, Taken};
use crate::model::{Attempt, Content, Message};
use crate::queue::Queue;
use crate::seal::Receipt;
use crate::settings::MAX_VISIBILITY;
use crate::state::Sqs;
use crate::window::REMEMBER;

/// How many messages of a standard queue may be in flight.
const MAX_IN_FLIGHT: usize = 120_000;

/// The same of a FIFO queue.
const MAX_IN_FLIGHT_FIFO: usize = 20_000;

/// What a receiver wants.
#[derive(Clone)]
struct Wish {
    most: usize,
    /// How long the messages stay invisible, in milliseconds.
    visibility: i64,
    /// Until when to wait, ms since the epoch.
    deadline: i64,
    attempt: Option<String>,
}

pub(crate) async fn receive_message(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::ReceiveMessageRequest,
) -> gureum_schema::Result<t::ReceiveMessageResult> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    let wish = Wish::read(&queue, &cx, &input)?;
    loop {
        let found = {
            let (sqs, queue, wish) = (Arc::clone(&sqs), Arc::clone(&queue), wish.clone());
            let cx = cx.clone();
            Sqs::whole(async move { sqs.receive(&cx, &queue, &wish).await }).await?
        };
        if !found.is_empty() {
            let select = Selection::new(&input);
            let show = |(message, payload)| sqs.show(message, payload, &select);
            return Ok(t::ReceiveMessageResult {
                messages: Some(found.into_iter().map(show).collect()),
            });
        }
        if sqs.clock.now() >= wish.deadline {
            return Ok(t::ReceiveMessageResult::default());
        }
        queue.wait(&sqs.clock, wish.deadline).await;
    }
}

impl Wish {
    fn read(queue: &Queue, cx: &Cx, input: &t::ReceiveMessageRequest) -> Result<Self> {
        let config = queue.config();
        let settings = &config.row.settings;
        let within = |name: &str, value: Option<i32>, default: u32, least: u32, most: u32| {
            let Some(value) = value else {
                return Ok(default);
            };
            let number = u32::try_from(value).ok();
            let number = number.filter(|n| (least..=most).contains(n));
            number.ok_or_else(|| {
                let reason = format!("Must be between {least} and {most}, if provided.");
                Refusal::value(name, value, reason)
            })
        };
        let most = within(
            "MaxNumberOfMessages",
            input.max_number_of_messages,
            1,
            1,
            10,
        )?;
        let wait = within(
            "WaitTimeSeconds",
            input.wait_time_seconds,
            settings.wait,
            0,
            20,
        )?;
        let visibility = within(
            "VisibilityTimeout",
            input.visibility_timeout,
            settings.visibility_timeout,
            0,
            MAX_VISIBILITY,
        )?;
        if let Some(id) = &input.receive_request_attempt_id {
            if !queue.fifo {
                return Err(Refusal::value(
                    "ReceiveRequestAttemptId",
                    id,
                    "The request include parameter that is not valid for this queue type.",
                ));
            }
            content::check_token("ReceiveRequestAttemptId", id)?;
        }
        Ok(Self {
            most: most as usize,
            visibility: i64::from(visibility) * 1000,
            deadline: cx.now.0 + i64::from(wait) * 1000,
            attempt: input.receive_request_attempt_id.clone(),
        })
    }
}

type Received = (Message, Payload);

impl Sqs {
    /// Takes what there is, once; empty when there is nothing.
    async fn receive(&self, cx: &Cx, queue: &Queue, wish: &Wish) -> Result<Vec<Received>> {
        loop {
            let now = self.clock.now();
            let grave = self.grave(queue);
            let taken = match self.repeat(queue, wish, now)? {
                Some(repeated) => repeated,
                None => self.take(queue, wish, now, grave.as_ref())?,
            };
            if taken.received.is_empty() && taken.dead.is_empty() {
                return Ok(Vec::new());
            }
            let dead_only = taken.received.is_empty();
            let received = self.record(cx, queue, wish, taken, grave).await?;
            if !dead_only {
                return Ok(received);
            }
        }
    }

    /// The dead-letter queue and the number of receives that leads there.
    fn grave(&self, queue: &Queue) -> Option<(Arc<Queue>, u32)> {
        let config = queue.config();
        let redrive = config.row.settings.redrive.as_ref()?;
        // Messages stay where they are when their dead-letter queue has been deleted.
        let grave = self.find_arn(&redrive.target)?;
        Some((grave, redrive.max_receives))
    }

    fn take(
        &self,
        queue: &Queue,
        wish: &Wish,
        now: i64,
        grave: Option<&(Arc<Queue>, u32)>,
    ) -> Result<Taken> {
        let mut locked = queue.lock(now);
        if locked.closed {
            return Err(Refusal::NoSuchQueue);
        }
        let limit = if queue.fifo {
            MAX_IN_FLIGHT_FIFO
        } else {
            MAX_IN_FLIGHT
        };
        let room = limit.saturating_sub(locked.index.counts().in_flight);
        if room == 0 && locked.index.has_ready() {
            return Err(Refusal::OverLimit(format!(
                "Too many messages in flight: the queue has {limit} that were received and not yet deleted."
            )));
        }
        let most = wish.most.min(room);
        let dead_after = grave.map(|(_, most)| *most);
        Ok(locked
            .index
            .take(most, now, now + wish.visibility, dead_after))
    }

    /// The messages of an earlier receive with the same attempt id, if none of them was touched
    /// since; their invisibility begins anew.
    fn repeat(&self, queue: &Queue, wish: &Wish, now: i64) -> Result<Option<Taken>> {
        let Some(id) = &wish.attempt else {
            return Ok(None);
        };
        let mut locked = queue.lock(now);
        let Some(attempt) = locked.window.attempt(id).cloned() else {
            return Ok(None);
        };
        let untouched = |(seq, receive, visible): &(u64, u32, i64)| {
            matches!(locked.index.get(*seq), Ok(Some((message, State::InFlight)))
                if message.receives == *receive && message.visible == *visible)
        };
        if !attempt.messages.iter().all(untouched) {
            return Ok(None);
        }
        let mut taken = Taken::default();
        for (seq, ..) in &attempt.messages {
            if let Ok(Some(before)) = locked.index.claim(*seq) {
                let mut message = before.clone();
                message.visible = now + wish.visibility;
                taken.received.push(message);
                taken.before.push(before);
            }
        }
        Ok(Some(taken))
    }

    /// Reads what was taken and makes the taking durable; undoes it when that fails.
    async fn record(
        &self,
        cx: &Cx,
        queue: &Queue,
        wish: &Wish,
        taken: Taken,
        grave: Option<(Arc<Queue>, u32)>,
    ) -> Result<Vec<Received>> {
        let burial = match grave {
            Some((grave, _)) => self.bury(queue, grave, &taken.dead),
            None => Burial::default(),
        };
        let attempt = wish.attempt.as_ref().map(|id| Attempt {
            queue: queue.id,
            id: id.clone(),
            messages: taken
                .received
                .iter()
                .map(|m| (m.seq, m.receives, m.visible))
                .collect(),
            expires: self.clock.now() + REMEMBER,
        });
        let attempt = attempt.filter(|attempt| !attempt.messages.is_empty());
        let written = match self.read(cx, queue, &taken.received).await {
            Ok(payloads) => {
                let write = |tx: &mut gureum_kit::Tx| {
                    taken.received.iter().try_for_each(|row| tx.put(row))?;
                    for gone in &burial.dead {
                        tx.delete::<Message>((gone.queue, gone.seq))?;
                    }
                    burial.buried.iter().try_for_each(|row| tx.put(row))?;
                    attempt.iter().try_for_each(|row| tx.put(row))
                };
                let written: Result<(), gureum_kit::StoreError> = self.store.transact(write).await;
                written.map(|()| payloads).map_err(Refusal::from)
            }
            Err(error) => Err(error),
        };
        let now = self.clock.now();
        let settled = match &written {
            Ok(_) => &taken.received,
            Err(_) => &taken.before,
        };
        let mut locked = queue.lock(now);
        for message in settled {
            locked.index.settle(message.clone(), now);
        }
        for message in &taken.dead {
            if written.is_ok() && burial.dead.contains(message) {
                locked.index.remove(message.seq);
            } else {
                locked.index.release(message.seq, now);
            }
        }
        if let (Ok(_), Some(attempt)) = (&written, attempt) {
            locked.window.note_attempt(attempt);
        }
        drop(locked);
        queue.settled();
        burial.end(written.is_ok(), now);
        Ok(taken.received.into_iter().zip(written?).collect())
    }

    /// Prepares places for dead letters in their queue.
    fn bury(&self, queue: &Queue, grave: Arc<Queue>, dead: &[Message]) -> Burial {
        let now = self.clock.now();
        let mut locked = grave.lock(now);
        if locked.closed || dead.is_empty() {
            return Burial::default();
        }
        let bury = |message: &Message| Message {
            queue: grave.id,
            seq: self.number(),
            // A FIFO queue counts its retention anew, a standard one from the first sending.
            sent: if queue.fifo { now } else { message.sent },
            visible: now,
            receives: 0,
            receives_before: message.receives_before + message.receives,
            last_received: None,
            source: Some(queue.arn.to_string()),
            ..message.clone()
        };
        let buried: Vec<Message> = dead.iter().map(bury).collect();
        for message in &buried {
            locked.index.begin(message.clone());
        }
        drop(locked);
        Burial {
            dead: dead.to_vec(),
            buried,
            grave: Some(grave),
        }
    }

    /// What these messages say, as far as this receiver may know.
    async fn read(&self, cx: &Cx, queue: &Queue, messages: &[Message]) -> Result<Vec<Payload>> {
        let mut read = Vec::with_capacity(messages.len());
        for message in messages {
            let broken = |what: &str| Refusal::Broken(format!("message {}: {what}", message.id));
            let content = self.store.read().get::<Content>(message.content)?;
            let content = content.ok_or_else(|| broken("its content is not in the store"))?;
            let key = match &content.kms {
                Some(sealed) => Some(self.opened(cx, queue, sealed).await?),
                None => None,
            };
            let mut data = content.data.to_vec();
            let data = match &content.salt {
                Some(salt) => self
                    .keys
                    .open(content.id, salt, key.as_deref(), &mut data)
                    .ok_or_else(|| broken("its content does not open with this secret"))?,
                None => &data,
            };
            let payload = rmp_serde::from_slice(data);
            read.push(payload.map_err(|error| broken(&error.to_string()))?);
        }
        Ok(read)
    }

    fn show(&self, message: Message, payload: Payload, select: &Selection<'_>) -> t::Message {
        let receipt = Receipt {
            queue: message.queue,
            seq: message.seq,
            receive: message.receives,
        };
        let attributes = payload.attributes.iter();
        let wanted = attributes.filter(|(name, _)| content::is_wanted(name, select.user));
        let shown: BTreeMap<_, _> = wanted
            .clone()
            .map(|(name, attribute)| (name.clone(), attribute.shown()))
            .collect();
        let system = select.system(&message, &payload);
        t::Message {
            message_id: Some(message.id),
            receipt_handle: Some(self.keys.receipt_handle(receipt)),
            md5_of_body: Some(payload.body_md5()),
            // The digest is of what is shown, so that clients can check it.
            md5_of_message_attributes: content::md5_of(wanted),
            message_attributes: (!shown.is_empty()).then_some(shown),
            attributes: (!system.is_empty()).then_some(system),
            body: Some(payload.body),
        }
    }
}

/// Dead letters on their way: out of one queue and into another in one transaction.
#[derive(Default)]
struct Burial {
    dead: Vec<Message>,
    buried: Vec<Message>,
    grave: Option<Arc<Queue>>,
}

impl Burial {
    fn end(self, durable: bool, now: i64) {
        let Some(grave) = self.grave else {
            return;
        };
        let mut locked = grave.lock(now);
        for message in self.buried {
            if durable {
                locked.index.settle(message, now);
            } else {
                locked.index.remove(message.seq);
            }
        }
        drop(locked);
        grave.settled();
    }
}

/// Which attributes the receiver asked for.
struct Selection<'a> {
    user: &'a [String],
    old: &'a [String],
    new: &'a [String],
}

impl<'a> Selection<'a> {
    fn new(input: &'a t::ReceiveMessageRequest) -> Self {
        Self {
            user: input.message_attribute_names.as_deref().unwrap_or_default(),
            old: input.attribute_names.as_deref().unwrap_or_default(),
            new: input
                .message_system_attribute_names
                .as_deref()
                .unwrap_or_default(),
        }
    }

    fn wants(&self, name: &str) -> bool {
        let mut asked = self.old.iter().chain(self.new);
        asked.any(|asked| asked == name || asked == "All")
    }

    fn system(&self, message: &Message, payload: &Payload) -> BTreeMap<String, String> {
        let mut shown = BTreeMap::new();
        let mut show = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|_| self.wants(name)) {
                shown.insert(name.to_owned(), value);
            }
        };
        let count = message.receives_before + message.receives;
        show("SenderId", Some(payload.sender.clone()));
        show("SentTimestamp", Some(message.sent.to_string()));
        show("ApproximateReceiveCount", Some(count.to_string()));
        show(
            "ApproximateFirstReceiveTimestamp",
            message.first_received.map(|at| at.to_string()),
        );
        show("MessageGroupId", message.group.clone());
        show("MessageDeduplicationId", payload.deduplication_id.clone());
        let sequence = payload.deduplication_id.is_some();
        show(
            "SequenceNumber",
            sequence.then(|| sequence_number(message.seq)),
        );
        show("DeadLetterQueueSourceArn", message.source.clone());
        for (name, attribute) in &payload.system {
            if let Value::Text(text) = &attribute.value {
                show(name, Some(text.clone()));
            }
        }
        shown
    }
}
