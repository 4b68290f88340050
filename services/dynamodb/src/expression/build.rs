//! Conditions out of their parts, checked. Shared by expressions and by PartiQL; each says in its
//! own way where the message belongs. Pure.

use super::ast::{Comparator, Condition, Operand};
use super::path::Path;
use crate::value::Value;

/// The most operands of one IN.
const MAX_IN: usize = 100;

/// The functions that are conditions.
pub(crate) const PREDICATES: [&str; 5] = [
    "attribute_exists",
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
];

/// What was made, or AWS's sentence about why it cannot be.
type Built<T> = Result<T, String>;

pub(crate) fn compare(a: Operand, by: Comparator, b: Operand) -> Built<Condition> {
    if !matches!(by, Comparator::Eq | Comparator::Ne) {
        for operand in [&a, &b] {
            check_types(by.as_str(), operand, &["S", "N", "B"])?;
        }
    }
    check_distinct(by.as_str(), &a, &b)?;
    Ok(Condition::Compare(a, by, b))
}

pub(crate) fn between(value: Operand, low: Operand, high: Operand) -> Built<Condition> {
    for operand in [&low, &high] {
        check_types("BETWEEN", operand, &["S", "N", "B"])?;
    }
    if let (Operand::Value(low), Operand::Value(high)) = (&low, &high) {
        let told = format!(
            "lower bound operand: AttributeValue: {low}, upper bound operand: AttributeValue: {high}"
        );
        match super::condition::compare(low, high) {
            None => {
                return Err(format!(
                    "The BETWEEN operator requires same data type for lower and upper bounds; {told}"
                ));
            }
            Some(std::cmp::Ordering::Greater) => {
                return Err(format!(
                    "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; {told}"
                ));
            }
            Some(_) => {}
        }
    }
    Ok(Condition::Between(value, low, high))
}

pub(crate) fn one_of(value: Operand, list: Vec<Operand>) -> Built<Condition> {
    if list.len() > MAX_IN {
        return Err(format!(
            "The IN operator is provided with too many operands; number of operands: {}",
            list.len()
        ));
    }
    Ok(Condition::In(value, list))
}

pub(crate) fn size(inner: Operand) -> Built<Operand> {
    match &inner {
        Operand::Value(value) if value.length().is_none() => Err(wrong_type("size", value.kind())),
        Operand::Size(_) => Err(not_this_way("size")),
        _ => Ok(Operand::Size(Box::new(inner))),
    }
}

/// A call of one of [`PREDICATES`].
pub(crate) fn call(name: &str, operands: Vec<Operand>) -> Built<Condition> {
    let expected = if name.ends_with("exists") { 1 } else { 2 };
    if operands.len() != expected {
        return Err(operand_count(name, operands.len()));
    }
    let mut operands = operands.into_iter();
    let first = operands.next();
    Ok(match (name, first, operands.next()) {
        ("attribute_exists", Some(path), _) => Condition::Exists(must_be_path(name, path)?),
        ("attribute_not_exists", Some(path), _) => Condition::NotExists(must_be_path(name, path)?),
        ("attribute_type", Some(path), Some(of)) => {
            Condition::Type(must_be_path(name, path)?, type_name(of)?)
        }
        ("begins_with", Some(value), Some(start)) => {
            for operand in [&value, &start] {
                check_types(name, operand, &["S", "B"])?;
            }
            check_distinct(name, &value, &start)?;
            Condition::BeginsWith(value, start)
        }
        ("contains", Some(value), Some(part)) => {
            check_distinct(name, &value, &part)?;
            Condition::Contains(value, part)
        }
        _ => return Err(format!("Invalid function name; function: {name}")),
    })
}

pub(crate) fn not_this_way(function: &str) -> String {
    format!(
        "The function is not allowed to be used this way in an expression; function: {function}"
    )
}

pub(crate) fn operand_count(function: &str, count: usize) -> String {
    format!(
        "Incorrect number of operands for operator or function; operator or function: {function}, number of operands: {count}"
    )
}

pub(crate) fn wrong_type(operator: &str, kind: &str) -> String {
    format!(
        "Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}"
    )
}

fn must_be_path(function: &str, operand: Operand) -> Built<Path> {
    match operand {
        Operand::Path(path) => Ok(path),
        _ => Err(format!(
            "Operator or function requires a document path; operator or function: {function}"
        )),
    }
}

fn type_name(operand: Operand) -> Built<String> {
    const TYPES: [&str; 10] = ["B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M"];
    match operand {
        Operand::Value(Value::S(name)) if TYPES.contains(&name.as_str()) => Ok(name),
        Operand::Value(Value::S(name)) => Err(format!(
            "Invalid attribute type name found; type: {name}, valid types: {{{}}}",
            TYPES.join(",")
        )),
        Operand::Value(other) => Err(wrong_type("attribute_type", other.kind())),
        _ => Err(wrong_type("attribute_type", "{path}")),
    }
}

fn check_types(operator: &str, operand: &Operand, kinds: &[&str]) -> Built<()> {
    let kind = match operand {
        Operand::Value(value) => value.kind(),
        Operand::Size(_) => "N",
        Operand::Path(_) => return Ok(()),
    };
    if kinds.contains(&kind) {
        Ok(())
    } else {
        Err(wrong_type(operator, kind))
    }
}

fn check_distinct(operator: &str, a: &Operand, b: &Operand) -> Built<()> {
    if let (Operand::Path(a), Operand::Path(b)) = (a, b)
        && a == b
    {
        return Err(format!(
            "The first operand must be distinct from the remaining operands for this operator or function; operator: {operator}, first operand: {a}"
        ));
    }
    Ok(())
}
