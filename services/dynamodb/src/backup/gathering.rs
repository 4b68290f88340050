//! What changed in a window of time: for each item that was written in it, what the item was before
//! and what it is after.
//!
//! The changes of the window are noted in their order: the first tells what its item was. The items
//! that they touched are then taken as they are, while writers go on; and what was written behind the
//! window is undone, from the last change to the first, as in a copy. The table itself is never read
//! through.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use bytes::Bytes;
use gureum_kit::{Reader, Scan};

use super::copying::{BATCH_BYTES, BATCH_ITEMS, changes};
use super::model::{Changed, ChangedKey, Copy, Cursor, Gather, Undo};
use super::undo::cut;
use crate::errors::Result;
use crate::model::Entry;
use crate::sealing::Held;
use crate::value::key;

/// The rows that this step writes, and the step that follows; `None` when all is gathered.
pub(super) fn gather(
    view: &impl Reader,
    copy: &Copy,
    step: &Gather,
) -> Result<Option<(Gather, Vec<Changed>)>> {
    let Some((log, moment)) = copy.as_of else {
        return Ok(None);
    };
    Ok(Some(match *step {
        Gather::Begin { until } => {
            let (next, end) = (cut(view, log, moment)?, cut(view, log, until)?);
            (Gather::Note { next, end }, Vec::new())
        }
        Gather::Note { next, end } => {
            let mut batch = Batch::of(view, copy.target);
            match batch.note(log, next, end)? {
                Some(last) => (
                    Gather::Note {
                        next: last + 1,
                        end,
                    },
                    batch.finish(),
                ),
                None => (Gather::Take { end, cursor: None }, Vec::new()),
            }
        }
        Gather::Take { end, ref cursor } => {
            let taken = batch(view, copy.target, cursor.as_ref(), |row| {
                row.after = now(view, copy.source, row)?;
                Ok(())
            })?;
            match taken.last().map(Changed::cursor) {
                Some(cursor) => (
                    Gather::Take {
                        end,
                        cursor: Some(cursor),
                    },
                    taken,
                ),
                None => (
                    Gather::Undo {
                        end,
                        before: u64::MAX,
                    },
                    Vec::new(),
                ),
            }
        }
        Gather::Undo { end, before } => {
            let found = changes(view, log, end, before)?;
            let Some((last, _)) = found.last() else {
                return Ok(None);
            };
            let before = *last;
            let mut batch = Batch::of(view, copy.target);
            for (_, change) in found {
                batch.undo(change)?;
            }
            (Gather::Undo { end, before }, batch.finish())
        }
    }))
}

/// The next items of a space that were gathered.
pub(crate) fn changed(
    view: &impl Reader,
    space: u64,
    cursor: Option<&Cursor>,
) -> Result<Vec<Changed>> {
    batch(view, space, cursor, |_| Ok(()))
}

/// The next rows of a space, each brought up to date; about as much as one transaction may write.
fn batch(
    view: &impl Reader,
    space: u64,
    cursor: Option<&Cursor>,
    update: impl Fn(&mut Changed) -> Result<()>,
) -> Result<Vec<Changed>> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for row in view.scan(Changed::rest(space, cursor).limit(BATCH_ITEMS)) {
        let mut row = row?;
        update(&mut row)?;
        bytes += row.size();
        found.push(row);
        if bytes >= BATCH_BYTES {
            break;
        }
    }
    Ok(found)
}

/// What the item is now.
fn now(view: &impl Reader, source: u64, row: &Changed) -> Result<Option<Held>> {
    let place = key::place(&row.partition);
    let (partition, sort) = (row.partition.to_vec(), row.sort.to_vec());
    let entry = view.get::<Entry>((source, place, partition, sort, Vec::new()))?;
    Ok(entry.map(|entry| entry.item))
}

/// Rows of the target as a step changes them.
struct Batch<'a, V> {
    view: &'a V,
    space: u64,
    rows: BTreeMap<ChangedKey, Option<Changed>>,
}

impl<'a, V: Reader> Batch<'a, V> {
    fn of(view: &'a V, space: u64) -> Self {
        Self {
            view,
            space,
            rows: BTreeMap::new(),
        }
    }

    /// Where the row of an item is, if it has one.
    fn row(&mut self, partition: &Bytes, sort: &Bytes) -> Result<&mut Option<Changed>> {
        let key = Changed::key_of(self.space, partition, sort);
        Ok(match self.rows.entry(key) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => {
                let row = self.view.get::<Changed>(slot.key())?;
                slot.insert(row)
            }
        })
    }

    /// Notes the next changes of the window; the number of the last one.
    fn note(&mut self, log: u64, next: u64, end: u64) -> Result<Option<u64>> {
        let scan = Scan::<Undo>::of((log,)).from((log, next)).until((log, end));
        let (mut last, mut bytes) = (None, 0);
        for found in self.view.scan(scan.limit(BATCH_ITEMS)).stamped() {
            let (stamp, change) = found?;
            last = Some(stamp);
            if change.is_mark() {
                continue;
            }
            let space = self.space;
            let row = self.row(&change.partition, &change.sort)?;
            let row = row.get_or_insert_with(|| Changed {
                space,
                partition: change.partition,
                sort: change.sort,
                at: change.at,
                before: change.old,
                after: None,
            });
            row.at = row.at.max(change.at);
            bytes += row.size();
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        Ok(last)
    }

    /// Undoes a change from behind the window, if the item was changed in it.
    fn undo(&mut self, change: Undo) -> Result<()> {
        if change.is_mark() {
            return Ok(());
        }
        if let Some(row) = self.row(&change.partition, &change.sort)? {
            row.after = change.old;
        }
        Ok(())
    }

    fn finish(self) -> Vec<Changed> {
        self.rows.into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests;
