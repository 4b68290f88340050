//! From a policy's text to its clauses: the grammar, its limits, and AWS's words for what is wrong.

use serde_json::{Map, Value};

use super::rule::{Cidr, Range, Rule, Wildcard};
use super::{Clause, Field, Scope};

/// A policy's text, in bytes.
const MAX_TEXT: usize = 256 << 10;
const MAX_KEYS: usize = 5;
/// The product of the lengths of all lists, each times how deep it is nested.
const MAX_COMBINATIONS: u64 = 150;
const MAX_NUMBER: f64 = 1e9;

/// The names of rules. A key of an `$or` object that is one of them makes `$or` a plain key.
const KEYWORDS: [&str; 8] = [
    "anything-but",
    "cidr",
    "equals-ignore-case",
    "exists",
    "numeric",
    "prefix",
    "suffix",
    "wildcard",
];

type Result<T> = std::result::Result<T, String>;

pub(super) fn policy(text: &str, scope: Scope) -> Result<Clause> {
    if text.len() > MAX_TEXT {
        return Err("Filter policy is too long".into());
    }
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Err("failed to parse JSON.".into());
    };
    let mut parser = Parser { scope, keys: 0 };
    let (clause, combinations) = parser.clause(&object, 1)?;
    if parser.keys > MAX_KEYS {
        return Err(format!(
            "Filter policy can not have more than {MAX_KEYS} keys"
        ));
    }
    if combinations > MAX_COMBINATIONS {
        return Err("Filter policy is too complex".into());
    }
    Ok(clause)
}

struct Parser {
    scope: Scope,
    /// Keys with lists, so far.
    keys: usize,
}

impl Parser {
    /// A clause, and how many combinations of values it stands for.
    fn clause(&mut self, object: &Map<String, Value>, depth: u64) -> Result<(Clause, u64)> {
        let mut clause = Clause::default();
        let mut combinations = 1_u64;
        for (key, value) in object {
            let count = match (key.as_str(), alternatives(key, value), value) {
                (_, Some(alternatives), _) => {
                    let mut group = Vec::new();
                    let mut sum = 0_u64;
                    for alternative in alternatives {
                        let (clause, count) = self.clause(alternative, depth)?;
                        sum = sum.saturating_add(count);
                        group.push(clause);
                    }
                    clause.either.push(group);
                    sum
                }
                (_, _, Value::Object(_)) if self.scope == Scope::Attributes => {
                    return Err(
                        "Filter policy scope MessageAttributes does not support nested filter policy"
                            .into(),
                    );
                }
                (_, _, Value::Object(nested)) => {
                    if nested.is_empty() {
                        return Err("Empty objects are not allowed".into());
                    }
                    let (nested, count) = self.clause(nested, depth + 1)?;
                    clause.fields.push((key.clone(), Field::Nested(nested)));
                    count
                }
                (_, _, Value::Array(list)) => {
                    self.keys += 1;
                    if list.is_empty() {
                        return Err("Empty arrays are not allowed".into());
                    }
                    let rules = list.iter().map(rule).collect::<Result<_>>()?;
                    clause.fields.push((key.clone(), Field::Rules(rules)));
                    (list.len() as u64).saturating_mul(depth)
                }
                (key, _, _) => return Err(format!("\"{key}\" must be an object or an array")),
            };
            combinations = combinations.saturating_mul(count);
        }
        Ok((clause, combinations))
    }
}

/// The alternatives of an `$or`, where it is one: a list of two or more objects that are no rules.
fn alternatives<'v>(key: &str, value: &'v Value) -> Option<Vec<&'v Map<String, Value>>> {
    let list = value.as_array().filter(|_| key == "$or")?;
    let objects: Option<Vec<_>> = list.iter().map(Value::as_object).collect();
    let is_rule =
        |object: &&Map<String, Value>| object.keys().any(|key| KEYWORDS.contains(&key.as_str()));
    objects.filter(|objects| objects.len() >= 2 && !objects.iter().any(is_rule))
}

fn rule(value: &Value) -> Result<Rule> {
    match value {
        Value::String(text) => Ok(Rule::Text(text.clone())),
        Value::Number(_) => Ok(Rule::Number(number(value, "Match value")?)),
        Value::Bool(_) | Value::Null => Ok(Rule::Keyword(value.clone())),
        Value::Object(object) => {
            let mut entries = object.iter();
            match (entries.next(), entries.next()) {
                (Some((keyword, value)), None) => keyword_rule(keyword, value),
                _ => Err("Only one key allowed in match expression".into()),
            }
        }
        Value::Array(_) => Err("Match value must be String, number, true, false, or null".into()),
    }
}

fn keyword_rule(keyword: &str, value: &Value) -> Result<Rule> {
    match keyword {
        "exists" => match value {
            Value::Bool(wanted) => Ok(Rule::Exists(*wanted)),
            _ => Err("exists match pattern must be either true or false.".into()),
        },
        "numeric" => range(value).map(Rule::Numeric),
        "anything-but" => anything_but(value).map(Rule::AnythingBut),
        _ => text_rule(keyword, value),
    }
}

/// The rules that take one text, which may also stand within `anything-but`.
fn text_rule(keyword: &str, value: &Value) -> Result<Rule> {
    if !KEYWORDS.contains(&keyword) {
        return Err(format!("Unrecognized match type {keyword}"));
    }
    let Value::String(text) = value else {
        return Err(format!("{keyword} match pattern must be a string"));
    };
    match keyword {
        "prefix" | "suffix" | "wildcard" if text.is_empty() => {
            Err(format!("{keyword} match pattern must not be empty"))
        }
        "prefix" => Ok(Rule::Prefix(text.clone())),
        "suffix" => Ok(Rule::Suffix(text.clone())),
        "wildcard" => Wildcard::parse(text).map(Rule::Wildcard),
        "equals-ignore-case" => Ok(Rule::IgnoreCase(text.to_lowercase())),
        "cidr" => Cidr::parse(text)
            .map(Rule::Cidr)
            .ok_or_else(|| "Malformed CIDR, one '/' required".into()),
        other => Err(format!("{other} is not allowed here")),
    }
}

fn anything_but(value: &Value) -> Result<Vec<Rule>> {
    let plain = |value: &Value| match value {
        Value::String(_) | Value::Number(_) => rule(value),
        _ => Err("Inside anything-but list, number|start|null|boolean is not supported.".into()),
    };
    match value {
        Value::Array(list) if list.is_empty() => Err("Empty arrays are not allowed".into()),
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Object(object) => {
            let mut entries = object.iter();
            let (Some((keyword, value)), None) = (entries.next(), entries.next()) else {
                return Err("Only one key allowed in match expression".into());
            };
            match value {
                Value::Array(list) if list.is_empty() => Err("Empty arrays are not allowed".into()),
                Value::Array(list) => list.iter().map(|one| text_rule(keyword, one)).collect(),
                one => Ok(vec![text_rule(keyword, one)?]),
            }
        }
        one => Ok(vec![plain(one)?]),
    }
}

/// `["=", n]`, `["<", n]`, `[">=", low, "<", high]`, …
fn range(value: &Value) -> Result<Range> {
    let Value::Array(list) = value else {
        return Err("Value of numeric must be an array.".into());
    };
    let operator = |at: usize| list.get(at).and_then(Value::as_str);
    let edge = |at: usize, included: bool| {
        let operator = operator(at).unwrap_or_default();
        let value = list.get(at + 1);
        let missing = || format!("Value of {operator} must be numeric");
        let value = value
            .filter(|value| value.is_number())
            .ok_or_else(missing)?;
        Ok::<_, String>(Some((number(value, "Value of numeric")?, included)))
    };
    let Some(first) = operator(0) else {
        return Err("Invalid member in numeric match".into());
    };
    let (mut range, length) = match first {
        "=" => {
            let edge = edge(0, true)?;
            (
                Range {
                    low: edge,
                    high: edge,
                },
                2,
            )
        }
        "<" | "<=" => {
            let high = edge(0, first == "<=")?;
            (Range { low: None, high }, 2)
        }
        ">" | ">=" => {
            let low = edge(0, first == ">=")?;
            (
                Range { low, high: None },
                if list.len() > 2 { 4 } else { 2 },
            )
        }
        other => return Err(format!("Unrecognized numeric range operator: {other}")),
    };
    if length == 4 {
        let second = operator(2).unwrap_or_default();
        if !matches!(second, "<" | "<=") {
            return Err(format!("Bad numeric range operator: {second}"));
        }
        range.high = edge(2, second == "<=")?;
        if range.low.map(|(low, _)| low) >= range.high.map(|(high, _)| high) {
            return Err("Bottom must be less than top".into());
        }
    }
    if list.len() > length {
        return Err("Too many elements in numeric expression".into());
    }
    Ok(range)
}

fn number(value: &Value, what: &str) -> Result<f64> {
    let number = value.as_f64().filter(|number| number.abs() <= MAX_NUMBER);
    number.ok_or_else(|| format!("{what} must be between -1.0E9 and 1.0E9, inclusive"))
}
