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
mod group;
mod hot;
mod key;
mod log;
mod memory;
mod overlay;
mod row;
mod scan;
mod space;
mod tree;
mod tx;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, oneshot};

pub use error::StoreError;
pub use key::{Key, KeyLike, PrefixOf};
pub use row::{Encoded, Row, decode_as};
pub use scan::Scan;
pub use tx::{Reader, Rows, Snapshot, Tx};
pub use watch::Watch;

use engine::{Engine, Medium, Proposal, Refusal, Version, Writes};

/// The most that one transaction may write, in bytes of keys and values.
pub const MAX_TRANSACTION: usize = 32 << 20;

/// How often a transaction is run beside others before it is given the store for itself.
const SHARED_ATTEMPTS: u32 = 6;
/// How often it is run in all. Only after a failed write are the rest needed.
const ATTEMPTS: u32 = 16;

type Committed = oneshot::Receiver<Result<Version, Refusal>>;

/// How keys are hashed in memory: keyed anew in each process, and quick, as each commit hashes some.
type Hashing = foldhash::fast::RandomState;

/// A handle on the store; clones share it. The last one dropped closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    engine: Box<dyn Engine>,
    watchers: Arc<watch::Watchers>,
    /// Held shared by every transaction until it is ordered, and alone by one that was overtaken too
    /// often.
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
    /// Blocks while it replays its log, for a part of a second.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        Store::over(Box::new(tree::Tree::open(dir)?))
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
    /// When something that `f` read has changed in the meantime, `f` is run again, on everything
    /// that has been ordered by then. This may not be durable yet, so `f` must tell nobody of it: it
    /// learns the outcome, an `Err` as well, only through this function, when all that it rests on
    /// is durable. An `Err` of `f` writes nothing. If this future is dropped while it waits, the
    /// transaction may still be committed, wholly.
    pub async fn transact<T, E: From<StoreError>>(
        &self,
        mut f: impl FnMut(&mut Tx) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        for attempt in 1..=ATTEMPTS {
            let (outcome, committed) = if attempt <= SHARED_ATTEMPTS {
                let _shared = self.0.turn.read().await;
                self.attempt(&mut f, attempt > 1)
            } else {
                let _alone = self.0.turn.write().await;
                self.attempt(&mut f, true)
            };
            let Some(committed) = committed else {
                return outcome;
            };
            let closed = || Refusal::Failed(StoreError::Closed("its commit thread ended".into()));
            match committed.await.unwrap_or_else(|_| Err(closed())) {
                Ok(_) => return outcome,
                Err(Refusal::Failed(error)) => return Err(error.into()),
                Err(Refusal::Conflict) if attempt > SHARED_ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(1 << attempt.min(8))).await;
                }
                Err(Refusal::Conflict) => {}
            }
        }
        Err(StoreError::Conflict { attempts: ATTEMPTS }.into())
    }

    /// One run of a transaction, and what to wait for before its outcome may be told; `None` when
    /// it read durable rows only and wrote nothing.
    fn attempt<T, E: From<StoreError>>(
        &self,
        f: &mut impl FnMut(&mut Tx) -> Result<T, E>,
        ahead: bool,
    ) -> (Result<T, E>, Option<Committed>) {
        let seen = match ahead {
            true => self.0.engine.ahead(),
            false => self.0.engine.snapshot(),
        };
        let (view, version) = match seen {
            Ok(seen) => seen,
            Err(error) => return (Err(error.into()), None),
        };
        let mut tx = Tx::new(view);
        let mut outcome = f(&mut tx);
        let (reads, mut writes) = tx.into_parts();
        let size = writes.size();
        if outcome.is_ok() && size > MAX_TRANSACTION {
            let limit = MAX_TRANSACTION;
            outcome = Err(StoreError::TooLarge { size, limit }.into());
        }
        if outcome.is_err() {
            writes = Writes::default();
        }
        if writes.is_empty() && !ahead {
            return (outcome, None);
        }
        let (done, committed) = oneshot::channel();
        self.0.engine.commit(Proposal {
            version,
            reads,
            writes,
            done,
        });
        (outcome, Some(committed))
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
