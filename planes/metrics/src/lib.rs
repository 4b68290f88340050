//! Figures over time: at most a point a minute of whatever was measured, kept for fifteen days. Touches the
//! store alone, and knows neither what a figure means nor who measured it.
//!
//! A row holds an hour of one subject, so that fifteen days are 360 rows of a few KiB: what is written
//! each minute is small, what is read for a graph lies together, and what is too old goes by the hour.

mod rows;
mod series;

use gureum_kit::reset::Whose;
use gureum_kit::{AccountId, Reader, Row as _, Scan, Store, StoreError, Tx};

use rows::{HourRow, SubjectRow};
pub use series::{Point, Series};

/// A minute and an hour, in milliseconds.
pub const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// For how long points are kept, in milliseconds.
pub const KEPT: i64 = 15 * 24 * HOUR;

/// Figures of one moment: names and values.
pub type Figures = Vec<(String, f64)>;

/// What was measured of one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    pub account: AccountId,
    pub subject: String,
    /// A moment of the minute in which what was measured began, in milliseconds since the epoch.
    pub at: i64,
    pub figures: Figures,
}

/// All points of a store. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    store: Store,
}

impl Metrics {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Writes down what was measured, in one transaction. Figures of a minute that has some already
    /// take their place.
    pub async fn write(&self, measured: &[Measured]) -> Result<(), StoreError> {
        if measured.is_empty() {
            return Ok(());
        }
        self.store
            .transact(|tx| {
                for one in measured {
                    let at = one.at.div_euclid(MINUTE) * MINUTE;
                    let hour = at.div_euclid(HOUR) * HOUR;
                    let empty = HourRow::new(one.account, one.subject.clone(), hour);
                    let mut row = tx.get::<HourRow>(empty.key())?.unwrap_or(empty);
                    row.add(at, &one.figures);
                    tx.put(&row)?;
                    tx.put(&SubjectRow {
                        account: one.account,
                        subject: one.subject.clone(),
                        last: at,
                    })?;
                }
                Ok(())
            })
            .await
    }

    /// The points of a subject from one moment up to another, by figure, the oldest first.
    pub fn read(
        &self,
        account: AccountId,
        subject: &str,
        (from, until): (i64, i64),
    ) -> Result<Series, StoreError> {
        let first = from.div_euclid(HOUR) * HOUR;
        let snapshot = self.store.read();
        let scan = Scan::<HourRow>::of((account, subject.to_owned()))
            .from((account, subject.to_owned(), first))
            .until((account, subject.to_owned(), until));
        let mut series = Series::new();
        for row in snapshot.scan(scan) {
            row?.points_into(&mut series, (from, until));
        }
        Ok(series)
    }

    /// Deletes what is older than [`KEPT`] at this moment.
    pub async fn forget(&self, now: i64) -> Result<(), StoreError> {
        let oldest = now - KEPT;
        let subjects = self.store.read();
        let subjects = subjects.scan(Scan::<SubjectRow>::all());
        for subject in subjects.collect::<Result<Vec<_>, _>>()? {
            self.forget_before(&subject, oldest).await?;
        }
        Ok(())
    }

    async fn forget_before(&self, subject: &SubjectRow, oldest: i64) -> Result<(), StoreError> {
        let (account, name) = subject.key();
        self.store
            .transact(|tx| {
                let scan = Scan::<HourRow>::of((account, name.clone())).until((
                    account,
                    name.clone(),
                    oldest - HOUR,
                ));
                let old = tx.scan(scan).collect::<Result<Vec<_>, _>>()?;
                for row in old {
                    tx.delete::<HourRow>(row.key())?;
                }
                if subject.last < oldest {
                    tx.delete::<SubjectRow>(subject.key())?;
                }
                Ok(())
            })
            .await
    }
}

impl gureum_kit::reset::Reset for Metrics {
    fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
        whose.delete::<HourRow>(tx, |row| &row.account)?;
        whose.delete::<SubjectRow>(tx, |row| &row.account)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
