//! The durable medium: a log, and a log-structured tree ([`lsm_tree`]) with all pairs.
//!
//! The commit thread is the only writer: a batch is one write to the [`Log`] and one `fdatasync`,
//! then it goes into the tree's memtable and becomes visible. Full memtables become tables in the
//! background, by the [`Keeper`]. When that fails, for want of space, the tree is opened anew, which
//! clears away what is half made, and the log replayed.
//!
//! Larger values are separated from their keys (after WiscKey, Lu et al. 2016): they are written
//! once more when a memtable is flushed, and from then on the tree, as it sorts itself, moves only
//! the places where they lie.

mod keeper;
mod rows;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::StoreError;
use super::dir::DataDir;
use super::engine::{Commit, Medium, Version, View, Writes};
use super::log::Log;
use super::space::Space;
use keeper::Keeper;
use rows::{Frozen, Rows};

/// How long a failed store waits for readers to let go of it before it is opened anew.
const REOPEN_WAIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Tree {
    dir: DataDir,
    space: Space,
    /// Empty while the store is being opened anew, or could not be.
    live: RwLock<Option<Arc<Live>>>,
}

struct Live {
    rows: Arc<Rows>,
    keeper: Keeper,
    /// Used by the commit thread alone.
    log: Mutex<Log>,
    /// The last commit that this incarnation found when it was opened.
    found: Version,
}

impl Tree {
    pub(super) fn open(path: &Path) -> Result<Tree, StoreError> {
        let dir = DataDir::open(path)?;
        let live = Live::open(&dir.state())?;
        Ok(Tree {
            space: Space::of(dir.state()),
            dir,
            live: RwLock::new(Some(Arc::new(live))),
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

    /// What can be written to. Called from the commit thread only.
    fn sound(&self) -> Result<Arc<Live>, StoreError> {
        if let Ok(live) = self.live()
            && !live.keeper.has_failed()
        {
            return Ok(live);
        }
        self.reopen()
    }

    /// Opens the tree anew after its background work failed. Called from the commit thread only.
    fn reopen(&self) -> Result<Arc<Live>, StoreError> {
        if let Some(old) = self.set(None).map(|old| Arc::downgrade(&old.rows)) {
            // Views hold the rows for as long as somebody reads.
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

impl Medium for Tree {
    fn version(&self) -> Version {
        self.live().map_or(0, |live| live.found)
    }

    fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        let live = self.live()?;
        Ok(Arc::new(Frozen::of(live.rows.clone())))
    }

    fn admit(&self, writes: &Writes) -> Result<(), StoreError> {
        self.space.admit(writes.size(), writes.frees())
    }

    fn apply(&self, batch: &[Arc<Commit>]) -> Result<(), StoreError> {
        self.space
            .allow(batch.iter().map(|commit| commit.size()).sum())?;
        self.sound()?.write(batch)
    }
}

impl Live {
    fn open(state: &Path) -> Result<Live, StoreError> {
        let rows = Arc::new(Rows::open(&state.join("rows"))?);
        let stored = rows.stored()?;
        let mut sealed = Vec::new();
        let log = Log::open(
            &state.join("log"),
            stored,
            |version, changes| rows.replay(version, changes),
            |segment| {
                rows.seal();
                sealed.push(segment);
            },
        )?;
        rows.publish();
        let keeper = Keeper::start(rows.clone(), log.segments(), sealed)?;
        Ok(Live {
            rows,
            keeper,
            found: log.last(),
            log: Mutex::new(log),
        })
    }

    /// Makes a batch durable and visible.
    fn write(&self, batch: &[Arc<Commit>]) -> Result<(), StoreError> {
        self.keeper.await_room();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.append(batch)?;
        self.rows.insert(batch);
        if self.rows.is_full() || log.is_full() {
            match log.seal() {
                Ok(segment) => {
                    self.rows.seal();
                    self.keeper.flush(segment);
                }
                // The batch is durable all the same; the next one finds the segment full again.
                Err(error) => tracing::warn!(%error, "the store's log could not begin a segment"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;

    fn commit(version: Version) -> Arc<Commit> {
        let key = version.to_be_bytes().to_vec();
        let changes = BTreeMap::from([(key, Some(Bytes::from_static(b"row")))]);
        Arc::new(Commit { version, changes })
    }

    /// Killed with two memtables full, and again when only the first of them had become a table.
    #[test]
    fn a_table_made_of_what_was_replayed_tells_how_far_it_goes() {
        let dir = tempfile::tempdir().expect("dir");
        let live = Live::open(dir.path()).expect("open");
        live.write(&[commit(1)]).expect("write");
        live.write(&[commit(2)]).expect("write");
        // Not handed to the keeper, as if killed here.
        live.log.lock().expect("log").seal().expect("seal");
        live.rows.seal();
        live.write(&[commit(3)]).expect("write");
        drop(live);
        let live = Live::open(dir.path()).expect("open");
        assert_eq!(live.found, 3);
        while live.keeper.is_behind() {
            std::thread::sleep(PAUSE);
        }
        drop(live);
        let live = Live::open(dir.path()).expect("open");
        assert_eq!(live.found, 3);
        let view = Frozen::of(live.rows.clone());
        for version in 1..=3u64 {
            let row = view.get(&version.to_be_bytes()).expect("get");
            assert_eq!(row.as_deref(), Some(b"row".as_slice()), "commit {version}");
        }
    }
}
