//! Rows that are read again and again: a bucket, a table, a queue, whatever each request looks up.
//!
//! A log-structured tree finds a row that was written long ago last of all. So values that are asked
//! for repeatedly are kept here, each with the version since which it has been what it is, until the
//! commit that changes it. Views older than that version, and rows of one reading, pass by.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use bytes::Bytes;

use super::Hashing;
use super::StoreError;
use super::engine::{Pairs, Version, View};
use super::scan::Span;

/// Parts with a lock each.
const PARTS: usize = 16;
/// Bytes that a part keeps; beyond it, the part begins anew.
const PART_BYTES: usize = 256 << 10;
/// The largest value kept: large ones are content, not what requests look up.
const VALUE_BYTES: usize = 4 << 10;
/// How many keys that were asked for once are remembered.
const GLIMPSES: usize = 4096;

pub(super) struct Hot {
    hash: Hashing,
    parts: [RwLock<Part>; PARTS],
    /// Hashes of keys that were asked for once, each in the place that it gives itself.
    glimpses: Box<[AtomicU32]>,
    /// The last version that has begun to change rows.
    changing: AtomicU64,
}

#[derive(Default)]
struct Part {
    rows: HashMap<Box<[u8]>, Known, Hashing>,
    bytes: usize,
}

struct Known {
    since: Version,
    value: Option<Bytes>,
}

impl Hot {
    pub(super) fn at(version: Version) -> Self {
        Self {
            hash: Hashing::default(),
            parts: Default::default(),
            glimpses: (0..GLIMPSES).map(|_| AtomicU32::new(0)).collect(),
            changing: AtomicU64::new(version),
        }
    }

    /// Forgets what a commit is about to change. To be called before any view shows the commit: then
    /// what is found here is what every view shows that is not older than it.
    pub(super) fn change<'k>(&self, version: Version, keys: impl Iterator<Item = &'k [u8]>) {
        self.changing.store(version, Ordering::SeqCst);
        for key in keys {
            self.part(self.hash.hash_one(key)).forget(key);
        }
    }

    /// What a view of `version`, or of a later one, shows under a key.
    fn get(
        &self,
        view: &dyn View,
        version: Version,
        key: &[u8],
    ) -> Result<Option<Bytes>, StoreError> {
        let hash = self.hash.hash_one(key);
        let part = self.parts[place(hash)].read();
        if let Some(known) = part.unwrap_or_else(PoisonError::into_inner).rows.get(key)
            && known.since <= version
        {
            return Ok(known.value.clone());
        }
        let value = view.get(key)?;
        let small = value
            .as_ref()
            .is_none_or(|value| value.len() <= VALUE_BYTES);
        if small && self.seen_before(hash) {
            let mut part = self.part(hash);
            // Nothing has changed since the view was made, and what changes from here on is
            // forgotten after it was entered.
            if self.changing.load(Ordering::SeqCst) == version {
                part.enter(
                    key,
                    Known {
                        since: version,
                        value: value.clone(),
                    },
                );
            }
        }
        Ok(value)
    }

    fn part(&self, hash: u64) -> RwLockWriteGuard<'_, Part> {
        let part = self.parts[place(hash)].write();
        part.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the key with this hash was asked for not long ago. Another one may be taken for it,
    /// which only keeps a row that need not be kept.
    fn seen_before(&self, hash: u64) -> bool {
        let glimpse = (hash >> 32) as u32;
        let place = hash as usize % GLIMPSES;
        self.glimpses[place].swap(glimpse, Ordering::Relaxed) == glimpse
    }
}

/// The part of a key with this hash, by other bits than its glimpse's place.
fn place(hash: u64) -> usize {
    (hash >> 16) as usize % PARTS
}

impl Part {
    fn enter(&mut self, key: &[u8], known: Known) {
        if self.bytes > PART_BYTES {
            *self = Self::default();
        }
        self.forget(key);
        self.bytes += size(key, known.value.as_ref());
        self.rows.insert(key.into(), known);
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(known) = self.rows.remove(key) {
            self.bytes -= size(key, known.value.as_ref());
        }
    }
}

fn size(key: &[u8], value: Option<&Bytes>) -> usize {
    key.len() + value.map_or(0, Bytes::len) + size_of::<Known>()
}

/// A view whose hot rows come from memory.
pub(super) struct Warm {
    pub(super) view: Arc<dyn View>,
    /// The view shows this version or a later one.
    pub(super) version: Version,
    pub(super) hot: Arc<Hot>,
}

impl View for Warm {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.hot.get(&*self.view, self.version, key)
    }

    fn range(&self, span: &Span, reverse: bool) -> Pairs {
        self.view.range(span, reverse)
    }
}
