//! The clock: the one place that reads time, so that every other room can be tested at any hour.
//! May touch: the operating system's clocks and tokio's timer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Wall-clock time in milliseconds since the Unix epoch. Never goes back within one process, even
/// when the host's clock is set back; cheap to clone, and clones share one time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Arc<System>),
    Manual(watch::Sender<i64>),
}

/// Wall time is `anchor + elapsed`. The anchor is moved forward when the host's clock runs ahead of
/// us (it was corrected, or the machine slept), and left alone when it runs behind.
#[derive(Debug)]
struct System {
    started: Instant,
    anchor: Mutex<i64>,
}

impl System {
    fn now(&self) -> i64 {
        let elapsed = millis(self.started.elapsed());
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that reads time"
        )]
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, millis);
        let mut anchor = lock(&self.anchor);
        *anchor = (*anchor).max(wall - elapsed);
        *anchor + elapsed
    }
}

impl Clock {
    /// The host's clock.
    pub fn system() -> Clock {
        Clock(Source::System(Arc::new(System {
            started: Instant::now(),
            anchor: Mutex::new(i64::MIN),
        })))
    }

    /// A clock for tests: it stands at `start` (ms since the epoch) until [`Clock::advance`].
    pub fn manual(start: i64) -> Clock {
        Clock(Source::Manual(watch::Sender::new(start)))
    }

    /// Now, in milliseconds since the Unix epoch.
    pub fn now(&self) -> i64 {
        match &self.0 {
            Source::System(system) => system.now(),
            Source::Manual(now) => *now.borrow(),
        }
    }

    /// Moves a manual clock forward and wakes its sleepers. Does nothing to the host's clock.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(now) = &self.0 {
            now.send_modify(|now| *now = now.saturating_add(millis(by)));
        }
    }

    /// Sleeps until [`Clock::now`] has reached `at` (ms since the epoch).
    pub async fn sleep_until(&self, at: i64) {
        match &self.0 {
            // In slices, because the host's clock may jump forward while we sleep.
            Source::System(system) => loop {
                let left = at.saturating_sub(system.now());
                if left <= 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(left.unsigned_abs().min(60_000))).await;
            },
            Source::Manual(now) => {
                // Fails only when the sender is gone, and `self` holds it.
                let _ = now.subscribe().wait_for(|now| *now >= at).await;
            }
        }
    }

    /// Sleeps for `span` of this clock's time.
    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now().saturating_add(millis(span)))
            .await;
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::system()
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_clock_set_back_does_not_turn_time_back() {
        let system = System {
            started: Instant::now(),
            anchor: Mutex::new(i64::MIN),
        };
        let first = system.now();
        *lock(&system.anchor) += 3_600_000;
        let ahead = system.now();
        assert!(ahead >= first + 3_600_000);
        assert!(system.now() >= ahead);
    }

    #[tokio::test]
    async fn sleepers_of_a_manual_clock_wake_when_it_is_advanced_far_enough() {
        let clock = Clock::manual(1_000);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(1_500).await;
                clock.now()
            }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_millis(499));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_millis(1));
        assert_eq!(sleeper.await.expect("sleeper"), 1_500);
    }
}
