//! A queue's attributes: their defaults, what each may be, and how they are read and shown.
//!
//! Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>

use gureum_kit::Arn;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::errors::{Refusal, Result};

/// The largest message that any queue takes, and the default: 1 MiB.
pub(crate) const MAX_MESSAGE: usize = 1 << 20;

/// The longest time that a message may be invisible: 12 hours, in seconds.
pub(crate) const MAX_VISIBILITY: u32 = 43_200;

/// The longest delay, in seconds.
pub(crate) const MAX_DELAY: u32 = 900;

/// For how long a data key is used where nothing is set, in seconds.
const DATA_KEY_REUSE: u32 = 300;

/// How many queues may be named in a redrive allow policy.
const MAX_SOURCES: usize = 10;

/// Times are in seconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) visibility_timeout: u32,
    pub(crate) delay: u32,
    pub(crate) max_message: u32,
    pub(crate) retention: u32,
    pub(crate) wait: u32,
    pub(crate) fifo: bool,
    pub(crate) content_deduplication: bool,
    pub(crate) deduplication_scope: Scope,
    pub(crate) throughput_limit: Limit,
    /// Contents are encrypted before they are stored.
    pub(crate) sse: bool,
    /// The same, with data keys that this key of KMS makes.
    #[serde(default)]
    pub(crate) kms_key: Option<String>,
    /// For how long a data key is used; five minutes when unset.
    #[serde(default)]
    pub(crate) data_key_reuse: Option<u32>,
    pub(crate) policy: Option<String>,
    pub(crate) redrive: Option<Redrive>,
    pub(crate) redrive_allow: Option<RedriveAllow>,
}

/// Within what a deduplication id is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scope {
    Queue,
    Group,
}

/// To what the throughput quota of a FIFO queue applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Limit {
    Queue,
    GroupId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Redrive {
    pub(crate) target: Arn,
    pub(crate) max_receives: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum RedriveAllow {
    All,
    None,
    Queues(Vec<Arn>),
}

impl RedriveAllow {
    pub(crate) fn allows(&self, source: &Arn) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Queues(arns) => arns.contains(source),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            visibility_timeout: 30,
            delay: 0,
            max_message: MAX_MESSAGE as u32,
            retention: 345_600,
            wait: 0,
            fifo: false,
            content_deduplication: false,
            deduplication_scope: Scope::Queue,
            throughput_limit: Limit::Queue,
            sse: true,
            kms_key: None,
            data_key_reuse: None,
            policy: None,
            redrive: None,
            redrive_allow: None,
        }
    }
}

impl Settings {
    /// Sets one attribute from its text. `FifoQueue` is for creation only.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let wrong = || Refusal::AttributeValue(name.to_owned());
        let within = |least: u32, most: u32| {
            let number = value.parse().ok().filter(|n| (least..=most).contains(n));
            number.ok_or_else(wrong)
        };
        match name {
            "VisibilityTimeout" => self.visibility_timeout = within(0, MAX_VISIBILITY)?,
            "DelaySeconds" => self.delay = within(0, MAX_DELAY)?,
            "MaximumMessageSize" => self.max_message = within(1024, MAX_MESSAGE as u32)?,
            "MessageRetentionPeriod" => self.retention = within(60, 1_209_600)?,
            "ReceiveMessageWaitTimeSeconds" => self.wait = within(0, 20)?,
            "ContentBasedDeduplication" => {
                self.for_fifo(name)?;
                self.content_deduplication = flag(value).ok_or_else(wrong)?;
            }
            "DeduplicationScope" => {
                self.for_fifo(name)?;
                self.deduplication_scope = match value {
                    "queue" => Scope::Queue,
                    "messageGroup" => Scope::Group,
                    _ => return Err(wrong()),
                };
            }
            "FifoThroughputLimit" => {
                self.for_fifo(name)?;
                self.throughput_limit = match value {
                    "perQueue" => Limit::Queue,
                    "perMessageGroupId" => Limit::GroupId,
                    _ => return Err(wrong()),
                };
            }
            "SqsManagedSseEnabled" => self.sse = flag(value).ok_or_else(wrong)?,
            "Policy" => self.policy = none_if_empty(value),
            "RedrivePolicy" => {
                self.redrive = none_if_empty(value)
                    .map(|text| redrive(&text))
                    .transpose()?;
            }
            "RedriveAllowPolicy" => {
                self.redrive_allow = none_if_empty(value)
                    .map(|text| redrive_allow(&text))
                    .transpose()?;
            }
            "KmsMasterKeyId" if value.len() > 2048 => return Err(wrong()),
            "KmsMasterKeyId" => {
                self.kms_key = none_if_empty(value);
                // A queue has one kind of encryption.
                self.sse &= self.kms_key.is_none();
            }
            "KmsDataKeyReusePeriodSeconds" => {
                self.data_key_reuse = match value {
                    "" => None,
                    _ => Some(within(60, 86_400)?),
                };
            }
            _ => return Err(Refusal::AttributeName(name.to_owned())),
        }
        Ok(())
    }

    fn for_fifo(&self, name: &str) -> Result<()> {
        if self.fifo {
            Ok(())
        } else {
            Err(Refusal::AttributeName(name.to_owned()))
        }
    }

    /// For how long a data key is used again, in milliseconds.
    pub(crate) fn data_key_reuse(&self) -> i64 {
        i64::from(self.data_key_reuse.unwrap_or(DATA_KEY_REUSE)) * 1000
    }

    /// What must hold between attributes.
    pub(crate) fn check(&self) -> Result<()> {
        if self.sse && self.kms_key.is_some() {
            return Err(Refusal::Parameters(
                "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.".into(),
            ));
        }
        if self.throughput_limit == Limit::GroupId && self.deduplication_scope == Scope::Queue {
            return Err(Refusal::Parameters(
                "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.".into(),
            ));
        }
        Ok(())
    }

    /// The attribute's text; `None` where it is not set.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let in_fifo = |text: &str| self.fifo.then(|| text.to_owned());
        match name {
            "VisibilityTimeout" => Some(self.visibility_timeout.to_string()),
            "DelaySeconds" => Some(self.delay.to_string()),
            "MaximumMessageSize" => Some(self.max_message.to_string()),
            "MessageRetentionPeriod" => Some(self.retention.to_string()),
            "ReceiveMessageWaitTimeSeconds" => Some(self.wait.to_string()),
            "SqsManagedSseEnabled" => Some(self.sse.to_string()),
            "KmsMasterKeyId" => self.kms_key.clone(),
            "KmsDataKeyReusePeriodSeconds" => self
                .kms_key
                .as_ref()
                .map(|_| self.data_key_reuse.unwrap_or(DATA_KEY_REUSE).to_string()),
            "FifoQueue" => in_fifo("true"),
            "ContentBasedDeduplication" => in_fifo(&self.content_deduplication.to_string()),
            "DeduplicationScope" => in_fifo(match self.deduplication_scope {
                Scope::Queue => "queue",
                Scope::Group => "messageGroup",
            }),
            "FifoThroughputLimit" => in_fifo(match self.throughput_limit {
                Limit::Queue => "perQueue",
                Limit::GroupId => "perMessageGroupId",
            }),
            "Policy" => self.policy.clone(),
            "RedrivePolicy" => self.redrive.as_ref().map(|redrive| {
                let Redrive {
                    target,
                    max_receives,
                } = redrive;
                format!(r#"{{"deadLetterTargetArn":"{target}","maxReceiveCount":{max_receives}}}"#)
            }),
            "RedriveAllowPolicy" => self.redrive_allow.as_ref().map(show_allow),
            _ => None,
        }
    }
}

/// The attributes that a queue has by its settings, in the order of the API reference.
pub(crate) const SET: [&str; 15] = [
    "Policy",
    "VisibilityTimeout",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "DelaySeconds",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    "FifoQueue",
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
];

fn flag(value: &str) -> Option<bool> {
    match value {
        _ if value.eq_ignore_ascii_case("true") => Some(true),
        _ if value.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn none_if_empty(value: &str) -> Option<String> {
    (!value.trim().is_empty()).then(|| value.to_owned())
}

/// The whole number in a JSON value, which clients also write as a string.
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    }
}

fn redrive(text: &str) -> Result<Redrive> {
    let wrong = |reason: &str| Refusal::value("RedrivePolicy", text, reason);
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Err(wrong("Redrive policy is not a valid JSON map."));
    };
    let known = ["deadLetterTargetArn", "maxReceiveCount"];
    if object.keys().any(|key| !known.contains(&key.as_str())) {
        return Err(wrong(
            "Only following attributes are supported: [deadLetterTargetArn, maxReceiveCount].",
        ));
    }
    let target = object
        .get("deadLetterTargetArn")
        .and_then(Value::as_str)
        .ok_or_else(|| {
            wrong("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
        })?;
    let target = target
        .parse::<Arn>()
        .ok()
        .filter(|arn| arn.service == "sqs")
        .ok_or_else(|| wrong("Invalid value for deadLetterTargetArn."))?;
    let count = object.get("maxReceiveCount").map_or(Some(10), whole);
    let max_receives = count
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| (1..=1000).contains(count))
        .ok_or_else(|| {
            wrong("Invalid value for maxReceiveCount: it must be a whole number from 1 to 1000.")
        })?;
    Ok(Redrive {
        target,
        max_receives,
    })
}

fn redrive_allow(text: &str) -> Result<RedriveAllow> {
    let wrong = |reason: &str| Refusal::value("RedriveAllowPolicy", text, reason);
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Err(wrong("Redrive allow policy is not a valid JSON map."));
    };
    let sources = object.get("sourceQueueArns");
    let permission = object.get("redrivePermission").and_then(Value::as_str);
    match (permission, sources) {
        (Some("allowAll"), None) => Ok(RedriveAllow::All),
        (Some("denyAll"), None) => Ok(RedriveAllow::None),
        (Some("byQueue"), Some(Value::Array(sources))) => {
            if sources.is_empty() || sources.len() > MAX_SOURCES {
                return Err(wrong("sourceQueueArns must name 1 to 10 queues."));
            }
            let arn = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
            let arns: Option<Vec<Arn>> = sources.iter().map(arn).collect();
            Ok(RedriveAllow::Queues(arns.ok_or_else(|| {
                wrong("sourceQueueArns must be ARNs of queues.")
            })?))
        }
        (Some("byQueue"), _) => Err(wrong("byQueue needs sourceQueueArns.")),
        (Some("allowAll" | "denyAll"), Some(_)) => Err(wrong(
            "sourceQueueArns can be given only when redrivePermission is byQueue.",
        )),
        _ => Err(wrong(
            "redrivePermission must be allowAll, denyAll or byQueue.",
        )),
    }
}

fn show_allow(allow: &RedriveAllow) -> String {
    let mut object = serde_json::Map::new();
    let mut permission = |text: &str| {
        object.insert("redrivePermission".into(), text.into());
    };
    match allow {
        RedriveAllow::All => permission("allowAll"),
        RedriveAllow::None => permission("denyAll"),
        RedriveAllow::Queues(arns) => {
            permission("byQueue");
            let arns = arns.iter().map(|arn| Value::from(arn.to_string()));
            object.insert("sourceQueueArns".into(), arns.collect());
        }
    }
    Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_has_its_edges() {
        for (name, least, most) in [
            ("VisibilityTimeout", 0, 43_200),
            ("DelaySeconds", 0, 900),
            ("MaximumMessageSize", 1024, 1_048_576),
            ("MessageRetentionPeriod", 60, 1_209_600),
            ("ReceiveMessageWaitTimeSeconds", 0, 20),
        ] {
            let mut settings = Settings::default();
            for good in [least, most] {
                settings.set(name, &good.to_string()).expect(name);
                assert_eq!(settings.get(name), Some(good.to_string()));
            }
            for bad in [least - 1, most + 1] {
                let refused = settings.set(name, &bad.to_string());
                assert_eq!(refused, Err(Refusal::AttributeValue(name.into())));
            }
            assert!(settings.set(name, "soon").is_err());
        }
    }

    #[test]
    fn what_is_set_is_shown_as_it_was_set() {
        let mut settings = Settings {
            fifo: true,
            ..Settings::default()
        };
        for (name, value) in [
            ("ContentBasedDeduplication", "true"),
            ("DeduplicationScope", "messageGroup"),
            ("FifoThroughputLimit", "perMessageGroupId"),
            ("SqsManagedSseEnabled", "false"),
            (
                "RedrivePolicy",
                r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:d.fifo","maxReceiveCount":3}"#,
            ),
            (
                "RedriveAllowPolicy",
                r#"{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:us-east-1:123456789012:s.fifo"]}"#,
            ),
        ] {
            settings.set(name, value).expect(name);
            assert_eq!(settings.get(name).as_deref(), Some(value));
        }
        settings.set("RedrivePolicy", "").expect("removed");
        assert_eq!(settings.get("RedrivePolicy"), None);
        settings.check().expect("a good pair");
        settings.deduplication_scope = Scope::Queue;
        assert!(settings.check().is_err());
    }

    #[test]
    fn bad_policies_are_refused() {
        for text in [
            "[]",
            "{",
            "{}",
            r#"{"deadLetterTargetArn":"x"}"#,
            r#"{"deadLetterTargetArn":"arn:aws:sqs:r:1:q","maxReceiveCount":0}"#,
            r#"{"deadLetterTargetArn":"arn:aws:sqs:r:1:q","maxReceiveCount":"x"}"#,
            r#"{"deadLetterTargetArn":"arn:aws:sqs:r:1:q","other":1}"#,
        ] {
            assert!(redrive(text).is_err(), "{text}");
        }
        for text in [
            "{}",
            r#"{"redrivePermission":"some"}"#,
            r#"{"redrivePermission":"byQueue"}"#,
            r#"{"redrivePermission":"denyAll","sourceQueueArns":[]}"#,
        ] {
            assert!(redrive_allow(text).is_err(), "{text}");
        }
    }
}
