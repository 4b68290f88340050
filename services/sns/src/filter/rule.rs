//! One rule of a filter policy, and whether a value passes it.

use std::net::IpAddr;

use serde_json::Value;

#[derive(Clone, Debug)]
pub(super) enum Rule {
    Text(String),
    Number(f64),
    /// `true`, `false`, `null`
    Keyword(Value),
    Prefix(String),
    Suffix(String),
    /// In lower case.
    IgnoreCase(String),
    Wildcard(Wildcard),
    Numeric(Range),
    Cidr(Cidr),
    Exists(bool),
    /// Passed by every value that passes none of these.
    AnythingBut(Vec<Rule>),
}

impl Rule {
    /// Whether a key that is not there passes.
    pub(super) fn admits_absence(&self) -> bool {
        matches!(self, Self::Exists(false))
    }

    /// Whether a leaf passes: a text, a number, a keyword.
    pub(super) fn admits(&self, leaf: &Value) -> bool {
        match self {
            Self::Text(text) => leaf == text.as_str(),
            Self::Number(number) => leaf.as_f64() == Some(*number),
            Self::Keyword(keyword) => leaf == keyword,
            Self::Prefix(prefix) => leaf.as_str().is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => leaf.as_str().is_some_and(|text| text.ends_with(suffix)),
            Self::IgnoreCase(wanted) => leaf
                .as_str()
                .is_some_and(|text| text.to_lowercase() == *wanted),
            Self::Wildcard(pattern) => leaf.as_str().is_some_and(|text| pattern.matches(text)),
            Self::Numeric(range) => leaf.as_f64().is_some_and(|number| range.holds(number)),
            Self::Cidr(cidr) => leaf.as_str().is_some_and(|text| cidr.holds(text)),
            Self::Exists(wanted) => *wanted,
            Self::AnythingBut(rules) => !rules.iter().any(|rule| rule.admits(leaf)),
        }
    }
}

/// From and to, each with whether the edge belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) low: Option<(f64, bool)>,
    pub(super) high: Option<(f64, bool)>,
}

impl Range {
    fn holds(&self, number: f64) -> bool {
        let above = |(edge, included)| number > edge || (included && number == edge);
        let below = |(edge, included)| number < edge || (included && number == edge);
        self.low.is_none_or(above) && self.high.is_none_or(below)
    }
}

/// A pattern in which `*` stands for any text; `\*` and `\\` for themselves.
#[derive(Clone, Debug)]
pub(super) struct Wildcard {
    /// The texts between the stars: one more than there are stars.
    parts: Vec<String>,
}

impl Wildcard {
    /// `Err` says what is wrong with the pattern.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let mut parts = vec![String::new()];
        let mut chars = pattern.char_indices();
        let mut after_star = false;
        while let Some((at, c)) = chars.next() {
            let star = c == '*';
            let literal = match c {
                '*' if after_star => {
                    return Err(format!("Consecutive wildcard characters at pos {at}"));
                }
                '*' => {
                    parts.push(String::new());
                    None
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('*' | '\\'))) => Some(escaped),
                    _ => return Err(format!("Invalid escape character at pos {at}")),
                },
                c => Some(c),
            };
            if let (Some(c), Some(part)) = (literal, parts.last_mut()) {
                part.push(c);
            }
            after_star = star;
        }
        Ok(Self { parts })
    }

    fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.parts.split_first() else {
            return text.is_empty();
        };
        let Some((last, middle)) = rest.split_last() else {
            return text == first;
        };
        let Some(mut text) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        // The earliest place of each part leaves the most for those after it.
        for part in middle {
            match text.find(part.as_str()) {
                Some(at) => text = &text[at + part.len()..],
                None => return false,
            }
        }
        text.ends_with(last.as_str())
    }
}

/// A block of IP addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cidr {
    network: u128,
    /// How many of the last bits are free.
    free: u32,
    v4: bool,
}

impl Cidr {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let (network, v4) = number(address.parse().ok()?);
        let bits: u32 = if v4 { 32 } else { 128 };
        let length: u32 = length.parse().ok()?;
        let free = bits.checked_sub(length)?;
        Some(Self { network, free, v4 })
    }

    fn holds(&self, address: &str) -> bool {
        let Ok(address) = address.parse() else {
            return false;
        };
        let (address, v4) = number(address);
        let shift = |bits: u128| bits.checked_shr(self.free).unwrap_or(0);
        v4 == self.v4 && shift(address) == shift(self.network)
    }
}

fn number(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    }
}
