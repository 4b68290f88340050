//! Event notifications: what is told of a change, written in the change's own transaction, and
//! the delivery of what was written, at least once.
//!
//! Source: "Event message structure" in the S3 User Guide.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use gureum_dispatch::{Caller, Cloud, Cx, RequestInfo};
use gureum_kit::names::id;
use gureum_kit::reconcile::{Outcome, Reconciler, RunError};
use gureum_kit::store::Watch;
use gureum_kit::{AccountId, Arn, Reader, Region, Row, Scan, Tx};
use gureum_model_sns::op::Publish;
use gureum_model_sns::types::PublishInput;
use gureum_model_sqs::op::SendMessage;
use gureum_model_sqs::types::SendMessageRequest;
use gureum_schema::{Error, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::S3;
use crate::config::notification::{Notifications, Target};
use crate::errors::{Code, Result};
use crate::model::{Bucket, Version, Versioning};
use crate::names;

pub(crate) const PRINCIPAL: &str = "s3.amazonaws.com";

/// Messages that one round of delivery takes up, and how many are under way at a time.
const BATCH: usize = 512;
const AT_ONCE: usize = 32;
/// Pauses after failed attempts double from here, in milliseconds, up to the longest.
const FIRST_PAUSE: i64 = 500;
const LONGEST_PAUSE: i64 = 60_000;
/// A message that cannot be delivered for so long is given up, in milliseconds.
const PATIENCE: i64 = 24 * 3_600_000;

/// A message on its way. It is removed when the queue or topic has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Notice {
    /// The next attempt.
    due: i64,
    id: u64,
    begun: i64,
    attempts: u32,
    /// In whose name it is sent.
    bucket: String,
    pub(crate) owner: AccountId,
    /// ARN of the queue or topic.
    #[serde(alias = "queue")]
    to: String,
    message: String,
}

impl Row for Notice {
    const TABLE: &'static str = "s3.notice";
    type Key = (i64, u64);
    fn key(&self) -> Self::Key {
        (self.due, self.id)
    }
}

/// Numbers events so that those of one key can be put in order.
#[derive(Default)]
pub(crate) struct Sequence(AtomicU64);

impl Sequence {
    /// Transactions on one key follow one another, and take their number when they last run; so
    /// the numbers grow with the commits. Time makes them grow over restarts.
    fn next(&self, now: Timestamp) -> String {
        let floor = now.0.unsigned_abs() << 16;
        let after = |last: u64| (last + 1).max(floor);
        let last = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(after(last))
            });
        let (Ok(last) | Err(last)) = last;
        format!("{:018X}", after(last))
    }
}

/// What happened, `ObjectCreated:Put`, and to which version.
#[derive(Clone, Copy)]
pub(crate) struct Happening<'a> {
    pub(crate) event: &'static str,
    pub(crate) key: &'a str,
    /// As replies show it.
    pub(crate) version_id: Option<&'a str>,
    pub(crate) size: Option<u64>,
    pub(crate) etag: Option<&'a str>,
}

/// On whose behalf something happened.
#[derive(Clone, Copy)]
pub(crate) enum Cause<'a> {
    Request(&'a Cx),
    Lifecycle,
}

impl S3 {
    /// Tells of what happened to an object that is there, or of a delete marker.
    pub(crate) fn tell_of(
        &self,
        tx: &mut Tx,
        cause: Cause<'_>,
        bucket: &Bucket,
        version: &Version,
        event: &'static str,
    ) -> Result<()> {
        let shown = (bucket.versioning != Versioning::Never).then(|| version.id().to_string());
        let object = version.object.as_ref();
        let happening = Happening {
            event,
            key: &version.key,
            version_id: shown.as_deref(),
            size: object.map(|object| object.size),
            etag: object.map(|object| object.etag.as_str()),
        };
        self.tell(tx, cause, bucket, happening)
    }

    /// Writes down what the bucket's configuration wants told of this.
    pub(crate) fn tell(
        &self,
        tx: &mut Tx,
        cause: Cause<'_>,
        bucket: &Bucket,
        happening: Happening<'_>,
    ) -> Result<()> {
        let rules = self.rules.within(tx, bucket)?;
        let Some(notifications) = &rules.notifications else {
            return Ok(());
        };
        let now = Timestamp(self.clock.now());
        let event = format!("s3:{}", happening.event);
        for target in notifications.of(&event, happening.key) {
            let sequencer = self.sequence.next(now);
            let record = record(cause, bucket, happening, target, now, &sequencer);
            tx.put(&Notice {
                due: now.0,
                id: u64::from_be_bytes(id::bytes()),
                begun: now.0,
                attempts: 0,
                bucket: bucket.name.clone(),
                owner: bucket.owner,
                to: target.arn.clone(),
                message: json!({ "Records": [record] }).to_string(),
            })?;
        }
        Ok(())
    }

    /// Delivers all messages that are due; returns when the next one will be.
    pub(crate) async fn deliver(&self, cloud: &Arc<Cloud>) -> Result<Option<i64>> {
        loop {
            let now = self.clock.now();
            let view = self.store.read();
            let batch: Vec<Notice> = view
                .scan(Scan::all().limit(BATCH))
                .collect::<std::result::Result<_, _>>()?;
            drop(view);
            let next = batch.first().map(|notice| notice.due);
            let due: Vec<Notice> = batch
                .into_iter()
                .take_while(|notice| notice.due <= now)
                .collect();
            if due.is_empty() {
                return Ok(next);
            }
            let attempts = stream::iter(due).map(|notice| async {
                let outcome = post(cloud, &notice).await;
                self.settle(notice, outcome, now).await
            });
            let mut attempts = attempts.buffer_unordered(AT_ONCE);
            while let Some(settled) = attempts.next().await {
                settled?;
            }
        }
    }

    async fn settle(&self, notice: Notice, outcome: Result<(), Error>, now: i64) -> Result<()> {
        let again = match outcome {
            Ok(()) => None,
            Err(error) if now - notice.begun >= PATIENCE => {
                tracing::error!(to = notice.to, %error, "an event notification is given up");
                None
            }
            Err(error) => {
                tracing::warn!(to = notice.to, %error, "an event notification waits");
                let pause = FIRST_PAUSE << notice.attempts.min(16);
                Some(Notice {
                    due: now + pause.min(LONGEST_PAUSE),
                    attempts: notice.attempts.saturating_add(1),
                    ..notice.clone()
                })
            }
        };
        self.store
            .transact(|tx| -> Result<()> {
                tx.delete::<Notice>(notice.key())?;
                if let Some(again) = &again {
                    tx.put(again)?;
                }
                Ok(())
            })
            .await
    }
}

/// The reconciler that delivers messages.
pub(crate) struct Courier {
    s3: Arc<S3>,
    cloud: Arc<Cloud>,
    written: Mutex<Watch>,
}

impl Courier {
    pub(crate) fn new(s3: Arc<S3>, cloud: Arc<Cloud>) -> Self {
        let written = Mutex::new(s3.store.watch::<Notice>(()));
        Self { s3, cloud, written }
    }
}

#[async_trait]
impl Reconciler for Courier {
    fn name(&self) -> &'static str {
        "s3.notifications"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn stirred(&self) {
        self.written.lock().await.changed().await;
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        let next = self.s3.deliver(&self.cloud).await.map_err(Error::from)?;
        let pause = next.map(|due| (due - self.s3.clock.now()).max(1).unsigned_abs());
        Ok(pause.map_or(Outcome::Settled, |pause| {
            Outcome::Again(Duration::from_millis(pause))
        }))
    }
}

/// Sends one message to its queue or topic in the bucket's name.
async fn post(cloud: &Arc<Cloud>, notice: &Notice) -> Result<(), Error> {
    let caller = Caller::service(PRINCIPAL, &names::bucket_arn(&notice.bucket), &notice.owner);
    let no_place = || Error::internal("not a queue or topic");
    let (region, place) = address(&notice.to).ok_or_else(no_place)?;
    let cx = cloud.cx(Arc::new(caller), region, RequestInfo::inside(PRINCIPAL));
    send(&cx, place, notice.message.clone()).await
}

/// Where notifications go.
#[derive(Debug)]
enum Place {
    /// By its URL.
    Queue(String),
    /// By its ARN.
    Topic(String),
}

async fn send(cx: &Cx, place: Place, message: String) -> Result<(), Error> {
    match place {
        Place::Queue(queue_url) => {
            let input = SendMessageRequest {
                queue_url,
                message_body: message,
                ..Default::default()
            };
            cx.call::<SendMessage>(input).await.map(drop)
        }
        Place::Topic(arn) => {
            let input = PublishInput {
                topic_arn: Some(arn),
                subject: Some(SUBJECT.to_owned()),
                message,
                ..Default::default()
            };
            cx.call::<Publish>(input).await.map(drop)
        }
    }
}

/// What S3 writes above its notifications.
const SUBJECT: &str = "Amazon S3 Notification";

/// Region and place of a queue or topic, from its ARN.
fn address(arn: &str) -> Option<(Region, Place)> {
    let parsed: Arn = arn.parse().ok()?;
    let account: AccountId = parsed.account.parse().ok()?;
    let place = match parsed.service.as_str() {
        "sqs" => Place::Queue(format!("http://localhost/{account}/{}", parsed.resource)),
        "sns" => Place::Topic(arn.to_owned()),
        _ => return None,
    };
    Some((parsed.region.parse().ok()?, place))
}

/// Sends the test message to every place of a new configuration: whether a queue or topic is there
/// and takes messages from this bucket is found out by sending one.
pub(crate) async fn greet(cx: &Cx, bucket: &Bucket, notifications: &Notifications) -> Result<()> {
    let caller = Caller::service(PRINCIPAL, &names::bucket_arn(&bucket.name), &bucket.owner);
    let caller = Arc::new(caller);
    let mut greeted: Vec<&str> = Vec::new();
    let mut unfit = Vec::new();
    for target in &notifications.0 {
        if greeted.contains(&target.arn.as_str()) {
            continue;
        }
        greeted.push(&target.arn);
        if let Err(why) = greet_one(cx, &caller, bucket, target).await {
            unfit.push((&target.arn, why));
        }
    }
    let Some((place, why)) = unfit.into_iter().next() else {
        return Ok(());
    };
    Err(Code::InvalidArgument
        .says("Unable to validate the following destination configurations")
        .with("ArgumentName", place)
        .with("ArgumentValue", why))
}

async fn greet_one(
    cx: &Cx,
    caller: &Arc<Caller>,
    bucket: &Bucket,
    target: &Target,
) -> Result<(), &'static str> {
    let Some((region, place)) = address(&target.arn) else {
        return Err("The ARN is not well formed");
    };
    if region != bucket.region {
        return Err(
            "The notification destination service region is not valid for the bucket location constraint",
        );
    }
    let (absent, closed, fifo) = match target.is_topic() {
        true => (
            "The destination topic does not exist",
            "Permissions on the destination topic do not allow S3 to publish notifications from this bucket",
            "FIFO topics are not supported as a notification destination",
        ),
        false => (
            "The destination queue does not exist",
            "Permissions on the destination queue do not allow S3 to publish notifications from this bucket",
            "FIFO queues are not supported as a notification destination",
        ),
    };
    if target.arn.ends_with(".fifo") {
        return Err(fifo);
    }
    let message = json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": cx.now.iso_millis(),
        "Bucket": bucket.name,
        "RequestId": cx.request.id,
        "HostId": host_id(&cx.request.id),
    });
    let cx = cx.as_caller(Arc::clone(caller)).in_region(region);
    let sent = send(&cx, place, message.to_string()).await;
    sent.map_err(|error| match error.code.as_ref() {
        "QueueDoesNotExist" | "NotFound" => absent,
        code if code.ends_with("NonExistentQueue") => absent,
        _ => closed,
    })
}

/// The second request id that S3 gives; it follows from the first.
pub(crate) fn host_id(request: &str) -> String {
    use base64::Engine as _;
    let digest = ring::digest::digest(&ring::digest::SHA256, request.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// As forms encode it, which is how keys stand in events.
pub(crate) fn encode_key(key: &str) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'*')
        .remove(b'/')
        .remove(b' ');
    utf8_percent_encode(key, PLAIN)
        .to_string()
        .replace(' ', "+")
}

fn record(
    cause: Cause<'_>,
    bucket: &Bucket,
    happening: Happening<'_>,
    target: &Target,
    now: Timestamp,
    sequencer: &str,
) -> Value {
    let mut object = json!({ "key": encode_key(happening.key) });
    if let Some(size) = happening.size {
        object["size"] = size.into();
    }
    if let Some(etag) = happening.etag {
        object["eTag"] = etag.into();
    }
    if let Some(version) = happening.version_id {
        object["versionId"] = version.into();
    }
    object["sequencer"] = sequencer.into();
    let (principal, address, request) = match cause {
        Cause::Request(cx) if cx.caller.is_anonymous() => (
            "Anonymous".to_owned(),
            cx.request.source_ip.to_string(),
            cx.request.id.clone(),
        ),
        Cause::Request(cx) => (
            format!("AWS:{}", cx.caller.id),
            cx.request.source_ip.to_string(),
            cx.request.id.clone(),
        ),
        Cause::Lifecycle => (PRINCIPAL.to_owned(), PRINCIPAL.to_owned(), id::request()),
    };
    json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region.as_str(),
        "eventTime": now.iso_millis(),
        "eventName": happening.event,
        "userIdentity": { "principalId": principal },
        "requestParameters": { "sourceIPAddress": address },
        "responseElements": {
            "x-amz-request-id": request,
            "x-amz-id-2": host_id(&request),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": target.id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": { "principalId": bucket.owner.canonical_user() },
                "arn": names::bucket_arn(&bucket.name),
            },
            "object": object,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_as_in_forms() {
        assert_eq!(encode_key("a b/c+d,é"), "a+b/c%2Bd%2C%C3%A9");
        assert_eq!(encode_key("photos/1.jpg"), "photos/1.jpg");
    }

    #[test]
    fn sequencers_grow_even_when_time_stands_still() {
        let sequence = Sequence::default();
        let numbers: Vec<_> = [5, 5, 4, 9].map(|ms| sequence.next(Timestamp(ms))).into();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert!(numbers.iter().all(|number| number.len() == 18));
    }

    #[test]
    fn a_place_is_found_by_its_arn() {
        let (region, place) = address("arn:aws:sqs:eu-west-1:111122223333:jobs").expect("a queue");
        assert_eq!(region.as_str(), "eu-west-1");
        assert!(matches!(place, Place::Queue(url) if url.ends_with("/111122223333/jobs")));
        let (_, place) = address("arn:aws:sns:eu-west-1:111122223333:news").expect("a topic");
        assert!(matches!(place, Place::Topic(arn) if arn.ends_with(":news")));
        assert!(address("arn:aws:lambda:eu-west-1:111122223333:jobs").is_none());
        assert!(address("jobs").is_none());
    }
}
