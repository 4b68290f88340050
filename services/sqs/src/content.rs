//! What a message may say, how much that weighs, and the digests that clients check.

use std::collections::BTreeMap;

use bytes::Bytes;
use gureum_model_sqs::types::{MessageAttributeValue, MessageSystemAttributeValue};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::errors::{Refusal, Result};

const MAX_ATTRIBUTES: usize = 10;
const MAX_NAME: usize = 256;

/// A message's words, as they are sealed and stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payload {
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, Attribute>,
    /// `AWSTraceHeader` and whatever system attribute AWS may add.
    pub(crate) system: BTreeMap<String, Attribute>,
    /// The id of who sent it.
    pub(crate) sender: String,
    pub(crate) deduplication_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attribute {
    /// `String`, `Number` or `Binary`, perhaps with `.suffix`.
    pub(crate) data_type: String,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Value {
    Text(String),
    Binary(Bytes),
}

impl Attribute {
    fn bytes(&self) -> &[u8] {
        match &self.value {
            Value::Text(text) => text.as_bytes(),
            Value::Binary(bytes) => bytes,
        }
    }

    pub(crate) fn shown(&self) -> MessageAttributeValue {
        let mut shown = MessageAttributeValue {
            data_type: self.data_type.clone(),
            ..MessageAttributeValue::default()
        };
        match &self.value {
            Value::Text(text) => shown.string_value = Some(text.clone()),
            Value::Binary(bytes) => shown.binary_value = Some(bytes.clone()),
        }
        shown
    }
}

impl Payload {
    /// What counts towards the size limit, in bytes: body, and names, types and values of
    /// attributes. System attributes don't count.
    pub(crate) fn size(&self) -> usize {
        let attributes = self.attributes.iter();
        self.body.len()
            + attributes
                .map(|(name, a)| name.len() + a.data_type.len() + a.bytes().len())
                .sum::<usize>()
    }

    pub(crate) fn body_md5(&self) -> String {
        hex::encode(Md5::digest(&self.body))
    }

    pub(crate) fn attributes_md5(&self) -> Option<String> {
        md5_of(self.attributes.iter())
    }

    pub(crate) fn system_md5(&self) -> Option<String> {
        md5_of(self.system.iter())
    }
}

/// The digest of attributes in the order of their names; `None` when there are none.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
pub(crate) fn md5_of<'a>(
    attributes: impl Iterator<Item = (&'a String, &'a Attribute)>,
) -> Option<String> {
    let mut digest = Md5::new();
    let mut any = false;
    for (name, attribute) in attributes {
        any = true;
        let mut add = |bytes: &[u8]| {
            // Attributes are bounded by the size of a message, far below 4 GiB.
            digest.update((bytes.len() as u32).to_be_bytes());
            digest.update(bytes);
        };
        add(name.as_bytes());
        add(attribute.data_type.as_bytes());
        digest.update([match attribute.value {
            Value::Text(_) => 1,
            Value::Binary(_) => 2,
        }]);
        let value = attribute.bytes();
        digest.update((value.len() as u32).to_be_bytes());
        digest.update(value);
    }
    any.then(|| hex::encode(digest.finalize()))
}

/// The characters that XML can carry.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Refuses characters that no message may hold.
pub(crate) fn check_text(text: &str, part: &str) -> Result<()> {
    match text.chars().find(|c| !is_allowed(*c)) {
        None => Ok(()),
        Some(c) => Err(Refusal::Contents(format!(
            "Invalid binary character '#x{:X}' was found in the {part}, the set of allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
            u32::from(c)
        ))),
    }
}

/// Checks the attributes that a sender names.
pub(crate) fn attributes(
    given: Option<BTreeMap<String, MessageAttributeValue>>,
) -> Result<BTreeMap<String, Attribute>> {
    let given = given.unwrap_or_default();
    if given.len() > MAX_ATTRIBUTES {
        return Err(Refusal::Parameters(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MAX_ATTRIBUTES}].",
            given.len()
        )));
    }
    let read = |(name, value): (String, MessageAttributeValue)| {
        check_name(&name)?;
        let lists = value
            .string_list_values
            .is_some_and(|list| !list.is_empty())
            || value
                .binary_list_values
                .is_some_and(|list| !list.is_empty());
        if lists {
            return Err(Refusal::Unsupported(
                "Message attribute list values in SendMessage operation are not supported.".into(),
            ));
        }
        let read = attribute(
            &name,
            value.data_type,
            value.string_value,
            value.binary_value,
        )?;
        Ok((name, read))
    };
    given.into_iter().map(read).collect()
}

/// Checks system attributes: there is one, AWS X-Ray's header.
pub(crate) fn system_attributes(
    given: Option<BTreeMap<String, MessageSystemAttributeValue>>,
) -> Result<BTreeMap<String, Attribute>> {
    let read = |(name, value): (String, MessageSystemAttributeValue)| {
        if name != "AWSTraceHeader" {
            return Err(Refusal::Parameters(format!(
                "Message system attribute name '{name}' is invalid."
            )));
        }
        if value.data_type != "String" {
            return Err(Refusal::Parameters(format!(
                "The message system attribute '{name}' must be of type String."
            )));
        }
        let read = attribute(
            &name,
            value.data_type,
            value.string_value,
            value.binary_value,
        )?;
        Ok((name, read))
    };
    given.unwrap_or_default().into_iter().map(read).collect()
}

fn attribute(
    name: &str,
    data_type: String,
    text: Option<String>,
    binary: Option<Bytes>,
) -> Result<Attribute> {
    let wrong = |what: String| Refusal::Parameters(what);
    if data_type.is_empty() {
        return Err(wrong(format!(
            "The message attribute '{name}' must contain non-empty message attribute type."
        )));
    }
    let (kind, suffix) = data_type.split_once('.').unwrap_or((&data_type, ""));
    if data_type.len() > MAX_NAME || (data_type.contains('.') && suffix.is_empty()) {
        return Err(wrong(format!(
            "The message attribute '{name}' has an invalid message attribute type."
        )));
    }
    let value = match (kind, text, binary) {
        ("String" | "Number", Some(_), Some(_)) | ("Binary", Some(_), Some(_)) => {
            return Err(wrong(format!(
                "The message attribute '{name}' has both a string and a binary value."
            )));
        }
        ("String", Some(text), None) if !text.is_empty() => {
            check_text(&text, "message attribute value")?;
            Value::Text(text)
        }
        ("Number", Some(text), None) if !text.is_empty() => {
            if !is_number(&text) {
                return Err(wrong(format!(
                    "Can't cast the value of message (user) attribute '{name}' to a number."
                )));
            }
            Value::Text(text)
        }
        ("Binary", None, Some(bytes)) if !bytes.is_empty() => Value::Binary(bytes),
        ("String" | "Number" | "Binary", _, _) => {
            return Err(wrong(format!(
                "The message attribute '{name}' must contain non-empty message attribute value for message attribute type '{kind}'."
            )));
        }
        _ => {
            return Err(wrong(format!(
                "The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."
            )));
        }
    };
    Ok(Attribute { data_type, value })
}

/// Up to 38 digits of precision, between -10^128 and 10^126.
fn is_number(text: &str) -> bool {
    text.len() <= 256
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && text
            .parse::<f64>()
            .is_ok_and(|n| (-1e128..=1e126).contains(&n))
}

fn check_name(name: &str) -> Result<()> {
    let wrong = |what: &str| Err(Refusal::Parameters(what.to_owned()));
    let lower = name.to_ascii_lowercase();
    if name.is_empty() {
        return wrong("Message (user) attribute names must not be empty.");
    }
    if name.len() > MAX_NAME {
        return wrong("Message (user) attribute names can be at most 256 characters long.");
    }
    if lower.starts_with("aws.") || lower.starts_with("amazon.") {
        return wrong(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved for internal use.",
        );
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    {
        return wrong(
            "Message (user) attribute name can only contain upper and lower score characters, digits, periods, hyphens and underscores.",
        );
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return wrong(
            "Message (user) attribute names must not start or end with a period, nor hold two in a row.",
        );
    }
    Ok(())
}

/// Group, deduplication and attempt ids: up to 128 letters, digits and punctuation of ASCII.
pub(crate) fn check_token(parameter: &str, value: &str) -> Result<()> {
    if (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Refusal::value(
        parameter,
        value,
        format!(
            "{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length."
        ),
    ))
}

/// Which user attributes a receiver wants: names, `All`, `.*`, or `prefix.*`.
pub(crate) fn is_wanted(name: &str, wanted: &[String]) -> bool {
    wanted.iter().any(|pattern| match pattern.as_str() {
        "All" | ".*" => true,
        pattern => match pattern.strip_suffix(".*") {
            Some(prefix) => {
                let rest = name.strip_prefix(prefix);
                rest.is_some_and(|rest| rest.starts_with('.'))
            }
            None => pattern == name,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Attribute {
        Attribute {
            data_type: "String".into(),
            value: Value::Text(value.into()),
        }
    }

    #[test]
    fn digests_are_those_that_sdks_compute() {
        let payload = Payload {
            body: "This is a test message".into(),
            attributes: BTreeMap::from([(
                "timestamp".into(),
                Attribute {
                    data_type: "Number".into(),
                    value: Value::Text("1493147359900".into()),
                },
            )]),
            ..Payload::default()
        };
        assert_eq!(payload.body_md5(), "fafb00f5732ab283681e124bf8747ed1");
        assert_eq!(
            payload.attributes_md5().as_deref(),
            Some("235c5c510d26fb653d073faed50ae77c")
        );
        assert_eq!(payload.system_md5(), None);
        assert_eq!(payload.size(), 22 + 9 + 6 + 13);
    }

    #[test]
    fn names_are_checked_and_wanted() {
        for bad in ["", "AWS.x", "amazon.y", ".a", "a.", "a..b", "a b", "ü"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        check_name("a.b-c_D9").expect("good");
        let wanted = |name: &str, pattern: &str| is_wanted(name, &[pattern.to_owned()]);
        assert!(wanted("foo.bar", "foo.*"));
        assert!(!wanted("fool", "foo.*"));
        assert!(wanted("x", "All") && wanted("x", ".*") && wanted("x", "x"));
        assert!(!wanted("x", "y"));
    }

    #[test]
    fn types_and_values_must_agree() {
        let read = |data_type: &str, text: Option<&str>, binary: Option<&'static [u8]>| {
            attribute(
                "a",
                data_type.into(),
                text.map(str::to_owned),
                binary.map(Bytes::from_static),
            )
        };
        assert_eq!(read("String", Some("x"), None), Ok(text("x")));
        read("Number.int", Some("-1.5e3"), None).expect("a number");
        read("Binary.png", None, Some(b"\0")).expect("bytes");
        for (data_type, value) in [
            ("String", ""),
            ("Number", "one"),
            ("Number", "nan"),
            ("Number", "1e200"),
            ("Binary", "text"),
            ("Bool", "true"),
            ("", "x"),
            ("String.", "x"),
            ("String", "\u{1}"),
        ] {
            assert!(
                read(data_type, Some(value), None).is_err(),
                "{data_type} {value:?}"
            );
        }
        assert!(check_text("tab\t \u{fffd} \u{10ffff}", "message body").is_ok());
        assert!(check_text("\u{ffff}", "message body").is_err());
    }
}
