//! Throttle policies: so many messages in a second, evenly spread.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gureum_kit::Clock;

/// Subscriptions whose last turn is remembered, at most.
const REMEMBERED: usize = 10_000;

/// When each throttled subscription has its next turn, ms since the epoch.
#[derive(Default)]
pub(crate) struct Pace(Mutex<HashMap<String, i64>>);

impl Pace {
    /// Waits for the subscription's next turn.
    pub(crate) async fn turn(&self, subscription: &str, rate: u32, clock: &Clock) {
        let at = self.reserve(subscription, rate, clock.now());
        clock.sleep_until(at).await;
    }

    fn reserve(&self, subscription: &str, rate: u32, now: i64) -> i64 {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= REMEMBERED {
            turns.retain(|_, next| *next > now);
        }
        let next = turns.entry(subscription.to_owned()).or_insert(now);
        let at = now.max(*next);
        *next = at + i64::from((1000 / rate.max(1)).max(1));
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_evenly_spread() {
        let pace = Pace::default();
        let turns: Vec<_> = (0..3).map(|_| pace.reserve("a", 10, 1_000)).collect();
        assert_eq!(turns, [1_000, 1_100, 1_200]);
        assert_eq!(pace.reserve("b", 10, 1_000), 1_000);
        assert_eq!(pace.reserve("a", 10, 5_000), 5_000);
    }
}
