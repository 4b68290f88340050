//! Versions of items: given to what is written here, compared with what comes from elsewhere.

use gureum_kit::{Reader, Row, Tx};

use super::model::{Origin, Version, Versioned};
use crate::errors::Result;
use crate::items::ItemKey;
use crate::model::Table;

/// The version that an item has; `None` if it was last written before its table was global.
pub(crate) fn of(view: &impl Reader, table: &Table, at: &ItemKey) -> Result<Option<Version>> {
    let key = (table.id, at.partition.clone(), at.sort.clone());
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
    tx.put(&Versioned {
        space: table.id,
        partition: at.partition.clone().into(),
        sort: at.sort.clone().into(),
        version: version.clone(),
        gone,
    })?;
    Ok(Some(Origin {
        version,
        replicated: replicated.is_some(),
    }))
}

/// Forgets some versions of a space that is gone; how many.
pub(crate) fn forget(tx: &mut Tx, space: u64, limit: usize) -> Result<usize> {
    let known = tx.scan(gureum_kit::Scan::<Versioned>::of((space,)).limit(limit));
    let keys = known.map(|known| Ok(known?.key()));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    for key in &keys {
        tx.delete::<Versioned>(key)?;
    }
    Ok(keys.len())
}
