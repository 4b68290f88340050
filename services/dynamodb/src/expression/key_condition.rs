//! Key conditions: one partition, and a range of its sort keys.

use super::ast::{Comparator, Condition, Operand};
use crate::errors::{Refusal, Result};
use crate::value::Value;

/// The names of an index's (or table's) key attributes and their types.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys<'a> {
    pub(crate) partition: (&'a str, &'a str),
    pub(crate) sort: Option<(&'a str, &'a str)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Range {
    All,
    Compare(Comparator, Value),
    Between(Value, Value),
    BeginsWith(Value),
}

/// What a query looks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyCondition {
    pub(crate) partition: Value,
    pub(crate) sort: Range,
}

fn unsupported() -> Refusal {
    Refusal::validation("Query key condition not supported")
}

impl KeyCondition {
    /// `condition` is what a KeyConditionExpression (or KeyConditions) says.
    pub(crate) fn of(condition: Condition, keys: Keys<'_>) -> Result<Self> {
        let mut leaves = Vec::new();
        flatten(condition, &mut leaves)?;
        if leaves.len() > 2 {
            return Err(Refusal::validation(
                "Conditions can be of length 1 or 2 only",
            ));
        }
        let (mut partition, mut sort) = (None, None);
        for leaf in leaves {
            let (name, range) = split(leaf)?;
            let (place, kind) = if name == keys.partition.0 {
                (&mut partition, keys.partition.1)
            } else if let Some((_, kind)) = keys.sort.filter(|(sort, _)| *sort == name) {
                (&mut sort, kind)
            } else {
                let missed = match keys.sort {
                    Some((sort, _)) if partition.is_some() => sort,
                    _ => keys.partition.0,
                };
                return Err(missed_key(missed));
            };
            check_types(&range, kind, &name)?;
            if place.replace(range).is_some() {
                return Err(Refusal::validation(
                    "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key",
                ));
            }
        }
        let partition = match partition {
            Some(Range::Compare(Comparator::Eq, value)) => value,
            Some(_) => return Err(unsupported()),
            None => return Err(missed_key(keys.partition.0)),
        };
        Ok(Self {
            partition,
            sort: sort.unwrap_or(Range::All),
        })
    }
}

fn missed_key(name: &str) -> Refusal {
    Refusal::validation(format!("Query condition missed key schema element: {name}"))
}

fn flatten(condition: Condition, out: &mut Vec<Condition>) -> Result<()> {
    let operator = match condition {
        Condition::And(all) => {
            return all.into_iter().try_for_each(|one| flatten(one, out));
        }
        Condition::Or(_) => "OR",
        Condition::Not(_) => "NOT",
        Condition::In(..) => "IN",
        Condition::Exists(_) => "attribute_exists",
        Condition::NotExists(_) => "attribute_not_exists",
        Condition::Type(..) => "attribute_type",
        Condition::Contains(..) => "contains",
        Condition::Compare(_, Comparator::Ne, _) => "<>",
        leaf => {
            out.push(leaf);
            return Ok(());
        }
    };
    Err(Refusal::validation(format!(
        "Invalid operator used in KeyConditionExpression: {operator}"
    )))
}

fn split(leaf: Condition) -> Result<(String, Range)> {
    let named = |operand: Operand| match operand {
        Operand::Path(path) if path.is_attribute() => Ok(path.attribute),
        Operand::Path(_) => Err(Refusal::validation(
            "Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes",
        )),
        Operand::Size(_) => Err(Refusal::validation(
            "Invalid KeyConditionExpression: KeyConditionExpressions cannot contain nested operations",
        )),
        Operand::Value(_) => Err(unsupported()),
    };
    let given = |operand: Operand| match operand {
        Operand::Value(value) => Ok(value),
        Operand::Path(_) => Err(Refusal::validation(
            "Invalid KeyConditionExpression: KeyConditionExpressions must compare a key attribute with a value",
        )),
        Operand::Size(_) => Err(unsupported()),
    };
    Ok(match leaf {
        Condition::Compare(value @ Operand::Value(_), by, path) => {
            (named(path)?, Range::Compare(by.mirrored(), given(value)?))
        }
        Condition::Compare(path, by, value) => (named(path)?, Range::Compare(by, given(value)?)),
        Condition::Between(path, low, high) => {
            (named(path)?, Range::Between(given(low)?, given(high)?))
        }
        Condition::BeginsWith(path, start) => (named(path)?, Range::BeginsWith(given(start)?)),
        _ => return Err(unsupported()),
    })
}

fn check_types(range: &Range, kind: &str, name: &str) -> Result<()> {
    let values: Vec<&Value> = match range {
        Range::All => vec![],
        Range::Compare(_, value) => vec![value],
        Range::Between(low, high) => vec![low, high],
        Range::BeginsWith(start) => {
            if kind == "N" {
                return Err(Refusal::validation(
                    "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
                ));
            }
            vec![start]
        }
    };
    for value in values {
        if value.kind() != kind {
            return Err(Refusal::parameters(
                "Condition parameter type does not match schema type",
            ));
        }
        let empty = matches!(range, Range::Compare(Comparator::Eq, _)) && value.length() == Some(0);
        if empty {
            let what = if kind == "S" { "string" } else { "binary" };
            return Err(Refusal::validation(format!(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {what} value. Key: {name}"
            )));
        }
    }
    Ok(())
}
