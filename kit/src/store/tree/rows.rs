//! The tree with all pairs, and the views of it that are open.
//!
//! Each change has a sequence number of the tree's; a view sees those below its own. The tree counts
//! its tables' changes with the same numbers, so views move on only here, when a whole batch is in.
//!
//! While the tree takes note of new tables it lets nobody read, for it syncs its list of them and lets
//! go of the old ones. So what need not wait for that does not: batches go into the memtable directly,
//! and the memtables are held here, so that the memory of the old ones is given back outside.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lsm_tree::compaction::Leveled;
use lsm_tree::config::{CompressionPolicy, PinningPolicy};
use lsm_tree::{
    AbstractTree, AnyTree, Cache, CompressionType, Config, DescriptorTable, Guard, InternalValue,
    KvSeparationOptions, Memtable, SeqNo, SequenceNumberCounter, ValueType,
};

use super::super::StoreError;
use super::super::engine::{Commit, Pairs, Version, View};
use super::super::log::Changes;
use super::super::row::table_prefix;
use super::super::scan::Span;

/// Blocks cached for reading, the write buffer, and open files: what bounds the store's memory.
const CACHE_BYTES: u64 = 16 << 20;
const MEMTABLE_BYTES: u64 = 16 << 20;
const OPEN_FILES: usize = 128;

/// Values from this size on are kept apart from their keys. Below it, finding them costs more than
/// moving them; sealed or compressed as most of them are, compressing them again would gain nothing.
const SEPARATE_BYTES: u32 = 1 << 10;

/// A policy for tables as memtables become them, and for all that are made by sorting.
const NEW_ONLY: [bool; 2] = [true, false];

/// Where tables and values lie.
pub(super) struct Rows {
    tree: AnyTree,
    seqno: SequenceNumberCounter,
    views: Mutex<Views>,
    /// What batches go into; locked while one does.
    memtable: Mutex<Arc<Memtable>>,
    /// Closed memtables that the tree, or a reader, may still hold.
    closed: Mutex<Vec<Arc<Memtable>>>,
}

struct Views {
    /// What a new view sees: all changes below this number.
    visible: SeqNo,
    /// How many views are open at each number.
    open: BTreeMap<SeqNo, usize>,
}

impl Rows {
    pub(super) fn open(dir: &Path) -> Result<Rows, StoreError> {
        // The tree takes a directory without this file for a new one.
        let unborn = !dir.join("current").exists();
        if unborn && has_entries(&dir.join("tables"))? {
            let dir = dir.display();
            return Err(StoreError::Corrupt(format!("{dir}/current is missing")));
        }
        let seqno = SequenceNumberCounter::default();
        let tree = config(dir, seqno.clone()).open().map_err(failure)?;
        if let Some(highest) = tree.get_highest_persisted_seqno() {
            seqno.set(highest + 1);
        }
        let views = Views {
            visible: seqno.get(),
            open: BTreeMap::new(),
        };
        Ok(Rows {
            memtable: Mutex::new(tree.active_memtable()),
            closed: Mutex::default(),
            tree,
            seqno,
            views: Mutex::new(views),
        })
    }

    fn views(&self) -> MutexGuard<'_, Views> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memtable(&self) -> MutexGuard<'_, Arc<Memtable>> {
        self.memtable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last commit that tables hold.
    pub(super) fn stored(&self) -> Result<Version, StoreError> {
        let mark = self.tree.get(mark_key(), SeqNo::MAX).map_err(failure)?;
        let Some(mark) = mark else { return Ok(0) };
        let mark = (*mark).try_into().map(Version::from_be_bytes);
        mark.map_err(|_| StoreError::Corrupt("its commit mark is unreadable".into()))
    }

    /// Sets or removes one pair, not yet visibly.
    fn set(&self, memtable: &Memtable, key: &[u8], value: Option<Bytes>) {
        let kind = match value {
            Some(_) => ValueType::Value,
            None => ValueType::Tombstone,
        };
        let value = value.unwrap_or_default();
        let _ = memtable.insert(InternalValue::from_components(
            key,
            value,
            self.seqno.next(),
            kind,
        ));
    }

    /// Notes the last commit beside the pairs, so that a table tells which commits it holds.
    fn mark(&self, memtable: &Memtable, version: Version) {
        let version = Bytes::copy_from_slice(&version.to_be_bytes());
        self.set(memtable, &mark_key(), Some(version));
    }

    /// Puts a batch into the memtable that the log had, not yet visibly.
    pub(super) fn replay(&self, version: Version, changes: Changes<'_>) -> Result<(), StoreError> {
        let memtable = self.memtable();
        for change in changes {
            let (key, value) = change?;
            self.set(&memtable, key, value.map(Bytes::copy_from_slice));
        }
        self.mark(&memtable, version);
        Ok(())
    }

    /// Puts a batch into the memtable and shows it.
    pub(super) fn insert(&self, batch: &[Arc<Commit>]) {
        let memtable = self.memtable();
        for commit in batch {
            for (key, value) in &commit.changes {
                self.set(&memtable, key, value.clone());
            }
        }
        if let Some(last) = batch.last() {
            self.mark(&memtable, last.version);
        }
        self.views().visible = self.seqno.get();
    }

    /// Shows new views everything, also the tables that came since the last batch. What only older
    /// views need can go with the next table then.
    pub(super) fn publish(&self) {
        let _no_batch = self.memtable();
        self.views().visible = self.seqno.get();
    }

    /// Whether the memtable is large enough to become a table.
    pub(super) fn is_full(&self) -> bool {
        self.memtable().size() >= MEMTABLE_BYTES
    }

    /// Closes the memtable and begins another one.
    pub(super) fn seal(&self) {
        let mut memtable = self.memtable();
        let old = self.tree.rotate_memtable();
        *memtable = self.tree.active_memtable();
        self.closed().extend(old);
    }

    fn closed(&self) -> MutexGuard<'_, Vec<Arc<Memtable>>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back the memory of the memtables that nobody holds any more.
    fn free(&self) {
        let free = |memtable: &mut Arc<Memtable>| Arc::strong_count(memtable) == 1;
        let freed: Vec<_> = self.closed().extract_if(.., free).collect();
        drop(freed);
    }

    /// Makes tables of all closed memtables.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let lock = self.tree.get_flush_lock();
        self.tree.flush(&lock, self.unseen()).map_err(failure)?;
        drop(lock);
        self.publish();
        self.free();
        Ok(())
    }

    /// Takes one step in sorting the tables, where there is one to take; whether there was.
    pub(super) fn compact(&self) -> Result<bool, StoreError> {
        let before = self.tree.current_version().id();
        let strategy = Arc::new(Leveled::default());
        self.tree
            .compact(strategy, self.unseen())
            .map_err(failure)?;
        self.publish();
        self.free();
        Ok(self.tree.current_version().id() != before)
    }

    /// Tables that are not sorted yet: each makes reading slower.
    pub(super) fn unsorted(&self) -> usize {
        self.tree.l0_run_count()
    }

    /// What no view can see once something newer covers it: all below this number.
    fn unseen(&self) -> SeqNo {
        let views = self.views();
        let oldest = views.open.keys().next().copied();
        oldest.unwrap_or(views.visible).saturating_sub(1)
    }
}

fn config(dir: &Path, seqno: SequenceNumberCounter) -> Config {
    let separation = KvSeparationOptions::default()
        .separation_threshold(SEPARATE_BYTES)
        .compression(CompressionType::None)
        // A file of values is rewritten when half of it is garbage, whatever its age.
        .staleness_threshold(0.5)
        .age_cutoff(1.0);
    // Sealed as most rows are, compressing them would cost time and gain nothing.
    let plain = CompressionPolicy::all(CompressionType::None);
    // The tree's own idea of what is visible is not used: it moves on in the middle of a batch.
    Config::new(dir, seqno, SequenceNumberCounter::default())
        .use_cache(Arc::new(Cache::with_capacity_bytes(CACHE_BYTES)))
        .use_descriptor_table(Some(Arc::new(DescriptorTable::new(OPEN_FILES))))
        .with_kv_separation(Some(separation))
        .data_block_compression_policy(plain)
        // Each read asks every new table, so their indexes and filters, which are small, are kept at
        // hand. Those of large tables live in the bounded block cache, and in parts: as a whole they
        // would not fit, and be read as a whole for each row.
        .index_block_pinning_policy(PinningPolicy::new(NEW_ONLY))
        .filter_block_pinning_policy(PinningPolicy::new(NEW_ONLY))
        .index_block_partitioning_policy(PinningPolicy::new(NEW_ONLY.map(|new| !new)))
        .filter_block_partitioning_policy(PinningPolicy::new(NEW_ONLY.map(|new| !new)))
}

fn mark_key() -> Vec<u8> {
    table_prefix("kit.commit")
}

fn has_entries(dir: &Path) -> Result<bool, StoreError> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The pairs as they were when this was made.
pub(super) struct Frozen(Arc<Open>);

/// A number that is held for as long as someone reads at it.
struct Open {
    rows: Arc<Rows>,
    at: SeqNo,
}

impl Frozen {
    pub(super) fn of(rows: Arc<Rows>) -> Frozen {
        let mut views = rows.views();
        let at = views.visible;
        *views.open.entry(at).or_default() += 1;
        drop(views);
        Frozen(Arc::new(Open { rows, at }))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut views = self.rows.views();
        if let Some(count) = views.open.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                views.open.remove(&self.at);
            }
        }
    }
}

impl View for Frozen {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.0.rows.tree.get(key, self.0.at).map_err(failure)?;
        Ok(value.map(Bytes::from))
    }

    fn range(&self, span: &Span, reverse: bool) -> Pairs {
        if span.is_empty() {
            return Box::new(std::iter::empty());
        }
        let (tree, at) = (&self.0.rows.tree, self.0.at);
        let pairs = match &span.end {
            Some(end) => tree.range(&*span.start..&**end, at, None),
            None => tree.range(&*span.start.., at, None),
        };
        let open = self.0.clone();
        let read = move |guard: lsm_tree::IterGuardImpl| {
            // Held so that nothing the scan has still to read is taken for garbage.
            let _ = &open;
            let (key, value) = guard.into_inner().map_err(failure)?;
            Ok((key.into(), value.into()))
        };
        if reverse {
            Box::new(pairs.rev().map(read))
        } else {
            Box::new(pairs.map(read))
        }
    }
}

fn failure(error: lsm_tree::Error) -> StoreError {
    match error {
        lsm_tree::Error::Io(error) => error.into(),
        other => StoreError::Corrupt(other.to_string()),
    }
}
