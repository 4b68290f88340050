//! DynamoDB JSON, as data files have it: `{"Item": {"name": {"S": "text"}}}`. Pure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gureum_model_dynamodb::types::AttributeValue as Wire;
use gureum_schema::Bytes;
use serde_json::{Map, Value as Json, json};

use crate::value::{Item, item_from, item_to};

/// How an item changed between two moments. An image that is not there, or not told, is `None`.
pub(crate) struct Change {
    pub(crate) keys: Item,
    /// When it was last written, in milliseconds since the epoch.
    pub(crate) at: i64,
    pub(crate) old: Option<Item>,
    pub(crate) new: Option<Item>,
}

/// One line of a data file, without its end.
pub(crate) fn line(item: Item) -> String {
    json!({ "Item": object(item_to(item)) }).to_string()
}

/// One line of a data file of an incremental export, without its end.
pub(crate) fn change(change: Change) -> String {
    let micros = change.at.saturating_mul(1000).to_string();
    let mut line = json!({
        "Metadata": { "WriteTimestampMicros": { "N": micros } },
        "Keys": object(item_to(change.keys)),
    });
    let images = [("OldImage", change.old), ("NewImage", change.new)];
    for (name, image) in images {
        if let Some(image) = image {
            line[name] = object(item_to(image));
        }
    }
    line.to_string()
}

fn object(wire: BTreeMap<String, Wire>) -> Json {
    let members = wire.into_iter().map(|(name, value)| (name, told(value)));
    Json::Object(members.collect())
}

fn told(value: Wire) -> Json {
    let text = |bytes: Bytes| STANDARD.encode(bytes);
    match value {
        Wire::Unset => Json::Null,
        Wire::S(text) => json!({ "S": text }),
        Wire::N(number) => json!({ "N": number }),
        Wire::B(bytes) => json!({ "B": text(bytes) }),
        Wire::SS(set) => json!({ "SS": set }),
        Wire::NS(set) => json!({ "NS": set }),
        Wire::BS(set) => json!({ "BS": set.into_iter().map(text).collect::<Vec<_>>() }),
        Wire::M(map) => json!({ "M": object(map) }),
        Wire::L(list) => json!({ "L": list.into_iter().map(told).collect::<Vec<_>>() }),
        Wire::NULL(is) => json!({ "NULL": is }),
        Wire::BOOL(value) => json!({ "BOOL": value }),
    }
}

/// The item in a line; `None` where there is none, or not one that a table could hold.
pub(crate) fn item(line: &[u8]) -> Option<Item> {
    // The parser bounds how deep values nest.
    let line: Json = serde_json::from_slice(line).ok()?;
    let item = line.as_object()?.get("Item")?.as_object()?;
    item_from(members(item)?).ok()
}

fn members(map: &Map<String, Json>) -> Option<BTreeMap<String, Wire>> {
    map.iter()
        .map(|(name, value)| Some((name.clone(), value_in(value)?)))
        .collect()
}

fn value_in(value: &Json) -> Option<Wire> {
    let (kind, value) = match value.as_object()?.iter().collect::<Vec<_>>()[..] {
        [one] => one,
        _ => return None,
    };
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let bytes = |value: &Json| Some(Bytes::from(STANDARD.decode(value.as_str()?).ok()?));
    Some(match kind.as_str() {
        "S" => Wire::S(text(value)?),
        "N" => Wire::N(text(value)?),
        "B" => Wire::B(bytes(value)?),
        "SS" => Wire::SS(value.as_array()?.iter().map(text).collect::<Option<_>>()?),
        "NS" => Wire::NS(value.as_array()?.iter().map(text).collect::<Option<_>>()?),
        "BS" => Wire::BS(value.as_array()?.iter().map(bytes).collect::<Option<_>>()?),
        "M" => Wire::M(members(value.as_object()?)?),
        "L" => Wire::L(
            value
                .as_array()?
                .iter()
                .map(value_in)
                .collect::<Option<_>>()?,
        ),
        "NULL" => Wire::NULL(value.as_bool()?),
        "BOOL" => Wire::BOOL(value.as_bool()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<String>().prop_map(Value::S),
            any::<i64>().prop_map(|n| Value::N(n.to_string().parse().expect("a number"))),
            any::<Vec<u8>>().prop_map(|b| Value::B(b.into())),
            prop::collection::btree_set(any::<String>(), 1..4).prop_map(Value::Strings),
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::L),
                prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(Value::M),
            ]
        })
    }

    #[test]
    fn a_change_has_the_images_that_there_are() {
        let item = |name: &str| Item::from([(name.to_owned(), Value::S("x".to_owned()))]);
        let line = |old, new| {
            change(Change {
                keys: item("k"),
                at: 1_700_000_000_123,
                old,
                new,
            })
        };
        let begin = r#"{"Metadata":{"WriteTimestampMicros":{"N":"1700000000123000"}},"Keys":{"k":{"S":"x"}}"#;
        assert_eq!(line(None, None), format!("{begin}}}"));
        assert_eq!(
            line(Some(item("o")), Some(item("n"))),
            format!(r#"{begin},"OldImage":{{"o":{{"S":"x"}}}},"NewImage":{{"n":{{"S":"x"}}}}}}"#)
        );
    }

    proptest! {
        #[test]
        fn items_come_back(found in prop::collection::btree_map("[a-z]{1,8}", any_value(), 0..5)) {
            prop_assert_eq!(item(line(found.clone()).as_bytes()), Some(found));
        }

        #[test]
        fn noise_is_no_item(noise in any::<Vec<u8>>()) {
            prop_assert_eq!(item(&noise), None);
        }
    }
}
