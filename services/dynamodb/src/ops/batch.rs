//! BatchGetItem and BatchWriteItem.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_dynamodb::types as t;

use super::items::{collection, seen, table_in};
use crate::capacity::{Consumed, read_units};
use crate::errors::{Refusal, Result};
use crate::items;
use crate::model::TableKey;
use crate::request::{self, Effect, Write};
use crate::state::{DynamoDb, key_of};
use crate::value::{Item, item_from, item_size, item_to};

const MAX_GETS: usize = 100;
const MAX_WRITES: usize = 25;
/// The most bytes of items that one reply holds; the rest stays unprocessed.
const MAX_REPLY: usize = 16 << 20;
/// Bytes of items and index entries that are written in one store transaction.
const CHUNK: usize = 8 << 20;

fn duplicates() -> Refusal {
    Refusal::validation("Provided list of item keys contains duplicates")
}

pub(crate) async fn batch_get_item(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::BatchGetItemInput,
) -> gureum_schema::Result<t::BatchGetItemOutput> {
    let capacity = input.return_consumed_capacity.as_deref();
    let count: usize = input.request_items.values().map(|one| one.keys.len()).sum();
    if count > MAX_GETS {
        return Err(
            Refusal::validation("Too many items requested for the BatchGetItem call").into(),
        );
    }
    let view = db.store.read();
    let (mut responses, mut left) = (BTreeMap::new(), BTreeMap::new());
    let mut told = Vec::new();
    let (mut total, mut done, mut throttled) = (0, 0, false);
    for (name, wanted) in input.request_items {
        let rest = wanted.clone();
        let live = db.opened(&cx, &name).await?;
        let projection = request::projection(
            wanted.projection_expression,
            wanted.attributes_to_get,
            wanted.expression_attribute_names,
        )?;
        let mut keys = Vec::new();
        let mut distinct = HashSet::new();
        for key in wanted.keys {
            let at = items::key_of(&live.table, item_from(key)?)?;
            if !distinct.insert(at.row(live.table.id)) {
                return Err(duplicates().into());
            }
            keys.push(at);
        }
        let consistent = wanted.consistent_read == Some(true);
        let (mut found, mut unprocessed, mut units) = (Vec::new(), Vec::new(), 0.0);
        for (at, key) in keys.into_iter().zip(rest.keys) {
            let admitted = db.throttle.admit(&live.table, None, false, cx.now.0);
            if total >= MAX_REPLY || admitted.is_err() {
                throttled |= admitted.is_err();
                unprocessed.push(key);
                continue;
            }
            let item = items::read(&view, &live.table, &at)?;
            let size = item.as_ref().map_or(0, item_size);
            if total + size > MAX_REPLY {
                total = MAX_REPLY;
                unprocessed.push(key);
                continue;
            }
            total += size;
            let taken = read_units(size, consistent);
            db.throttle
                .charge(&live.table, &Consumed::reading(taken), cx.now.0);
            units += taken;
            done += 1;
            found.extend(item.map(|item| item_to(seen(item, projection.as_ref()))));
        }
        told.extend(Consumed::reading(units).told(&live.table.name, capacity, false));
        responses.insert(name.clone(), found);
        if !unprocessed.is_empty() {
            left.insert(
                name,
                t::KeysAndAttributes {
                    keys: unprocessed,
                    ..rest
                },
            );
        }
    }
    if throttled && done == 0 {
        return Err(Refusal::ThroughputExceeded.into());
    }
    Ok(t::BatchGetItemOutput {
        responses: Some(responses),
        unprocessed_keys: Some(left),
        consumed_capacity: (!told.is_empty()).then_some(told),
    })
}

/// The writes of a batch, checked as far as that goes before anything is written.
async fn writes(
    db: &DynamoDb,
    cx: &Cx,
    input: t::BatchWriteItemInput,
) -> Result<Vec<(TableKey, Write)>> {
    let count: usize = input.request_items.values().map(Vec::len).sum();
    if count == 0 {
        return Err(Refusal::validation(
            "The batch write request list for a table cannot be null or empty",
        ));
    }
    if count > MAX_WRITES {
        return Err(Refusal::validation(
            "Too many items requested for the BatchWriteItem call",
        ));
    }
    let mut out = Vec::new();
    let mut distinct = HashSet::new();
    for (name, requests) in input.request_items {
        let key = key_of(cx, &name)?;
        let live = db.opened(cx, &name).await?;
        for request in requests {
            let (effect, key_item, at) = match (request.put_request, request.delete_request) {
                (Some(put), None) => {
                    let item = item_from(put.item)?;
                    let at = items::key_in(&live.table, &item)?;
                    items::check(&live.table, &item, false)?;
                    (Effect::Put(Arc::new(item)), Item::new(), at)
                }
                (None, Some(delete)) => {
                    let at = items::key_of(&live.table, item_from(delete.key)?)?;
                    (Effect::Delete, at.attributes.clone(), at)
                }
                _ => {
                    return Err(Refusal::validation(
                        "Supplied WriteRequest must contain exactly one of PutRequest or DeleteRequest",
                    ));
                }
            };
            if !distinct.insert(at.row(live.table.id)) {
                return Err(duplicates());
            }
            let write = Write {
                table: live.table.name.clone(),
                key: key_item,
                effect,
                condition: None,
                show_failed: false,
            };
            out.push((key.clone(), write));
        }
    }
    Ok(out)
}

pub(crate) async fn batch_write_item(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::BatchWriteItemInput,
) -> gureum_schema::Result<t::BatchWriteItemOutput> {
    let capacity = input.return_consumed_capacity.clone();
    let sizes = input.return_item_collection_metrics.as_deref() == Some("SIZE");
    let requests = input.request_items.clone();
    let writes = writes(&db, &cx, input).await?;
    let now = cx.now.0;
    let all = requests.values().map(Vec::len).sum::<usize>();
    let (admitted, left) = admit(&db, writes, requests, now)?;
    if left.values().map(Vec::len).sum::<usize>() == all {
        return Err(Refusal::ThroughputExceeded.into());
    }
    let mut consumed: BTreeMap<String, Consumed> = BTreeMap::new();
    let mut metrics: BTreeMap<String, Vec<t::ItemCollectionMetrics>> = BTreeMap::new();
    for chunk in chunks(&db, admitted) {
        let done = db
            .store
            .transact(|tx| {
                let one = |(key, write): &(TableKey, Write)| {
                    let table = table_in(&db, tx, key)?;
                    db.carry_out(tx, &table, write, now)
                };
                chunk.iter().map(one).collect::<Result<Vec<_>>>()
            })
            .await?;
        for done in done {
            let sum = consumed.entry(done.table().name.clone()).or_default();
            sum.add_write(done.table(), &done.written, 1);
            db.note(&done, 1, now);
            if sizes && !done.table().locals.is_empty() {
                let metric = collection(&db, done.table(), &done.key)?;
                metrics
                    .entry(done.table().name.clone())
                    .or_default()
                    .push(metric);
            }
        }
    }
    let told = consumed
        .iter()
        .filter_map(|(name, sum)| sum.told(name, capacity.as_deref(), false));
    let told: Vec<_> = told.collect();
    Ok(t::BatchWriteItemOutput {
        unprocessed_items: Some(left),
        item_collection_metrics: (!metrics.is_empty()).then_some(metrics),
        consumed_capacity: (!told.is_empty()).then_some(told),
    })
}

type Requests = BTreeMap<String, Vec<t::WriteRequest>>;

/// Parts the writes to tables that have capacity left from those that come back unprocessed.
fn admit(
    db: &DynamoDb,
    writes: Vec<(TableKey, Write)>,
    mut requests: Requests,
    now: i64,
) -> Result<(Vec<(TableKey, Write)>, Requests)> {
    let over = |key: &TableKey| {
        db.find(key)
            .is_some_and(|live| db.throttle.admit(&live.table, None, true, now).is_err())
    };
    let full: HashSet<TableKey> = writes
        .iter()
        .map(|(key, _)| key)
        .filter(|key| over(key))
        .cloned()
        .collect();
    let named = |name: &str| {
        full.iter()
            .any(|key| name == key.2 || name.ends_with(&format!("/{}", key.2)))
    };
    requests.retain(|name, _| named(name));
    let admitted = writes.into_iter().filter(|(key, _)| !full.contains(key));
    Ok((admitted.collect(), requests))
}

/// Parts of a batch that fit a store transaction with all their index entries.
fn chunks(db: &DynamoDb, writes: Vec<(TableKey, Write)>) -> Vec<Vec<(TableKey, Write)>> {
    let mut out: Vec<Vec<_>> = Vec::new();
    let mut room = 0;
    for (key, write) in writes {
        let size = match &write.effect {
            Effect::Put(item) => item_size(item),
            _ => 1024,
        };
        // The item, its entries, and both images in the stream.
        let copies = db
            .find(&key)
            .map_or(1, |live| 3 + live.table.indexes().count());
        let need = size * copies;
        match out.last_mut().filter(|_| need <= room) {
            Some(chunk) => chunk.push((key, write)),
            None => {
                out.push(vec![(key, write)]);
                room = CHUNK;
            }
        }
        room = room.saturating_sub(need);
    }
    out
}
