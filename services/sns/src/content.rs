//! What a message says, checked; and how it is sealed while it waits.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gureum_kit::seal::Sealer;
use gureum_model_sns::types::MessageAttributeValue;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::errors::{Refusal, Result};
use crate::filter;
use crate::model::{MessageRow, Protocol};

/// A message with its attributes, and a batch of messages, in bytes.
pub(crate) const MAX_MESSAGE: usize = 256 << 10;
const MAX_SUBJECT: usize = 100;

/// A message as it waits for its deliveries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) kind: Kind,
    /// A UUID.
    pub(crate) id: String,
    /// ARN of the topic.
    pub(crate) topic: String,
    /// Beside the sender's address in mails.
    pub(crate) display_name: String,
    /// `1` or `2`
    pub(crate) signature_version: u8,
    /// When it was published, ms since the epoch.
    pub(crate) at: i64,
    pub(crate) subject: Option<String>,
    pub(crate) text: String,
    /// Texts of their own for some protocols.
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
    pub(crate) fifo: Option<Fifo>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Notification,
    /// An invitation to confirm, or to come back; with the token.
    SubscriptionConfirmation(String),
    UnsubscribeConfirmation(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fifo {
    pub(crate) group: String,
    pub(crate) deduplication: String,
    pub(crate) sequence: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attribute {
    /// `String`, `String.Array`, `Number` or `Binary`
    pub(crate) data_type: String,
    /// Text, or base64.
    pub(crate) value: String,
}

impl Content {
    /// What an endpoint of this protocol gets to read.
    pub(crate) fn text_for(&self, protocol: Protocol) -> &str {
        self.texts.get(protocol.name()).unwrap_or(&self.text)
    }
}

/// The attributes as filters see them.
pub(crate) fn facts(attributes: &BTreeMap<String, Attribute>) -> Map<String, Value> {
    let seen = attributes
        .iter()
        .filter(|(_, attribute)| attribute.data_type != "Binary");
    seen.filter_map(|(name, attribute)| {
        Some((
            name.clone(),
            filter::fact(&attribute.data_type, &attribute.value)?,
        ))
    })
    .collect()
}

/// Checks a message's text and subject; `json` says that there are texts for each protocol.
pub(crate) fn texts(message: String, json: bool) -> Result<(String, BTreeMap<String, String>)> {
    if message.is_empty() {
        return Err(Refusal::parameter("Empty message"));
    }
    if !json {
        return Ok((message, BTreeMap::new()));
    }
    let wrong = |why: &str| Refusal::parameter(format!("Message Structure - {why}"));
    let Ok(Value::Object(object)) = serde_json::from_str(&message) else {
        return Err(wrong("JSON message body failed to parse"));
    };
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, text)),
        _ => None,
    };
    let mut texts: BTreeMap<String, String> = object.into_iter().filter_map(text).collect();
    let default = texts.remove("default");
    let default = default.ok_or_else(|| wrong("No default entry in JSON message body"))?;
    Ok((default, texts))
}

/// A subject has up to 100 characters of ASCII, without line breaks, and begins with no space.
pub(crate) fn check_subject(subject: &str) -> Result<()> {
    let good = (1..=MAX_SUBJECT).contains(&subject.len())
        && subject.bytes().all(|b| (b' '..=b'~').contains(&b))
        && subject.starts_with(|c: char| c.is_ascii_alphanumeric() || c.is_ascii_punctuation());
    if good {
        Ok(())
    } else {
        Err(Refusal::parameter("Subject"))
    }
}

/// Group and deduplication ids: up to 128 letters, digits and punctuation of ASCII.
pub(crate) fn check_token(parameter: &str, value: &str) -> Result<()> {
    if (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Refusal::reason(
        parameter,
        format_args!(
            "{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length"
        ),
    ))
}

/// Checks the attributes that a publisher names.
pub(crate) fn attributes(
    given: Option<BTreeMap<String, MessageAttributeValue>>,
) -> Result<BTreeMap<String, Attribute>> {
    let read = |(name, value): (String, MessageAttributeValue)| {
        check_name(&name)?;
        let attribute = attribute(&name, value)?;
        Ok((name, attribute))
    };
    given.unwrap_or_default().into_iter().map(read).collect()
}

fn attribute(name: &str, given: MessageAttributeValue) -> Result<Attribute> {
    let wrong = |what: String| Err(Refusal::Value(what));
    let data_type = given.data_type;
    if data_type.is_empty() {
        return wrong(format!(
            "The message attribute '{name}' must contain non-empty message attribute type."
        ));
    }
    // Types may be refined (`Number.int`); what matters stands before the dot.
    let base = data_type.split('.').next().unwrap_or_default();
    let value = match (base, given.string_value, given.binary_value) {
        ("String" | "Number", Some(text), None) if !text.is_empty() => text,
        ("Binary", None, Some(bytes)) if !bytes.is_empty() => STANDARD.encode(bytes),
        ("String" | "Number" | "Binary", _, _) => {
            return wrong(format!(
                "The message attribute '{name}' must contain non-empty message attribute value for message attribute type '{data_type}'."
            ));
        }
        _ => {
            return wrong(format!(
                "The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."
            ));
        }
    };
    if base == "Number" && !value.parse::<f64>().is_ok_and(f64::is_finite) {
        return wrong(format!(
            "An error occurred while processing message attribute '{name}': the value cannot be cast to a number."
        ));
    }
    if data_type == "String.Array" && filter::fact(&data_type, &value).is_none() {
        return wrong(format!(
            "The message attribute '{name}' of type String.Array must hold a JSON array."
        ));
    }
    Ok(Attribute { data_type, value })
}

fn check_name(name: &str) -> Result<()> {
    let lower = name.to_ascii_lowercase();
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    let fits = (1..=256).contains(&name.len())
        && name.bytes().all(good)
        && !(name.starts_with('.') || name.ends_with('.') || name.contains(".."))
        && !(lower.starts_with("aws.") || lower.starts_with("amazon."));
    if fits {
        return Ok(());
    }
    Err(Refusal::Value(format!(
        "The message attribute name '{}' is invalid: names have up to 256 letters, digits, '_', '-' and single inner '.', and do not begin with AWS. or Amazon.",
        name.chars().take(256).collect::<String>()
    )))
}

/// What a request's message weighs, before it is known to be good.
pub(crate) fn weigh(
    message: &str,
    attributes: Option<&BTreeMap<String, MessageAttributeValue>>,
) -> usize {
    let attributes = attributes.into_iter().flatten().map(|(name, value)| {
        name.len()
            + value.data_type.len()
            + value.string_value.as_ref().map_or(0, String::len)
            + value.binary_value.as_ref().map_or(0, |bytes| bytes.len())
    });
    message.len() + attributes.sum::<usize>()
}

/// Our own secret, of which the keys of waiting messages are made.
pub(crate) struct Keys(Sealer);

impl Keys {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self(Sealer::derived(secret, b"sns content"))
    }

    /// Seals a message; with `kms`, under a data key of which the sealed form is kept.
    pub(crate) fn seal(
        &self,
        number: u64,
        content: &Content,
        kms: Option<&DataKey>,
    ) -> Result<MessageRow> {
        let mut data =
            rmp_serde::to_vec_named(content).map_err(|e| Refusal::Broken(e.to_string()))?;
        let bound = number.to_be_bytes();
        let salt = match kms {
            Some(key) => Sealer::new(&key.plain).seal(&bound, &mut data),
            None => self.0.seal(&bound, &mut data),
        };
        let salt = salt.ok_or_else(|| Refusal::Broken("a message could not be sealed".into()))?;
        Ok(MessageRow {
            id: number,
            kms: kms.map(|key| key.sealed.clone()),
            salt,
            data: data.into(),
        })
    }

    /// Opens a message; `data_key` is what KMS made of [`MessageRow::kms`].
    pub(crate) fn open(&self, row: &MessageRow, data_key: Option<&[u8]>) -> Option<Content> {
        let mut data = row.data.to_vec();
        let bound = row.id.to_be_bytes();
        let opened = match data_key {
            Some(key) => Sealer::new(key).open(&bound, &row.salt, &mut data),
            None => self.0.open(&bound, &row.salt, &mut data),
        };
        rmp_serde::from_slice(opened?).ok()
    }
}

/// A data key that KMS made.
#[derive(Clone)]
pub(crate) struct DataKey {
    pub(crate) plain: Bytes,
    pub(crate) sealed: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content {
            kind: Kind::Notification,
            id: "i".into(),
            topic: "t".into(),
            display_name: String::new(),
            signature_version: 1,
            at: 5,
            subject: None,
            text: "a secret".into(),
            texts: BTreeMap::new(),
            attributes: BTreeMap::new(),
            fifo: None,
        }
    }

    #[test]
    fn a_message_opens_only_as_it_was_sealed() {
        let keys = Keys::new(&[7; 32]);
        let row = keys.seal(5, &content(), None).expect("sealed");
        assert!(!row.data.windows(6).any(|part| part == b"secret"));
        assert_eq!(keys.open(&row, None), Some(content()));
        let other = MessageRow {
            id: 6,
            ..row.clone()
        };
        assert_eq!(keys.open(&other, None), None);
        assert_eq!(Keys::new(&[8; 32]).open(&row, None), None);
        let data_key = DataKey {
            plain: Bytes::from_static(&[1; 32]),
            sealed: Bytes::from_static(b"sealed"),
        };
        let row = keys.seal(5, &content(), Some(&data_key)).expect("sealed");
        assert_eq!(keys.open(&row, None), None);
        assert_eq!(keys.open(&row, Some(&[1; 32])), Some(content()));
    }

    #[test]
    fn types_and_values_must_agree() {
        let read = |data_type: &str, text: &str| {
            attribute(
                "a",
                MessageAttributeValue {
                    data_type: data_type.into(),
                    string_value: Some(text.into()),
                    binary_value: None,
                },
            )
        };
        for (data_type, value) in [
            ("String", "x"),
            ("Number", "-1.5e3"),
            ("String.Array", "[1]"),
        ] {
            read(data_type, value).expect(data_type);
        }
        for (data_type, value) in [
            ("", "x"),
            ("String", ""),
            ("Number", "one"),
            ("Number", "inf"),
            ("String.Array", "x"),
            ("Binary", "x"),
            ("Bool", "true"),
        ] {
            assert!(read(data_type, value).is_err(), "{data_type} {value:?}");
        }
    }

    #[test]
    fn structured_messages_need_a_default() {
        let (text, others) =
            texts(r#"{"default":"d","sqs":"q","n":1}"#.into(), true).expect("good");
        assert_eq!((text.as_str(), others["sqs"].as_str()), ("d", "q"));
        assert!(texts(r#"{"sqs":"q"}"#.into(), true).is_err());
        assert!(texts("no".into(), true).is_err());
        assert!(check_subject("ok").is_ok());
        assert!(check_subject(" no").is_err() && check_subject("a\nb").is_err());
    }
}
