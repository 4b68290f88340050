//! Group commit: transactions are ordered one by one, and made durable many at a time.
//!
//! An `fsync` costs as much for a hundred transactions as for one. So a transaction gets its place in
//! the order of commits as soon as it comes, or is refused if it read something which has changed
//! since; and one thread writes all that are ordered, again and again, as one batch, and only then
//! answers them. Everything of a batch becomes visible at once, after it is durable.
//!
//! Whoever was refused may run again at once on what is ordered but not yet durable ([`Ahead`]): it
//! is ordered behind what it read, hence durable no earlier, and fails if that fails. So one `fsync`
//! serves any number of transactions that build on each other.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::engine::{Commit, Engine, Medium, Proposal, Reads, Refusal, Version, View};
use super::hot::{Hot, Warm};
use super::overlay::Ahead;
use super::scan::Span;
use super::watch::Watchers;
use super::{Hashing, StoreError};

/// A batch is closed when it holds this many bytes, so that it stays small in memory.
const GROUP_BYTES: usize = 8 << 20;

/// After a batch of so many transactions, more are on their way. Whoever is about to propose one is
/// let past first where the processors are busy: batches become larger, and each costs the same.
const CROWD: usize = 4;

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
    hot: Arc<Hot>,
    order: Mutex<Order>,
    arrived: Condvar,
    watchers: Arc<Watchers>,
}

/// The order of commits.
struct Order {
    /// The last version that was given.
    version: Version,
    recent: Recent,
    /// Ordered and not yet known to be durable, oldest first.
    pending: VecDeque<Pending>,
    closed: bool,
}

struct Pending {
    commit: Arc<Commit>,
    size: usize,
    done: oneshot::Sender<Result<Version, Refusal>>,
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
            hot: Arc::new(Hot::at(version)),
            order: Mutex::new(Order {
                version,
                recent: Recent::since(version),
                pending: VecDeque::new(),
                closed: false,
            }),
            arrived: Condvar::new(),
            watchers,
        });
        let thread = std::thread::Builder::new()
            .name("store-commit".into())
            .spawn({
                let shared = shared.clone();
                move || shared.run()
            })?;
        Ok(Group {
            shared,
            thread: Some(thread),
        })
    }
}

impl Engine for Group {
    fn snapshot(&self) -> Result<(Arc<dyn View>, Version), StoreError> {
        let view = self.shared.view()?;
        let version = view.version;
        Ok((Arc::new(view), version))
    }

    fn ahead(&self) -> Result<(Arc<dyn View>, Version), StoreError> {
        // All under the lock: the view holds every commit that is no longer pending, and none that
        // is not ordered yet.
        let order = self.shared.order();
        let ahead = Ahead {
            durable: Arc::new(self.shared.view()?),
            commits: order.pending.iter().map(|p| p.commit.clone()).collect(),
        };
        Ok((Arc::new(ahead), order.version))
    }

    fn commit(&self, proposal: Proposal) {
        let size = proposal.writes.size();
        if let Err(error) = self.shared.medium.admit(&proposal.writes) {
            let _ = proposal.done.send(Err(Refusal::Failed(error)));
            return;
        }
        let mut order = self.shared.order();
        if order.closed {
            // Whoever proposed it hears so from what is dropped here.
            return;
        }
        if order.recent.conflict(proposal.version, &proposal.reads) {
            drop(order);
            let _ = proposal.done.send(Err(Refusal::Conflict));
            return;
        }
        // The thread sleeps only while nothing is pending, so only who comes first has to wake it,
        // which takes a system call.
        let first = order.pending.is_empty();
        order.add(proposal, size);
        drop(order);
        if first {
            self.shared.arrived.notify_one();
        }
    }
}

impl Drop for Group {
    /// Writes what is still pending, so that the directory can be opened again at once.
    fn drop(&mut self) {
        self.shared.order().closed = true;
        self.shared.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by its hook; there is nothing left to do here.
            let _ = thread.join();
        }
    }
}

impl Order {
    fn add(&mut self, proposal: Proposal, size: usize) {
        if !proposal.writes.is_empty() {
            self.version += 1;
        }
        let version = self.version;
        let changes = proposal.writes.into_changes(version);
        for key in changes.keys() {
            self.recent.wrote(key, version);
        }
        self.pending.push_back(Pending {
            commit: Arc::new(Commit { version, changes }),
            size,
            done: proposal.done,
        });
    }
}

impl Shared {
    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is durable and visible.
    fn view(&self) -> Result<Warm, StoreError> {
        // The version first: a view that is newer than it says can only be refused too often,
        // never too rarely.
        let version = self.version.load(Ordering::Acquire);
        Ok(Warm {
            view: self.medium.view()?,
            version,
            hot: self.hot.clone(),
        })
    }

    fn run(&self) {
        let _ending = Ending(self);
        while let Some(group) = self.next_group() {
            self.write(&group);
            if group.len() >= CROWD {
                std::thread::yield_now();
            }
        }
    }

    /// Waits for commits, and gives the first of those that are pending, which they remain; `None`
    /// when the store is closed and all are served.
    fn next_group(&self) -> Option<Vec<Arc<Commit>>> {
        let mut order = self.order();
        while order.pending.is_empty() {
            if order.closed {
                return None;
            }
            order = self
                .arrived
                .wait(order)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut group = Vec::new();
        let mut size = 0;
        for pending in &order.pending {
            if size >= GROUP_BYTES {
                break;
            }
            size += pending.size;
            group.push(pending.commit.clone());
        }
        Some(group)
    }

    /// Makes a group durable, then visible, and then answers it.
    fn write(&self, group: &[Arc<Commit>]) {
        let keys = || group.iter().flat_map(|commit| commit.changes.keys());
        let result = match group.last() {
            Some(last) if keys().next().is_some() => {
                self.hot.change(last.version, keys().map(Vec::as_slice));
                self.medium.apply(group)
            }
            _ => Ok(()),
        };
        let (version, answered) = self.settle(group, result.is_ok());
        self.version.store(version, Ordering::Release);
        // Whoever hears of the commit may rely on the watchers having heard too.
        self.watchers.touched(keys().map(Vec::as_slice));
        for (index, Pending { commit, done, .. }) in answered.into_iter().enumerate() {
            // A transaction whose caller has gone away is committed all the same.
            let _ = done.send(match &result {
                Ok(()) => Ok(commit.version),
                Err(error) if index < group.len() => Err(Refusal::Failed(error.clone())),
                // It may have read what failed.
                Err(_) => Err(Refusal::Conflict),
            });
        }
    }

    /// Takes what is decided from the pending commits: a group that is durable, or, after a
    /// failure, everything. Gives the version that reads are from now on.
    fn settle(&self, group: &[Arc<Commit>], durable: bool) -> (Version, Vec<Pending>) {
        let mut order = self.order();
        if durable {
            let version = group.last().map_or(order.version, |last| last.version);
            return (version, order.pending.drain(..group.len()).collect());
        }
        // Versions are never used twice: keys stamped with them stay unique whatever the medium
        // kept. And what was read before must not pass for current, for what it built on is gone,
        // or is there after all, in part, on a slow disk.
        order.version += 1;
        order.recent = Recent::since(order.version);
        (order.version, order.pending.drain(..).collect())
    }
}

/// When the commit thread ends, if by a panic, nobody is left to wait for it.
struct Ending<'s>(&'s Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut order = self.0.order();
        order.closed = true;
        order.pending.clear();
    }
}

/// Which keys were written lately, and as which version.
struct Recent {
    keys: HashMap<Arc<[u8]>, Version, Hashing>,
    /// The same by age, oldest first.
    order: VecDeque<(Version, Arc<[u8]>)>,
    /// Writes up to this version are forgotten.
    floor: Version,
}

impl Recent {
    fn since(floor: Version) -> Recent {
        Recent {
            keys: HashMap::default(),
            order: VecDeque::new(),
            floor,
        }
    }

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
            || (!reads.spans.is_empty() && self.wrote_into(&reads.spans, version))
    }

    /// Most transactions are quick, so that few keys are younger than what they read.
    fn wrote_into(&self, spans: &[Span], version: Version) -> bool {
        let younger = self.order.iter().rev();
        younger
            .take_while(|(at, _)| *at > version)
            .any(|(_, key)| spans.iter().any(|span| span.contains(key)))
    }
}
