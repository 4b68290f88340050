//! Delivery to SQS: the queue's own policy decides whether it takes what this topic sends.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gureum_dispatch::{Cloud, Cx, RequestInfo};
use gureum_kit::{Arn, Region};
use gureum_model_sqs::op::SendMessage;
use gureum_model_sqs::types::{MessageAttributeValue, SendMessageRequest};
use gureum_schema::Error;

use super::attempt::{Mission, Obstacle, Target};
use crate::content::Attribute;
use crate::topic::{PRINCIPAL, Topic};

/// As many attributes as a message in a queue can have.
const MAX_ATTRIBUTES: usize = 10;

/// The context of calls that SNS makes for a topic.
pub(crate) fn cx(cloud: &Arc<Cloud>, topic: &Topic) -> Cx {
    let request = RequestInfo::inside(PRINCIPAL);
    cloud.cx(Arc::clone(&topic.caller), topic.row.region.clone(), request)
}

pub(super) async fn send(cx: &Cx, mission: &Mission<'_>, to: &Target<'_>) -> Result<(), Obstacle> {
    let queue = to.endpoint.parse::<Arn>();
    let queue = queue.map_err(|why| permanent("InvalidEndpoint", why.to_string()))?;
    let attributes = match mission.is_raw(to) {
        true => attributes(&mission.content.attributes),
        false => BTreeMap::new(),
    };
    if attributes.len() > MAX_ATTRIBUTES {
        let why = "A raw message for a queue can have at most 10 attributes.".to_owned();
        return Err(permanent("InvalidParameterValue", why));
    }
    call(cx, &queue, message(mission, to, &queue, attributes)).await
}

/// Sends to the queue for dead letters, with the reason.
pub(super) async fn bury(
    cx: &Cx,
    mission: &Mission<'_>,
    to: &Target<'_>,
    queue: &Arn,
    obstacle: &Obstacle,
) -> Result<(), Obstacle> {
    let mut attributes = match mission.is_raw(to) {
        true => attributes(&mission.content.attributes),
        false => BTreeMap::new(),
    };
    for (name, value) in [
        ("RequestID", &cx.request.id),
        ("ErrorCode", &obstacle.code),
        ("ErrorMessage", &obstacle.message),
    ] {
        if attributes.len() < MAX_ATTRIBUTES && !value.is_empty() {
            let entry = attributes.entry(name.to_owned());
            entry.or_insert_with(|| text("String", value.clone()));
        }
    }
    call(cx, queue, message(mission, to, queue, attributes)).await
}

fn message(
    mission: &Mission<'_>,
    to: &Target<'_>,
    queue: &Arn,
    attributes: BTreeMap<String, MessageAttributeValue>,
) -> SendMessageRequest {
    let fifo = mission.content.fifo.as_ref();
    let fifo = fifo.filter(|_| queue.resource.ends_with(".fifo"));
    SendMessageRequest {
        queue_url: format!("http://localhost/{}/{}", queue.account, queue.resource),
        message_body: mission.body(to),
        message_attributes: (!attributes.is_empty()).then_some(attributes),
        message_group_id: fifo.map(|fifo| fifo.group.clone()),
        message_deduplication_id: fifo.map(|fifo| fifo.deduplication.clone()),
        ..Default::default()
    }
}

async fn call(cx: &Cx, queue: &Arn, input: SendMessageRequest) -> Result<(), Obstacle> {
    let region = queue.region.parse::<Region>();
    let region = region.map_err(|why| permanent("InvalidEndpoint", why.to_string()))?;
    let sent = cx.in_region(region).call::<SendMessage>(input).await;
    sent.map(drop).map_err(|error| Obstacle {
        permanent: is_permanent(&error),
        code: error.code.into_owned(),
        message: error.message,
    })
}

/// Whether the receiver said no, rather than failed.
fn is_permanent(error: &Error) -> bool {
    error.status < 500 || error.code == "NotImplemented"
}

fn permanent(code: &str, message: String) -> Obstacle {
    Obstacle {
        code: code.to_owned(),
        message,
        permanent: true,
    }
}

fn attributes(own: &BTreeMap<String, Attribute>) -> BTreeMap<String, MessageAttributeValue> {
    let shown = |(name, Attribute { data_type, value }): (&String, &Attribute)| {
        let value = match STANDARD.decode(value) {
            Ok(bytes) if data_type.starts_with("Binary") => MessageAttributeValue {
                data_type: data_type.clone(),
                binary_value: Some(bytes.into()),
                ..Default::default()
            },
            _ => text(data_type, value.clone()),
        };
        (name.clone(), value)
    };
    own.iter().map(shown).collect()
}

fn text(data_type: &str, value: String) -> MessageAttributeValue {
    MessageAttributeValue {
        data_type: data_type.to_owned(),
        string_value: Some(value),
        ..Default::default()
    }
}
