//! A queue as it lives in memory: its settings, its index, and those who wait for messages.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use gureum_kit::{Arn, Clock};
use gureum_policy::{Kind, Policy};
use tokio::sync::Notify;

use crate::index::Index;
use crate::model::QueueRow;
use crate::window::Window;

/// Shared by all who use the queue. Lock order: never hold the locks of two queues at once.
pub(crate) struct Queue {
    pub(crate) id: u64,
    pub(crate) fifo: bool,
    pub(crate) arn: Arn,
    config: RwLock<Arc<Config>>,
    inner: Mutex<Inner>,
    /// One permit for whoever waits for a message longest.
    arrived: Notify,
    /// A message becomes visible earlier than was known: the timekeeper looks again.
    earlier: Notify,
    /// A write has settled, so what was busy no longer is.
    settled: Notify,
    /// Held by the one waiter that keeps the time for all.
    timekeeper: tokio::sync::Mutex<()>,
}

/// The queue's row, and its policy ready to be evaluated.
pub(crate) struct Config {
    pub(crate) row: QueueRow,
    pub(crate) policy: Option<Arc<Policy>>,
}

impl Config {
    pub(crate) fn new(row: QueueRow) -> Self {
        let text = row.settings.policy.as_deref();
        // It was checked before it was stored.
        let policy = text.and_then(|text| Policy::parse(text, Kind::Resource).ok());
        Self {
            policy: policy.map(Arc::new),
            row,
        }
    }
}

pub(crate) struct Inner {
    pub(crate) index: Index,
    pub(crate) window: Window,
    /// The queue was deleted: nothing may be added any more.
    pub(crate) closed: bool,
}

impl Queue {
    pub(crate) fn new(row: QueueRow) -> Self {
        Self {
            id: row.id,
            fifo: row.settings.fifo,
            arn: row.arn(),
            inner: Mutex::new(Inner {
                index: Index::new(row.settings.fifo, row.purged),
                window: Window::default(),
                closed: false,
            }),
            config: RwLock::new(Arc::new(Config::new(row))),
            arrived: Notify::new(),
            earlier: Notify::new(),
            settled: Notify::new(),
            timekeeper: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn reconfigure(&self, row: QueueRow) {
        let config = Arc::new(Config::new(row));
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The messages as they stand at `now`. Letting go wakes those whom the changes concern.
    pub(crate) fn lock(&self, now: i64) -> Locked<'_> {
        let retention = i64::from(self.config().row.settings.retention) * 1000;
        let mut inner = self.inner();
        let due = inner.index.next_due();
        inner.index.advance(now, now - retention);
        inner.window.advance(now);
        Locked {
            queue: self,
            inner,
            due,
        }
    }

    /// For `tokio::pin!` and `enable` under the lock: ends when some write settles.
    pub(crate) fn settling(&self) -> tokio::sync::futures::Notified<'_> {
        self.settled.notified()
    }

    pub(crate) fn settled(&self) {
        self.settled.notify_waiters();
    }

    /// Waits until there may be something to receive, or `deadline`.
    ///
    /// A message wakes the longest waiter only, and a waiter that goes away passes the wake on;
    /// whoever leaves messages behind wakes the next. So nothing polls and nobody stampedes.
    pub(crate) async fn wait(&self, clock: &Clock, deadline: i64) {
        tokio::select! {
            () = self.arrived.notified() => {}
            () = clock.sleep_until(deadline) => {}
            () = self.keep_time(clock) => {}
        }
    }

    /// Waits for messages that become visible by themselves: one waiter does it for all.
    async fn keep_time(&self, clock: &Clock) {
        let _turn = self.timekeeper.lock().await;
        loop {
            let due = self.inner().index.next_due();
            let due_comes = async {
                match due {
                    Some(due) => clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due_comes => return,
                () = self.earlier.notified() => {}
            }
        }
    }

    /// Wakes everybody: the queue is gone.
    pub(crate) fn close(&self) {
        self.inner().closed = true;
        self.arrived.notify_waiters();
        self.settled.notify_waiters();
    }
}

/// A queue's messages, locked. Must not be held across an await.
pub(crate) struct Locked<'a> {
    queue: &'a Queue,
    inner: MutexGuard<'a, Inner>,
    due: Option<i64>,
}

impl Deref for Locked<'_> {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.inner.index.has_ready() {
            self.queue.arrived.notify_one();
        }
        let due = self.inner.index.next_due();
        if due.is_some_and(|due| self.due.is_none_or(|before| due < before)) {
            self.queue.earlier.notify_one();
        }
    }
}
