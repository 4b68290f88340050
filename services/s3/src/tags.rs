//! Tags of objects.

use gureum_model_s3::types::Tag;

use crate::errors::{Code, Result};

const MAX_TAGS: usize = 10;
const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 256;

pub(crate) type Tags = Vec<(String, String)>;

/// Reads `x-amz-tagging`, which is written like a query string.
pub(crate) fn from_header(text: Option<&str>) -> Result<Tags> {
    let text = text.unwrap_or_default();
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let tags = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name)?, decode(value)?))
    });
    let tags: Option<Tags> = tags.collect();
    let tags = tags.ok_or_else(|| {
        crate::errors::Failure::argument(
            "x-amz-tagging",
            text,
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query \
             parameters without tag name duplicates.",
        )
    })?;
    check(&tags)?;
    Ok(tags)
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced)
        .decode_utf8()
        .ok()?;
    Some(decoded.into_owned())
}

pub(crate) fn from_set(set: &[Tag]) -> Result<Tags> {
    let tags = set
        .iter()
        .map(|tag| (tag.key.clone(), tag.value.clone()))
        .collect();
    check(&tags)?;
    Ok(tags)
}

pub(crate) fn to_set(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): &(String, String)| Tag {
        key: key.clone(),
        value: value.clone(),
    };
    tags.iter().map(tag).collect()
}

fn check(tags: &Tags) -> Result<()> {
    if tags.len() > MAX_TAGS {
        return Err(Code::InvalidTag.says("Object tags cannot be greater than 10"));
    }
    for (at, (name, value)) in tags.iter().enumerate() {
        if name.is_empty() || name.chars().count() > MAX_NAME || !plain(name) {
            return Err(Code::InvalidTag
                .says("The TagKey you have provided is invalid")
                .with("TagKey", name));
        }
        if value.chars().count() > MAX_VALUE || !plain(value) {
            return Err(Code::InvalidTag
                .says("The TagValue you have provided is invalid")
                .with("TagKey", name)
                .with("TagValue", value));
        }
        if tags[..at].iter().any(|(earlier, _)| earlier == name) {
            return Err(Code::InvalidTag
                .says("Cannot provide multiple Tags with the same key")
                .with("TagKey", name));
        }
    }
    Ok(())
}

/// Letters, digits, spaces and `+ - = . _ : / @`.
fn plain(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_tags() {
        let tags = from_header(Some("a=1&b=x+y%2Fz&c")).expect("tags");
        let pairs: Vec<_> = tags.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x y/z"), ("c", "")]);
        let eleven: Vec<_> = (0..11).map(|n| format!("k{n}=v")).collect();
        for wrong in [
            "a=1&a=2",
            "=x",
            "a=%ff",
            "a=<",
            &eleven.join("&"),
            &format!("{}=x", "k".repeat(129)),
        ] {
            assert!(from_header(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
