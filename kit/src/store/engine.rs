//! The seam behind the store: what an engine must be able to do, in bytes.
//!
//! The contract is the one that distributed transactional stores offer (FoundationDB's, most
//! closely): consistent snapshots, and an optimistic commit that names what was read. The embedded
//! engines share one implementation of it, [`super::group`], over a [`Medium`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::StoreError;
use super::scan::Span;

/// A key and its value.
pub type Pair = (Bytes, Bytes);

/// Pairs in key order (or in reverse), read lazily.
pub type Pairs = Box<dyn Iterator<Item = Result<Pair, StoreError>> + Send>;

/// An unchanging view of the whole store.
pub trait View: Send + Sync {
    /// The value of one key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
    /// All pairs in a span. Must not hold more than a bounded part of them in memory.
    fn range(&self, span: &Span, reverse: bool) -> Pairs;
}

/// A transactional engine.
pub trait Engine: Send + Sync {
    /// A view of everything committed so far, and the version to propose writes against.
    fn snapshot(&self) -> Result<(Arc<dyn View>, Version), StoreError>;
    /// The same, with the commits that are ordered but not yet durable. Nobody may learn what it
    /// holds before a proposal against its version, if only an empty one, is answered.
    fn ahead(&self) -> Result<(Arc<dyn View>, Version), StoreError>;
    /// Gives a proposal its place in the order of commits, or finds a conflict; the answer, through
    /// `proposal.done`, comes when it and all that were ordered before it are durable. One that
    /// writes nothing is only answered.
    fn commit(&self, proposal: Proposal);
}

/// The number of the last commit that a view contains.
pub type Version = u64;

/// What a transaction read and wants written, all or nothing.
pub struct Proposal {
    /// The version of the snapshot that it read.
    pub version: Version,
    /// What it read.
    pub reads: Reads,
    /// What it writes.
    pub writes: Writes,
    /// Answered with the commit's version when the writes are durable.
    pub done: oneshot::Sender<Result<Version, Refusal>>,
}

/// Keys and spans whose content a transaction depends on.
#[derive(Debug, Default)]
pub struct Reads {
    /// Point reads.
    pub keys: Vec<Vec<u8>>,
    /// The parts of ranges that were read.
    pub spans: Vec<Span>,
}

/// The writes of one transaction.
#[derive(Debug, Default)]
pub struct Writes {
    /// Values to set, or keys to remove (`None`).
    pub puts: Changes,
    /// Values whose keys are completed at the commit by [`stamp`], in the order of commits.
    pub stamped: Vec<(Vec<u8>, Bytes)>,
}

impl Writes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.stamped.is_empty()
    }

    /// The bytes of all keys and values.
    pub fn size(&self) -> usize {
        let puts = self
            .puts
            .iter()
            .map(|(k, v)| k.len() + v.as_ref().map_or(0, Bytes::len));
        puts.chain(self.stamped.iter().map(|(k, v)| k.len() + v.len()))
            .sum()
    }

    /// Whether this gives space back: it removes rows, and writes no more than their bookkeeping.
    pub fn frees(&self) -> bool {
        let written = |value: &Bytes| value.len();
        let puts = self.puts.values().flatten().map(written).sum::<usize>();
        let stamped = self.stamped.iter().map(|(_, value)| written(value));
        let removed = self.puts.values().filter(|value| value.is_none()).count();
        puts + stamped.sum::<usize>() <= removed * BOOKKEEPING
    }

    /// All writes with their final keys, given the version they are committed as.
    pub fn into_changes(self, version: Version) -> Changes {
        let mut changes = self.puts;
        for ((mut key, value), index) in self.stamped.into_iter().zip(0u64..) {
            key.extend_from_slice(&stamp(version, index).to_be_bytes());
            changes.insert(key, Some(value));
        }
        changes
    }
}

/// The longest key, in bytes; what is longer is refused before it reaches an engine.
pub const MAX_KEY: usize = 16 << 10;

/// Bytes that may be written for each row removed by a transaction that gives space back.
const BOOKKEEPING: usize = 512;

/// How many stamped writes one transaction may hold.
pub const MAX_STAMPED: usize = 1 << 16;

/// A number that grows with the commits, and within one with the index of the write.
pub fn stamp(version: Version, index: u64) -> u64 {
    version << 16 | index
}

/// Why a proposal was not committed. Nothing of it was written.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// Something that it read has changed since.
    Conflict,
    /// The store could not write.
    Failed(StoreError),
}

/// Values by key; `None` is a removal.
pub type Changes = BTreeMap<Vec<u8>, Option<Bytes>>;

/// The writes of one transaction, with their final keys and their place in the order of commits.
pub struct Commit {
    /// The place.
    pub version: Version,
    /// The writes.
    pub changes: Changes,
}

impl Commit {
    /// About how many bytes it takes on a disk.
    pub fn size(&self) -> usize {
        let of = |(key, value): (&Vec<u8>, &Option<Bytes>)| {
            key.len() + value.as_ref().map_or(0, Bytes::len) + 32
        };
        self.changes.iter().map(of).sum()
    }
}

/// Where an embedded engine keeps its pairs. Only the commit thread writes.
pub trait Medium: Send + Sync + 'static {
    /// The last commit applied, found when the medium was opened.
    fn version(&self) -> Version;
    /// A view of all batches applied so far.
    fn view(&self) -> Result<Arc<dyn View>, StoreError>;
    /// Whether there is space to write this. Refused early, a transaction does not make those that
    /// are written with it fail too.
    fn admit(&self, writes: &Writes) -> Result<(), StoreError> {
        let _ = writes;
        Ok(())
    }
    /// Makes a batch of commits durable and then visible, all or nothing, in their order.
    fn apply(&self, batch: &[Arc<Commit>]) -> Result<(), StoreError>;
}
