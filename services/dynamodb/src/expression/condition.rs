//! Whether a condition holds for an item.

use std::cmp::Ordering;

use super::ast::{Comparator, Condition, Operand};
use crate::value::{Item, Number, Value};

impl Condition {
    /// An item that is not there is one without attributes.
    pub(crate) fn holds(&self, item: &Item) -> bool {
        match self {
            Self::Compare(a, by, b) => {
                let (a, b) = (resolve(a, item), resolve(b, item));
                match (a, b) {
                    (Some(a), Some(b)) => compares(&a, *by, &b),
                    // What isn't there differs from everything.
                    _ => *by == Comparator::Ne,
                }
            }
            Self::Between(value, low, high) => {
                let all = (
                    resolve(value, item),
                    resolve(low, item),
                    resolve(high, item),
                );
                let (Some(value), Some(low), Some(high)) = all else {
                    return false;
                };
                compares(&value, Comparator::Ge, &low) && compares(&value, Comparator::Le, &high)
            }
            Self::In(value, list) => resolve(value, item).is_some_and(|value| {
                list.iter()
                    .any(|other| resolve(other, item).is_some_and(|other| *value == *other))
            }),
            Self::Exists(path) => path.get(item).is_some(),
            Self::NotExists(path) => path.get(item).is_none(),
            Self::Type(path, kind) => path.get(item).is_some_and(|value| value.kind() == kind),
            Self::BeginsWith(value, start) => match (resolve(value, item), resolve(start, item)) {
                (Some(value), Some(start)) => begins_with(&value, &start),
                _ => false,
            },
            Self::Contains(value, part) => match (resolve(value, item), resolve(part, item)) {
                (Some(value), Some(part)) => contains(&value, &part),
                _ => false,
            },
            Self::Not(inner) => !inner.holds(item),
            Self::And(all) => all.iter().all(|one| one.holds(item)),
            Self::Or(all) => all.iter().any(|one| one.holds(item)),
        }
    }
}

/// A value that was in the item or the expression, or was computed.
enum Resolved<'a> {
    Held(&'a Value),
    Made(Value),
}

impl std::ops::Deref for Resolved<'_> {
    type Target = Value;

    fn deref(&self) -> &Value {
        match self {
            Self::Held(value) => value,
            Self::Made(value) => value,
        }
    }
}

fn resolve<'a>(operand: &'a Operand, item: &'a Item) -> Option<Resolved<'a>> {
    match operand {
        Operand::Path(path) => path.get(item).map(Resolved::Held),
        Operand::Value(value) => Some(Resolved::Held(value)),
        Operand::Size(inner) => {
            let length = resolve(inner, item)?.length()?;
            Some(Resolved::Made(Value::N(Number::from_len(length))))
        }
    }
}

/// The order of two scalars of the same type; `None` where there is none.
pub(crate) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::S(a), Value::S(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::N(a), Value::N(b)) => Some(a.cmp(b)),
        (Value::B(a), Value::B(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn compares(a: &Value, by: Comparator, b: &Value) -> bool {
    match by {
        Comparator::Eq => a == b,
        Comparator::Ne => a != b,
        Comparator::Lt => compare(a, b) == Some(Ordering::Less),
        Comparator::Gt => compare(a, b) == Some(Ordering::Greater),
        Comparator::Le => matches!(compare(a, b), Some(Ordering::Less | Ordering::Equal)),
        Comparator::Ge => matches!(compare(a, b), Some(Ordering::Greater | Ordering::Equal)),
    }
}

pub(crate) fn begins_with(value: &Value, start: &Value) -> bool {
    match (value, start) {
        (Value::S(value), Value::S(start)) => value.starts_with(start.as_str()),
        (Value::B(value), Value::B(start)) => value.starts_with(start),
        _ => false,
    }
}

fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::S(value), Value::S(part)) => value.contains(part.as_str()),
        (Value::B(value), Value::B(part)) => {
            part.is_empty()
                || value
                    .windows(part.len())
                    .any(|window| window == part.as_ref())
        }
        (Value::Strings(set), Value::S(part)) => set.contains(part),
        (Value::Numbers(set), Value::N(part)) => set.contains(part),
        (Value::Binaries(set), Value::B(part)) => set.contains(part),
        (Value::L(list), part) => list.contains(part),
        _ => false,
    }
}
