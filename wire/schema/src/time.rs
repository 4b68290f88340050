//! Points in time as AWS writes them.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// Milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampFormat {
    /// Seconds since the epoch, with a fraction where there is one.
    Epoch,
    /// `2015-01-25T08:00:00Z`
    Iso8601,
    /// `Sun, 25 Jan 2015 08:00:00 GMT`
    Rfc822,
}

impl Timestamp {
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1000)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * 1000.0).round() as i64)
    }

    /// The text of this moment. `Iso8601` has milliseconds only where they are not zero.
    pub fn format(self, format: TimestampFormat) -> String {
        let utc = self.utc();
        match format {
            TimestampFormat::Epoch if self.0 % 1000 == 0 => self.secs().to_string(),
            TimestampFormat::Epoch => format!("{:.3}", self.secs_f64()),
            TimestampFormat::Iso8601 if self.0 % 1000 == 0 => utc
                .format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"))
                .unwrap_or_default(),
            TimestampFormat::Iso8601 => self.iso_millis(),
            TimestampFormat::Rfc822 => utc
                .format(format_description!(
                    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
                ))
                .unwrap_or_default(),
        }
    }

    /// `2015-01-25T08:00:00.000Z`, as S3 prints times.
    pub fn iso_millis(self) -> String {
        self.utc()
            .format(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            ))
            .unwrap_or_default()
    }

    /// Reads any of the three formats. Clients are lenient here, and so are we.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(seconds) = text.parse::<f64>() {
            return seconds.is_finite().then(|| Self::from_secs_f64(seconds));
        }
        let moment = OffsetDateTime::parse(text, &Rfc3339)
            .or_else(|_| OffsetDateTime::parse(text, &Rfc2822))
            .or_else(|_| OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822))
            .ok()?;
        let nanos = moment.to_offset(UtcOffset::UTC).unix_timestamp_nanos();
        Some(Self(i64::try_from(nanos.div_euclid(1_000_000)).ok()?))
    }

    fn utc(self) -> OffsetDateTime {
        // Outside the years -9999..9999 there is nothing to print but the edge.
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format(TimestampFormat::Iso8601))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_back_each_format() {
        let moment = Timestamp(1_422_172_800_000);
        for format in [
            TimestampFormat::Epoch,
            TimestampFormat::Iso8601,
            TimestampFormat::Rfc822,
        ] {
            assert_eq!(
                Timestamp::parse(&moment.format(format)),
                Some(moment),
                "{format:?}"
            );
        }
        assert_eq!(
            moment.format(TimestampFormat::Rfc822),
            "Sun, 25 Jan 2015 08:00:00 GMT"
        );
        assert_eq!(
            Timestamp(1_422_172_800_123).to_string(),
            "2015-01-25T08:00:00.123Z"
        );
        assert_eq!(Timestamp::parse("2015-01-25T10:00:00+02:00"), Some(moment));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
