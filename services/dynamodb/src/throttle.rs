//! Provisioned throughput: token buckets that hold what went unused for five minutes, as AWS's do.
//! Kept in memory; a restart fills them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::capacity::Consumed;
use crate::errors::{Refusal, Result};
use crate::model::{Index, Table, Throughput};

/// Seconds of unused capacity that a burst may use.
const BURST: f64 = 300.0;

/// The buckets of all tables and global indexes, by space and whether for writes.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<(u64, bool), Bucket>>);

struct Bucket {
    units: f64,
    /// When it was last filled, ms since the epoch.
    at: i64,
}

impl Bucket {
    fn fill(&mut self, rate: f64, now: i64) {
        let seconds = (now - self.at).max(0) as f64 / 1000.0;
        self.units = (self.units + seconds * rate).min(rate * BURST);
        self.at = now;
    }
}

impl Throttle {
    fn with<T>(
        &self,
        space: u64,
        write: bool,
        throughput: Throughput,
        now: i64,
        act: impl FnOnce(&mut Bucket) -> T,
    ) -> T {
        let rate = (if write {
            throughput.write
        } else {
            throughput.read
        }) as f64;
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry((space, write)).or_insert(Bucket {
            units: rate * BURST,
            at: now,
        });
        bucket.fill(rate, now);
        act(bucket)
    }

    /// Whether an operation may begin. What it takes is known when it is done, so the last one
    /// before a refusal may take more than there was; those after it wait until that is made good.
    pub(crate) fn admit(
        &self,
        table: &Table,
        global: Option<&Index>,
        write: bool,
        now: i64,
    ) -> Result<()> {
        if table.billing.on_demand {
            return Ok(());
        }
        let (space, throughput) = match global {
            Some(index) => (index.id, index.throughput),
            None => (table.id, table.billing.throughput),
        };
        let left = self.with(space, write, throughput, now, |bucket| bucket.units);
        if left >= 1.0 {
            Ok(())
        } else {
            Err(Refusal::ThroughputExceeded)
        }
    }

    /// Takes what an operation consumed. Local indexes draw on their table.
    pub(crate) fn charge(&self, table: &Table, consumed: &Consumed, now: i64) {
        if table.billing.on_demand {
            return;
        }
        let own = consumed.table + consumed.locals.values().sum::<f64>();
        let write = !consumed.read;
        let take = |space, throughput, units: f64| {
            self.with(space, write, throughput, now, |bucket| {
                bucket.units -= units
            });
        };
        if own > 0.0 {
            take(table.id, table.billing.throughput, own);
        }
        for index in &table.globals {
            if let Some(units) = consumed.globals.get(&index.name) {
                take(index.id, index.throughput, *units);
            }
        }
    }

    /// Forgets a space that is gone.
    pub(crate) fn forget(&self, space: u64) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|(of, _), _| *of != space);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_five_minutes_and_refills_by_the_second() {
        let throttle = Throttle::default();
        let rate = Throughput { read: 0, write: 5 };
        let at = |now, take: f64| {
            throttle.with(1, true, rate, now, |bucket| {
                bucket.units -= take;
                bucket.units
            })
        };
        assert_eq!(at(0, 1500.0), 0.0);
        assert_eq!(at(1000, 0.0), 5.0);
        assert_eq!(at(3_600_000, 0.0), 1500.0);
    }
}
