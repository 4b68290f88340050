//! Values that may be used again for a while: what KMS opened, for example. Only ever in memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many values are remembered for one use, at most.
const REMEMBERED: usize = 10_000;

/// Values until a moment, in ms since the epoch.
pub struct Remembered<K, V>(Mutex<HashMap<K, (V, i64)>>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    fn known(&self) -> MutexGuard<'_, HashMap<K, (V, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, if its moment is still to come.
    pub fn get(&self, key: &K, now: i64) -> Option<V> {
        let known = self.known();
        let (value, until) = known.get(key)?;
        (*until > now).then(|| value.clone())
    }

    /// Remembers a value `until` a moment, and forgets others where there are too many.
    pub fn put(&self, key: K, value: V, now: i64, until: i64) {
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.retain(|_, (_, until)| *until > now);
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, (value, until));
    }

    /// Forgets a value.
    pub fn forget(&self, key: &K) {
        self.known().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_last_until_their_moment_and_stay_few() {
        let known = Remembered::default();
        known.put("a", 1, 0, 10);
        assert_eq!((known.get(&"a", 9), known.get(&"a", 10)), (Some(1), None));
        known.forget(&"a");
        assert_eq!(known.get(&"a", 0), None);
        let known = Remembered::default();
        for n in 0..3 * REMEMBERED {
            known.put(n, n, 0, 10);
        }
        assert!(known.known().len() <= REMEMBERED);
        assert_eq!(
            known.get(&(3 * REMEMBERED - 1), 0),
            Some(3 * REMEMBERED - 1)
        );
    }
}
