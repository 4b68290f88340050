//! The documents that endpoints get, member by member as AWS writes them.
//!
//! Source: <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>

use std::fmt::Write as _;

use gureum_schema::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::content::{Content, Kind};
use crate::errors::Result;
use crate::model::Protocol;
use crate::signing::Signer;

/// Where endpoints reach us, `https://127.0.0.1:4566`, and how we prove who we are.
pub(crate) struct Letterhead<'a> {
    pub(crate) address: &'a str,
    pub(crate) signer: &'a Signer,
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Notification => "Notification",
            Self::SubscriptionConfirmation(_) => "SubscriptionConfirmation",
            Self::UnsubscribeConfirmation(_) => "UnsubscribeConfirmation",
        }
    }

    fn token(&self) -> Option<&str> {
        match self {
            Self::Notification => None,
            Self::SubscriptionConfirmation(token) | Self::UnsubscribeConfirmation(token) => {
                Some(token)
            }
        }
    }
}

/// What all endpoints of one protocol get alike: the members of the document but the last ones.
pub(crate) struct Envelope {
    head: String,
    tail: String,
    notification: bool,
}

impl Letterhead<'_> {
    /// Writes and signs the document for a protocol.
    pub(crate) async fn envelope(&self, content: &Content, protocol: Protocol) -> Result<Envelope> {
        let text = content.text_for(protocol);
        let at = Timestamp(content.at).iso_millis();
        let mut head = Members::default();
        head.add("Type", content.kind.name());
        head.add("MessageId", &content.id);
        if let Some(fifo) = &content.fifo {
            head.add("SequenceNumber", &fifo.sequence);
        }
        let subscribe = content
            .kind
            .token()
            .map(|token| self.subscribe_url(content, token));
        if let Some(token) = content.kind.token() {
            head.add("Token", token);
        }
        head.add("TopicArn", &content.topic);
        if let Some(subject) = &content.subject {
            head.add("Subject", subject);
        }
        head.add("Message", text);
        if let Some(url) = &subscribe {
            head.add("SubscribeURL", url);
        }
        head.add("Timestamp", &at);
        // Messages of FIFO topics go to queues alone, and carry no signature.
        if content.fifo.is_none() {
            let signed = to_sign(content, text, &at, subscribe.as_deref());
            let version = content.signature_version;
            head.add("SignatureVersion", &version.to_string());
            head.add("Signature", &self.signer.sign(version, &signed).await?);
            let path = self.signer.certificate_path().await?;
            head.add("SigningCertURL", &format!("{}{path}", self.address));
        }
        Ok(Envelope {
            head: head.0,
            tail: attributes(content),
            notification: content.kind == Kind::Notification,
        })
    }

    /// The link that confirms a subscription.
    pub(crate) fn subscribe_url(&self, content: &Content, token: &str) -> String {
        let topic = utf8_percent_encode(&content.topic, NON_ALPHANUMERIC);
        format!(
            "{}/?Action=ConfirmSubscription&Version=2010-03-31&TopicArn={topic}&Token={token}",
            self.address
        )
    }

    /// The link that ends a subscription.
    pub(crate) fn unsubscribe_url(&self, subscription: &str) -> String {
        let subscription = utf8_percent_encode(subscription, NON_ALPHANUMERIC);
        format!(
            "{}/?Action=Unsubscribe&Version=2010-03-31&SubscriptionArn={subscription}",
            self.address
        )
    }
}

impl Envelope {
    /// The document for one subscription.
    pub(crate) fn addressed(&self, letterhead: &Letterhead<'_>, subscription: &str) -> String {
        let mut members = Members(self.head.clone());
        if self.notification {
            members.add("UnsubscribeURL", &letterhead.unsubscribe_url(subscription));
        }
        format!("{{{}{}\n}}", members.0, self.tail)
    }
}

/// Members of a JSON object, one per line.
#[derive(Default)]
struct Members(String);

impl Members {
    fn add(&mut self, name: &str, value: &str) {
        let comma = if self.0.is_empty() { "" } else { "," };
        // Writing into a string cannot fail.
        let _ = write!(self.0, "{comma}\n  \"{name}\" : {}", Value::from(value));
    }
}

fn attributes(content: &Content) -> String {
    if content.attributes.is_empty() {
        return String::new();
    }
    let each = content.attributes.iter().map(|(name, attribute)| {
        format!(
            "    {} : {{\"Type\":{},\"Value\":{}}}",
            Value::from(name.as_str()),
            Value::from(attribute.data_type.as_str()),
            Value::from(attribute.value.as_str())
        )
    });
    let each: Vec<_> = each.collect();
    format!(
        ",\n  \"MessageAttributes\" : {{\n{}\n  }}",
        each.join(",\n")
    )
}

/// The text that is signed: names and values of members in the order of their names, each on a
/// line of its own.
fn to_sign(content: &Content, text: &str, at: &str, subscribe: Option<&str>) -> String {
    let members = [
        ("Message", Some(text)),
        ("MessageId", Some(content.id.as_str())),
        ("Subject", content.subject.as_deref()),
        ("SubscribeURL", subscribe),
        ("Timestamp", Some(at)),
        ("Token", content.kind.token()),
        ("TopicArn", Some(content.topic.as_str())),
        ("Type", Some(content.kind.name())),
    ];
    let mut out = String::new();
    for (name, value) in members {
        if let Some(value) = value {
            let _ = writeln!(out, "{name}\n{value}");
        }
    }
    out
}
