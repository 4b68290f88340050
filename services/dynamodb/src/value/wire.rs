//! Between the model's attribute values and ours; everything about a value that can be wrong is
//! found here. Pure.

use std::collections::BTreeSet;

use gureum_model_dynamodb::types::AttributeValue as Wire;

use super::{Item, MAX_NESTING, Number, TOO_DEEP, Value};
use crate::errors::{EMPTY_VALUE, Refusal, Result};

/// An item as a client sends it.
pub(crate) fn item_from(wire: std::collections::BTreeMap<String, Wire>) -> Result<Item> {
    wire.into_iter()
        .map(|(name, value)| Ok((name, value_from(value)?)))
        .collect()
}

pub(crate) fn value_from(wire: Wire) -> Result<Value> {
    nested(wire, 0)
}

fn nested(wire: Wire, depth: usize) -> Result<Value> {
    if depth > MAX_NESTING {
        return Err(Refusal::validation(TOO_DEEP));
    }
    Ok(match wire {
        Wire::Unset => {
            return Err(Refusal::validation(EMPTY_VALUE));
        }
        Wire::S(text) => Value::S(text),
        Wire::N(text) => Value::N(number(&text)?),
        Wire::B(bytes) => Value::B(bytes),
        Wire::SS(items) => {
            if items.is_empty() {
                return Err(empty_set("An string set  may not be empty"));
            }
            let told = || {
                format!(
                    "[{}]",
                    items
                        .iter()
                        .take(100)
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            };
            let set: BTreeSet<String> = items.iter().cloned().collect();
            if set.len() < items.len() {
                return Err(duplicates(&told()));
            }
            Value::Strings(set)
        }
        Wire::NS(items) => {
            if items.is_empty() {
                return Err(empty_set("An number set  may not be empty"));
            }
            let set: BTreeSet<Number> = items.iter().map(|n| number(n)).collect::<Result<_>>()?;
            if set.len() < items.len() {
                return Err(Refusal::validation("Input collection contains duplicates"));
            }
            Value::Numbers(set)
        }
        Wire::BS(items) => {
            if items.is_empty() {
                return Err(empty_set("Binary sets should not be empty"));
            }
            let set: BTreeSet<_> = items.iter().cloned().collect();
            if set.len() < items.len() {
                return Err(duplicates("of binary values"));
            }
            Value::Binaries(set)
        }
        Wire::M(map) => Value::M(
            map.into_iter()
                .map(|(name, value)| Ok((name, nested(value, depth + 1)?)))
                .collect::<Result<_>>()?,
        ),
        Wire::L(list) => Value::L(
            list.into_iter()
                .map(|value| nested(value, depth + 1))
                .collect::<Result<_>>()?,
        ),
        Wire::NULL(true) => Value::Null,
        Wire::NULL(false) => {
            return Err(Refusal::parameters(
                "Null attribute value types must have the value of true",
            ));
        }
        Wire::BOOL(value) => Value::Bool(value),
    })
}

fn number(text: &str) -> Result<Number> {
    text.parse()
        .map_err(|error: super::number::NumberError| Refusal::validation(error.to_string()))
}

fn empty_set(message: &str) -> Refusal {
    Refusal::parameters(message)
}

fn duplicates(told: &str) -> Refusal {
    Refusal::parameters(&format!("Input collection {told} contains duplicates."))
}

/// An item as it is answered.
pub(crate) fn item_to(item: Item) -> std::collections::BTreeMap<String, Wire> {
    item.into_iter()
        .map(|(name, value)| (name, value_to(value)))
        .collect()
}

pub(crate) fn value_to(value: Value) -> Wire {
    match value {
        Value::S(text) => Wire::S(text),
        Value::N(number) => Wire::N(number.to_string()),
        Value::B(bytes) => Wire::B(bytes),
        Value::Strings(set) => Wire::SS(set.into_iter().collect()),
        Value::Numbers(set) => Wire::NS(set.iter().map(Number::to_string).collect()),
        Value::Binaries(set) => Wire::BS(set.into_iter().collect()),
        Value::M(map) => Wire::M(item_to(map)),
        Value::L(list) => Wire::L(list.into_iter().map(value_to).collect()),
        Value::Null => Wire::NULL(true),
        Value::Bool(value) => Wire::BOOL(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_values_are_refused_where_the_limit_is() {
        let nest =
            |levels: usize| (0..levels).fold(Wire::BOOL(true), |inner, _| Wire::L(vec![inner]));
        assert!(value_from(nest(MAX_NESTING)).is_ok());
        assert!(value_from(nest(MAX_NESTING + 1)).is_err());
    }

    #[test]
    fn sets_are_sets() {
        let strings =
            |items: &[&str]| value_from(Wire::SS(items.iter().map(|s| (*s).into()).collect()));
        assert!(strings(&[]).is_err());
        assert!(strings(&["a", "a"]).is_err());
        assert!(strings(&["", "a"]).is_ok());
        assert!(value_from(Wire::NS(vec!["1".into(), "1.0".into()])).is_err());
    }
}
