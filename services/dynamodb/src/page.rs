//! One page of a query or scan: what is read, what of it is shown, and where the next page begins.

use gureum_kit::store::Snapshot;
use gureum_kit::{Reader, Scan};

use crate::errors::{Refusal, Result};
use crate::expression::ast::Comparator;
use crate::expression::key_condition::{KeyCondition, Keys, Range};
use crate::expression::{Condition, Projection};
use crate::model::{Entry, EntryKey, Index, Projected, Table};
use crate::value::{Item, Value, item_size, key};

/// The most bytes that one page reads, before any filter.
pub(crate) const MAX_PAGE: usize = 1 << 20;

/// A table or one of its indexes.
#[derive(Clone, Copy)]
pub(crate) struct Source<'t> {
    pub(crate) table: &'t Table,
    pub(crate) index: Option<&'t Index>,
    pub(crate) local: bool,
}

impl<'t> Source<'t> {
    pub(crate) fn new(table: &'t Table, index: Option<&str>) -> Result<Self> {
        let Some(name) = index else {
            return Ok(Self {
                table,
                index: None,
                local: false,
            });
        };
        let named = |index: &&Index| index.name == name;
        let local = table.locals.iter().find(named);
        let found = local.or_else(|| table.globals.iter().find(named));
        let index = found.ok_or_else(|| {
            Refusal::validation(format!(
                "The table does not have the specified index: {name}"
            ))
        })?;
        if index.backfilling {
            return Err(Refusal::validation(format!(
                "Cannot read from backfilling global secondary index: {name}"
            )));
        }
        Ok(Self {
            table,
            index: Some(index),
            local: local.is_some(),
        })
    }

    pub(crate) fn is_global(&self) -> bool {
        self.index.is_some() && !self.local
    }

    pub(crate) fn space(&self) -> u64 {
        self.index.map_or(self.table.id, |index| index.id)
    }

    pub(crate) fn keys(&self) -> Keys<'t> {
        let schema = self.index.map_or(&self.table.keys, |index| &index.keys);
        let typed = |name: &'t String| (name.as_str(), self.table.kind(name));
        Keys {
            partition: typed(&schema.partition),
            sort: schema.sort.as_ref().map(typed),
        }
    }

    /// Whether the index holds this attribute of every item that it has.
    pub(crate) fn holds(&self, attribute: &str) -> bool {
        let Some(index) = self.index else { return true };
        let held = match &index.projection {
            Projected::All => true,
            Projected::KeysOnly => false,
            Projected::Include(names) => names.iter().any(|name| name == attribute),
        };
        held || self.table.keys.contains(attribute) || index.keys.contains(attribute)
    }

    /// Where a page ends that has this item as its last.
    fn position(&self, item: &Item) -> Item {
        let index = self.index.into_iter().flat_map(|index| index.keys.names());
        let names = self.table.keys.names().chain(index);
        let pairs = names.filter_map(|name| item.get_key_value(name));
        pairs
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The entries that a key condition means.
    pub(crate) fn span(&self, condition: &KeyCondition) -> Scan<Entry> {
        let space = self.space();
        let partition = key::encode(&condition.partition).unwrap_or_default();
        let place = key::place(&partition);
        let all = Scan::of((space, place, partition.clone()));
        let at = |value: &Value| -> Vec<u8> { key::encode(value).unwrap_or_default() };
        let begin = |sort: Vec<u8>| (space, place, partition.clone(), sort, Vec::new());
        // The lowest sort key above this one.
        let above = |value: &Value| [at(value), vec![0]].concat();
        match &condition.sort {
            Range::All => all,
            Range::Compare(Comparator::Lt, value) => all.until(begin(at(value))),
            Range::Compare(Comparator::Le, value) => all.until(begin(above(value))),
            Range::Compare(Comparator::Gt, value) => all.from(begin(above(value))),
            Range::Compare(Comparator::Ge, value) => all.from(begin(at(value))),
            Range::Compare(_, value) => all.from(begin(at(value))).until(begin(above(value))),
            Range::Between(low, high) => all.from(begin(at(low))).until(begin(above(high))),
            Range::BeginsWith(start) => {
                let start = at(start);
                let all = all.from(begin(start.clone()));
                match after_prefix(&start) {
                    Some(end) => all.until(begin(end)),
                    None => all,
                }
            }
        }
    }

    /// One of the equal parts of the whole; all of it without a segment.
    pub(crate) fn segment(&self, segment: Option<(u32, u32)>) -> Scan<Entry> {
        let space = self.space();
        let all = Scan::of((space,));
        let Some((number, of)) = segment else {
            return all;
        };
        let begin = |place: u64| (space, place, Vec::new(), Vec::new(), Vec::new());
        let all = all.from(begin(segment_start(number, of)));
        if number + 1 < of {
            all.until(begin(segment_start(number + 1, of)))
        } else {
            all
        }
    }
}

fn segment_start(number: u32, of: u32) -> u64 {
    // Below 2^64 for every segment before the last one's end.
    ((u128::from(number) << 64) / u128::from(of.max(1))) as u64
}

/// Which segment a start key lies in.
pub(crate) fn in_segment(start: &EntryKey, (number, of): (u32, u32)) -> bool {
    let last = number + 1 == of;
    start.1 >= segment_start(number, of) && (last || start.1 < segment_start(number + 1, of))
}

/// The first bytes after all that start with these.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

/// What to read and what to show of it.
pub(crate) struct Plan<'t> {
    pub(crate) source: Source<'t>,
    pub(crate) entries: Scan<Entry>,
    pub(crate) limit: Option<usize>,
    pub(crate) filter: Option<Condition>,
    pub(crate) projection: Option<Projection>,
    /// Items themselves are not wanted.
    pub(crate) count_only: bool,
    /// The index does not hold all that is wanted: read the table's items as well.
    pub(crate) fetch: bool,
}

#[derive(Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    pub(crate) count: usize,
    pub(crate) scanned: usize,
    /// Bytes read from the source.
    pub(crate) bytes: usize,
    /// Bytes of each item fetched from the table.
    pub(crate) fetched: Vec<usize>,
    pub(crate) last: Option<Item>,
}

impl Plan<'_> {
    pub(crate) fn read(self, view: &Snapshot) -> Result<Page> {
        let mut page = Page::default();
        for entry in view.scan(self.entries) {
            let held = entry?.open(self.source.table)?;
            page.scanned += 1;
            page.bytes += item_size(&held);
            let full = self.limit == Some(page.scanned) || page.bytes >= MAX_PAGE;
            if full {
                page.last = Some(self.source.position(&held));
            }
            let item = if self.fetch {
                let whole = crate::ops::items::whole(view, self.source.table, &held)?;
                let whole = whole.unwrap_or(held);
                page.fetched.push(item_size(&whole));
                whole
            } else {
                held
            };
            if self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.holds(&item))
            {
                page.count += 1;
                if !self.count_only {
                    page.items
                        .push(crate::ops::items::seen(item, self.projection.as_ref()));
                }
            }
            if full {
                break;
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
pub(crate) mod tests;
