//! Writes laid over a view: a transaction's own, and those that are ordered but not yet durable.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::StoreError;
use super::engine::{Changes, Commit, Pair, Pairs, View};
use super::scan::Span;

/// What the store will be when all these commits are durable.
pub(super) struct Ahead {
    pub(super) durable: Arc<dyn View>,
    /// In their order. Those that the view holds already do no harm.
    pub(super) commits: Vec<Arc<Commit>>,
}

impl View for Ahead {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let mut changes = self.commits.iter().rev().map(|commit| &commit.changes);
        match changes.find_map(|changes| changes.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.durable.get(key),
        }
    }

    fn range(&self, span: &Span, reverse: bool) -> Pairs {
        let mut changes = Changes::new();
        for commit in &self.commits {
            let within = within(&commit.changes, span);
            changes.extend(within.map(|(key, value)| (key.clone(), value.clone())));
        }
        lay(&changes, self.durable.range(span, reverse), span, reverse)
    }
}

/// The changes in a span, in key order.
fn within<'c>(
    changes: &'c Changes,
    span: &Span,
) -> impl DoubleEndedIterator<Item = (&'c Vec<u8>, &'c Option<Bytes>)> {
    let end = match &span.end {
        // A map refuses a range that ends before it begins.
        Some(end) => Bound::Excluded(end.max(&span.start)),
        None => Bound::Unbounded,
    };
    changes.range::<Vec<u8>, _>((Bound::Included(&span.start), end))
}

/// Lays changes over what a view holds in a span.
pub(super) fn lay(changes: &Changes, mut view: Pairs, span: &Span, reverse: bool) -> Pairs {
    let copy =
        |(key, value): (&Vec<u8>, &Option<Bytes>)| (Bytes::copy_from_slice(key), value.clone());
    // The last one first, so that `pop` gives them in the order of the scan.
    let within = within(changes, span);
    let mut laid: Vec<(Bytes, Option<Bytes>)> = match reverse {
        true => within.map(copy).collect(),
        false => within.rev().map(copy).collect(),
    };
    if laid.is_empty() {
        return view;
    }
    let mut held: Option<Pair> = None;
    Box::new(std::iter::from_fn(move || {
        loop {
            if held.is_none() {
                match view.next() {
                    Some(Ok(pair)) => held = Some(pair),
                    Some(Err(error)) => return Some(Err(error)),
                    None => {}
                }
            }
            let laid_first = match (&held, laid.last()) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some((stored, _)), Some((key, _))) if stored == key => {
                    held = None;
                    true
                }
                (Some((stored, _)), Some((key, _))) => (key < stored) != reverse,
            };
            if !laid_first {
                return held.take().map(Ok);
            }
            if let Some((key, Some(value))) = laid.pop() {
                return Some(Ok((key, value)));
            }
        }
    }))
}
