//! Versions of items: given to what is written here, compared with what comes from elsewhere.

use gureum_kit::{Reader, Row, Scan, Tx};

use super::model::{Origin, Tombstone, Version, Versioned};
use crate::errors::Result;
use crate::items::ItemKey;
use crate::model::Table;
use crate::ops::streams::KEPT;
use crate::state::DynamoDb;

/// How much later than its time a record may still be carried.
const MARGIN: i64 = 3600 * 1000;
/// Deleted items that are forgotten in one go.
const BATCH: usize = 1000;

/// The version that an item has; `None` if it was last written before its table was global.
pub(crate) fn of(view: &impl Reader, table: &Table, at: &ItemKey) -> Result<Option<Version>> {
    let key = (table.versions(), at.partition.clone(), at.sort.clone());
    Ok(view.get::<Versioned>(key)?.map(|known| known.version))
}

/// Notes the version of a change: the one it came with, or a new one above that of the item.
pub(crate) fn note(
    tx: &mut Tx,
    table: &Table,
    at: &ItemKey,
    gone: bool,
    now: i64,
    replicated: Option<&Version>,
) -> Result<Option<Origin>> {
    if !table.is_global() {
        return Ok(None);
    }
    let version = match replicated {
        Some(version) => version.clone(),
        None => Version {
            at: of(tx, table, at)?.map_or(now, |known| now.max(known.at + 1)),
            region: table.region.clone(),
        },
    };
    if gone {
        let (partition, sort) = (at.partition.clone().into(), at.sort.clone().into());
        let stone = Tombstone {
            space: table.versions(),
            at: now,
            partition,
            sort,
        };
        tx.append((stone.space,), &stone)?;
    }
    tx.put(&Versioned {
        space: table.versions(),
        partition: at.partition.clone().into(),
        sort: at.sort.clone().into(),
        version: version.clone(),
        gone,
        written: now,
    })?;
    Ok(Some(Origin {
        version,
        replicated: replicated.is_some(),
    }))
}

/// Notes that an item expired where that is no change for the other regions: it keeps its version.
pub(crate) fn note_expired(tx: &mut Tx, table: &Table, at: &ItemKey, now: i64) -> Result<()> {
    if let Some(known) = of(tx, table, at)? {
        note(tx, table, at, true, now, Some(&known))?;
    }
    Ok(())
}

/// Forgets some versions of a space that is gone; how many.
pub(crate) fn forget(tx: &mut Tx, space: u64, limit: usize) -> Result<usize> {
    let known = tx.scan(Scan::<Versioned>::of((space,)).limit(limit));
    let keys = known.map(|known| Ok(known?.key()));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    for key in &keys {
        tx.delete::<Versioned>(key)?;
    }
    Ok(keys.len() + forget_deleted(tx, space, i64::MAX, limit)?)
}

/// Forgets some of the items of a space that were deleted before `horizon`; how many.
fn forget_deleted(tx: &mut Tx, space: u64, horizon: i64, limit: usize) -> Result<usize> {
    let mut old = Vec::new();
    for found in tx
        .scan(Scan::<Tombstone>::of((space,)).limit(limit))
        .stamped()
    {
        let (stamp, stone) = found?;
        if stone.at > horizon {
            break;
        }
        old.push((stamp, stone));
    }
    for (stamp, stone) in &old {
        let key = (space, stone.partition.to_vec(), stone.sort.to_vec());
        let known = tx.get::<Versioned>(&key)?;
        // The item may be there again, or have been deleted again.
        if known.is_some_and(|known| known.gone && known.written <= horizon) {
            tx.delete::<Versioned>(&key)?;
        }
        tx.delete::<Tombstone>((space, *stamp))?;
    }
    Ok(old.len())
}

impl DynamoDb {
    /// Forgets the versions of deleted items that no change on its way can be older than: streams
    /// keep their records for a day.
    pub(crate) async fn forget_deleted(&self) -> Result<()> {
        let horizon = self.clock.now() - KEPT - MARGIN;
        for live in self.all() {
            let space = live.table.versions();
            while live.table.is_global()
                && self
                    .store
                    .transact(|tx| forget_deleted(tx, space, horizon, BATCH))
                    .await?
                    == BATCH
            {}
        }
        Ok(())
    }
}
