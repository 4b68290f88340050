//! Copies of a table as of a moment, some items at a time, each batch with its cursor in one
//! transaction.
//!
//! The items are taken as they are, each at its own time, while writers go on. Whatever was written
//! since the moment is in the log by then, so that undoing it from the last change to the first gives
//! every item what it was. Doing a batch twice changes nothing, and the source is read outside the
//! transaction: a copy never makes a writer wait.

use std::collections::BTreeMap;

use gureum_kit::{Reader, Scan};

use super::gathering::gather;
use super::model::{Backup, Changed, Copy, Cursor, Purpose, Step, Undo};
use super::undo;
use crate::errors::{Refusal, Result};
use crate::items;
use crate::model::{Entry, EntryKey, Table};
use crate::sealing::Held;
use crate::state::DynamoDb;
use crate::transfer::model::{Export, ExportStage};
use crate::value::key;

pub(super) const BATCH_ITEMS: usize = 500;
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// A change that a batch makes to the target.
enum Edit {
    Put(Entry),
    Delete(EntryKey),
    Change(Changed),
}

impl DynamoDb {
    /// Brings all copies to their end, in turns. One that fails does not hold up the others.
    pub(crate) async fn copy_all(&self) -> Result<()> {
        let mut failed = BTreeMap::new();
        loop {
            let view = self.store.read();
            let open = view.scan(Scan::<Copy>::all());
            let mut open = open.collect::<Result<Vec<_>, _>>()?;
            drop(view);
            open.retain(|copy| !failed.contains_key(&copy.target));
            if open.is_empty() {
                return failed.into_values().next().map_or(Ok(()), Err);
            }
            for copy in open {
                let target = copy.target;
                if let Err(refusal) = self.copy_step(copy).await {
                    failed.insert(target, refusal);
                }
                tokio::task::yield_now().await;
            }
        }
    }

    pub(super) async fn copy_step(&self, copy: Copy) -> Result<()> {
        if let Purpose::Table(key) = &copy.purpose
            && let Some(live) = self.find(key)
        {
            self.open_own(&live.table).await?;
        }
        let view = self.store.read();
        let mut next = copy.clone();
        let mut edits = Vec::new();
        match &copy.step {
            Step::Items(cursor) => {
                let found = batch(&view, copy.source, cursor.as_ref())?;
                next.step = match (found.last(), copy.as_of) {
                    (Some(last), _) => Step::Items(Some(Cursor::at(last))),
                    (None, None) => Step::counting(),
                    (None, Some((log, moment))) => Step::Undo {
                        cut: undo::cut(&view, log, moment)?,
                        before: u64::MAX,
                    },
                };
                edits.extend(found.into_iter().map(|entry| {
                    Edit::Put(Entry {
                        space: copy.target,
                        ..entry
                    })
                }));
            }
            Step::Undo { cut, before } => {
                let log = copy.as_of.map_or(0, |(log, _)| log);
                let found = changes(&view, log, *cut, *before)?;
                next.step = match found.last() {
                    Some((stamp, _)) => Step::Undo {
                        cut: *cut,
                        before: *stamp,
                    },
                    None => Step::counting(),
                };
                let found = found.into_iter().filter(|(_, change)| !change.is_mark());
                edits.extend(found.map(|(_, change)| undoing(copy.target, change)));
            }
            Step::Count {
                cursor,
                items,
                bytes,
            } => {
                let found = batch(&view, copy.target, cursor.as_ref())?;
                let Some(last) = found.last() else {
                    let (items, bytes) = (*items, *bytes);
                    return self.copied(&copy, items, bytes).await;
                };
                let size = |entry: &Entry| entry.item.size() as i64;
                next.step = Step::Count {
                    cursor: Some(Cursor::at(last)),
                    items: items + found.len() as i64,
                    bytes: bytes + found.iter().map(size).sum::<i64>(),
                };
                edits = self.index_entries(&view, &copy, &found)?;
            }
            Step::Gather(step) => {
                let Some((step, changed)) = gather(&view, &copy, step)? else {
                    return self.copied(&copy, 0, 0).await;
                };
                next.step = Step::Gather(step);
                edits.extend(changed.into_iter().map(Edit::Change));
            }
        }
        drop(view);
        self.store
            .transact(|tx| {
                // Somebody may have ended it in the meantime.
                if tx.get::<Copy>(copy.target)?.as_ref() != Some(&copy) {
                    return Ok(());
                }
                for edit in &edits {
                    match edit {
                        Edit::Put(entry) => tx.put(entry)?,
                        Edit::Delete(key) => tx.delete::<Entry>(key)?,
                        Edit::Change(changed) => tx.put(changed)?,
                    }
                }
                tx.put(&next)?;
                Ok::<_, Refusal>(())
            })
            .await
    }

    /// What the indexes of a table that is being made hold of these items.
    fn index_entries(&self, view: &impl Reader, copy: &Copy, found: &[Entry]) -> Result<Vec<Edit>> {
        let mut edits = Vec::new();
        let Purpose::Table(key) = &copy.purpose else {
            return Ok(edits);
        };
        let Some(mut table) = view.get::<Table>(key)? else {
            return Ok(edits);
        };
        if table.indexes().next().is_none() {
            return Ok(edits);
        }
        self.unlock(&mut table)?;
        for entry in found {
            let item = entry.open(&table)?;
            let at = items::key_in(&table, &item)?;
            for index in table.indexes() {
                if let Some(made) = items::part(&table, index, &at, &item) {
                    edits.push(Edit::Put(made.entry(&table)?));
                }
            }
        }
        Ok(edits)
    }

    /// Lets what the copy was made for begin.
    async fn copied(&self, copy: &Copy, items: i64, bytes: i64) -> Result<()> {
        match &copy.purpose {
            Purpose::Table(key) => {
                self.alter(key, |tx, place| {
                    tx.delete::<Copy>(copy.target)?;
                    if let Some(table) = place.as_mut().filter(|table| table.id == copy.target) {
                        table.history.making = false;
                    }
                    Ok(())
                })
                .await
            }
            Purpose::Export(key) => {
                self.store
                    .transact(|tx| {
                        tx.delete::<Copy>(copy.target)?;
                        if let Some(mut export) = tx.get::<Export>(key)? {
                            export.stage = ExportStage::Writing(None);
                            tx.put(&export)?;
                        }
                        Ok::<_, Refusal>(())
                    })
                    .await?;
                self.wake_transfers.wake();
                Ok(())
            }
            Purpose::Backup(key) => {
                self.store
                    .transact(|tx| {
                        tx.delete::<Copy>(copy.target)?;
                        if let Some(mut backup) = tx.get::<Backup>(key)? {
                            backup.available = true;
                            (backup.items, backup.bytes) = (items, bytes);
                            tx.put(&backup)?;
                        }
                        Ok::<_, Refusal>(())
                    })
                    .await
            }
        }
    }
}

impl Step {
    fn counting() -> Self {
        Self::Count {
            cursor: None,
            items: 0,
            bytes: 0,
        }
    }
}

/// The next items of a space.
pub(crate) fn batch(view: &impl Reader, space: u64, cursor: Option<&Cursor>) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for entry in view.scan(Cursor::rest(space, cursor).limit(BATCH_ITEMS)) {
        let entry = entry?;
        bytes += entry.item.size();
        found.push(entry);
        if bytes >= BATCH_BYTES {
            break;
        }
    }
    Ok(found)
}

/// The last changes from `cut` to `before`, the last one first.
pub(super) fn changes(
    view: &impl Reader,
    log: u64,
    cut: u64,
    before: u64,
) -> Result<Vec<(u64, Undo)>> {
    let scan = Scan::<Undo>::of((log,))
        .from((log, cut))
        .until((log, before))
        .reverse()
        .limit(BATCH_ITEMS);
    let mut found = Vec::new();
    let mut bytes = 0;
    for change in view.scan(scan).stamped() {
        let (stamp, change) = change?;
        bytes += change.old.as_ref().map_or(0, Held::size);
        found.push((stamp, change));
        if bytes >= BATCH_BYTES {
            break;
        }
    }
    Ok(found)
}

fn undoing(target: u64, change: Undo) -> Edit {
    let (partition, sort) = (change.partition, change.sort);
    match change.old {
        Some(item) => Edit::Put(Entry {
            space: target,
            partition,
            sort,
            base: Default::default(),
            item,
        }),
        None => {
            let place = key::place(&partition);
            Edit::Delete((target, place, partition.into(), sort.into(), Vec::new()))
        }
    }
}
