//! The in-memory medium: a map with versions. The oracle in tests, and a store for those who want
//! to keep nothing.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::StoreError;
use super::engine::{Commit, Medium, Pair, Pairs, Version, View};
use super::scan::Span;

/// How many pairs a range copies out under the lock at a time.
const CHUNK: usize = 64;

#[derive(Default)]
pub(super) struct Memory(Arc<RwLock<Versions>>);

#[derive(Default)]
struct Versions {
    version: Version,
    /// Each key's values by the version that wrote them, oldest first; `None` is a removal.
    keys: BTreeMap<Vec<u8>, Vec<(Version, Option<Bytes>)>>,
    /// How many views stand at each version: older values are dropped when no view needs them.
    views: BTreeMap<Version, usize>,
}

impl Memory {
    fn write(&self) -> RwLockWriteGuard<'_, Versions> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Versions {
    fn apply(&mut self, commit: &Commit) {
        let oldest = self.views.keys().next().copied();
        let oldest = oldest.unwrap_or(commit.version);
        self.version = commit.version;
        for (key, value) in &commit.changes {
            let history = self.keys.entry(key.clone()).or_default();
            // Keep the newest value that the oldest view can see, and all after it.
            let seen = history.partition_point(|(at, _)| *at <= oldest);
            history.drain(..seen.saturating_sub(1));
            history.push((commit.version, value.clone()));
            if history.iter().all(|(_, value)| value.is_none()) {
                self.keys.remove(key);
            }
        }
    }
}

impl Medium for Memory {
    fn version(&self) -> Version {
        0
    }

    fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        let mut versions = self.write();
        let at = versions.version;
        *versions.views.entry(at).or_default() += 1;
        Ok(Arc::new(Memento(Arc::new(Pinned {
            shared: self.0.clone(),
            at,
        }))))
    }

    fn apply(&self, batch: &[Arc<Commit>]) -> Result<(), StoreError> {
        let mut versions = self.write();
        for commit in batch {
            versions.apply(commit);
        }
        Ok(())
    }
}

/// A version that is held for as long as someone reads it.
struct Pinned {
    shared: Arc<RwLock<Versions>>,
    at: Version,
}

impl Pinned {
    fn read(&self) -> RwLockReadGuard<'_, Versions> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn visible(&self, history: &[(Version, Option<Bytes>)]) -> Option<Bytes> {
        let seen = history.partition_point(|(at, _)| *at <= self.at);
        history[..seen].last().and_then(|(_, value)| value.clone())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut versions = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = versions.views.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                versions.views.remove(&self.at);
            }
        }
    }
}

struct Memento(Arc<Pinned>);

impl View for Memento {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self
            .0
            .read()
            .keys
            .get(key)
            .and_then(|history| self.0.visible(history)))
    }

    fn range(&self, span: &Span, reverse: bool) -> Pairs {
        let start = Bound::Included(span.start.clone());
        let end = span.end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let done = span.is_empty();
        Box::new(Walk {
            pinned: self.0.clone(),
            start,
            end,
            reverse,
            chunk: Vec::new().into_iter(),
            done,
        })
    }
}

/// A range walked in chunks, so that writers are never locked out for long.
struct Walk {
    pinned: Arc<Pinned>,
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
    reverse: bool,
    chunk: std::vec::IntoIter<Pair>,
    done: bool,
}

impl Walk {
    fn refill(&mut self) {
        let versions = self.pinned.read();
        let range = versions.keys.range((self.start.clone(), self.end.clone()));
        let mut last = None;
        let mut take = |(key, history): (&Vec<u8>, &Vec<_>)| {
            last = Some(key.clone());
            Some((Bytes::copy_from_slice(key), self.pinned.visible(history)?))
        };
        let pairs: Vec<Pair> = if self.reverse {
            range.rev().filter_map(&mut take).take(CHUNK).collect()
        } else {
            range.filter_map(&mut take).take(CHUNK).collect()
        };
        self.done = pairs.len() < CHUNK;
        match last {
            Some(key) if self.reverse => self.end = Bound::Excluded(key),
            Some(key) => self.start = Bound::Excluded(key),
            None => self.done = true,
        }
        self.chunk = pairs.into_iter();
    }
}

impl Iterator for Walk {
    type Item = Result<Pair, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut next = self.chunk.next();
        if next.is_none() && !self.done {
            self.refill();
            next = self.chunk.next();
        }
        next.map(Ok)
    }
}
