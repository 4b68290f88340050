//! What `#names` and `:values` stand for, and whether each is used.

use std::collections::{BTreeMap, BTreeSet};

use gureum_model_dynamodb::types::AttributeValue as Wire;

use crate::errors::{Refusal, Result};
use crate::value::{Value, value_from};

/// The substitutions of one request (or one action of a transaction).
#[derive(Debug, Default)]
pub(crate) struct Scope {
    names: BTreeMap<String, String>,
    values: BTreeMap<String, Value>,
    used_names: BTreeSet<String>,
    used_values: BTreeSet<String>,
}

/// The most bytes that all names and values may have together.
const MAX_SUBSTITUTIONS: usize = 2 << 20;

impl Scope {
    /// `expressions` names the request's parameters that are expressions, with whether each is
    /// there: substitutions without any expression are refused.
    pub(crate) fn new(
        names: Option<BTreeMap<String, String>>,
        values: Option<BTreeMap<String, Wire>>,
        expressions: &[(&str, bool)],
    ) -> Result<Self> {
        let none = !expressions.iter().any(|(_, there)| *there);
        let absent = || {
            let names: Vec<_> = expressions.iter().map(|(name, _)| *name).collect();
            let (is, names) = (
                if names.len() > 1 { "are" } else { "is" },
                names.join(" and "),
            );
            format!("can only be specified when using expressions: {names} {is} null")
        };
        if let Some(names) = &names {
            if none {
                return Err(Refusal::validation(
                    "ExpressionAttributeNames can only be specified when using expressions",
                ));
            }
            check_keys("ExpressionAttributeNames", names.keys(), '#')?;
        }
        if let Some(values) = &values {
            if none {
                return Err(Refusal::validation(format!(
                    "ExpressionAttributeValues {}",
                    absent()
                )));
            }
            check_keys("ExpressionAttributeValues", values.keys(), ':')?;
        }
        let values = checked(values.unwrap_or_default())?;
        let names = names.unwrap_or_default();
        let size: usize = names.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>()
            + values
                .iter()
                .map(|(k, v)| k.len() + v.size())
                .sum::<usize>();
        if size > MAX_SUBSTITUTIONS {
            return Err(Refusal::validation(
                "ExpressionAttributeNames and ExpressionAttributeValues exceed the maximum size of 2 MB",
            ));
        }
        Ok(Self {
            names,
            values,
            ..Self::default()
        })
    }

    pub(super) fn name(&mut self, key: &str) -> Option<String> {
        let name = self.names.get(key)?;
        self.used_names.insert(key.to_owned());
        Some(name.clone())
    }

    pub(super) fn value(&mut self, key: &str) -> Option<Value> {
        let value = self.values.get(key)?;
        self.used_values.insert(key.to_owned());
        Some(value.clone())
    }

    /// After all expressions have been read: everything must have been used.
    pub(crate) fn finish(self) -> Result<()> {
        let unused = |keys: Vec<&String>, what: &str| {
            let keys: Vec<_> = keys.into_iter().map(String::as_str).collect();
            Err(Refusal::validation(format!(
                "Value provided in {what} unused in expressions: keys: {{{}}}",
                keys.join(", ")
            )))
        };
        let names: Vec<_> = self
            .names
            .keys()
            .filter(|k| !self.used_names.contains(*k))
            .collect();
        if !names.is_empty() {
            return unused(names, "ExpressionAttributeNames");
        }
        let values: Vec<_> = self
            .values
            .keys()
            .filter(|k| !self.used_values.contains(*k))
            .collect();
        if !values.is_empty() {
            return unused(values, "ExpressionAttributeValues");
        }
        Ok(())
    }
}

fn check_keys<'a>(
    what: &str,
    keys: impl ExactSizeIterator<Item = &'a String>,
    sigil: char,
) -> Result<()> {
    if keys.len() == 0 {
        return Err(Refusal::validation(format!("{what} must not be empty")));
    }
    for key in keys {
        let rest = key.strip_prefix(sigil).unwrap_or_default();
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if rest.is_empty() || !rest.chars().all(good) {
            return Err(Refusal::validation(format!(
                "{what} contains invalid key: Syntax error; key: \"{key}\""
            )));
        }
    }
    Ok(())
}

fn checked(values: BTreeMap<String, Wire>) -> Result<BTreeMap<String, Value>> {
    let check = |(key, value): (String, Wire)| match value_from(value) {
        Ok(value) => Ok((key, value)),
        Err(Refusal::Validation(message)) => Err(Refusal::validation(format!(
            "ExpressionAttributeValues contains invalid value: {message} for key {key}"
        ))),
        Err(other) => Err(other),
    };
    values.into_iter().map(check).collect()
}
