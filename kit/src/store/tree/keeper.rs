//! Background work: closed memtables become tables, tables are sorted into each other, and
//! segments of the log whose content is in tables are used again. One thread, which flushes first.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::StoreError;
use super::super::log::{Sealed, Segments};
use super::rows::Rows;

/// From here on, commits wait: closed memtables take memory, unsorted tables make reading slow.
const MEMTABLES: usize = 3;
const UNSORTED: usize = 28;
/// How long a batch waits for background work that lags behind.
const LAG_WAIT: Duration = Duration::from_secs(10);

pub(super) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    rows: Arc<Rows>,
    segments: Arc<Segments>,
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    /// The segments of closed memtables, oldest first.
    sealed: Vec<Sealed>,
    unsorted: usize,
    failed: bool,
    closed: bool,
}

impl Keeper {
    pub(super) fn start(
        rows: Arc<Rows>,
        segments: Arc<Segments>,
        sealed: Vec<Sealed>,
    ) -> Result<Keeper, StoreError> {
        let shared = Arc::new(Shared {
            work: Mutex::new(Work {
                sealed,
                unsorted: rows.unsorted(),
                ..Work::default()
            }),
            rows,
            segments,
            changed: Condvar::new(),
        });
        let thread = std::thread::Builder::new()
            .name("store-tables".into())
            .spawn({
                let shared = shared.clone();
                move || shared.run()
            })?;
        Ok(Keeper {
            shared,
            thread: Some(thread),
        })
    }

    /// Has a memtable that was closed flushed; its commits are in this segment.
    pub(super) fn flush(&self, segment: Sealed) {
        self.shared.work().sealed.push(segment);
        self.shared.changed.notify_all();
    }

    /// Whether background work has failed, and ended with that.
    pub(super) fn has_failed(&self) -> bool {
        self.shared.work().failed
    }

    /// Whether there are closed memtables that are not tables yet.
    #[cfg(test)]
    pub(super) fn is_behind(&self) -> bool {
        !self.shared.work().sealed.is_empty()
    }

    /// Waits while background work lags behind.
    pub(super) fn await_room(&self) {
        let behind = |work: &mut Work| {
            !work.failed && (work.sealed.len() >= MEMTABLES || work.unsorted >= UNSORTED)
        };
        let work = self.shared.work();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(work, LAG_WAIT, behind);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.work().closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by its hook; there is nothing left to do here.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let _ending = Ending(self);
        // Tables may lie unsorted since the program was killed.
        let mut sort = true;
        while let Some(flush) = self.next(sort) {
            let done = match flush {
                true => self.flush().map(|()| true),
                false => self.rows.compact(),
            };
            match done {
                Ok(more) => sort = more,
                Err(error) => {
                    tracing::error!(%error, "the store's tables could not be written");
                    return;
                }
            }
            self.work().unsorted = self.rows.unsorted();
            self.changed.notify_all();
        }
    }

    /// What to do next: flush (true) or sort; `None` to end. Waits unless there is sorting to do.
    fn next(&self, sort: bool) -> Option<bool> {
        let idle = |work: &mut Work| !work.closed && work.sealed.is_empty() && !sort;
        let waited = self.changed.wait_while(self.work(), idle);
        let work = waited.unwrap_or_else(PoisonError::into_inner);
        (!work.closed).then(|| !work.sealed.is_empty())
    }

    fn flush(&self) -> Result<(), StoreError> {
        let count = self.work().sealed.len();
        self.rows.flush()?;
        let flushed: Vec<Sealed> = self.work().sealed.drain(..count).collect();
        for segment in &flushed {
            self.segments.reuse(segment);
        }
        Ok(())
    }
}

/// When the thread ends, if by a panic, whoever waits for it hears so.
struct Ending<'s>(&'s Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut work = self.0.work();
        work.failed = !work.closed;
        drop(work);
        self.0.changed.notify_all();
    }
}
