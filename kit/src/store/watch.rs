//! Watches: learn that something below a prefix was committed, without missing a wake-up.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Hashing;

/// All prefixes that someone watches.
#[derive(Default)]
pub(super) struct Watchers(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    prefixes: HashMap<Vec<u8>, watch::Sender<()>, Hashing>,
    /// How many prefixes there are of each length: a written key is looked up once per length.
    lengths: BTreeMap<usize, usize>,
}

/// Wakes up after commits that touch its prefix.
///
/// Make the watch, then read, then wait: a commit that the read did not see ends the wait.
pub struct Watch {
    watchers: Arc<Watchers>,
    prefix: Vec<u8>,
    receiver: Option<watch::Receiver<()>>,
}

impl Watch {
    /// Waits for a commit that touched the prefix since this watch was made, or since the last
    /// call returned; several commits may end one wait. Safe to cancel.
    pub async fn changed(&mut self) {
        let changed = match &mut self.receiver {
            Some(receiver) => receiver.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            // Without a sender no commit can come: the sender lives as long as its watches, so
            // this is not reached, but returning would make a caller's loop spin.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut registry = self.watchers.lock();
        self.receiver = None;
        let unused = |sender: &watch::Sender<()>| sender.receiver_count() == 0;
        if registry.prefixes.get(&self.prefix).is_some_and(unused) {
            registry.prefixes.remove(&self.prefix);
            let length = self.prefix.len();
            if let Some(count) = registry.lengths.get_mut(&length) {
                *count -= 1;
                if *count == 0 {
                    registry.lengths.remove(&length);
                }
            }
        }
    }
}

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn watch(self: &Arc<Self>, prefix: Vec<u8>) -> Watch {
        let mut guard = self.lock();
        let registry = &mut *guard;
        let sender = registry.prefixes.entry(prefix.clone()).or_insert_with(|| {
            *registry.lengths.entry(prefix.len()).or_default() += 1;
            watch::Sender::new(())
        });
        let receiver = Some(sender.subscribe());
        Watch {
            watchers: self.clone(),
            prefix,
            receiver,
        }
    }

    /// Wakes those who watch a prefix of one of these keys, which come sorted.
    pub(super) fn touched<'k>(&self, keys: impl Iterator<Item = &'k [u8]> + Clone) {
        let registry = self.lock();
        for length in registry.lengths.keys() {
            let mut last: &[u8] = &[];
            for prefix in keys.clone().filter_map(|key| key.get(..*length)) {
                // Keys come sorted, so equal prefixes follow each other.
                if prefix != last || prefix.is_empty() {
                    last = prefix;
                    if let Some(sender) = registry.prefixes.get(prefix) {
                        sender.send_replace(());
                    }
                }
            }
        }
    }
}
