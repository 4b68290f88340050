//! Attribute values as rows keep them: normalised, checked, comparable. Pure.

pub(crate) mod key;
pub(crate) mod number;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(crate) use number::Number;
pub(crate) use wire::{item_from, item_to, value_from};

/// How deep lists and maps may nest inside an attribute.
pub(crate) const MAX_NESTING: usize = 32;
pub(crate) const TOO_DEEP: &str = "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit";
/// The most bytes of an item, names included.
pub(crate) const MAX_ITEM: usize = 400 << 10;

/// One attribute value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Value {
    S(String),
    N(Number),
    B(Bytes),
    #[serde(rename = "SS")]
    Strings(BTreeSet<String>),
    #[serde(rename = "NS")]
    Numbers(BTreeSet<Number>),
    #[serde(rename = "BS")]
    Binaries(BTreeSet<Bytes>),
    M(BTreeMap<String, Value>),
    L(Vec<Value>),
    #[serde(rename = "NULL")]
    Null,
    #[serde(rename = "BOOL")]
    Bool(bool),
}

/// An item: its attributes by name.
pub(crate) type Item = BTreeMap<String, Value>;

impl Value {
    /// The name of its type, as `attribute_type` and messages say it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::B(_) => "B",
            Self::Strings(_) => "SS",
            Self::Numbers(_) => "NS",
            Self::Binaries(_) => "BS",
            Self::M(_) => "M",
            Self::L(_) => "L",
            Self::Null => "NULL",
            Self::Bool(_) => "BOOL",
        }
    }

    /// Bytes that it counts for, without its name.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size(),
            Self::B(bytes) => bytes.len(),
            Self::Strings(set) => set.iter().map(String::len).sum(),
            Self::Numbers(set) => set.iter().map(Number::size).sum(),
            Self::Binaries(set) => set.iter().map(Bytes::len).sum(),
            Self::M(map) => 3 + map.len() + item_size(map),
            Self::L(list) => 3 + list.iter().map(|value| 1 + value.size()).sum::<usize>(),
            Self::Null | Self::Bool(_) => 1,
        }
    }

    /// How many lists and maps lie inside each other.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::M(map) => 1 + map.values().map(Self::depth).max().unwrap_or(0),
            Self::L(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// What `size()` gives: characters, bytes, or elements.
    pub(crate) fn length(&self) -> Option<usize> {
        match self {
            Self::S(text) => Some(text.chars().count()),
            Self::B(bytes) => Some(bytes.len()),
            Self::Strings(set) => Some(set.len()),
            Self::Numbers(set) => Some(set.len()),
            Self::Binaries(set) => Some(set.len()),
            Self::M(map) => Some(map.len()),
            Self::L(list) => Some(list.len()),
            Self::N(_) | Self::Null | Self::Bool(_) => None,
        }
    }
}

/// Bytes of an item (or the content of a map): names and values.
pub(crate) fn item_size(item: &Item) -> usize {
    item.iter()
        .map(|(name, value)| name.len() + value.size())
        .sum()
}

/// As DynamoDB's messages print a value: `{S:text}`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(
            f: &mut fmt::Formatter<'_>,
            items: impl Iterator<Item = T>,
        ) -> fmt::Result {
            f.write_str("[")?;
            for (index, item) in items.enumerate() {
                write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
            }
            f.write_str("]")
        }
        write!(f, "{{{}:", self.kind())?;
        match self {
            Self::S(text) => f.write_str(text)?,
            Self::N(number) => number.fmt(f)?,
            Self::B(bytes) => write!(f, "<{} bytes>", bytes.len())?,
            Self::Strings(set) => list(f, set.iter())?,
            Self::Numbers(set) => list(f, set.iter())?,
            Self::Binaries(set) => list(f, set.iter().map(|b| format!("<{} bytes>", b.len())))?,
            Self::M(map) => list(f, map.iter().map(|(k, v)| format!("{k}={v}")))?,
            Self::L(items) => list(f, items.iter())?,
            Self::Null => f.write_str("true")?,
            Self::Bool(value) => value.fmt(f)?,
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_published_rules() {
        let item = Item::from([
            ("id".to_owned(), Value::S("héllo".into())),
            ("n".to_owned(), Value::N("-12.5".parse().expect("number"))),
            (
                "l".to_owned(),
                Value::L(vec![Value::Null, Value::Bool(true)]),
            ),
            (
                "m".to_owned(),
                Value::M(Item::from([("a".to_owned(), Value::S("b".into()))])),
            ),
        ]);
        // 2+6, 1+(12 | 5: two pairs, exponent, sign), 1+3+2*2, 1+3+1+2
        assert_eq!(item_size(&item), 8 + 5 + 8 + 7);
    }
}
