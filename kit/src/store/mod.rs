//! The store: one ordered, transactional key-value store that keeps all of the cloud's state.
//! May touch: the data directory.
//!
//! ```ignore
//! #[derive(Serialize, Deserialize)]
//! struct Queue { account: AccountId, name: String, delay: u32 }
//!
//! impl Row for Queue {
//!     const TABLE: &'static str = "sqs.queue";
//!     type Key = (AccountId, String);
//!     fn key(&self) -> Self::Key { (self.account, self.name.clone()) }
//! }
//!
//! store.transact(|tx| {
//!     if tx.has::<Queue>((account, name))? { return Err(Error::exists(name)); }
//!     tx.put(&Queue { account, name: name.to_owned(), delay: 0 })?;
//!     Ok(())
//! }).await?;
//!
//! for queue in store.read().scan(Scan::<Queue>::of((account,)).text("orders-").limit(1000)) { … }
//! ```
//!
//! A transaction that returned `Ok` is durable. Transactions are serializable: the outcome is as if
//! they had run one after the other, in the order of their commits.

mod dir;
pub mod engine;
mod error;
mod fjall;
mod group;
mod journal;
mod key;
mod memory;
mod row;
mod scan;
mod tx;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, oneshot};

pub use error::StoreError;
pub use key::{Key, KeyLike, PrefixOf};
pub use row::{Row, decode_as};
pub use scan::Scan;
pub use tx::{Reader, Rows, Snapshot, Tx};
pub use watch::Watch;

use engine::{Engine, Medium, Proposal, Refusal};

/// The most that one transaction may write, in bytes of keys and values.
pub const MAX_TRANSACTION: usize = 32 << 20;

/// How often a transaction is run beside others before it is given the store for itself.
const SHARED_ATTEMPTS: u32 = 6;
/// How often it is run in all. Only an engine shared with other processes needs the rest.
const ATTEMPTS: u32 = 16;

/// A handle on the store; clones share it. The last one dropped closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    engine: Box<dyn Engine>,
    watchers: Arc<watch::Watchers>,
    /// Held shared by every transaction, and alone by one that was overtaken too often.
    turn: RwLock<()>,
}

impl Store {
    /// A store in memory, which forgets everything when it is dropped.
    pub fn memory() -> Store {
        Store::over(Box::new(memory::Memory::default()))
            // Starting a thread fails only when the process is out of them.
            .unwrap_or_else(|error| panic!("cannot start a store in memory: {error}"))
    }

    /// Opens the store in a data directory, or makes a new one. One process holds it at a time.
    ///
    /// Blocks while it replays the journal, in the order of a second for a large one.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        Store::over(Box::new(fjall::Fjall::open(dir)?))
    }

    fn over(medium: Box<dyn Medium>) -> Result<Store, StoreError> {
        let watchers = Arc::<watch::Watchers>::default();
        let engine = Box::new(group::Group::start(medium, watchers.clone())?);
        Ok(Store(Arc::new(Inner {
            engine,
            watchers,
            turn: RwLock::new(()),
        })))
    }

    /// Runs `f` on a snapshot and commits what it wrote; returns when that is durable.
    ///
    /// When something that `f` read has changed in the meantime, `f` is run again on a newer
    /// snapshot. An `Err` of `f` writes nothing. If this future is dropped while it waits, the
    /// transaction may still be committed, wholly.
    pub async fn transact<T, E: From<StoreError>>(
        &self,
        mut f: impl FnMut(&mut Tx) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        for attempt in 1..=ATTEMPTS {
            let (_shared, _alone);
            if attempt <= SHARED_ATTEMPTS {
                _shared = self.0.turn.read().await;
            } else {
                _alone = self.0.turn.write().await;
            }
            let (value, committed) = self.attempt(&mut f)?;
            let Some(committed) = committed else {
                return Ok(value);
            };
            let closed = || Refusal::Failed(StoreError::Closed("its commit thread ended".into()));
            match committed.await.unwrap_or_else(|_| Err(closed())) {
                Ok(_) => return Ok(value),
                Err(Refusal::Failed(error)) => return Err(error.into()),
                Err(Refusal::Conflict) if attempt > SHARED_ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(1 << attempt.min(8))).await;
                }
                // The commit thread paces those that share: a lost race costs one group.
                Err(Refusal::Conflict) => {}
            }
        }
        Err(StoreError::Conflict { attempts: ATTEMPTS }.into())
    }

    /// One run of a transaction; `None` when it wrote nothing, and so has nothing to wait for.
    #[allow(clippy::type_complexity)]
    fn attempt<T, E: From<StoreError>>(
        &self,
        f: &mut impl FnMut(&mut Tx) -> Result<T, E>,
    ) -> Result<(T, Option<oneshot::Receiver<Result<u64, Refusal>>>), E> {
        let (view, version) = self.0.engine.snapshot()?;
        let mut tx = Tx::new(view);
        let value = f(&mut tx)?;
        let (reads, writes) = tx.into_parts();
        if writes.is_empty() {
            return Ok((value, None));
        }
        let size = writes.size();
        if size > MAX_TRANSACTION {
            return Err(StoreError::TooLarge {
                size,
                limit: MAX_TRANSACTION,
            }
            .into());
        }
        let (done, committed) = oneshot::channel();
        self.0.engine.commit(Proposal {
            version,
            reads,
            writes,
            done,
        });
        Ok((value, Some(committed)))
    }

    /// A consistent view of everything committed so far. An engine that cannot give one answers
    /// every read of the snapshot with its error.
    pub fn read(&self) -> Snapshot {
        Snapshot {
            view: self.0.engine.snapshot().map(|(view, _)| view),
        }
    }

    /// Watches the rows of `R` whose key begins with these components; `()` for the whole table.
    pub fn watch<R: Row>(&self, prefix: impl PrefixOf<R::Key>) -> Watch {
        self.0.watchers.watch(row::full_prefix::<R>(prefix))
    }
}

#[cfg(test)]
mod tests;
