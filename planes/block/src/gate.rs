//! The gate that writes to a volume pass through. It is shut while several volumes are snapshotted as
//! of one moment, and opens by itself when whoever shut it does not come back.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest time that writes are held up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Open at first.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Until when it is shut.
    shut: Mutex<Option<Instant>>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn shut(&self) {
        *self.lock() = Some(Instant::now() + PATIENCE);
    }

    /// Whether it had been shut until now.
    pub(crate) fn open(&self) -> bool {
        let until = self.lock().take();
        self.opened.notify_all();
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns when it is open.
    pub(crate) fn pass(&self) {
        let mut shut = self.lock();
        while let Some(until) = *shut {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                *shut = None;
                break;
            }
            let woken = self.opened.wait_timeout(shut, left);
            shut = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn who_comes_to_a_shut_gate_waits() {
        let (gate, passed) = (Gate::default(), AtomicBool::new(false));
        gate.pass();
        gate.shut();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                gate.pass();
                passed.store(true, Ordering::SeqCst);
            });
            std::thread::sleep(Duration::from_millis(50));
            assert!(!passed.load(Ordering::SeqCst));
            assert!(gate.open());
        });
        assert!(passed.load(Ordering::SeqCst) && !gate.open());
    }
}
