//! Condition operators: what a `Condition` block may ask of the request context.
//!
//! Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Multivalued
//! context keys".

use base64::Engine as _;

use crate::context::Context;
use crate::glob::{self, Case};
use crate::value::{Network, parse_date, parse_number};
use crate::variable::{Match, Text, Wildcards};

/// One operator applied to one key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    quantifier: Quantifier,
    if_exists: bool,
    negated: bool,
    test: Test,
    /// The key in lower case.
    key: Box<str>,
    written_key: Box<str>,
    written_values: Box<[String]>,
}

/// How the values in the request count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    /// No prefix: some value matches; for a negated operator, no value matches.
    One,
    /// `ForAnyValue:`: some value fulfils the operator; none does if there is no value.
    Any,
    /// `ForAllValues:`: no value fails the operator; so it holds if there is no value.
    All,
}

/// The comparison without its negation, and the values to compare with.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Text(Case, Vec<Text>),
    Arn(Vec<Text>),
    Number(Order, Vec<f64>),
    Date(Order, Vec<i128>),
    Bool(Vec<bool>),
    Binary(Vec<Vec<u8>>),
    Ip(Vec<Network>),
    /// Whether the key should be absent.
    Null(Vec<bool>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// An operator's name taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operator {
    quantifier: Quantifier,
    if_exists: bool,
    negated: bool,
    family: Family,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Text(Case, Wildcards),
    Arn,
    Number(Order),
    Date(Order),
    Bool,
    Binary,
    Ip,
    Null,
}

impl Operator {
    /// Reads a name such as `ForAllValues:StringNotLikeIfExists`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (quantifier, name) = if let Some(rest) = name.strip_prefix("ForAnyValue:") {
            (Quantifier::Any, rest)
        } else if let Some(rest) = name.strip_prefix("ForAllValues:") {
            (Quantifier::All, rest)
        } else {
            (Quantifier::One, name)
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(rest) => (rest, true),
            None => (name, false),
        };
        let (family, negated) = family(name)?;
        if family == Family::Null && if_exists {
            return None;
        }
        Some(Self {
            quantifier,
            if_exists,
            negated,
            family,
        })
    }

    /// Applies this operator to a key and the values written in the policy; `None` if a value is
    /// not of the operator's type.
    pub(crate) fn compile(
        self,
        key: &str,
        values: &[String],
        variables: bool,
    ) -> Option<Condition> {
        let texts = |wildcards| {
            values
                .iter()
                .map(|v| Text::compile(v, wildcards, variables))
                .collect::<Vec<_>>()
        };
        let test = match self.family {
            Family::Text(case, wildcards) => Test::Text(case, texts(wildcards)),
            Family::Arn => Test::Arn(texts(Wildcards::Honoured)),
            Family::Number(order) => Test::Number(order, all(values, parse_number)?),
            Family::Date(order) => Test::Date(order, all(values, parse_date)?),
            Family::Bool => Test::Bool(all(values, parse_bool)?),
            Family::Binary => Test::Binary(all(values, parse_binary)?),
            Family::Ip => Test::Ip(all(values, Network::parse)?),
            Family::Null => Test::Null(all(values, parse_bool)?),
        };
        Some(Condition {
            quantifier: self.quantifier,
            if_exists: self.if_exists,
            negated: self.negated,
            test,
            key: key.to_ascii_lowercase().into(),
            written_key: key.into(),
            written_values: values.into(),
        })
    }
}

fn all<T>(values: &[String], parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    values.iter().map(|value| parse(value)).collect()
}

/// The family of an operator's bare name, and whether the name negates it.
fn family(name: &str) -> Option<(Family, bool)> {
    use Wildcards::{Honoured, Literal};
    Some(match name {
        "StringEquals" => (Family::Text(Case::Sensitive, Literal), false),
        "StringNotEquals" => (Family::Text(Case::Sensitive, Literal), true),
        "StringEqualsIgnoreCase" => (Family::Text(Case::Fold, Literal), false),
        "StringNotEqualsIgnoreCase" => (Family::Text(Case::Fold, Literal), true),
        "StringLike" => (Family::Text(Case::Sensitive, Honoured), false),
        "StringNotLike" => (Family::Text(Case::Sensitive, Honoured), true),
        "ArnEquals" | "ArnLike" => (Family::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Family::Arn, true),
        "Bool" => (Family::Bool, false),
        "BinaryEquals" => (Family::Binary, false),
        "IpAddress" => (Family::Ip, false),
        "NotIpAddress" => (Family::Ip, true),
        "Null" => (Family::Null, false),
        _ => {
            let (make, order): (fn(Order) -> Family, &str) =
                if let Some(order) = name.strip_prefix("Numeric") {
                    (Family::Number, order)
                } else {
                    (Family::Date, name.strip_prefix("Date")?)
                };
            let (order, negated) = match order {
                "Equals" => (Order::Equal, false),
                "NotEquals" => (Order::Equal, true),
                "LessThan" => (Order::Less, false),
                "LessThanEquals" => (Order::LessOrEqual, false),
                "GreaterThan" => (Order::Greater, false),
                "GreaterThanEquals" => (Order::GreaterOrEqual, false),
                _ => return None,
            };
            (make(order), negated)
        }
    })
}

impl Condition {
    /// Whether the request fulfils this condition.
    pub(crate) fn holds(&self, context: &Context) -> bool {
        let values = context.get(&self.key);
        if let Test::Null(expected) = &self.test {
            return expected.contains(&values.is_none());
        }
        let Some(values) = values else {
            return self.if_exists
                || match self.quantifier {
                    Quantifier::One => self.negated,
                    Quantifier::Any => false,
                    Quantifier::All => true,
                };
        };
        let fulfils = |value: &String| match self.test.matches(value, context) {
            Match::Yes => !self.negated,
            Match::No => self.negated,
            Match::Unresolved => false,
        };
        match self.quantifier {
            Quantifier::Any => values.iter().any(fulfils),
            Quantifier::All => values.iter().all(fulfils),
            Quantifier::One if self.negated => values.iter().all(fulfils),
            Quantifier::One => values.iter().any(fulfils),
        }
    }

    /// The key as written in the policy.
    pub(crate) fn written_key(&self) -> &str {
        &self.written_key
    }

    /// The values as written in the policy.
    pub(crate) fn written_values(&self) -> &[String] {
        &self.written_values
    }

    /// The context keys that variables in the values refer to, as written.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.texts().iter().flat_map(Text::variables)
    }

    /// Whether this condition cannot hold unless the key is present and equals one of a closed
    /// list of values: no wildcard, no variable, no way around by leaving the key out.
    pub(crate) fn pins(&self, key: &str) -> Option<&[Text]> {
        let closed = !self.negated && !self.if_exists && self.quantifier != Quantifier::All;
        let texts = self.texts();
        (closed && &*self.key == key && !texts.is_empty()).then_some(texts)
    }

    /// The networks this condition confines the key to, if it does so.
    pub(crate) fn confines(&self, key: &str) -> Option<&[Network]> {
        let closed = !self.negated && !self.if_exists && self.quantifier != Quantifier::All;
        match &self.test {
            Test::Ip(networks) if closed && &*self.key == key => Some(networks),
            _ => None,
        }
    }

    fn texts(&self) -> &[Text] {
        match &self.test {
            Test::Text(_, texts) | Test::Arn(texts) => texts,
            _ => &[],
        }
    }
}

impl Test {
    /// Whether a value of the request matches one of the policy's values.
    fn matches(&self, value: &str, context: &Context) -> Match {
        let found = match self {
            Self::Text(case, texts) => {
                return any(texts, |text| text.matches(value, *case, context));
            }
            Self::Arn(texts) => return any(texts, |text| arn_matches(text, value, context)),
            Self::Number(order, wanted) => {
                parse_number(value).is_some_and(|v| wanted.iter().any(|w| order.holds(&v, w)))
            }
            Self::Date(order, wanted) => {
                parse_date(value).is_some_and(|v| wanted.iter().any(|w| order.holds(&v, w)))
            }
            Self::Bool(wanted) => parse_bool(value).is_some_and(|v| wanted.contains(&v)),
            Self::Binary(wanted) => parse_binary(value).is_some_and(|v| wanted.contains(&v)),
            Self::Ip(wanted) => value
                .parse()
                .is_ok_and(|address| wanted.iter().any(|net| net.contains(address))),
            Self::Null(_) => false,
        };
        if found { Match::Yes } else { Match::No }
    }
}

fn any(texts: &[Text], compare: impl Fn(&Text) -> Match) -> Match {
    let mut outcome = Match::No;
    for text in texts {
        match compare(text) {
            Match::Yes => return Match::Yes,
            Match::Unresolved => outcome = Match::Unresolved,
            Match::No => {}
        }
    }
    outcome
}

/// ARNs are compared part by part, so that a wildcard never reaches across one of the first five
/// colons.
fn arn_matches(text: &Text, value: &str, context: &Context) -> Match {
    text.with_glob(context, |pattern| {
        let mut wanted = pattern.splitn(6, |&byte| byte == b':');
        let mut have = value.as_bytes().splitn(6, |&byte| byte == b':');
        // The lone `*` means any ARN at all.
        pattern == [glob::RUN]
            || (0..6).all(|_| match (wanted.next(), have.next()) {
                (Some(wanted), Some(have)) => glob::matches(wanted, have, Case::Sensitive),
                _ => false,
            })
    })
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn parse_binary(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests;
