//! Typed values of condition operators: numbers, dates, networks.

use std::net::IpAddr;

/// A decimal number.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    let numeric = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.bytes().all(numeric) {
        return None;
    }
    text.parse().ok()
}

/// A point in time as nanoseconds since 1970: from seconds since 1970, or from ISO 8601 in as much
/// detail as given (`2026-07`, `2026-07-01`, `2026-07-01T12:30:05.25+09:00`). UTC unless it says
/// otherwise. A bare number is seconds, never a year. Years reach as far as IAM's do, ±292 million.
pub(crate) fn parse_date(text: &str) -> Option<i128> {
    const NANOS: i128 = 1_000_000_000;
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text
            .parse::<i64>()
            .ok()
            .map(|seconds| i128::from(seconds) * NANOS);
    }
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    let (days, full) = parse_days(date)?;
    if !full && !time.is_empty() {
        return None;
    }
    let (clock, offset) = split_offset(time)?;
    let nanos_of_day = parse_clock(clock)?;
    Some((i128::from(days) * 86_400 - i128::from(offset)) * NANOS + nanos_of_day)
}

/// Days since 1970 for `YYYY[-MM[-DD]]`, and whether the day was given.
fn parse_days(date: &str) -> Option<(i64, bool)> {
    let (sign, digits) = match date.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, date),
    };
    let mut parts = digits.split('-');
    let year = sign * i64::from(parse_field(parts.next()?, 0, 292_278_993)?);
    let month = parts
        .next()
        .map_or(Some(1), |month| parse_field(month, 1, 12))?;
    let day = parts.next();
    let days_in_month = days_in_month(year, month);
    let of_month = day.map_or(Some(1), |day| parse_field(day, 1, days_in_month))?;
    if parts.next().is_some() || year < -292_275_054 {
        return None;
    }
    Some((
        days_from_civil(year, i64::from(month), i64::from(of_month)),
        day.is_some(),
    ))
}

fn parse_field(text: &str, low: u32, high: u32) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse()
        .ok()
        .filter(|value| (low..=high).contains(value))
}

fn days_in_month(year: i64, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar: years begin in March, so that the leap
/// day is a year's last; 400 years are 146097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Splits `Z`, `+hh`, `+hh:mm` or `-hh:mm` off a time; the offset in seconds east.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = time.find(['+', '-']) else {
        return Some((time, 0));
    };
    let (clock, offset) = time.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = offset[1..].split_once(':').unwrap_or((&offset[1..], "00"));
    let seconds = parse_field(hours, 0, 23)? * 3600 + parse_field(minutes, 0, 59)? * 60;
    Some((clock, sign * i64::from(seconds)))
}

/// Nanoseconds since midnight for `[hh[:mm[:ss[.fraction]]]]`.
fn parse_clock(clock: &str) -> Option<i128> {
    if clock.is_empty() {
        return Some(0);
    }
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut fields = clock.split(':');
    let mut next = |high| {
        fields
            .next()
            .map_or(Some(0), |field| parse_field(field, 0, high))
    };
    let seconds = next(23)? * 3600 + next(59)? * 60 + next(59)?;
    if fields.next().is_some() || fraction.len() > 9 {
        return None;
    }
    let nanos = parse_field(fraction, 0, 999_999_999)? * 10_u32.pow(9 - fraction.len() as u32);
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
}

/// A block of addresses in CIDR notation (RFC 4632, RFC 4291); one address without a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    base: IpAddr,
    prefix: u32,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().ok()?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(width), |prefix| parse_field(prefix, 0, width))?;
        Some(Self { base, prefix })
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differing = base.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differing = base.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }

    /// Whether the block is so wide that confining access to it leaves a resource public: wider
    /// than /8 (IPv4) or /32 (IPv6), as S3 Block Public Access counts.
    pub(crate) fn is_wide(self) -> bool {
        self.prefix < if self.base.is_ipv4() { 8 } else { 32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let second = 1_000_000_000;
        for (text, expected) in [
            ("0", Some(0)),
            ("1700000000", Some(1_700_000_000 * second)),
            ("1970", Some(1970 * second)),
            ("1970T", Some(0)),
            ("1970-01", Some(0)),
            ("1970-01-02", Some(86_400 * second)),
            ("1970-01-02T", Some(86_400 * second)),
            ("1970-01-01T01", Some(3_600 * second)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000 * second)),
            ("2023-11-15T07:13:20+09:00", Some(1_700_000_000 * second)),
            ("2023-11-14T17:13:20-05", Some(1_700_000_000 * second)),
            (
                "2023-11-14t22:13:20.5z",
                Some(1_700_000_000 * second + second / 2),
            ),
            ("2024-02-29", Some(1_709_164_800 * second)),
            ("1969-12-31T23:59:59Z", Some(-second)),
            ("2023-02-29", None),
            ("2023-13-01", None),
            ("2023-01-01T24:00:00Z", None),
            ("2023-01-01T00:00:60Z", None),
            ("2023T01", None),
            ("yesterday", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_date(text), expected, "{text}");
        }
        assert!(parse_date("-292275054-01-01T00:00:00Z").is_some());
        assert!(parse_date("-292275055-01-01T00:00:00Z").is_none());
    }

    #[test]
    fn numbers() {
        assert_eq!(parse_number("-1.5e1"), Some(-15.0));
        for text in ["", "nan", "inf", "1 ", "0x10", "1_000"] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }

    #[test]
    fn networks() {
        for (network, address, expected) in [
            ("203.0.113.0/24", "203.0.113.255", true),
            ("203.0.113.0/24", "203.0.114.0", false),
            ("203.0.113.77/24", "203.0.113.1", true),
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("0.0.0.0/0", "255.1.2.3", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::/0", "2001:db9::", true),
        ] {
            let network_parsed = Network::parse(network).expect(network);
            let address = address.parse().expect("address");
            assert_eq!(
                network_parsed.contains(address),
                expected,
                "{address} in {network}"
            );
        }
        for text in [
            "",
            "203.0.113.0/33",
            "203.0.113/24",
            "::/129",
            "203.0.113.0/",
            "1.2.3.4/-1",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
