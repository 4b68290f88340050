//! Server access logs: a line for every request to a bucket that has one, collected in memory and
//! written as objects every few seconds. As on AWS, lines may be lost: those of the last seconds
//! before a crash are.
//!
//! Source: "Amazon S3 server access log format" in the S3 User Guide.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gureum_dispatch::{CallerKind, Cloud, Cx, RequestInfo, WebReply};
use gureum_kit::names::id;
use gureum_kit::reconcile::{Outcome, Reconciler, RunError};
use gureum_model_s3::op;
use gureum_model_s3::types::PutObjectRequest;
use gureum_schema::{Body, Error, Timestamp};
use http::header;
use http::request::Parts;

use crate::S3;
use crate::config::logging::{self, KeyFormat, Logging};
use crate::model::Bucket;
use crate::notify;

/// Lines that wait to be written, at most; further ones are lost.
const MAX_WAITING: usize = 200_000;
const PERIOD: Duration = Duration::from_secs(5);

/// Lines by the name of their bucket.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    count: usize,
    by_bucket: HashMap<String, Pages>,
}

#[derive(Default)]
struct Pages {
    first: Timestamp,
    text: String,
}

impl Lines {
    fn add(&self, bucket: &str, now: Timestamp, line: &str) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.count >= MAX_WAITING {
            return;
        }
        waiting.count += 1;
        let pages = waiting.by_bucket.entry(bucket.to_owned()).or_default();
        if pages.text.is_empty() {
            pages.first = now;
        }
        pages.text.push_str(line);
        pages.text.push('\n');
    }

    fn take(&self) -> HashMap<String, Pages> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.count = 0;
        std::mem::take(&mut waiting.by_bucket)
    }
}

impl S3 {
    /// Notes a request to a bucket, if the bucket has a log.
    pub(crate) fn log_access(
        &self,
        cx: &Cx,
        request: &Parts,
        (name, key): (&str, &str),
        outcome: Result<&WebReply, &Error>,
    ) {
        if self.rules.keeps_no_log(name) {
            return;
        }
        let Ok(bucket) = self.bucket(name) else {
            return;
        };
        let logged = self.rules.get(&self.store, &bucket);
        if logged.is_ok_and(|rules| rules.logging.is_some()) {
            let took = self.clock.now() - cx.now.0;
            let line = line(cx, request, &bucket, key, outcome, took);
            self.lines.add(name, cx.now, &line);
        }
    }

    /// Writes what has been collected.
    async fn write_logs(&self, cloud: &Arc<Cloud>) {
        for (name, pages) in self.lines.take() {
            let Ok(source) = self.bucket(&name) else {
                continue;
            };
            let Ok(rules) = self.rules.get(&self.store, &source) else {
                continue;
            };
            let Some(logging) = &rules.logging else {
                continue;
            };
            let caller = Arc::new(logging::writer(&source));
            let cx = cloud.cx(
                caller,
                source.region.clone(),
                RequestInfo::inside(notify::PRINCIPAL),
            );
            let input = PutObjectRequest {
                bucket: logging.target.clone(),
                key: key(logging, &source, pages.first, cx.now),
                body: Body::from(Bytes::from(pages.text)),
                content_type: Some("text/plain".to_owned()),
                ..Default::default()
            };
            if let Err(error) = cx.call::<op::PutObject>(input).await {
                tracing::warn!(bucket = name, %error, "an access log could not be written");
            }
        }
    }
}

/// The reconciler that writes logs.
pub(crate) struct Scribe {
    s3: Arc<S3>,
    cloud: Arc<Cloud>,
}

impl Scribe {
    pub(crate) fn new(s3: Arc<S3>, cloud: Arc<Cloud>) -> Self {
        Self { s3, cloud }
    }
}

#[async_trait]
impl Reconciler for Scribe {
    fn name(&self) -> &'static str {
        "s3.access-log"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        self.s3.write_logs(&self.cloud).await;
        Ok(Outcome::Settled)
    }
}

/// The key of a log object: `PREFIX2024-01-31-23-59-59-UNIQUE`.
fn key(logging: &Logging, source: &Bucket, first: Timestamp, now: Timestamp) -> String {
    let stamp = |at: Timestamp| at.iso_millis().replace([':', 'T'], "-");
    let unique = id::hex_digits(16).to_ascii_uppercase();
    let partition = |at: Timestamp| {
        let date = at.iso_millis();
        let date = date.get(..10).unwrap_or_default().replace('-', "/");
        format!("{}/{}/{}/{date}/", source.owner, source.region, source.name)
    };
    let (folder, at) = match logging.keys {
        KeyFormat::Unsaid | KeyFormat::Simple => (String::new(), now),
        KeyFormat::EventTime => (partition(first), first),
        KeyFormat::DeliveryTime => (partition(now), now),
    };
    let stamp = stamp(at);
    let stamp = stamp.get(..19).unwrap_or_default();
    format!("{}{folder}{stamp}-{unique}", logging.prefix)
}

fn line(
    cx: &Cx,
    request: &Parts,
    bucket: &Bucket,
    key: &str,
    outcome: Result<&WebReply, &Error>,
    took: i64,
) -> String {
    let (status, error) = match outcome {
        Ok(reply) => (reply.status().as_u16(), None),
        Err(error) => (error.status, Some(error.code.as_ref())),
    };
    let length = outcome
        .ok()
        .and_then(|reply| reply.headers().get(header::CONTENT_LENGTH));
    let length = length.and_then(|length| length.to_str().ok());
    let version = outcome
        .ok()
        .and_then(|reply| reply.headers().get("x-amz-version-id"));
    let from_client = |name: &str| {
        request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let requester = match &cx.caller.kind {
        CallerKind::Anonymous => "-",
        CallerKind::Root => cx.caller.canonical_user.as_str(),
        _ => cx.caller.arn.as_str(),
    };
    let signature = (!cx.caller.is_anonymous()).then_some("SigV4");
    let auth = match cx.request.auth_type {
        "REST-HEADER" => Some("AuthHeader"),
        "REST-QUERY-STRING" => Some("QueryString"),
        _ => None,
    };
    let key = (!key.is_empty()).then(|| notify::encode_key(key));
    let size = length.filter(|_| request.method == "GET" && key.is_some());
    let mut line = format!(
        "{} {} [{}] {} {requester} {} {} {} \"{} {} {:?}\" {status} {} {} {} {took} {took}",
        bucket.owner.canonical_user(),
        bucket.name,
        clock_time(cx.now),
        cx.request.source_ip,
        cx.request.id,
        operation(request, key.is_some()),
        dash(key.as_deref()),
        request.method,
        request.uri,
        request.version,
        dash(error),
        dash(length.filter(|length| *length != "0")),
        dash(size),
    );
    let quoted = [from_client("referer"), Some(cx.request.user_agent.as_str())];
    for text in quoted {
        // The formats of readers know no quotes inside quotes.
        let text = dash(text.filter(|text| !text.is_empty())).replace('"', "%22");
        let _ = write!(line, " \"{text}\"");
    }
    let rest = [
        version.and_then(|version| version.to_str().ok()),
        Some(&notify::host_id(&cx.request.id)),
        signature,
        cx.request.secure.then_some("TLS_AES_128_GCM_SHA256"),
        auth,
        from_client("host"),
        cx.request.secure.then_some("TLSv1.3"),
        None,
        None,
    ];
    for text in rest {
        let _ = write!(line, " {}", dash(text));
    }
    line
}

fn dash(text: Option<&str>) -> &str {
    text.unwrap_or("-")
}

/// `06/Feb/2019:00:00:38 +0000`
fn clock_time(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let iso = at.iso_millis();
    let part = |range| iso.get(range).unwrap_or_default();
    let month: usize = part(5..7).parse().unwrap_or(1);
    let month = MONTHS
        .get(month.wrapping_sub(1))
        .copied()
        .unwrap_or_default();
    format!(
        "{}/{month}/{}:{} +0000",
        part(8..10),
        part(0..4),
        part(11..19)
    )
}

/// What logs call an operation: `REST.GET.OBJECT`, `REST.PUT.VERSIONING`.
fn operation(request: &Parts, on_object: bool) -> String {
    let query = request.uri.query().unwrap_or_default();
    let names = query
        .split('&')
        .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    let resource = names.filter_map(|name| resource(name, on_object)).next();
    let resource = resource.unwrap_or(if on_object { "OBJECT" } else { "BUCKET" });
    let copies = request.headers.contains_key("x-amz-copy-source");
    let method = if copies {
        "COPY"
    } else {
        request.method.as_str()
    };
    format!("REST.{method}.{resource}")
}

fn resource(parameter: &str, on_object: bool) -> Option<&'static str> {
    Some(match parameter {
        "accelerate" => "ACCELERATE",
        "acl" => "ACL",
        "cors" => "CORS",
        "delete" => "MULTI_OBJECT_DELETE",
        "encryption" => "ENCRYPTION",
        "legal-hold" => "LEGAL_HOLD",
        "lifecycle" => "LIFECYCLE",
        "location" => "LOCATION",
        "logging" => "LOGGING_STATUS",
        "notification" => "NOTIFICATION",
        "object-lock" => "OBJECT_LOCK_CONFIGURATION",
        "ownershipControls" => "OWNERSHIP_CONTROLS",
        "partNumber" => "PART",
        "policy" => "BUCKETPOLICY",
        "policyStatus" => "POLICY_STATUS",
        "publicAccessBlock" => "PUBLIC_ACCESS_BLOCK",
        "requestPayment" => "REQUEST_PAYMENT",
        "restore" => "RESTORE",
        "retention" => "RETENTION",
        "tagging" if on_object => "OBJECT_TAGGING",
        "tagging" => "TAGGING",
        "uploadId" => "UPLOAD",
        "uploads" => "UPLOADS",
        "versioning" => "VERSIONING",
        "versions" => "BUCKETVERSIONS",
        "website" => "WEBSITE",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_by_what_they_are_done_to() {
        let of = |method: &str, uri: &str, on_object| {
            let request = http::Request::builder().method(method).uri(uri).body(());
            operation(&request.expect("request").into_parts().0, on_object)
        };
        assert_eq!(of("GET", "/b/k", true), "REST.GET.OBJECT");
        assert_eq!(of("GET", "/b?list-type=2", false), "REST.GET.BUCKET");
        assert_eq!(of("PUT", "/b?versioning", false), "REST.PUT.VERSIONING");
        assert_eq!(
            of("PUT", "/b/k?partNumber=1&uploadId=x", true),
            "REST.PUT.PART"
        );
    }

    #[test]
    fn times_are_written_as_web_servers_do() {
        let at = Timestamp::parse("2019-02-06T00:00:38Z").expect("a time");
        assert_eq!(clock_time(at), "06/Feb/2019:00:00:38 +0000");
    }
}
