//! `20150830T123600Z`: the one way in which SigV4 writes a moment.

use gureum_schema::Timestamp;
use time::{Date, Month, OffsetDateTime, Time};

/// A moment with the text that was, or will be, signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AmzDate {
    text: [u8; 16],
    moment: Timestamp,
}

impl AmzDate {
    /// Reads exactly `YYYYMMDDTHHMMSSZ`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = text.as_bytes().try_into().ok()?;
        if bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let number = |range: std::ops::Range<usize>| {
            bytes[range].iter().try_fold(0u16, |sum, byte| {
                byte.is_ascii_digit()
                    .then(|| sum * 10 + u16::from(byte - b'0'))
            })
        };
        let small = |range| number(range).and_then(|n| u8::try_from(n).ok());
        let month = Month::try_from(small(4..6)?).ok()?;
        let date = Date::from_calendar_date(i32::from(number(0..4)?), month, small(6..8)?).ok()?;
        let time = Time::from_hms(small(9..11)?, small(11..13)?, small(13..15)?).ok()?;
        let seconds = OffsetDateTime::new_utc(date, time).unix_timestamp();
        Some(Self {
            text: bytes,
            moment: Timestamp::from_secs(seconds),
        })
    }

    /// The whole second of `moment`; outside the years 0..=9999 it is the epoch.
    pub(super) fn of(moment: Timestamp) -> Self {
        let utc = OffsetDateTime::from_unix_timestamp(moment.secs())
            .ok()
            .filter(|utc| (0..=9999).contains(&utc.year()))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let text = format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            utc.year(),
            u8::from(utc.month()),
            utc.day(),
            utc.hour(),
            utc.minute(),
            utc.second(),
        );
        let mut bytes = [0; 16];
        bytes.copy_from_slice(text.as_bytes());
        Self {
            text: bytes,
            moment: Timestamp::from_secs(utc.unix_timestamp()),
        }
    }

    pub(super) fn moment(&self) -> Timestamp {
        self.moment
    }

    pub(super) fn as_str(&self) -> &str {
        // Both constructors put nothing but ASCII into it.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// `YYYYMMDD`
    pub(super) fn day(&self) -> &str {
        &self.as_str()[..8]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        let date = AmzDate::parse("20150830T123600Z").expect("a date");
        assert_eq!(date.moment().to_string(), "2015-08-30T12:36:00Z");
        assert_eq!(AmzDate::of(date.moment()), date);
        assert_eq!(date.day(), "20150830");
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "20150830",
            "20150830T123600",
            "20151330T123600Z",
            "20150230T123600Z",
            "20150830T243600Z",
            "2015-08-30T12:36Z",
            "2015083éT12360Z",
        ] {
            assert_eq!(AmzDate::parse(text), None, "{text}");
        }
    }
}
