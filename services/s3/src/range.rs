//! `Range` headers (RFC 9110, section 14) and `x-amz-copy-source-range`.

use std::ops::Range;

use crate::errors::{Code, Failure, Result};

/// The bytes that a `Range` header asks for of content of `len` bytes; `None`: all of them, which
/// is also the answer to what is not understood and to more than one range.
pub(crate) fn wanted(header: &str, len: u64) -> Result<Option<Range<u64>>> {
    let Some(spec) = header.trim().strip_prefix("bytes=") else {
        return Ok(None);
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Ok(None);
    };
    let (first, last) = (first.trim(), last.trim());
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Some(first), None) if last.is_empty() => first..len,
        (None, Some(suffix)) if first.is_empty() => {
            if suffix == 0 {
                return Err(unsatisfiable(header, len));
            }
            len.saturating_sub(suffix)..len
        }
        _ => return Ok(None),
    };
    if range.start >= len {
        return Err(unsatisfiable(header, len));
    }
    Ok(Some(range))
}

fn unsatisfiable(header: &str, len: u64) -> Failure {
    Code::InvalidRange
        .with("RangeRequested", header)
        .with("ActualObjectSize", len)
        .header("Content-Range", format!("bytes */{len}"))
}

/// The range of a part copy, which must lie inside its source: `bytes=first-last`.
pub(crate) fn of_source(text: &str, len: u64) -> Result<Range<u64>> {
    let read = || {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        (first <= last).then_some(first..last.checked_add(1)?)
    };
    let range = read().ok_or_else(|| {
        Failure::argument(
            "x-amz-copy-source-range",
            text,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy",
        )
    })?;
    if range.end > len {
        return Err(Failure::argument(
            "x-amz-copy-source-range",
            text,
            format!("Range specified is not valid for source object of size: {len}"),
        ));
    }
    Ok(range)
}

/// `bytes 0-9/100`.
pub(crate) fn content_range(range: &Range<u64>, len: u64) -> String {
    format!(
        "bytes {}-{}/{len}",
        range.start,
        range.end.saturating_sub(1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_range() {
        let of = |header| wanted(header, 100).map_err(|f| f.code().to_owned());
        assert_eq!(of("bytes=0-9"), Ok(Some(0..10)));
        assert_eq!(of("bytes=90-200"), Ok(Some(90..100)));
        assert_eq!(of("bytes=95-"), Ok(Some(95..100)));
        assert_eq!(of("bytes=-5"), Ok(Some(95..100)));
        assert_eq!(of("bytes=-500"), Ok(Some(0..100)));
        assert_eq!(of("bytes=0-18446744073709551615"), Ok(Some(0..100)));
        for whole in [
            "bytes=5-3",
            "bytes=0-1,3-4",
            "lines=1-2",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
        ] {
            assert_eq!(of(whole), Ok(None), "{whole}");
        }
        for none in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
            assert_eq!(of(none), Err("InvalidRange".to_owned()), "{none}");
        }
        assert!(wanted("bytes=0-0", 0).is_err());
    }

    #[test]
    fn a_source_range_lies_inside() {
        assert_eq!(of_source("bytes=0-9", 10).ok(), Some(0..10));
        for wrong in ["bytes=0-10", "bytes=5-", "bytes=-5", "0-9", "bytes=9-0"] {
            assert!(of_source(wrong, 10).is_err(), "{wrong}");
        }
    }
}
