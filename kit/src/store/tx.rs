//! Transactions and snapshots: typed reading and writing over a view.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;

use super::StoreError;
use super::engine::{MAX_KEY, MAX_STAMPED, Pair, Pairs, Reads, View, Writes};
use super::key::{KeyLike, PrefixOf};
use super::overlay;
use super::row::{Encoded, Row, decode, encode, full_key, full_prefix, table_of};
use super::scan::{Scan, Span};

/// Reading rows: what [`Tx`] and [`Snapshot`] have in common.
pub trait Reader {
    /// The row with this key.
    fn get<R: Row>(&self, key: impl KeyLike<R::Key>) -> Result<Option<R>, StoreError>;

    /// The rows of a scan, read and decoded one by one as the iterator is advanced.
    fn scan<R: Row>(&self, scan: Scan<R>) -> Rows<'_, R>;

    /// Whether a row with this key exists.
    fn has<R: Row>(&self, key: impl KeyLike<R::Key>) -> Result<bool, StoreError> {
        Ok(self.get::<R>(key)?.is_some())
    }
}

/// A consistent, read-only view of the store. Hold it briefly: it keeps old values alive.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) view: Result<Arc<dyn View>, StoreError>,
}

impl Snapshot {
    /// How many rows each table has, those in which an engine keeps its own accounts among them.
    /// Reads the whole store: for tests, and for looking into it.
    pub fn census(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let view = self.view.as_ref().map_err(Clone::clone)?;
        let mut rows = BTreeMap::new();
        for pair in view.range(&Span::prefix(&[]), false) {
            let (key, _) = pair?;
            *rows.entry(table_of(&key)?.to_owned()).or_default() += 1;
        }
        Ok(rows)
    }
}

impl Reader for Snapshot {
    fn get<R: Row>(&self, key: impl KeyLike<R::Key>) -> Result<Option<R>, StoreError> {
        let view = self.view.as_ref().map_err(Clone::clone)?;
        view.get(&full_key::<R>(key))?
            .map(|bytes| decode(&bytes))
            .transpose()
    }

    fn scan<R: Row>(&self, scan: Scan<R>) -> Rows<'_, R> {
        let pairs = match &self.view {
            Ok(view) => view.range(&scan.span(), scan.reverse),
            Err(error) => Box::new(std::iter::once(Err(error.clone()))),
        };
        Rows {
            pairs,
            left: scan.limit,
            trace: None,
            row: PhantomData,
        }
    }
}

/// A transaction: reads see one moment of the store and the transaction's own writes.
///
/// Reads are remembered. If any of them would now give another answer when the transaction
/// commits, it is run again from the start; so what a transaction does besides reading and writing
/// rows must be harmless to repeat.
pub struct Tx {
    view: Arc<dyn View>,
    reads: RefCell<Reads>,
    writes: Writes,
}

impl Tx {
    pub(super) fn new(view: Arc<dyn View>) -> Tx {
        Tx {
            view,
            reads: RefCell::default(),
            writes: Writes::default(),
        }
    }

    pub(super) fn into_parts(self) -> (Reads, Writes) {
        (self.reads.into_inner(), self.writes)
    }

    /// Writes a row, in place of one with the same key.
    pub fn put<R: Row>(&mut self, row: &R) -> Result<(), StoreError> {
        let value = encode(row)?;
        self.writes
            .puts
            .insert(bounded(full_key::<R>(row.key()))?, Some(value.into()));
        Ok(())
    }

    /// Whether a row is as it is known from elsewhere. As good as reading it, without decoding it.
    pub fn holds(&self, known: &Encoded) -> Result<bool, StoreError> {
        if let Some(own) = self.writes.puts.get(&known.key) {
            return Ok(own.as_ref().is_some_and(|own| *own == known.value));
        }
        let found = self.view.get(&known.key)?;
        self.reads.borrow_mut().keys.push(known.key.clone());
        Ok(found.is_some_and(|found| found == known.value))
    }

    /// Removes the row with this key, if there is one.
    pub fn delete<R: Row>(&mut self, key: impl KeyLike<R::Key>) -> Result<(), StoreError> {
        self.writes.puts.insert(bounded(full_key::<R>(key))?, None);
        Ok(())
    }

    /// Writes a row under these first components of its key, and a last one, a `u64`, that the
    /// commit gives: it grows with the order of commits. Transactions that append below the same
    /// prefix at the same time do not conflict. The row is visible from the commit on.
    pub fn append<R: Row>(
        &mut self,
        prefix: impl PrefixOf<R::Key>,
        row: &R,
    ) -> Result<(), StoreError> {
        if self.writes.stamped.len() == MAX_STAMPED {
            return Err(StoreError::TooLarge {
                size: MAX_STAMPED + 1,
                limit: MAX_STAMPED,
            });
        }
        self.writes
            .stamped
            .push((bounded(full_prefix::<R>(prefix))?, encode(row)?.into()));
        Ok(())
    }
}

/// Refuses a key that engines cannot take.
fn bounded(key: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    if key.len() > MAX_KEY {
        return Err(StoreError::TooLarge {
            size: key.len(),
            limit: MAX_KEY,
        });
    }
    Ok(key)
}

impl Reader for Tx {
    fn get<R: Row>(&self, key: impl KeyLike<R::Key>) -> Result<Option<R>, StoreError> {
        let key = full_key::<R>(key);
        if let Some(own) = self.writes.puts.get(&key) {
            return own.as_ref().map(|bytes| decode(bytes)).transpose();
        }
        let found = self.view.get(&key)?;
        self.reads.borrow_mut().keys.push(key);
        found.map(|bytes| decode(&bytes)).transpose()
    }

    fn scan<R: Row>(&self, scan: Scan<R>) -> Rows<'_, R> {
        let span = scan.span();
        let stored = self.view.range(&span, scan.reverse);
        let pairs = overlay::lay(&self.writes.puts, stored, &span, scan.reverse);
        let trace = Trace {
            reads: &self.reads,
            span,
            reverse: scan.reverse,
            reached: Reached::Nothing,
        };
        Rows {
            pairs,
            left: scan.limit,
            trace: Some(trace),
            row: PhantomData,
        }
    }
}

/// The rows of a scan.
pub struct Rows<'a, R> {
    pairs: Pairs,
    left: usize,
    trace: Option<Trace<'a>>,
    row: PhantomData<fn() -> R>,
}

/// Remembers how much of a span was read, so that a transaction which read ten rows of a million
/// does not conflict with a write to the rest.
struct Trace<'a> {
    reads: &'a RefCell<Reads>,
    span: Span,
    reverse: bool,
    reached: Reached,
}

enum Reached {
    Nothing,
    Key(Bytes),
    End,
}

impl<R: Row> Iterator for Rows<'_, R> {
    type Item = Result<R, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_pair()?
            .map_or_else(|error| Some(Err(error)), |(_, value)| Some(decode(&value)))
    }
}

impl<R: Row> Rows<'_, R> {
    fn next_pair(&mut self) -> Option<Result<Pair, StoreError>> {
        self.left = self.left.checked_sub(1)?;
        let next = self.pairs.next();
        if let Some(trace) = &mut self.trace {
            trace.reached = match &next {
                Some(Ok((key, _))) => Reached::Key(key.clone()),
                Some(Err(_)) | None => Reached::End,
            };
        }
        if let Some(Err(_)) = next {
            self.left = 0;
        }
        next
    }

    /// The rows together with the number that the commit gave them (see [`Tx::append`]).
    pub fn stamped(mut self) -> impl Iterator<Item = Result<(u64, R), StoreError>> {
        std::iter::from_fn(move || {
            let pair = self.next_pair()?;
            Some(pair.and_then(|(key, value)| {
                let Some(stamp) = key.last_chunk::<8>() else {
                    return Err(StoreError::Corrupt(format!(
                        "a key of {} is cut short",
                        R::TABLE
                    )));
                };
                Ok((u64::from_be_bytes(*stamp), decode(&value)?))
            }))
        })
    }
}

impl Drop for Trace<'_> {
    fn drop(&mut self) {
        let Span { start, end } = &self.span;
        let read = match &self.reached {
            Reached::Nothing => return,
            Reached::End => self.span.clone(),
            Reached::Key(key) if self.reverse => Span {
                start: key.to_vec(),
                end: end.clone(),
            },
            Reached::Key(key) => {
                // The shortest key above `key`, so that `key` itself is inside.
                let after = [key.as_ref(), &[0]].concat();
                Span {
                    start: start.clone(),
                    end: Some(after),
                }
            }
        };
        self.reads.borrow_mut().spans.push(read);
    }
}
