//! Group commit: one thread turns waiting transactions into one durable batch.
//!
//! An `fsync` costs as much for a hundred transactions as for one. So transactions queue up while
//! the previous group is being written; then the thread takes all that wait, refuses those that
//! read something which has changed since (by earlier groups, or by earlier members of this one),
//! writes the rest as one batch, and only then answers them. Everything of a group becomes visible
//! at once, after it is durable.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::StoreError;
use super::engine::{Engine, Medium, Proposal, Reads, Refusal, Version, View, Write};
use super::watch::Watchers;

/// A group is closed when it holds this many bytes, so that a batch stays small in memory.
const GROUP_BYTES: usize = 8 << 20;

/// How many recently written keys are remembered to find conflicts.
const RECENT_KEYS: usize = 16 * 1024;

pub(super) struct Group {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    medium: Box<dyn Medium>,
    /// The last version that is durable and visible.
    version: AtomicU64,
    queue: Mutex<Queue>,
    arrived: Condvar,
    watchers: Arc<Watchers>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Proposal>,
    closed: bool,
}

impl Group {
    pub(super) fn start(
        medium: Box<dyn Medium>,
        watchers: Arc<Watchers>,
    ) -> Result<Group, StoreError> {
        let version = medium.version();
        let shared = Arc::new(Shared {
            medium,
            version: AtomicU64::new(version),
            queue: Mutex::default(),
            arrived: Condvar::new(),
            watchers,
        });
        let thread = std::thread::Builder::new()
            .name("store-commit".into())
            .spawn({
                let shared = shared.clone();
                move || shared.run(version)
            })?;
        Ok(Group {
            shared,
            thread: Some(thread),
        })
    }
}

impl Engine for Group {
    fn snapshot(&self) -> Result<(Arc<dyn View>, Version), StoreError> {
        // The version first: a view that is newer than it says can only be refused too often,
        // never too rarely.
        let version = self.shared.version.load(Ordering::Acquire);
        Ok((self.shared.medium.view()?, version))
    }

    fn commit(&self, proposal: Proposal) {
        self.shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .waiting
            .push_back(proposal);
        self.shared.arrived.notify_one();
    }
}

impl Drop for Group {
    /// Writes what is still queued, so that the directory can be opened again at once.
    fn drop(&mut self) {
        self.shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.shared.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by its hook; there is nothing left to do here.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, mut version: Version) {
        let mut recent = Recent {
            floor: version,
            ..Recent::default()
        };
        while let Some(group) = self.next_group() {
            version = self.commit(group, version, &mut recent);
        }
    }

    /// Waits for proposals; `None` when the store is closed and all are served.
    fn next_group(&self) -> Option<Vec<Proposal>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while queue.waiting.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self
                .arrived
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut group = Vec::new();
        let mut size = 0;
        while size < GROUP_BYTES {
            let Some(proposal) = queue.waiting.pop_front() else {
                break;
            };
            size += proposal.writes.size();
            group.push(proposal);
        }
        Some(group)
    }

    /// Commits the members of a group that conflict with nothing; returns the last version.
    fn commit(&self, group: Vec<Proposal>, before: Version, recent: &mut Recent) -> Version {
        let mut version = before;
        let mut batch = BTreeMap::new();
        let mut accepted = Vec::with_capacity(group.len());
        let mut overtaken = Vec::new();
        for proposal in group {
            if recent.conflict(proposal.version, &proposal.reads) {
                overtaken.push(proposal.done);
                continue;
            }
            version += 1;
            for (key, value) in proposal.writes.into_pairs(version) {
                recent.wrote(&key, version);
                batch.insert(key, value);
            }
            accepted.push((version, proposal.done));
        }
        let mut result = Ok(());
        if !accepted.is_empty() {
            // Versions are never used twice, even after a failed write: keys stamped with them stay
            // unique whatever the medium kept.
            let batch: Vec<Write> = batch.into_iter().collect();
            result = self.medium.apply(version, &batch);
            // Also after a failure, of which a slow disk may still keep a part: what was read
            // before must not pass for current.
            self.version.store(version, Ordering::Release);
            // Whoever hears of the commit may rely on the watchers having heard too.
            self.watchers.touched(batch.iter().map(|(key, _)| &**key));
        }
        // Only now is there something newer to read: an earlier retry would lose again.
        for done in overtaken {
            let _ = done.send(Err(Refusal::Conflict));
        }
        for (version, done) in accepted {
            // A transaction whose caller has gone away is committed all the same.
            let _ = done.send(result.clone().map(|()| version).map_err(Refusal::Failed));
        }
        version
    }
}

/// Which keys were written lately, and as which version.
#[derive(Default)]
struct Recent {
    keys: BTreeMap<Arc<[u8]>, Version>,
    order: VecDeque<(Version, Arc<[u8]>)>,
    /// Writes up to this version are forgotten.
    floor: Version,
}

impl Recent {
    fn wrote(&mut self, key: &[u8], version: Version) {
        let key: Arc<[u8]> = key.into();
        self.keys.insert(key.clone(), version);
        self.order.push_back((version, key));
        while self.order.len() > RECENT_KEYS {
            let Some((old, key)) = self.order.pop_front() else {
                break;
            };
            self.floor = old;
            if self.keys.get(&key) == Some(&old) {
                self.keys.remove(&key);
            }
        }
    }

    /// Whether anything in `reads` was, or may have been, written after `version`.
    fn conflict(&self, version: Version, reads: &Reads) -> bool {
        if reads.keys.is_empty() && reads.spans.is_empty() {
            return false;
        }
        version < self.floor
            || reads
                .keys
                .iter()
                .any(|key| self.keys.get(&**key).is_some_and(|at| *at > version))
            || reads
                .spans
                .iter()
                .filter(|span| !span.is_empty())
                .any(|span| {
                    let end = span
                        .end
                        .as_deref()
                        .map_or(Bound::Unbounded, Bound::Excluded);
                    self.keys
                        .range::<[u8], _>((Bound::Included(&*span.start), end))
                        .any(|(_, at)| *at > version)
                })
    }
}
