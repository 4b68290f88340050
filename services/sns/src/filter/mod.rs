//! Filter policies: which messages a subscription wants. Pure; compiled once, asked often.
//!
//! A policy is a JSON object: every key must be satisfied, and of a key's list any rule will do. It
//! is asked about an object that is either the message's body or made of its attributes
//! ([`facts`]), so that both scopes share one evaluation.
//!
//! Source: <https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html>

mod parse;
mod rule;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use rule::Rule;

/// What a policy looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    #[default]
    Attributes,
    Body,
}

/// A compiled policy.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    scope: Scope,
    clause: Clause,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default)]
struct Clause {
    fields: Vec<(String, Field)>,
    /// Of each group at least one.
    either: Vec<Vec<Clause>>,
}

#[derive(Clone, Debug)]
enum Field {
    /// Any of these.
    Rules(Vec<Rule>),
    Nested(Clause),
}

impl Filter {
    /// Compiles a policy; the error is AWS's sentence, without what names the parameter.
    pub(crate) fn parse(text: &str, scope: Scope) -> Result<Self, String> {
        let clause = parse::policy(text, scope)?;
        Ok(Self { scope, clause })
    }

    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether a message of which these are the facts (or the body) is wanted.
    pub(crate) fn admits(&self, facts: &Map<String, Value>) -> bool {
        self.clause.holds(facts)
    }
}

impl Clause {
    fn holds(&self, facts: &Map<String, Value>) -> bool {
        let field = |(key, field): &(String, Field)| field.holds(facts.get(key));
        self.fields.iter().all(field)
            && self
                .either
                .iter()
                .all(|group| group.iter().any(|clause| clause.holds(facts)))
    }
}

impl Field {
    fn holds(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Rules(rules) => rules.iter().any(|rule| match value {
                // Rules are about leaves: an object is not one.
                None | Some(Value::Object(_)) => rule.admits_absence(),
                Some(value) => leaves(value, &|leaf| rule.admits(leaf)),
            }),
            Self::Nested(clause) => match value {
                Some(value) => objects(value, &|object| clause.holds(object)),
                None => clause.holds(&Map::new()),
            },
        }
    }
}

/// Whether some leaf passes: the value itself, or an element of the list that it is.
fn leaves(value: &Value, passes: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(|element| leaves(element, passes)),
        Value::Object(_) => false,
        leaf => passes(leaf),
    }
}

/// Whether some object passes: the value itself, or an element of the list that it is.
fn objects(value: &Value, passes: &dyn Fn(&Map<String, Value>) -> bool) -> bool {
    match value {
        Value::Object(object) => passes(object),
        Value::Array(elements) => elements.iter().any(|element| objects(element, passes)),
        _ => false,
    }
}

/// What filters see of one attribute: its type, and its text. Binary attributes are not seen.
pub(crate) fn fact(data_type: &str, text: &str) -> Option<Value> {
    match data_type {
        "Number" => text.parse::<f64>().ok().map(Value::from),
        "String.Array" => serde_json::from_str(text)
            .ok()
            .filter(|value: &Value| value.is_array()),
        _ => Some(Value::from(text)),
    }
}
