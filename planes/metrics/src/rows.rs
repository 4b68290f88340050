//! Rows: an hour of one subject's figures, and which subjects there are.

use std::collections::BTreeMap;

use gureum_kit::{AccountId, Row};
use serde::{Deserialize, Serialize};

use crate::series::{Point, Series};
use crate::{Figures, MINUTE};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HourRow {
    pub(crate) account: AccountId,
    pub(crate) subject: String,
    /// When the hour begins, in milliseconds since the epoch.
    pub(crate) hour: i64,
    /// By figure: minutes of the hour, and values.
    pub(crate) points: BTreeMap<String, Vec<(u8, f64)>>,
}

impl HourRow {
    pub(crate) fn new(account: AccountId, subject: String, hour: i64) -> Self {
        Self {
            account,
            subject,
            hour,
            points: BTreeMap::new(),
        }
    }

    /// `at` is a moment of this hour.
    pub(crate) fn add(&mut self, at: i64, figures: &Figures) {
        let minute = u8::try_from((at - self.hour) / MINUTE).unwrap_or(u8::MAX);
        for (name, value) in figures {
            let points = self.points.entry(name.clone()).or_default();
            match points.binary_search_by_key(&minute, |(minute, _)| *minute) {
                Ok(there) => points[there].1 = *value,
                Err(place) => points.insert(place, (minute, *value)),
            }
        }
    }

    /// Adds the points of a span (its end not included) to what was read before.
    pub(crate) fn points_into(self, series: &mut Series, (from, until): (i64, i64)) {
        for (name, points) in self.points {
            let at = |minute: u8| self.hour + i64::from(minute) * MINUTE;
            let points = points.into_iter().map(|(minute, value)| Point {
                at: at(minute),
                value,
            });
            let within = points.filter(|point| (from..until).contains(&point.at));
            series.entry(name).or_default().extend(within);
        }
        series.retain(|_, points| !points.is_empty());
    }
}

impl Row for HourRow {
    const TABLE: &'static str = "metrics.hour";
    type Key = (AccountId, String, i64);

    fn key(&self) -> Self::Key {
        (self.account, self.subject.clone(), self.hour)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SubjectRow {
    pub(crate) account: AccountId,
    pub(crate) subject: String,
    /// When it was measured last, in milliseconds since the epoch.
    pub(crate) last: i64,
}

impl Row for SubjectRow {
    const TABLE: &'static str = "metrics.subject";
    type Key = (AccountId, String);

    fn key(&self) -> Self::Key {
        (self.account, self.subject.clone())
    }
}
