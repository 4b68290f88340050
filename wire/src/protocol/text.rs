//! Scalars as text: in query strings, XML, headers and labels.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use gureum_schema::{Kind, Member, Slot, Timestamp, TimestampFormat, View};
use percent_encoding::percent_decode_str;

use super::walk::Path;
use super::{DecodeError, DecodeErrorKind};

/// The moments that a four-digit year can tell.
const TIME_RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// Reads `text` into a scalar's slot.
pub(crate) fn read(text: &str, slot: Slot<'_>, path: &Path<'_>) -> Result<(), DecodeError> {
    match slot {
        Slot::Bool(to) => *to = boolean(text).ok_or_else(|| wrong(text, "a Boolean", path))?,
        Slot::Int(to) => *to = integer(text, "an Integer", path)?,
        Slot::Long(to) => *to = integer(text, "a Long", path)?,
        Slot::Float(to) => {
            let wide = float(text, path)?;
            *to = wide as f32;
            if to.is_infinite() && wide.is_finite() {
                return Err(path.out_of_range(text, "a Float"));
            }
        }
        Slot::Double(to) => *to = float(text, path)?,
        Slot::Str(to) => text.clone_into(to),
        Slot::Blob(to) => {
            *to = blob(text)
                .ok_or_else(|| wrong(text, "a Blob", path))?
                .into();
        }
        Slot::Time(to) => *to = timestamp(text).ok_or_else(|| wrong(text, "a Timestamp", path))?,
        Slot::Document(_) | Slot::Body(_) => {
            return Err(path.wrong_type("text", "a document"));
        }
        Slot::Struct(_) | Slot::List(_) | Slot::Map(_) => {
            return Err(path.wrong_type("text", "a structure or collection"));
        }
    }
    Ok(())
}

fn wrong(text: &str, expected: &str, path: &Path<'_>) -> DecodeError {
    // The value itself may be a secret, so only its absence is told apart.
    let found = if text.is_empty() {
        "Empty text"
    } else {
        "Text"
    };
    path.wrong_type(found, expected)
}

fn boolean(text: &str) -> Option<bool> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else {
        text.eq_ignore_ascii_case("false").then_some(false)
    }
}

fn integer<T: TryFrom<i64>>(text: &str, expected: &str, path: &Path<'_>) -> Result<T, DecodeError> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let wide = text.trim().parse::<i64>().map_err(|e| match e.kind() {
        PosOverflow | NegOverflow => path.out_of_range("The number", expected),
        _ => wrong(text, expected, path),
    })?;
    T::try_from(wide).map_err(|_| path.out_of_range(wide, expected))
}

fn float(text: &str, path: &Path<'_>) -> Result<f64, DecodeError> {
    let text = text.trim();
    if let Some(special) = special_float(text) {
        return Ok(special);
    }
    // Rust also reads "inf" and "nan" in any case; AWS does not.
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|_| !text.contains(['n', 'N']))
        .ok_or_else(|| wrong(text, "a Double", path))?;
    if number.is_infinite() {
        return Err(path.out_of_range("The number", "a Double"));
    }
    Ok(number)
}

pub(crate) fn special_float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Base64 with or without padding; line breaks are tolerated, as clients produce them.
pub(crate) fn blob(text: &str) -> Option<Vec<u8>> {
    if let Ok(bytes) = STANDARD.decode(text) {
        return Some(bytes);
    }
    let mut compact = text.to_owned();
    compact.retain(|c| !c.is_ascii_whitespace());
    STANDARD_NO_PAD.decode(compact.trim_end_matches('=')).ok()
}

pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).filter(|t| TIME_RANGE.contains(&t.0))
}

pub(crate) fn epoch(seconds: f64) -> Option<Timestamp> {
    let moment = Timestamp::from_secs_f64(seconds);
    (seconds.is_finite() && TIME_RANGE.contains(&moment.0)).then_some(moment)
}

/// The text of a scalar; of anything else, none.
pub(crate) fn print<'a>(
    view: &View<'a>,
    member: &Member,
    default: TimestampFormat,
) -> Option<Cow<'a, str>> {
    Some(match view {
        View::Bool(v) => Cow::Borrowed(if *v { "true" } else { "false" }),
        View::Int(v) => Cow::Owned(v.to_string()),
        View::Float(v) => print_float(*v, f64::from(*v)),
        View::Double(v) => print_float(*v, *v),
        View::Str(v) => Cow::Borrowed(v),
        View::Blob(v) => Cow::Owned(STANDARD.encode(v)),
        View::Time(v) => Cow::Owned(v.format(time_format(member, default))),
        _ => return None,
    })
}

fn print_float<'a>(number: impl std::fmt::Display, wide: f64) -> Cow<'a, str> {
    match special_name(wide) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(number.to_string()),
    }
}

/// What a float that is no number is called in all protocols.
pub(crate) fn special_name(number: f64) -> Option<&'static str> {
    if number.is_nan() {
        Some("NaN")
    } else if number.is_infinite() {
        Some(if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        })
    } else {
        None
    }
}

/// A member's own format beats its shape's, which beats the protocol's.
pub(crate) fn time_format(member: &Member, default: TimestampFormat) -> TimestampFormat {
    let shape = match member.target.kind {
        Kind::Timestamp(format) => format,
        _ => None,
    };
    member.timestamp.or(shape).unwrap_or(default)
}

/// Splits `a=1&b&c=2` into decoded pairs; `+` is a space. An empty value and none are the same.
pub(crate) fn form(text: &str) -> impl Iterator<Item = Result<(String, String), DecodeError>> + '_ {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((form_part(name)?, form_part(value)?))
    })
}

fn form_part(text: &str) -> Result<String, DecodeError> {
    if text.contains('+') {
        return percent(&text.replace('+', " "));
    }
    percent(text)
}

/// Takes the percent-encoding off, and insists on UTF-8.
pub(crate) fn percent(text: &str) -> Result<String, DecodeError> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(not_utf8()),
    }
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| not_utf8())
}

fn not_utf8() -> DecodeError {
    Path::ROOT.error(
        DecodeErrorKind::Encoding,
        "The request holds text that is not UTF-8",
    )
}
