//! How fast a volume may be: operations and bytes per second, as two token buckets.
//! Pure: time is what the caller says.

use std::time::Duration;

/// Bytes that count as one operation; larger ones count in pieces of this size (as SSD volumes do).
const OPERATION: u64 = 256 * 1024;

/// A volume's speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Operations per second, of up to 256 KiB each.
    pub operations: u32,
    /// Bytes per second.
    pub bytes: u64,
}

/// Tells how long each access must wait so that the limits hold. Up to one second's worth of
/// unused speed is kept.
#[derive(Debug)]
pub struct Throttle {
    limits: Limits,
    /// When the bucket of operations (of bytes) will have paid for everything so far, in
    /// nanoseconds of the caller's time.
    operations: u64,
    bytes: u64,
}

const SECOND: u64 = 1_000_000_000;

impl Throttle {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            operations: 0,
            bytes: 0,
        }
    }

    /// Other limits from now on.
    pub fn set(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes an access of `len` bytes into account at time `now`; it may be answered after the
    /// returned pause.
    pub fn pause(&mut self, now: Duration, len: u64) -> Duration {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let cost = |amount: u64, rate: u64| {
            let nanos = u128::from(amount) * u128::from(SECOND) / u128::from(rate.max(1));
            u64::try_from(nanos).unwrap_or(u64::MAX)
        };
        let operations = len.div_ceil(OPERATION).max(1);
        // A debt that lies more than a second back has been forgiven: that is the burst.
        let earliest = now.saturating_sub(SECOND);
        self.operations =
            self.operations.max(earliest) + cost(operations, u64::from(self.limits.operations));
        self.bytes = self.bytes.max(earliest) + cost(len, self.limits.bytes);
        Duration::from_nanos(self.operations.max(self.bytes).saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accesses one after the other, each begun when the former was answered; returns the seconds.
    fn run(throttle: &mut Throttle, from: Duration, accesses: u64, len: u64) -> f64 {
        let mut now = from;
        for _ in 0..accesses {
            now += throttle.pause(now, len);
        }
        (now - from).as_secs_f64()
    }

    #[test]
    fn operations_are_limited_after_a_second_of_burst() {
        let limits = Limits {
            operations: 200,
            bytes: 1 << 40,
        };
        let mut throttle = Throttle::new(limits);
        let start = Duration::from_secs(100);
        assert_eq!(run(&mut throttle, start, 200, 4096), 0.0);
        let took = run(&mut throttle, start, 2000, 4096);
        assert!((9.9..=10.1).contains(&took), "{took}");
    }

    #[test]
    fn bytes_are_limited_and_large_accesses_are_several_operations() {
        let start = Duration::from_secs(100);
        let mut throttle = Throttle::new(Limits {
            operations: 1_000_000,
            bytes: 10 << 20,
        });
        let took = run(&mut throttle, start, 110, 1 << 20);
        assert!((9.9..=10.1).contains(&took), "{took}");
        let mut throttle = Throttle::new(Limits {
            operations: 100,
            bytes: 1 << 40,
        });
        let took = run(&mut throttle, start, 125, 1 << 20);
        assert!((3.9..=4.1).contains(&took), "{took}");
    }
}
