//! The attributes of topics and subscriptions: which there are, and what each may be.
//!
//! Sources: <https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html>,
//! <https://docs.aws.amazon.com/sns/latest/api/API_SetSubscriptionAttributes.html>

use gureum_kit::Arn;
use serde_json::Value;

use crate::errors::{Refusal, Result};
use crate::model::{Protocol, Texts};

/// What AWS knows beyond what we honour.
const TOPIC_LATER: [&str; 17] = [
    "ArchivePolicy",
    "ApplicationFailureFeedbackRoleArn",
    "ApplicationSuccessFeedbackRoleArn",
    "ApplicationSuccessFeedbackSampleRate",
    "DataProtectionPolicy",
    "FirehoseFailureFeedbackRoleArn",
    "FirehoseSuccessFeedbackRoleArn",
    "FirehoseSuccessFeedbackSampleRate",
    "HTTPFailureFeedbackRoleArn",
    "HTTPSuccessFeedbackRoleArn",
    "HTTPSuccessFeedbackSampleRate",
    "LambdaFailureFeedbackRoleArn",
    "LambdaSuccessFeedbackRoleArn",
    "LambdaSuccessFeedbackSampleRate",
    "SQSFailureFeedbackRoleArn",
    "SQSSuccessFeedbackRoleArn",
    "SQSSuccessFeedbackSampleRate",
];

/// Sets one attribute of a topic; an empty value removes it.
pub(crate) fn set_topic(texts: &mut Texts, fifo: bool, name: &str, value: &str) -> Result<()> {
    let wrong = || Refusal::parameter(name);
    let flag = matches!(value, "true" | "false");
    match name {
        "DisplayName" if value.chars().count() > 100 => {
            return Err(Refusal::reason(name, "it must have at most 100 characters"));
        }
        "DisplayName" | "Policy" | "DeliveryPolicy" | "KmsMasterKeyId" => {}
        "SignatureVersion" if !matches!(value, "1" | "2") => {
            return Err(Refusal::reason(
                name,
                format_args!("Invalid value [{value}] for attribute SignatureVersion"),
            ));
        }
        "SignatureVersion" => {}
        "TracingConfig" if value == "Active" => {
            return Err(Refusal::NotImplemented("Active tracing of topics".into()));
        }
        "TracingConfig" if value != "PassThrough" => return Err(wrong()),
        "TracingConfig" => {}
        "ContentBasedDeduplication" if fifo && flag => {}
        "FifoThroughputScope" if fifo && matches!(value, "Topic" | "MessageGroup") => {}
        _ if TOPIC_LATER.contains(&name) => {
            return Err(Refusal::NotImplemented(format!(
                "The topic attribute {name}"
            )));
        }
        _ => return Err(Refusal::parameter("AttributeName")),
    }
    put(texts, name, value);
    Ok(())
}

/// Sets one attribute of a subscription; an empty value removes it. What the values mean is
/// checked when the subscription is compiled.
pub(crate) fn set_subscription(
    texts: &mut Texts,
    protocol: Protocol,
    name: &str,
    value: &str,
) -> Result<()> {
    let invalid = |why: &str| Err(Refusal::reason("Attributes", why));
    match name {
        "FilterPolicy" | "RedrivePolicy" => {}
        "FilterPolicyScope" if matches!(value, "MessageAttributes" | "MessageBody") => {}
        "FilterPolicyScope" => {
            return invalid(
                "FilterPolicyScope: Invalid value. Please use either MessageBody or MessageAttributes",
            );
        }
        "DeliveryPolicy" if protocol.is_web() || value.is_empty() => {}
        "DeliveryPolicy" => {
            return invalid("Delivery policies are not supported by this subscription's protocol");
        }
        "RawMessageDelivery"
            if !matches!(value.to_ascii_lowercase().as_str(), "true" | "false") =>
        {
            return invalid(&format!(
                "RawMessageDelivery: Invalid value [{value}]. Must be true or false."
            ));
        }
        "RawMessageDelivery" if protocol.is_web() || protocol == Protocol::Sqs => {
            put(texts, name, &value.to_ascii_lowercase());
            return Ok(());
        }
        "RawMessageDelivery" => {
            return invalid(
                "RawMessageDelivery: Delivery protocol does not support raw message delivery.",
            );
        }
        "ReplayPolicy" | "SubscriptionRoleArn" => {
            return Err(Refusal::NotImplemented(format!(
                "The subscription attribute {name}"
            )));
        }
        _ => return Err(Refusal::parameter("AttributeName")),
    }
    // An empty policy wants everything, which is what no policy does.
    let empty = name == "FilterPolicy" && value.trim() == "{}";
    put(texts, name, if empty { "" } else { value });
    Ok(())
}

fn put(texts: &mut Texts, name: &str, value: &str) {
    if value.is_empty() {
        texts.remove(name);
    } else {
        texts.insert(name.to_owned(), value.to_owned());
    }
}

/// The queue that a redrive policy names.
pub(crate) fn dead_letters(text: &str) -> Result<Arn> {
    let wrong = |why: &str| Refusal::parameter(format!("RedrivePolicy: {why}"));
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Err(wrong("failed to parse JSON."));
    };
    let arn = object.get("deadLetterTargetArn").and_then(Value::as_str);
    arn.and_then(|arn| arn.parse::<Arn>().ok())
        .filter(|arn| arn.service == "sqs" && object.len() == 1)
        .ok_or_else(|| wrong("deadLetterTargetArn is an invalid arn"))
}
