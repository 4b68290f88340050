//! Scans: which rows of a table, in which order, and how many.

use std::marker::PhantomData;

use super::key::{KeyLike, PrefixOf, after_prefix, escape};
use super::row::{Row, full_key, full_prefix};

/// A range of a table's rows in key order.
///
/// ```ignore
/// // The next page of a bucket's keys that start with "photos/":
/// Scan::<Object>::of((bucket,)).text("photos/").after((bucket, last_key)).limit(1001)
/// ```
pub struct Scan<R> {
    /// The encoded components given to [`Scan::of`].
    base: Vec<u8>,
    /// `base`, narrowed by [`Scan::text`].
    prefix: Vec<u8>,
    from: Option<Vec<u8>>,
    until: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    pub(super) limit: usize,
    pub(super) reverse: bool,
    row: PhantomData<fn() -> R>,
}

/// Bytes from `start` (included) to `end` (excluded; `None` means to the very end).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The first key, included.
    pub start: Vec<u8>,
    /// The first key that is no longer in it.
    pub end: Option<Vec<u8>>,
}

impl Span {
    /// The span of all keys that start with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Span {
        Span {
            start: prefix.to_vec(),
            end: after_prefix(prefix),
        }
    }

    /// Whether a key is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        *self.start <= *key && self.end.as_ref().is_none_or(|end| *key < **end)
    }

    /// Whether no key can be in it.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

impl<R: Row> Scan<R> {
    /// All rows of the table.
    pub fn all() -> Scan<R>
    where
        (): PrefixOf<R::Key>,
    {
        Scan::of(())
    }

    /// The rows whose key begins with these components.
    pub fn of(prefix: impl PrefixOf<R::Key>) -> Scan<R> {
        let base = full_prefix::<R>(prefix);
        Scan {
            prefix: base.clone(),
            base,
            from: None,
            until: None,
            after: None,
            limit: usize::MAX,
            reverse: false,
            row: PhantomData,
        }
    }

    /// Only rows whose next key component, which must be a text, starts with `start`.
    pub fn text(mut self, start: &str) -> Scan<R> {
        self.prefix.clone_from(&self.base);
        escape(start.as_bytes(), &mut self.prefix);
        self
    }

    /// Only rows from this key on, itself included.
    pub fn from(mut self, key: impl KeyLike<R::Key>) -> Scan<R> {
        self.from = Some(full_key::<R>(key));
        self
    }

    /// Only rows before this key.
    pub fn until(mut self, key: impl KeyLike<R::Key>) -> Scan<R> {
        self.until = Some(full_key::<R>(key));
        self
    }

    /// Goes on behind this key, or behind all keys with these first components. "Behind" follows
    /// the direction of the scan: below it when the scan is reversed.
    pub fn after(mut self, key: impl PrefixOf<R::Key>) -> Scan<R> {
        self.after = Some(full_prefix::<R>(key));
        self
    }

    /// Goes on behind all rows whose next key component starts with `start`, as a listing does
    /// that folds them into one common prefix.
    pub fn after_text(mut self, start: &str) -> Scan<R> {
        let mut after = self.base.clone();
        escape(start.as_bytes(), &mut after);
        self.after = Some(after);
        self
    }

    /// At most `rows` rows.
    pub fn limit(mut self, rows: usize) -> Scan<R> {
        self.limit = rows;
        self
    }

    /// From the last row to the first.
    pub fn reverse(mut self) -> Scan<R> {
        self.reverse = true;
        self
    }

    /// The bytes that the scan covers.
    pub(super) fn span(&self) -> Span {
        let Span { mut start, mut end } = Span::prefix(&self.prefix);
        let lower = |end: &mut Option<Vec<u8>>, at: Vec<u8>| {
            *end = Some(end.take().map_or(at.clone(), |end| end.min(at)));
        };
        if let Some(from) = &self.from {
            start = start.max(from.clone());
        }
        if let Some(until) = &self.until {
            lower(&mut end, until.clone());
        }
        if let Some(after) = &self.after {
            if self.reverse {
                lower(&mut end, after.clone());
            } else if let Some(next) = after_prefix(after) {
                start = start.max(next);
            }
        }
        Span { start, end }
    }
}
