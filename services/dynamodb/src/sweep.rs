//! What goes by itself: items whose time has come, stream records after a day, the rows of deleted
//! tables. The same pass over the items counts them.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use bytes::Bytes;
use gureum_kit::{Reader, Row, Scan, Tx, idempotency};
use tokio::time::Instant;

use crate::backup::model::{Changed, Undo, readers};
use crate::errors::{Refusal, Result};
use crate::global::model::Route;
use crate::global::version;
use crate::items::{self, ItemKey};
use crate::model::{Entry, EntryKey, Grave, Record, StreamInfo, Table};
use crate::ops::streams::KEPT;
use crate::shards::Split;
use crate::state::{Counted, DynamoDb};
use crate::value::{Item, Value};

/// Rows that are read or removed in one go.
const BATCH: usize = 1000;
/// How much longer than it took to read some rows a pass rests before it reads the next, so that
/// requests hardly notice it.
const REST: u32 = 24;
/// Items that expired longer ago than this stay: the attribute holds something else, says AWS.
const LONG_AGO: i64 = 5 * 365 * 24 * 3600;

impl DynamoDb {
    pub(crate) async fn sweep(&self) -> Result<()> {
        self.bury().await?;
        self.trim_streams().await?;
        self.trim_history().await?;
        self.forget_deleted().await?;
        let now = self.clock.now();
        while idempotency::forget_expired(&self.store, now, BATCH).await? == BATCH {}
        for live in self.all() {
            let mut table = live.table.clone();
            if !self.wants_pass(&table) {
                continue;
            }
            let table = &mut table;
            let ttl = self.expiring(table).await;
            let mut large = self.pass(table, table.id, ttl.as_deref()).await?;
            for index in &table.locals {
                large.extend(self.pass(table, index.id, None).await?);
            }
            for index in &table.globals {
                self.pass(table, index.id, None).await?;
            }
            self.weigh(table, large).await?;
        }
        Ok(())
    }

    /// The attribute that says when the table's items expire. They stay while their key cannot be
    /// used.
    async fn expiring(&self, table: &mut Table) -> Option<String> {
        let ttl = table.ttl.clone()?;
        let opened = self.open_own(table).await;
        match opened.and_then(|()| self.unlock(table)) {
            Ok(()) => Some(ttl),
            Err(refusal) => {
                tracing::warn!(table = table.name, ?refusal, "items cannot expire");
                None
            }
        }
    }

    /// A table is read through when that may find something: never counted, written to, or with
    /// items that expire.
    fn wants_pass(&self, table: &Table) -> bool {
        // Taken before the pass reads, so that a write during the pass asks for another.
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = changed.remove(&table.id);
        let census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spaces = table.indexes().map(|index| index.id).chain([table.id]);
        changed || table.ttl.is_some() || spaces.any(|space| !census.contains_key(&space))
    }

    /// Counts a space, and removes from it what has expired by this attribute. Gives the partition
    /// keys under which so much lies that their collections may be full.
    async fn pass(
        &self,
        table: &Table,
        space: u64,
        ttl: Option<&str>,
    ) -> Result<BTreeSet<Vec<u8>>> {
        let mut count = Counted::default();
        let mut large = BTreeSet::new();
        let mut partition = (Bytes::new(), 0);
        let mut cursor: Option<EntryKey> = None;
        loop {
            let began = Instant::now();
            let mut scan = Scan::<Entry>::of((space,)).limit(BATCH);
            if let Some(cursor) = &cursor {
                scan = scan.after(cursor);
            }
            let now = self.clock.now().div_euclid(1000);
            let mut expired = Vec::new();
            let mut read = 0;
            for entry in self.store.read().scan(scan) {
                let entry = entry?;
                read += 1;
                count.items += 1;
                let size = entry.item.size();
                count.bytes += size as i64;
                // Entries of one partition lie together.
                if partition.0 != entry.partition {
                    partition = (entry.partition.clone(), 0);
                }
                partition.1 += size;
                if self.collections.is_suspect(table, partition.1) {
                    large.insert(entry.partition.to_vec());
                }
                if let Some(ttl) = ttl {
                    let item = entry.open(table)?;
                    if is_over(&item, ttl, now) {
                        expired.push(items::key_in(table, &item)?);
                    }
                }
                cursor = Some(entry.key());
            }
            for at in expired {
                if self.expire(table, &at).await? {
                    count.items -= 1;
                }
            }
            if read < BATCH {
                break;
            }
            tokio::time::sleep(began.elapsed() * REST).await;
        }
        let mut census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        census.insert(space, count);
        Ok(large)
    }

    /// Removes an item if it is still over its time.
    async fn expire(&self, table: &Table, at: &ItemKey) -> Result<bool> {
        let now = self.clock.now();
        self.store
            .transact(|tx| {
                let Some(mut table) = tx
                    .get::<Table>(table.key())?
                    .filter(|now| now.id == table.id)
                else {
                    return Ok(false);
                };
                self.unlock(&mut table)?;
                let Some(ttl) = &table.ttl else {
                    return Ok(false);
                };
                let old = items::read(tx, &table, at)?;
                let Some(old) = old.filter(|item| is_over(item, ttl, now.div_euclid(1000))) else {
                    return Ok(false);
                };
                items::write(tx, &table, at, Some(&old), None, now, true)?;
                Ok::<_, Refusal>(true)
            })
            .await
    }

    /// Removes the rows of tables, indexes and streams that are gone.
    async fn bury(&self) -> Result<()> {
        let graves = self
            .store
            .read()
            .scan(Scan::<Grave>::all())
            .collect::<Result<Vec<_>, _>>()?;
        for Grave { space } in graves {
            while self.trim(space, i64::MAX).await? == BATCH {}
            loop {
                let removed = self
                    .store
                    .transact(|tx| {
                        if !readers(tx, space)?.is_empty() {
                            return Ok(0);
                        }
                        let scan = Scan::<Entry>::of((space,)).limit(BATCH);
                        let keys = tx.scan(scan).map(|entry| Ok(entry?.key()));
                        let keys = keys.collect::<Result<Vec<_>>>()?;
                        for key in &keys {
                            tx.delete::<Entry>(key)?;
                        }
                        // The space may be that of a log.
                        let changes = tx.scan(Scan::<Undo>::of((space,)).limit(BATCH)).stamped();
                        let changes = changes.map(|found| Ok(found?.0));
                        let changes = changes.collect::<Result<Vec<_>>>()?;
                        for stamp in &changes {
                            tx.delete::<Undo>((space, *stamp))?;
                        }
                        let gathered = forget_gathered(tx, space)?;
                        let versions = version::forget(tx, space, BATCH)?;
                        let removed = keys.len() + changes.len() + gathered + versions;
                        if removed == 0 {
                            forget_reading(tx, space)?;
                            tx.delete::<Grave>(space)?;
                        }
                        Ok::<_, Refusal>(removed)
                    })
                    .await?;
                if removed == 0 {
                    break;
                }
            }
            self.throttle.forget(space);
            self.collections.forget(space);
            self.measured().remove(&space);
            self.census
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&space);
        }
        Ok(())
    }

    async fn trim_streams(&self) -> Result<()> {
        let horizon = self.clock.now() - KEPT;
        let view = self.store.read();
        let streams = view.scan(Scan::<StreamInfo>::all());
        let streams = streams.collect::<Result<Vec<_>, _>>()?;
        for info in streams {
            while self.trim(info.id, horizon).await? == BATCH {}
            match info.closed {
                Some(closed) if closed <= horizon => self.forget_stream(&info).await?,
                Some(_) => {}
                None => self.split_busy(&info).await?,
            }
        }
        Ok(())
    }

    async fn forget_stream(&self, info: &StreamInfo) -> Result<()> {
        self.store
            .transact(|tx| {
                forget_reading(tx, info.id)?;
                tx.delete::<StreamInfo>(info.key())?;
                Ok::<_, Refusal>(())
            })
            .await?;
        self.measured().remove(&info.id);
        Ok(())
    }

    /// Removes records of a stream up to a moment, some at a time.
    async fn trim(&self, stream: u64, horizon: i64) -> Result<usize> {
        self.store
            .transact(|tx| {
                let scan = Scan::<Record>::of((stream,)).limit(BATCH);
                let mut old = Vec::new();
                for found in tx.scan(scan).stamped() {
                    let (stamp, record) = found?;
                    if record.at > horizon {
                        break;
                    }
                    old.push(stamp);
                }
                for stamp in &old {
                    tx.delete::<Record>((stream, *stamp))?;
                }
                Ok::<_, Refusal>(old.len())
            })
            .await
    }
}

fn is_over(item: &Item, ttl: &str, now: i64) -> bool {
    let Some(Value::N(number)) = item.get(ttl) else {
        return false;
    };
    number
        .to_i64()
        .is_some_and(|at| at <= now && at > now - LONG_AGO)
}

/// Removes some of what was gathered for an incremental export; how many rows.
fn forget_gathered(tx: &mut Tx, space: u64) -> Result<usize> {
    let rows = tx.scan(Scan::<Changed>::of((space,)).limit(BATCH));
    let keys = rows.map(|row| Ok(row?.key()));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    for key in &keys {
        tx.delete::<Changed>(key)?;
    }
    Ok(keys.len())
}

/// Forgets how a stream was cut into shards, and how far other regions followed it.
fn forget_reading(tx: &mut Tx, stream: u64) -> Result<()> {
    let splits = tx.scan(Scan::<Split>::of((stream,))).stamped();
    let splits = splits.map(|split| Ok(split?.0));
    for stamp in splits.collect::<Result<Vec<_>>>()? {
        tx.delete::<Split>((stream, stamp))?;
    }
    let routes = tx.scan(Scan::<Route>::of((stream,)));
    let routes = routes.map(|route| Ok(route?.key()));
    for key in routes.collect::<Result<Vec<_>>>()? {
        tx.delete::<Route>(&key)?;
    }
    Ok(())
}
