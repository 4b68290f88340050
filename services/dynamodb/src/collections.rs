//! Item collections, all items with one partition key: where a table has local indexes, they must
//! not outgrow 10 GB.
//!
//! Their sizes are not kept with every write, which would make writers of one partition wait for
//! each other; the sweep, which counts all items anyway, finds those that are too large. So the
//! limit is noticed with the delay of a sweep.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use gureum_kit::{Reader, Row, Scan};

use crate::errors::{Refusal, Result};
use crate::model::{Entry, Table};
use crate::ops::items::Done;
use crate::state::{DynamoDb, Live};
use crate::value::{Item, item_size, key};

/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LSI.html>
const LIMIT: usize = 10 << 30;
/// Entries that are read in one go.
const BATCH: usize = 1000;

/// Which collections are full: the table's id and the partition key.
pub(crate) struct Collections {
    limit: usize,
    full: Mutex<HashSet<(u64, Vec<u8>)>>,
}

impl Default for Collections {
    fn default() -> Self {
        Self::limited_to(LIMIT)
    }
}

impl Collections {
    pub(crate) fn limited_to(limit: usize) -> Self {
        Self {
            limit,
            full: Mutex::default(),
        }
    }

    /// Items of a full collection may only shrink or go.
    pub(crate) fn admit(&self, done: &Done) -> Result<()> {
        let size = |item: Option<&Item>| item.map_or(0, item_size);
        let (old, new) = (done.old.as_ref(), done.new.as_deref());
        if done.table().locals.is_empty() || size(new) <= size(old) {
            return Ok(());
        }
        let full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if full.is_empty() || !full.contains(&(done.table().id, done.key.partition.clone())) {
            return Ok(());
        }
        Err(Refusal::CollectionFull)
    }

    /// As a part of a collection, in the table or one of five indexes, this may make it full.
    pub(crate) fn is_suspect(&self, table: &Table, bytes: usize) -> bool {
        let spaces = 1 + table.locals.len();
        spaces > 1 && bytes >= self.limit / spaces
    }

    /// Takes down which collections of the table are full.
    fn found(&self, table: &Table, partitions: Vec<Vec<u8>>) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        full.retain(|(id, _)| *id != table.id);
        full.extend(
            partitions
                .into_iter()
                .map(|partition| (table.id, partition)),
        );
    }

    /// Forgets a table that is gone.
    pub(crate) fn forget(&self, table: u64) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        full.retain(|(id, _)| *id != table);
    }
}

/// Where the parts of a collection lie.
fn spaces(table: &Table) -> impl Iterator<Item = u64> {
    let locals = table.locals.iter().map(|index| index.id);
    std::iter::once(table.id).chain(locals)
}

/// The bytes of all items with this partition key, and of what local indexes hold of them.
pub(crate) fn bytes(view: &impl Reader, table: &Table, partition: &[u8]) -> Result<usize> {
    let mut bytes = 0;
    for space in spaces(table) {
        let place = key::place(partition);
        for entry in view.scan(Scan::<Entry>::of((space, place, partition.to_vec()))) {
            bytes += entry?.item.size();
        }
    }
    Ok(bytes)
}

impl DynamoDb {
    /// Finds out which of the suspects are full; no other collection of the table is.
    pub(crate) async fn weigh(&self, table: &Table, suspects: BTreeSet<Vec<u8>>) -> Result<()> {
        let mut full = Vec::new();
        for partition in suspects {
            if self.fills(table, &partition).await? {
                full.push(partition);
            }
        }
        self.collections.found(table, full);
        Ok(())
    }

    async fn fills(&self, table: &Table, partition: &[u8]) -> Result<bool> {
        let view = self.store.read();
        let mut bytes = 0;
        for space in spaces(table) {
            let whole = (space, key::place(partition), partition.to_vec());
            let mut last = None;
            loop {
                let mut batch = Scan::<Entry>::of(whole.clone()).limit(BATCH);
                if let Some(last) = last.take() {
                    batch = batch.after(last);
                }
                let mut read = 0;
                for entry in view.scan(batch) {
                    let entry = entry?;
                    (read, bytes) = (read + 1, bytes + entry.item.size());
                    last = Some(entry.key());
                }
                if bytes >= self.collections.limit {
                    return Ok(true);
                }
                if read < BATCH {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        Ok(false)
    }

    /// Carries out one write in a transaction, as far as its collection has room.
    pub(crate) fn carry_out(
        &self,
        tx: &mut gureum_kit::Tx,
        live: &Arc<Live>,
        write: &crate::request::Write,
        now: i64,
    ) -> Result<Done> {
        let done = crate::ops::items::carry_out(tx, live, write, now)?;
        self.collections.admit(&done)?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items;
    use crate::model::{Index, KeySchema, Projected};
    use crate::request::{Effect, Write};
    use crate::value::Value;
    use gureum_kit::{Clock, Driver, Store};

    fn item(partition: &str, sort: usize, size: usize) -> Item {
        Item::from([
            ("p".to_owned(), Value::S(partition.into())),
            ("s".to_owned(), Value::S(sort.to_string())),
            ("l".to_owned(), Value::S("l".into())),
            ("fat".to_owned(), Value::S("x".repeat(size))),
        ])
    }

    async fn write(db: &DynamoDb, table: &Table, item: Item, effect: Effect) -> Result<()> {
        let key = items::key_in(table, &item)?.attributes;
        let write = Write {
            table: table.name.clone(),
            key,
            effect,
            condition: None,
            show_failed: false,
        };
        db.store
            .transact(|tx| {
                let live = crate::ops::items::table_in(db, tx, &table.key())?;
                db.carry_out(tx, &live, &write, 0).map(drop)
            })
            .await
    }

    #[tokio::test]
    async fn a_full_collection_takes_no_more() {
        let clock = Clock::manual(0);
        let driver = Driver::new(clock.clone());
        let opened = DynamoDb::open(Store::memory(), clock, &[7; 32], &driver)
            .await
            .expect("open");
        let mut db = Arc::into_inner(opened).expect("the only one");
        db.collections = Collections::limited_to(4000);
        let mut table = crate::page::tests::table("S");
        table.attributes.push(("l".into(), "S".into()));
        table.globals.clear();
        table.locals = vec![Index {
            name: "by-l".into(),
            id: 9,
            keys: KeySchema {
                partition: "p".into(),
                sort: Some("l".into()),
            },
            projection: Projected::All,
            throughput: Default::default(),
            backfilling: false,
        }];
        let stored = table.clone();
        db.alter(&table.key(), move |_, place| {
            *place = Some(stored.clone());
            Ok(())
        })
        .await
        .expect("table");
        let put = |partition: &str, sort| {
            let item = item(partition, sort, 500);
            write(&db, &table, item.clone(), Effect::Put(Arc::new(item)))
        };
        // Four items and their entries in the index.
        for sort in 0..4 {
            put("a", sort).await.expect("room");
        }
        put("b", 0).await.expect("room");
        db.sweep().await.expect("sweep");
        assert_eq!(put("a", 4).await, Err(Refusal::CollectionFull));
        put("b", 1).await.expect("another collection");
        put("a", 3).await.expect("no larger than before");
        write(&db, &table, item("a", 0, 0), Effect::Delete)
            .await
            .expect("less");
        db.changed.lock().expect("changed").insert(table.id);
        db.sweep().await.expect("sweep");
        put("a", 4).await.expect("room again");
    }
}
