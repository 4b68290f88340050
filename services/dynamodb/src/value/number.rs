//! DynamoDB's numbers: decimals of up to 38 significant digits, exact. Pure.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Significant digits that a number can have.
const PRECISION: usize = 38;
/// Where the first digit may stand: 1E-130 up to 9.99…E+125.
const MAX_MAGNITUDE: i32 = 125;
const MIN_MAGNITUDE: i32 = -130;

/// `±digits × 10^exponent`, without trailing zeros in `digits`; zero is `0 × 10^0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Number {
    negative: bool,
    digits: u128,
    exponent: i32,
}

/// Why a text is not a number, in DynamoDB's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NumberError {
    Malformed(String),
    TooPrecise,
    Overflow,
    Underflow,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) => write!(
                f,
                "The parameter cannot be converted to a numeric value: {text}"
            ),
            Self::TooPrecise => {
                f.write_str("Attempting to store more than 38 significant digits in a Number")
            }
            Self::Overflow => f.write_str(
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            ),
            Self::Underflow => f.write_str(
                "Number underflow. Attempting to store a number with magnitude smaller than supported range",
            ),
        }
    }
}

impl Number {
    pub(crate) const ZERO: Self = Self {
        negative: false,
        digits: 0,
        exponent: 0,
    };

    /// From decimal digits (values, not characters), most significant first.
    fn of(negative: bool, digits: &[u8], exponent: i64) -> Result<Self, NumberError> {
        let start = digits.iter().position(|d| *d != 0);
        let Some(start) = start else {
            return Ok(Self::ZERO);
        };
        let end = digits.iter().rposition(|d| *d != 0).unwrap_or(start) + 1;
        let significant = &digits[start..end];
        if significant.len() > PRECISION {
            return Err(NumberError::TooPrecise);
        }
        let exponent = exponent.saturating_add((digits.len() - end) as i64);
        let magnitude = exponent.saturating_add(significant.len() as i64 - 1);
        if magnitude > i64::from(MAX_MAGNITUDE) {
            return Err(NumberError::Overflow);
        }
        if magnitude < i64::from(MIN_MAGNITUDE) {
            return Err(NumberError::Underflow);
        }
        let value = significant
            .iter()
            .fold(0u128, |sum, digit| sum * 10 + u128::from(*digit));
        Ok(Self {
            negative,
            digits: value,
            // The magnitude is within bounds, so this is.
            exponent: i32::try_from(exponent).unwrap_or_default(),
        })
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits == 0
    }

    /// How many digits there are.
    fn len(&self) -> i32 {
        self.digits.checked_ilog10().map_or(0, |log| log as i32 + 1)
    }

    /// The power of ten of the first digit.
    fn magnitude(&self) -> i32 {
        self.exponent + self.len() - 1
    }

    fn decimal_digits(&self) -> Vec<u8> {
        let text = self.digits.to_string();
        text.bytes().map(|b| b - b'0').collect()
    }

    pub(crate) fn negate(self) -> Self {
        Self {
            negative: !self.negative && !self.is_zero(),
            ..self
        }
    }

    /// The exact sum; an error where it cannot be a number of DynamoDB.
    pub(crate) fn add(self, other: Self) -> Result<Self, NumberError> {
        if self.is_zero() {
            return Ok(other);
        }
        if other.is_zero() {
            return Ok(self);
        }
        let low = self.exponent.min(other.exponent);
        let aligned = |n: Self| {
            let mut digits = n.decimal_digits();
            digits.resize(digits.len() + (n.exponent - low) as usize, 0);
            digits
        };
        let (mut a, mut b) = (aligned(self), aligned(other));
        let width = a.len().max(b.len());
        for digits in [&mut a, &mut b] {
            let pad = width - digits.len();
            digits.splice(0..0, std::iter::repeat_n(0, pad));
        }
        if self.negative == other.negative {
            return Self::of(self.negative, &sum(&a, &b), i64::from(low));
        }
        match a.cmp(&b) {
            Ordering::Equal => Ok(Self::ZERO),
            Ordering::Greater => Self::of(self.negative, &difference(&a, &b), i64::from(low)),
            Ordering::Less => Self::of(other.negative, &difference(&b, &a), i64::from(low)),
        }
    }

    pub(crate) fn subtract(self, other: Self) -> Result<Self, NumberError> {
        self.add(other.negate())
    }

    /// Bytes that it counts for in an item: one for each pair of digits, one for the exponent, one
    /// for a minus.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
    pub(crate) fn size(&self) -> usize {
        if self.is_zero() {
            return 1;
        }
        let pairs = self.magnitude().div_euclid(2) - self.exponent.div_euclid(2) + 1;
        (pairs as usize + 1 + usize::from(self.negative)).min(21)
    }

    /// Appends bytes that compare as the numbers do, the end of the bytes being lowest.
    pub(crate) fn encode_key(&self, out: &mut Vec<u8>) {
        if self.is_zero() {
            out.push(1);
            return;
        }
        // -130..=125 becomes 0..=255.
        let magnitude = (self.magnitude() - MIN_MAGNITUDE) as u8;
        let mut body = vec![magnitude];
        for pair in self.decimal_digits().chunks(2) {
            body.push(pair[0] * 10 + pair.get(1).copied().unwrap_or(0) + 1);
        }
        if self.negative {
            out.push(0);
            out.extend(body.iter().map(|byte| !byte));
            // Fewer digits make a greater negative number.
            out.push(0xff);
        } else {
            out.push(2);
            out.extend(body);
        }
    }

    /// As a whole number, where it is one and not too large: for time to live.
    pub(crate) fn to_i64(self) -> Option<i64> {
        if self.is_zero() {
            return Some(0);
        }
        let text = self.to_string();
        let whole = text
            .split_once('.')
            .map_or(text.as_str(), |(whole, _)| whole);
        whole.parse().ok()
    }

    pub(crate) fn from_len(len: usize) -> Self {
        // Lengths are far below the precision.
        Self::of(false, &digits_of(len), 0).unwrap_or(Self::ZERO)
    }
}

fn digits_of(number: usize) -> Vec<u8> {
    number.to_string().bytes().map(|b| b - b'0').collect()
}

fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len() + 1);
    let mut carry = 0;
    for (x, y) in a.iter().rev().zip(b.iter().rev()) {
        let digit = x + y + carry;
        out.push(digit % 10);
        carry = digit / 10;
    }
    out.push(carry);
    out.reverse();
    out
}

/// `a - b` for `a >= b`.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len());
    let mut borrow = 0;
    for (x, y) in a.iter().rev().zip(b.iter().rev()) {
        let taken = y + borrow;
        borrow = u8::from(*x < taken);
        out.push(x + 10 * borrow - taken);
    }
    out.reverse();
    out
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let malformed = || NumberError::Malformed(text.chars().take(256).collect());
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (
                &rest[..at],
                parse_exponent(&rest[at + 1..]).ok_or_else(malformed)?,
            ),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(malformed());
        }
        let digits: Vec<u8> = digits.iter().map(|b| b - b'0').collect();
        Self::of(negative, &digits, exponent - fraction.len() as i64)
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i64 = digits.parse().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -value } else { value })
}

/// Plain digits. Where those would be more than 38, as with `1E+125`, the exponent stays, because
/// clients with decimal arithmetic refuse longer texts.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let digits = self.digits.to_string();
        let len = digits.len() as i32;
        if self.exponent >= 0 {
            if len + self.exponent > PRECISION as i32 {
                return write!(f, "{digits}E+{}", self.exponent);
            }
            return write!(f, "{digits}{}", "0".repeat(self.exponent as usize));
        }
        let point = len + self.exponent;
        if point > 0 {
            let (whole, fraction) = digits.split_at(point as usize);
            write!(f, "{whole}.{fraction}")
        } else {
            write!(f, "0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
        }
    }
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.to_string()
    }
}

impl TryFrom<String> for Number {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error: NumberError| error.to_string())
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |n: &Self| match (n.is_zero(), n.negative) {
            (true, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let by_sign = sign(self).cmp(&sign(other));
        if by_sign != Ordering::Equal || self.is_zero() {
            return by_sign;
        }
        let widened = |n: &Self| n.digits * 10u128.pow((PRECISION as i32 - n.len()) as u32);
        let by_size = self
            .magnitude()
            .cmp(&other.magnitude())
            .then_with(|| widened(self).cmp(&widened(other)));
        if self.negative {
            by_size.reverse()
        } else {
            by_size
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        text.parse().expect(text)
    }

    #[test]
    fn prints_the_shortest_plain_form() {
        for (from, to) in [
            ("1.0", "1"),
            ("-0", "0"),
            ("0001.500", "1.5"),
            ("1e2", "100"),
            (".5", "0.5"),
            ("12e-4", "0.0012"),
            ("-1.23E1", "-12.3"),
            ("1E+125", "1E+125"),
            (
                "99999999999999999999999999999999999999",
                "99999999999999999999999999999999999999",
            ),
        ] {
            assert_eq!(number(from).to_string(), to);
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let long = "1".repeat(39);
        for (text, error) in [
            ("", NumberError::Malformed(String::new())),
            ("1_0", NumberError::Malformed("1_0".into())),
            ("--1", NumberError::Malformed("--1".into())),
            ("1e", NumberError::Malformed("1e".into())),
            (long.as_str(), NumberError::TooPrecise),
            ("1e126", NumberError::Overflow),
            ("1e99999999999999999999", NumberError::Overflow),
            ("9e-131", NumberError::Underflow),
        ] {
            assert_eq!(text.parse::<Number>(), Err(error), "{text}");
        }
        number("9.9999999999999999999999999999999999999E+125");
        number("1E-130");
    }

    #[test]
    fn sums_keep_every_digit_or_fail() {
        let add = |a: &str, b: &str| number(a).add(number(b)).map(|n| n.to_string());
        assert_eq!(add("0.1", "0.2").as_deref(), Ok("0.3"));
        assert_eq!(
            add("1e37", "1").as_deref(),
            Ok("10000000000000000000000000000000000001")
        );
        assert_eq!(add("1e38", "1"), Err(NumberError::TooPrecise));
        assert_eq!(add("9e125", "1e125"), Err(NumberError::Overflow));
        assert_eq!(add("5", "-5").as_deref(), Ok("0"));
    }

    fn any_number() -> impl Strategy<Value = Number> {
        ("-?[0-9]{1,9}", -20i32..20).prop_map(|(digits, e)| number(&format!("{digits}e{e}")))
    }

    proptest! {
        #[test]
        fn keys_order_as_numbers(a in any_number(), b in any_number()) {
            let key = |n: Number| { let mut out = Vec::new(); n.encode_key(&mut out); out };
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        }

        #[test]
        fn order_and_sums_are_those_of_integers(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000) {
            let (x, y) = (number(&a.to_string()), number(&b.to_string()));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.add(y).expect("small").to_string(), (a + b).to_string());
            prop_assert_eq!(x.subtract(y).expect("small").to_string(), (a - b).to_string());
        }

        #[test]
        fn text_comes_back(a in any_number()) {
            prop_assert_eq!(number(&a.to_string()), a);
        }
    }
}
