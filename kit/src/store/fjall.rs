//! The durable medium: fjall, a log-structured tree, with one keyspace for all pairs.
//!
//! The commit thread is the only writer, so each batch is one journal write and one `fdatasync`, and
//! fjall makes it visible after that. fjall stops taking writes for good after its first failed one
//! ("poisoned", because a page cache is not to be trusted after a failed sync); we then open it
//! anew, which reads back what really is on the disk. To come there rarely, a batch is refused
//! before the disk is quite full, leaving room for what fjall writes in the background. Of that room
//! some is for transactions that give space back: a full disk can be emptied.
//!
//! Larger values are separated from their keys (after WiscKey, Lu et al. 2016): they are written
//! once more when a memtable is flushed, and from then on the tree, as it sorts itself, moves only
//! the places where they lie.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use fjall::config::PinningPolicy;
use fjall::{
    CompressionType, Database, Guard, Keyspace, KeyspaceCreateOptions, KvSeparationOptions,
    PersistMode, Readable,
};

use super::StoreError;
use super::dir::DataDir;
use super::engine::{Medium, Pairs, Version, View, Write, Writes};
use super::journal::{self, Marker, Sum};
use super::scan::Span;

/// Blocks cached for reading, the write buffer, and open files: what bounds the store's memory.
const CACHE_BYTES: u64 = 8 << 20;
const MEMTABLE_BYTES: u64 = 16 << 20;
const OPEN_FILES: usize = 128;

/// Values from this size on are kept apart from their keys. Below it, finding them costs more than
/// moving them; sealed or compressed as most of them are, compressing them again would gain nothing.
const SEPARATE_BYTES: u32 = 1 << 10;

/// Free space that commits leave to fjall's background work, at most; small disks give a part.
const RESERVE_BYTES: u64 = 64 << 20;
const RESERVE_PART: u64 = 16;
/// The part of the reserve that not even transactions which give space back may touch.
const LAST_PART: u64 = 4;

/// How long a failed store waits for readers to let go of it before it is opened anew.
const REOPEN_WAIT: Duration = Duration::from_secs(2);

/// How long a batch waits for background work that lags behind.
const LAG_WAIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Fjall {
    dir: DataDir,
    /// Empty while the store is being opened anew, or could not be.
    live: RwLock<Option<Arc<Live>>>,
    /// The last look found no space beyond the reserve.
    tight: AtomicBool,
}

struct Live {
    db: Database,
    rows: Keyspace,
    /// The last commit that this incarnation found when it was opened.
    found: Version,
}

impl Fjall {
    pub(super) fn open(path: &Path) -> Result<Fjall, StoreError> {
        let dir = DataDir::open(path)?;
        let live = Live::open(&dir.state())?;
        Ok(Fjall {
            dir,
            live: RwLock::new(Some(Arc::new(live))),
            tight: AtomicBool::new(false),
        })
    }

    fn live(&self) -> Result<Arc<Live>, StoreError> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.clone()
            .ok_or_else(|| StoreError::Closed("it is recovering from a failed disk".into()))
    }

    fn set(&self, live: Option<Arc<Live>>) -> Option<Arc<Live>> {
        std::mem::replace(
            &mut *self.live.write().unwrap_or_else(PoisonError::into_inner),
            live,
        )
    }

    /// Opens the database anew after it failed. Called from the commit thread only.
    fn reopen(&self) -> Result<Arc<Live>, StoreError> {
        if let Some(old) = self.set(None).map(|old| Arc::downgrade(&old)) {
            // Readers hold it for the moment of a read; fjall's lock is free when all are done.
            let mut waited = Duration::ZERO;
            while old.strong_count() > 0 && waited < REOPEN_WAIT {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
        }
        let live = Arc::new(Live::open(&self.dir.state())?);
        tracing::warn!(
            version = live.found,
            "the store was opened anew after its disk failed"
        );
        self.set(Some(live.clone()));
        Ok(live)
    }
}

impl Live {
    fn open(state: &Path) -> Result<Live, StoreError> {
        discard_unborn(state)?;
        let least = if state.exists() {
            journal::check(state)?
        } else {
            0
        };
        let db = Database::builder(state)
            .cache_size(CACHE_BYTES)
            .max_cached_files(Some(OPEN_FILES))
            .worker_threads(1)
            .journal_compression(CompressionType::None)
            .manual_journal_persist(true)
            .max_journaling_size(128 << 20)
            .open()
            .map_err(failure)?;
        let rows = db.keyspace("rows", options).map_err(failure)?;
        let marker = db.snapshot().get(&rows, Marker::key()).map_err(failure)?;
        let found = match marker.map(|bytes| Marker::decode(&bytes)) {
            Some(Some(marker)) => marker.version,
            Some(None) => {
                return Err(StoreError::Corrupt(
                    "its commit marker is unreadable".into(),
                ));
            }
            None => 0,
        };
        if found < least {
            return Err(StoreError::Corrupt(format!(
                "it ends at commit {found}, but commit {least} was made durable; restore a backup"
            )));
        }
        Ok(Live { db, rows, found })
    }

    /// Writes one batch, durably. `previous` is the last commit before it.
    fn write(
        &self,
        previous: Version,
        version: Version,
        batch: &[Write<'_>],
    ) -> Result<(), fjall::Error> {
        self.await_background_work()?;
        let mut write = self.db.batch().durability(Some(PersistMode::SyncData));
        let mut sum = Sum::default();
        for (key, value) in batch {
            sum.add(key, value.map(Bytes::as_ref));
            match value {
                Some(value) => write.insert(&self.rows, *key, value.as_ref()),
                None => write.remove(&self.rows, *key),
            }
        }
        let marker = Marker {
            version,
            previous,
            sum: sum.finish(),
        };
        write.insert(&self.rows, Marker::key(), marker.encode());
        write.commit()
    }

    /// Waits while flushes or compactions lag behind. fjall would wait as well, from four sealed
    /// memtables or thirty runs on, but without end when its worker has died of a full disk;
    /// here a poisoned database ends the wait.
    fn await_background_work(&self) -> Result<(), fjall::Error> {
        let mut waited = Duration::ZERO;
        while waited < LAG_WAIT
            && (self.rows.sealed_memtable_count() >= 3 || self.rows.l0_table_count() >= 28)
        {
            self.db.persist(PersistMode::Buffer)?;
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
        Ok(())
    }
}

/// Removes what a crash during the very first start left behind: fjall writes its `version` file
/// last, and before that there are no commits.
fn discard_unborn(state: &Path) -> Result<(), StoreError> {
    if state.exists() && !state.join("version").exists() {
        if state.join("keyspaces/1").exists() {
            return Err(StoreError::Corrupt(format!(
                "{}/version is missing",
                state.display()
            )));
        }
        std::fs::remove_dir_all(state)?;
    }
    Ok(())
}

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .with_kv_separation(Some(
            KvSeparationOptions::default()
                .separation_threshold(SEPARATE_BYTES)
                .compression(CompressionType::None)
                // A file of values is rewritten when half of it is garbage, whatever its age.
                .staleness_threshold(0.5)
                .age_cutoff(1.0),
        ))
        // Indexes and filters live in the bounded block cache, not pinned beside it.
        .index_block_pinning_policy(PinningPolicy::all(false))
        .filter_block_pinning_policy(PinningPolicy::all(false))
}

impl Medium for Fjall {
    fn version(&self) -> Version {
        self.live().map_or(0, |live| live.found)
    }

    fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        let live = self.live()?;
        let snapshot = live.db.snapshot();
        Ok(Arc::new(Frozen { snapshot, live }))
    }

    fn admit(&self, writes: &Writes) -> Result<(), StoreError> {
        if !self.tight.load(Ordering::Relaxed) || writes.frees() {
            return Ok(());
        }
        self.check_space(writes.size() as u64, 1)
    }

    fn apply(&self, version: Version, batch: &[Write<'_>]) -> Result<(), StoreError> {
        let size: usize = batch
            .iter()
            .map(|(k, v)| k.len() + v.map_or(0, Bytes::len) + 32)
            .sum();
        // Once space is tight, only what gives some back comes here.
        let part = match self.tight.load(Ordering::Relaxed) {
            true => LAST_PART,
            false => 1,
        };
        self.check_space(size as u64, part)?;
        let live = match self.live() {
            Ok(live) => live,
            Err(_) => self.reopen()?,
        };
        let previous = self.last(&live)?;
        match live.write(previous, version, batch) {
            Ok(()) => return Ok(()),
            // It refused before writing: a background write had failed. Nothing is half done.
            Err(fjall::Error::Poisoned) => drop(live),
            Err(error) => {
                drop(live);
                if let Err(error) = self.reopen() {
                    tracing::error!(%error, "the store could not be opened anew");
                }
                return Err(failure(error));
            }
        }
        let live = self.reopen()?;
        let previous = self.last(&live)?;
        live.write(previous, version, batch).map_err(failure)
    }
}

impl Fjall {
    /// The last durable commit.
    fn last(&self, live: &Live) -> Result<Version, StoreError> {
        let marker = live.rows.get(Marker::key()).map_err(failure)?;
        Ok(marker
            .and_then(|bytes| Marker::decode(&bytes))
            .map_or(0, |marker| marker.version))
    }

    /// Refuses `size` bytes when they would eat into this part of the reserve.
    fn check_space(&self, size: u64, part: u64) -> Result<(), StoreError> {
        let disk = rustix::fs::statvfs(self.dir.state()).map_err(std::io::Error::from)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let total = disk.f_blocks.saturating_mul(disk.f_frsize);
        let reserve = RESERVE_BYTES.min(total / RESERVE_PART);
        let tight = free < reserve.saturating_add(size);
        self.tight.store(tight, Ordering::Relaxed);
        if free < (reserve / part).saturating_add(size) {
            return Err(StoreError::NoRoom(format!(
                "{} has {} MiB left, of which {} MiB are kept in reserve",
                self.dir.state().display(),
                free >> 20,
                reserve >> 20
            )));
        }
        Ok(())
    }
}

struct Frozen {
    snapshot: fjall::Snapshot,
    live: Arc<Live>,
}

impl View for Frozen {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.snapshot.get(&self.live.rows, key).map_err(failure)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(&self, span: &Span, reverse: bool) -> Pairs {
        if span.is_empty() {
            return Box::new(std::iter::empty());
        }
        let pairs = match &span.end {
            Some(end) => self.snapshot.range(&self.live.rows, &*span.start..&**end),
            None => self.snapshot.range(&self.live.rows, &*span.start..),
        };
        let live = self.live.clone();
        let read = move |guard: Guard| {
            // Held so that the database is not opened anew under a scan.
            let _ = &live;
            let (key, value) = guard.into_inner().map_err(failure)?;
            Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
        };
        if reverse {
            Box::new(pairs.rev().map(read))
        } else {
            Box::new(pairs.map(read))
        }
    }
}

fn failure(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) => error.into(),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => error.into(),
        fjall::Error::Locked | fjall::Error::Poisoned => StoreError::Closed(error.to_string()),
        other => StoreError::Corrupt(other.to_string()),
    }
}
