//! The parameters from before expressions, compiled into the same trees.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LegacyConditionalParameters.html>

use std::collections::BTreeMap;

use gureum_model_dynamodb::types as t;

use super::ast::{Action, Comparator, Condition, Operand, Source, Term};
use super::path::Path;
use super::projection::Projection;
use crate::errors::{Refusal, Result};
use crate::value::{Value, value_from};

/// Refuses requests that use parameters of both ages.
pub(crate) fn only_one_age<'n>(
    legacy: impl IntoIterator<Item = &'n (&'n str, bool)>,
    modern: impl IntoIterator<Item = &'n (&'n str, bool)>,
) -> Result<()> {
    let there = |(name, there): &(&'n str, bool)| there.then_some(*name);
    let legacy: Vec<_> = legacy.into_iter().filter_map(there).collect();
    let modern: Vec<_> = modern.into_iter().filter_map(there).collect();
    if legacy.is_empty() || modern.is_empty() {
        return Ok(());
    }
    let (legacy, modern) = (legacy.join(", "), modern.join(", "));
    Err(Refusal::validation(format!(
        "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {{{legacy}}} Expression parameters: {{{modern}}}"
    )))
}

/// `AttributesToGet`.
pub(crate) fn attributes(names: Vec<String>) -> Result<Projection> {
    let mut sorted = names.clone();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Refusal::parameters(&format!(
            "Duplicate value in attribute name: {}",
            pair[0]
        )));
    }
    Ok(Projection::attributes(names))
}

/// `Expected` with its `ConditionalOperator`.
pub(crate) fn expected(
    expected: Option<BTreeMap<String, t::ExpectedAttributeValue>>,
    operator: Option<&str>,
) -> Result<Option<Condition>> {
    let Some(expected) = expected.filter(|map| !map.is_empty()) else {
        return match operator {
            Some(_) => Err(Refusal::validation(
                "One or more parameter values were invalid: ConditionalOperator cannot be used without Filter or Expected",
            )),
            None => Ok(None),
        };
    };
    let one = |(name, wanted)| expectation(name, wanted);
    let all = expected.into_iter().map(one).collect::<Result<Vec<_>>>()?;
    Ok(Some(joined(all, operator)))
}

fn joined(mut all: Vec<Condition>, operator: Option<&str>) -> Condition {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            if operator == Some("OR") {
                Condition::Or(all)
            } else {
                Condition::And(all)
            }
        }
    }
}

fn expectation(name: String, wanted: t::ExpectedAttributeValue) -> Result<Condition> {
    let t::ExpectedAttributeValue {
        value,
        exists,
        comparison_operator,
        attribute_value_list,
    } = wanted;
    if let Some(operator) = comparison_operator {
        if exists.is_some() || value.is_some() && attribute_value_list.is_some() {
            return Err(Refusal::parameters(&format!(
                "Exists or Value cannot be used with ComparisonOperator for Attribute: {name}"
            )));
        }
        let list = attribute_value_list.or_else(|| value.map(|value| vec![value]));
        return condition(name, &operator, list);
    }
    if attribute_value_list.is_some() {
        return Err(Refusal::parameters(&format!(
            "AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}"
        )));
    }
    match (exists, value) {
        (Some(false), None) => Ok(Condition::NotExists(Path::attribute(name))),
        (Some(false), Some(_)) => Err(Refusal::parameters(&format!(
            "Value cannot be used when Exists is set to false for Attribute: {name}"
        ))),
        (_, Some(value)) => {
            let value = Operand::Value(value_from(value)?);
            let path = Operand::Path(Path::attribute(name));
            Ok(Condition::Compare(path, Comparator::Eq, value))
        }
        (Some(true), None) => Err(Refusal::parameters(&format!(
            "Value must be provided when Exists is set to true for Attribute: {name}"
        ))),
        (None, None) => Err(Refusal::parameters(&format!(
            "Value must be provided when Exists is null for Attribute: {name}"
        ))),
    }
}

/// `KeyConditions`, `QueryFilter` and `ScanFilter`.
pub(crate) fn conditions(
    conditions: Option<BTreeMap<String, t::Condition>>,
    operator: Option<&str>,
) -> Result<Option<Condition>> {
    let Some(conditions) = conditions.filter(|map| !map.is_empty()) else {
        return Ok(None);
    };
    let one = |(name, of): (String, t::Condition)| {
        condition(name, &of.comparison_operator, of.attribute_value_list)
    };
    let all = conditions
        .into_iter()
        .map(one)
        .collect::<Result<Vec<_>>>()?;
    Ok(Some(joined(all, operator)))
}

fn condition(
    name: String,
    operator: &str,
    list: Option<Vec<t::AttributeValue>>,
) -> Result<Condition> {
    let values = list.unwrap_or_default().into_iter().map(value_from);
    let mut values = values.collect::<Result<Vec<_>>>()?;
    let count = values.len();
    let fits = match operator {
        "NULL" | "NOT_NULL" => count == 0,
        "BETWEEN" => count == 2,
        "IN" => count >= 1,
        _ => count == 1,
    };
    if !fits {
        return Err(Refusal::parameters(&format!(
            "Invalid number of argument(s) for the {operator} ComparisonOperator"
        )));
    }
    check_arguments(operator, &values)?;
    let path = Path::attribute(name);
    let place = Operand::Path(path.clone());
    let compare = |by, value| Condition::Compare(place.clone(), by, Operand::Value(value));
    // The count was checked, so the fallback is never taken.
    let last = values.pop().unwrap_or(Value::Null);
    Ok(match operator {
        "NULL" => Condition::NotExists(path),
        "NOT_NULL" => Condition::Exists(path),
        "EQ" => compare(Comparator::Eq, last),
        "NE" => compare(Comparator::Ne, last),
        "LT" => compare(Comparator::Lt, last),
        "LE" => compare(Comparator::Le, last),
        "GT" => compare(Comparator::Gt, last),
        "GE" => compare(Comparator::Ge, last),
        "BEGINS_WITH" => Condition::BeginsWith(place, Operand::Value(last)),
        "CONTAINS" => Condition::Contains(place, Operand::Value(last)),
        "NOT_CONTAINS" => {
            let contains = Condition::Contains(place, Operand::Value(last));
            Condition::And(vec![
                Condition::Exists(path),
                Condition::Not(Box::new(contains)),
            ])
        }
        "IN" => {
            values.push(last);
            Condition::In(place, values.into_iter().map(Operand::Value).collect())
        }
        "BETWEEN" => {
            let low = values.pop().unwrap_or(Value::Null);
            check_bounds(&low, &last)?;
            Condition::Between(place, Operand::Value(low), Operand::Value(last))
        }
        other => {
            return Err(Refusal::validation(format!(
                "Unsupported ComparisonOperator: {other}"
            )));
        }
    })
}

fn check_arguments(operator: &str, values: &[Value]) -> Result<()> {
    let allowed: &[&str] = match operator {
        "LT" | "LE" | "GT" | "GE" | "BETWEEN" | "IN" | "CONTAINS" | "NOT_CONTAINS" => {
            &["S", "N", "B"]
        }
        "BEGINS_WITH" => &["S", "B"],
        _ => return Ok(()),
    };
    match values.iter().find(|value| !allowed.contains(&value.kind())) {
        None => Ok(()),
        Some(value) => Err(Refusal::parameters(&format!(
            "ComparisonOperator {operator} is not valid for {} AttributeValue type",
            value.kind()
        ))),
    }
}

fn check_bounds(low: &Value, high: &Value) -> Result<()> {
    match super::condition::compare(low, high) {
        None => Err(Refusal::parameters(
            "AttributeValues inside AttributeValueList must be of same type",
        )),
        Some(std::cmp::Ordering::Greater) => Err(Refusal::validation(
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
        )),
        Some(_) => Ok(()),
    }
}

/// `AttributeUpdates`.
pub(crate) fn updates(updates: BTreeMap<String, t::AttributeValueUpdate>) -> Result<Vec<Action>> {
    updates.into_iter().map(update).collect()
}

fn update((name, update): (String, t::AttributeValueUpdate)) -> Result<Action> {
    let path = Path::attribute(name);
    let action = update.action.as_deref().unwrap_or("PUT");
    let value = update.value.map(value_from).transpose()?;
    Ok(match (action, value) {
        ("PUT", Some(value)) => Action::Set(path, Source::Term(Term::Value(value))),
        ("DELETE", None) => Action::Remove(path),
        ("DELETE", Some(value @ (Value::Strings(_) | Value::Numbers(_) | Value::Binaries(_)))) => {
            Action::Delete(path, value)
        }
        (
            "ADD",
            Some(
                value @ (Value::N(_)
                | Value::L(_)
                | Value::Strings(_)
                | Value::Numbers(_)
                | Value::Binaries(_)),
            ),
        ) => Action::Add(path, value),
        ("ADD" | "DELETE", Some(value)) => {
            return Err(Refusal::parameters(&format!(
                "{action} action is not supported for the type {}",
                value.kind()
            )));
        }
        (_, None) => {
            return Err(Refusal::parameters(
                "Only DELETE action is allowed when no attribute value is specified",
            ));
        }
        (other, _) => return Err(Refusal::validation(format!("Unknown action {other}"))),
    })
}
