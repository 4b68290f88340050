//! Items in a table: their keys, and writing them with everything that hangs on them.

use gureum_kit::names::id;
use gureum_kit::{Reader, Tx};

use crate::backup::undo;
use crate::errors::{Refusal, Result};
use crate::global::model::{Origin, Version};
use crate::global::{legacy, version};
use crate::model::{Change, Entry, EntryKey, Index, KeySchema, Projected, Record, Table, base};
use crate::sealing::Held;
use crate::value::{Item, MAX_ITEM, MAX_NESTING, TOO_DEEP, Value, item_size, key};

/// The longest key attributes, in bytes.
const MAX_PARTITION_KEY: usize = 2048;
const MAX_SORT_KEY: usize = 1024;

/// Where an item is: its key as bytes, and as attributes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ItemKey {
    pub(crate) partition: Vec<u8>,
    pub(crate) sort: Vec<u8>,
    pub(crate) attributes: Item,
}

impl ItemKey {
    pub(crate) fn row(&self, space: u64) -> EntryKey {
        let place = key::place(&self.partition);
        (
            space,
            place,
            self.partition.clone(),
            self.sort.clone(),
            Vec::new(),
        )
    }

    /// The key as one string of bytes, for entries of indexes, and to bind what is sealed to it.
    pub(crate) fn base(&self) -> Vec<u8> {
        base(&self.partition, &self.sort)
    }
}

/// The key in a request that names one item: exactly the key attributes.
pub(crate) fn key_of(table: &Table, attributes: Item) -> Result<ItemKey> {
    let mismatch = || Refusal::validation("The provided key element does not match the schema");
    if attributes.len() != table.keys.names().count() {
        return Err(mismatch());
    }
    for name in table.keys.names() {
        let value = attributes.get(name).ok_or_else(mismatch)?;
        if value.kind() != table.kind(name) {
            return Err(mismatch());
        }
    }
    key_in(table, &attributes)
}

/// The key of a whole item.
pub(crate) fn key_in(table: &Table, item: &Item) -> Result<ItemKey> {
    let part = |name: &String, limit: usize| {
        let value = item
            .get(name)
            .ok_or_else(|| Refusal::parameters(&format!("Missing the key {name} in the item")))?;
        let kind = table.kind(name);
        if value.kind() != kind {
            return Err(Refusal::parameters(&format!(
                "Type mismatch for key {name} expected: {kind} actual: {}",
                value.kind()
            )));
        }
        if value.length() == Some(0) {
            return Err(Refusal::validation(format!(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {} value. Key: {name}",
                said(kind)
            )));
        }
        let bytes = key::encode(value).unwrap_or_default();
        if bytes.len() > limit {
            return Err(Refusal::parameters(if limit == MAX_PARTITION_KEY {
                "Size of hashkey has exceeded the maximum size limit of2048 bytes"
            } else {
                "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
            }));
        }
        Ok(bytes)
    };
    let partition = part(&table.keys.partition, MAX_PARTITION_KEY)?;
    let sort = table
        .keys
        .sort
        .as_ref()
        .map(|name| part(name, MAX_SORT_KEY));
    Ok(ItemKey {
        partition,
        sort: sort.transpose()?.unwrap_or_default(),
        attributes: only(&table.keys, item),
    })
}

fn said(kind: &str) -> &'static str {
    if kind == "B" { "binary" } else { "string" }
}

fn only(keys: &KeySchema, item: &Item) -> Item {
    let pairs = keys.names().filter_map(|name| item.get_key_value(name));
    pairs
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What a whole item must be, its key aside.
pub(crate) fn check(table: &Table, item: &Item, updating: bool) -> Result<()> {
    if item_size(item) > MAX_ITEM {
        return Err(Refusal::validation(if updating {
            "Item size to update has exceeded the maximum allowed size"
        } else {
            "Item size has exceeded the maximum allowed size"
        }));
    }
    // Values of requests have been checked; an update may have put one deeper.
    if updating && item.values().any(|value| value.depth() > MAX_NESTING) {
        return Err(Refusal::validation(TOO_DEEP));
    }
    for index in table.indexes() {
        for name in index.keys.names() {
            let Some(value) = item.get(name) else {
                continue;
            };
            check_index_key(table, index, name, value)?;
        }
    }
    Ok(())
}

fn check_index_key(table: &Table, index: &Index, name: &str, value: &Value) -> Result<()> {
    let kind = table.kind(name);
    if value.kind() != kind {
        return Err(Refusal::parameters(&format!(
            "Type mismatch for Index Key {name} Expected: {kind} Actual: {} IndexName: {}",
            value.kind(),
            index.name
        )));
    }
    if value.length() == Some(0) {
        return Err(Refusal::validation(format!(
            "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty {} value. IndexName: {}, IndexKey: {name}",
            said(kind),
            index.name
        )));
    }
    let limit = if name == index.keys.partition {
        MAX_PARTITION_KEY
    } else {
        MAX_SORT_KEY
    };
    if key::encode(value).is_none_or(|bytes| bytes.len() > limit) {
        return Err(Refusal::parameters(&format!(
            "Size of index key {name} has exceeded the maximum size limit of {limit} bytes IndexName: {}",
            index.name
        )));
    }
    Ok(())
}

/// What an index holds of an item.
pub(crate) struct Part {
    space: u64,
    partition: Vec<u8>,
    sort: Vec<u8>,
    base: Vec<u8>,
    item: Item,
}

impl Part {
    pub(crate) fn key(&self) -> EntryKey {
        let place = key::place(&self.partition);
        (
            self.space,
            place,
            self.partition.clone(),
            self.sort.clone(),
            self.base.clone(),
        )
    }

    /// Its row.
    pub(crate) fn entry(self, table: &Table) -> Result<Entry> {
        Ok(Entry {
            item: Held::seal(table.data_key()?, &self.base, &self.item)?,
            space: self.space,
            partition: self.partition.into(),
            sort: self.sort.into(),
            base: self.base.into(),
        })
    }

    fn units(&self) -> u64 {
        write_units(item_size(&self.item))
    }
}

/// The part of an item that an index holds; `None` where the item lacks a key of the index.
pub(crate) fn part(table: &Table, index: &Index, at: &ItemKey, item: &Item) -> Option<Part> {
    let encoded = |name: &String| {
        let value = item
            .get(name)
            .filter(|value| value.kind() == table.kind(name))?;
        key::encode(value).filter(|bytes| !bytes.is_empty())
    };
    let partition = encoded(&index.keys.partition)?;
    let sort = match &index.keys.sort {
        Some(name) => encoded(name)?,
        None => Vec::new(),
    };
    Some(Part {
        space: index.id,
        partition,
        sort,
        base: at.base(),
        item: project(table, index, item),
    })
}

fn project(table: &Table, index: &Index, item: &Item) -> Item {
    let held = |name: &String| match &index.projection {
        Projected::All => true,
        Projected::KeysOnly => false,
        Projected::Include(names) => names.contains(name),
    };
    item.iter()
        .filter(|(name, _)| held(name) || table.keys.contains(name) || index.keys.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Capacity units that a write took, the table's and each index's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Written {
    pub(crate) table: u64,
    pub(crate) indexes: Vec<(String, u64)>,
}

/// Write units for so many bytes.
pub(crate) fn write_units(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(1024).max(1)
}

/// Reads an item for a change of it.
pub(crate) fn read(tx: &impl Reader, table: &Table, at: &ItemKey) -> Result<Option<Item>> {
    let entry = tx.get::<Entry>(at.row(table.id))?;
    entry.map(|entry| entry.open(table)).transpose()
}

/// Puts `new` in the place of `old`, with its index entries and its stream record.
pub(crate) fn write(
    tx: &mut Tx,
    table: &Table,
    at: &ItemKey,
    old: Option<&Item>,
    new: Option<&Item>,
    now: i64,
    expired: bool,
) -> Result<Written> {
    write_as(tx, table, at, (old, new), now, expired, None)
}

/// Makes a change that was made in another region, with the version that it got there.
pub(crate) fn replicate(
    tx: &mut Tx,
    table: &Table,
    at: &ItemKey,
    old: Option<&Item>,
    new: Option<&Item>,
    now: i64,
    version: &Version,
) -> Result<()> {
    if old == new {
        // There is nothing to write, but something to remember.
        version::note(tx, table, at, new.is_none(), now, Some(version))?;
    }
    write_as(tx, table, at, (old, new), now, false, Some(version)).map(drop)
}

fn write_as(
    tx: &mut Tx,
    table: &Table,
    at: &ItemKey,
    (old, new): (Option<&Item>, Option<&Item>),
    now: i64,
    expired: bool,
    replicated: Option<&Version>,
) -> Result<Written> {
    let size = |item: Option<&Item>| item.map_or(0, item_size);
    let mut written = Written {
        table: write_units(size(old).max(size(new))),
        indexes: Vec::new(),
    };
    if old == new {
        return Ok(written);
    }
    let (origin, stamped) = versioned(tx, table, at, new, now, expired, replicated)?;
    let new = stamped.as_ref().or(new);
    match new {
        Some(item) => tx.put(&Entry {
            space: table.id,
            partition: at.partition.clone().into(),
            sort: at.sort.clone().into(),
            base: Default::default(),
            item: Held::seal(table.data_key()?, &at.base(), item)?,
        })?,
        None => tx.delete::<Entry>(at.row(table.id))?,
    }
    for index in table.indexes() {
        let units = write_index(tx, table, index, at, old, new)?;
        if units > 0 {
            written.indexes.push((index.name.clone(), units));
        }
    }
    undo::note(tx, table, at, old, now)?;
    record(tx, table, at, (old, new), now, expired, origin)?;
    Ok(written)
}

/// Gives a change in a global table its version, and the item as it shall be where that is another: in
/// those of 2017.11.29 items show their version. There each region expires items for itself.
fn versioned(
    tx: &mut Tx,
    table: &Table,
    at: &ItemKey,
    new: Option<&Item>,
    now: i64,
    expired: bool,
    replicated: Option<&Version>,
) -> Result<(Option<Origin>, Option<Item>)> {
    if expired && table.legacy.is_some() {
        version::note_expired(tx, table, at, now)?;
        return Ok((None, None));
    }
    let origin = version::note(tx, table, at, new.is_none(), now, replicated)?;
    let stamped = match (&origin, new) {
        (Some(made), Some(item)) if table.legacy.is_some() && !made.replicated => {
            Some(legacy::stamped(item, &made.version)?)
        }
        _ => None,
    };
    Ok((origin, stamped))
}

fn write_index(
    tx: &mut Tx,
    table: &Table,
    index: &Index,
    at: &ItemKey,
    old: Option<&Item>,
    new: Option<&Item>,
) -> Result<u64> {
    let old = old.and_then(|item| part(table, index, at, item));
    let new = new.and_then(|item| part(table, index, at, item));
    Ok(match (old, new) {
        (None, None) => 0,
        (Some(old), Some(new)) if old.key() == new.key() => {
            if old.item == new.item {
                return Ok(0);
            }
            let units = old.units().max(new.units());
            tx.put(&new.entry(table)?)?;
            units
        }
        (old, new) => {
            let mut sum = 0;
            if let Some(old) = old {
                tx.delete::<Entry>(old.key())?;
                sum += old.units();
            }
            if let Some(new) = new {
                sum += new.units();
                tx.put(&new.entry(table)?)?;
            }
            sum
        }
    })
}

fn record(
    tx: &mut Tx,
    table: &Table,
    at: &ItemKey,
    (old, new): (Option<&Item>, Option<&Item>),
    now: i64,
    expired: bool,
    origin: Option<Origin>,
) -> Result<()> {
    let Some(stream) = &table.stream else {
        return Ok(());
    };
    let (olds, news) = match stream.view.as_str() {
        "NEW_IMAGE" => (false, true),
        "OLD_IMAGE" => (true, false),
        "NEW_AND_OLD_IMAGES" => (true, true),
        _ => (false, false),
    };
    let size = |item: Option<&Item>| item.map_or(0, item_size);
    let kind = match (old, new) {
        (None, _) => Change::Insert,
        (Some(_), Some(_)) => Change::Modify,
        (Some(_), None) => Change::Remove,
    };
    let (old, new) = (old.filter(|_| olds), new.filter(|_| news));
    let held = |item: Option<&Item>| {
        let seal = |item| Held::seal(table.data_key()?, &at.base(), item);
        item.map(seal).transpose()
    };
    let record = Record {
        stream: stream.id,
        at: now,
        id: id::hex_digits(32),
        kind,
        size: (item_size(&at.attributes) + size(old) + size(new)) as u64,
        keys: at.attributes.clone(),
        old: held(old)?,
        new: held(new)?,
        expired,
        origin,
    };
    tx.append((stream.id,), &record)?;
    Ok(())
}

/// The bytes that begin after all keys of an entry of the index with these attributes.
pub(crate) fn start_key(
    table: &Table,
    index: Option<&Index>,
    attributes: &Item,
) -> Result<EntryKey> {
    let invalid = || Refusal::validation("The provided starting key is invalid");
    let index_names = index.into_iter().flat_map(|index| index.keys.names());
    let mut names: Vec<_> = table.keys.names().chain(index_names).collect();
    names.sort();
    names.dedup();
    if attributes.len() != names.len() {
        return Err(invalid());
    }
    for name in names {
        let value = attributes.get(name).ok_or_else(invalid)?;
        if value.kind() != table.kind(name) {
            return Err(invalid());
        }
    }
    let at = key_in(table, attributes)?;
    let Some(index) = index else {
        return Ok(at.row(table.id));
    };
    let part = part(table, index, &at, attributes).ok_or_else(invalid)?;
    Ok(part.key())
}
