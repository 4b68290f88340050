//! The shards of a stream: views of its one log.
//!
//! All records of a stream lie in one log, in the order of commits. A shard is a range of places of
//! partition keys in it, from one commit to another. So a split moves nothing, and needs nothing of
//! writers: it is one entry that a commit numbers like the records. What came before it belongs to
//! the parent, what comes after it to the two children, each half of the parent's range: the records
//! of one key stay in order for whoever reads a parent to its end before its children.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use gureum_kit::{Reader, Row, Scan};
use serde::{Deserialize, Serialize};

use crate::errors::{Refusal, Result};
use crate::model::{Record, StreamInfo};
use crate::state::DynamoDb;
use crate::value::key;

/// Records per second in one shard above which it splits: what one partition of AWS takes.
const BUSY: i64 = 1000;
/// Shards of a stream that are open at a time.
const MAX_OPEN: usize = 16;
/// The most new records of a stream that are looked at in one sweep.
const MAX_MEASURED: usize = 1_000_000;
/// Records that are read in one go.
const BATCH: usize = 1000;

/// A shard was split in two. Its key is given by the commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Split {
    /// The stream's id.
    stream: u64,
    /// The number of the shard that was split.
    parent: usize,
    at: i64,
}

impl Row for Split {
    const TABLE: &'static str = "dynamodb.split";
    /// Stream, and the number that the commit gives.
    type Key = (u64, u64);

    /// Only for the type: splits are appended, and the commit makes their key.
    fn key(&self) -> (u64, u64) {
        (self.stream, 0)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shard {
    /// In the order of their beginning, from zero.
    pub(crate) number: usize,
    pub(crate) parent: Option<usize>,
    /// The places of its partition keys, both included.
    first: u64,
    last: u64,
    /// The numbers of its records are greater than this, and less than that.
    pub(crate) after: u64,
    pub(crate) until: Option<u64>,
    pub(crate) created: i64,
    pub(crate) closed: Option<i64>,
}

impl Shard {
    pub(crate) fn id(&self, stream: &StreamInfo) -> String {
        let tail = (stream.id >> 32).wrapping_add(self.number as u64) as u32;
        format!("shardId-{:020}-{tail:08x}", self.created)
    }

    /// Whether it holds the record, as far as that is a matter of keys.
    pub(crate) fn holds(&self, stream: &StreamInfo, record: &Record) -> bool {
        if self.first == 0 && self.last == u64::MAX {
            return true;
        }
        let partition = record.keys.get(&stream.keys.partition);
        let place = key::place(&partition.and_then(key::encode).unwrap_or_default());
        (self.first..=self.last).contains(&place)
    }

    fn can_split(&self) -> bool {
        self.until.is_none() && self.first < self.last
    }
}

/// All shards that the stream ever had.
pub(crate) fn of(view: &impl Reader, stream: &StreamInfo) -> Result<Vec<Shard>> {
    let mut shards = vec![Shard {
        number: 0,
        parent: None,
        first: 0,
        last: u64::MAX,
        after: 0,
        until: None,
        created: stream.created,
        closed: stream.closed,
    }];
    for found in view.scan(Scan::<Split>::of((stream.id,))).stamped() {
        let (stamp, split) = found?;
        let number = shards.len();
        let Some(parent) = shards.get_mut(split.parent) else {
            return Err(Refusal::Broken("a split of a shard that never was".into()));
        };
        let middle = parent.first + (parent.last - parent.first) / 2;
        let child = |number, first, last| Shard {
            number,
            parent: Some(split.parent),
            first,
            last,
            after: stamp,
            until: None,
            created: split.at,
            closed: stream.closed,
        };
        let children = [
            child(number, parent.first, middle),
            child(number + 1, middle + 1, parent.last),
        ];
        parent.until = Some(stamp);
        parent.closed = Some(split.at);
        shards.extend(children);
    }
    Ok(shards)
}

/// Where the last sweep left a stream: the number of its last record then, and when that was.
pub(crate) type Measured = HashMap<u64, (u64, i64)>;

impl DynamoDb {
    pub(crate) fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Splits the shard, if it is open and there may be more.
    pub(crate) async fn split(&self, stream: &StreamInfo, number: usize, now: i64) -> Result<bool> {
        self.store
            .transact(|tx| {
                let shards = of(tx, stream)?;
                let open = shards.iter().filter(|shard| shard.until.is_none()).count();
                let can = shards.get(number).is_some_and(Shard::can_split);
                let gone = tx
                    .get::<StreamInfo>(stream.key())?
                    .is_none_or(|info| info.closed.is_some());
                if !can || gone || open >= MAX_OPEN {
                    return Ok(false);
                }
                let split = Split {
                    stream: stream.id,
                    parent: number,
                    at: now,
                };
                tx.append((stream.id,), &split)?;
                Ok(true)
            })
            .await
    }

    /// Splits the shards that took too much since the last time.
    pub(crate) async fn split_busy(&self, stream: &StreamInfo) -> Result<()> {
        let now = self.clock.now();
        let view = self.store.read();
        let before = self.measured().get(&stream.id).copied();
        let Some((cursor, since)) = before else {
            let last = Scan::<Record>::of((stream.id,)).reverse().limit(1);
            let last = view.scan(last).stamped().next().transpose()?;
            let last = last.map_or(0, |(stamp, _)| stamp);
            self.measured().insert(stream.id, (last, now));
            return Ok(());
        };
        let shards = of(&view, stream)?;
        let mut open: Vec<_> = shards
            .iter()
            .filter(|shard| shard.can_split())
            .map(|shard| (shard, 0))
            .collect();
        let mut last = cursor;
        for _ in 0..MAX_MEASURED / BATCH {
            let scan = Scan::<Record>::of((stream.id,)).after((stream.id, last));
            let mut read = 0;
            for found in view.scan(scan.limit(BATCH)).stamped() {
                let (stamp, record) = found?;
                (read, last) = (read + 1, stamp);
                let shard = open
                    .iter_mut()
                    .find(|(shard, _)| shard.holds(stream, &record));
                if let Some((_, count)) = shard {
                    *count += 1;
                }
            }
            if read < BATCH {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.measured().insert(stream.id, (last, now));
        let busy = (now - since).max(1000) * BUSY / 1000;
        for (shard, count) in open {
            if count > busy {
                self.split(stream, shard.number, now).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use gureum_kit::{Clock, Driver, Store};
    use proptest::prelude::*;

    use super::*;
    use crate::items;
    use crate::model::Table;
    use crate::ops::streams::{Position, read};
    use crate::ops::tables::start_stream;
    use crate::value::{Item, Value};

    async fn streaming() -> (Arc<DynamoDb>, Table, StreamInfo) {
        let clock = Clock::manual(1000);
        let driver = Driver::new(clock.clone());
        let db = DynamoDb::open(Store::memory(), clock, &[7; 32], &driver)
            .await
            .expect("open");
        let mut table = crate::page::tests::table("N");
        table.globals.clear();
        table.keys.sort = None;
        let made = db.store.transact(|tx| {
            start_stream(tx, &mut table, "NEW_IMAGE", 1000)?;
            Ok::<_, Refusal>(())
        });
        made.await.expect("stream");
        let info = db.store.read().scan(Scan::<StreamInfo>::all()).next();
        let mut info = info.expect("there").expect("read");
        let opened = db.vault.unlock(info.sealing.as_mut(), 0);
        opened.expect("a data key");
        (db, table, info)
    }

    async fn write(db: &DynamoDb, table: &Table, partition: usize, version: usize) {
        let item = Item::from([
            ("p".to_owned(), Value::S(partition.to_string())),
            ("v".to_owned(), Value::S(version.to_string())),
        ]);
        let written = db.store.transact(|tx| {
            let at = items::key_in(table, &item)?;
            let old = items::read(tx, table, &at)?;
            items::write(tx, table, &at, old.as_ref(), Some(&item), 1000, false)
        });
        written.await.expect("write");
    }

    fn open(db: &DynamoDb, info: &StreamInfo) -> Vec<usize> {
        let shards = of(&db.store.read(), info).expect("shards");
        let open = shards.iter().filter(|shard| shard.until.is_none());
        open.map(|shard| shard.number).collect()
    }

    /// Reads parents to their end before their children, some records at a time; gives the versions
    /// of each key in the order in which they came.
    fn consume(db: &DynamoDb, info: &StreamInfo, limit: usize) -> BTreeMap<String, Vec<String>> {
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for shard in of(&db.store.read(), info).expect("shards") {
            let mut position = Position {
                after: shard.after,
                shard: shard.number,
            };
            loop {
                let (records, next) = read(db, info, &position, limit, 1000).expect("read");
                let idle = records.is_empty();
                for (_, record) in records {
                    let text = |item: &Item, name| match item.get(name) {
                        Some(Value::S(text)) => text.clone(),
                        other => panic!("{other:?}"),
                    };
                    let new = record.new.expect("image");
                    let new = info.open(&record.keys, &new).expect("open");
                    seen.entry(text(&record.keys, "p"))
                        .or_default()
                        .push(text(&new, "v"));
                }
                match next {
                    Some(next) if !(idle && next.after == position.after) => position = next,
                    _ => break,
                }
            }
        }
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn splits_keep_every_record_once_and_in_order_of_its_key(
            steps in prop::collection::vec((0..12usize, 0..6usize), 1..80),
            limit in 1..9usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                let (db, table, info) = streaming().await;
                let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for (version, (partition, chance)) in steps.iter().enumerate() {
                    if *chance == 0 {
                        let open = open(&db, &info);
                        db.split(&info, open[partition % open.len()], 1000).await.expect("split");
                    }
                    write(&db, &table, *partition, version).await;
                    expected.entry(partition.to_string()).or_default().push(version.to_string());
                }
                assert_eq!(consume(&db, &info, limit), expected);
                assert!(open(&db, &info).len() <= MAX_OPEN);
            });
        }
    }

    #[tokio::test]
    async fn a_busy_shard_splits_and_an_idle_one_does_not() {
        let (db, table, info) = streaming().await;
        db.split_busy(&info).await.expect("begin");
        for version in 0..1001 {
            write(&db, &table, version % 7, version).await;
        }
        db.split_busy(&info).await.expect("busy");
        assert_eq!(open(&db, &info), [1, 2]);
        for version in 0..100 {
            write(&db, &table, version % 7, 5000 + version).await;
        }
        db.split_busy(&info).await.expect("idle");
        assert_eq!(open(&db, &info), [1, 2]);
        assert!(!db.split(&info, 0, 0).await.expect("closed"));
    }
}
