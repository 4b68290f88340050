//! GetItem, PutItem, UpdateItem and DeleteItem.

use std::sync::{Arc, PoisonError};

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Row, Tx};
use gureum_model_dynamodb::types as t;

use crate::capacity::{Consumed, read_units};
use crate::errors::{Refusal, Result};
use crate::expression::{Projection, apply};
use crate::items::{self, ItemKey, Written};
use crate::model::{Table, TableKey};
use crate::request::{self, Effect, Get, Single, Write};
use crate::state::{DynamoDb, Live};
use crate::value::{Item, item_size, item_to};

pub(crate) async fn get_item(
    db: Arc<DynamoDb>,
    cx: Cx,
    asked: Single<Get>,
) -> gureum_schema::Result<t::GetItemOutput> {
    let live = asked.live.filter(|live| !live.table.history.making);
    let live = live.ok_or_else(Refusal::no_table)?;
    let live = db.opened_for(&cx, live).await?;
    let table = &live.table;
    let Get {
        key,
        projection,
        consistent,
    } = asked.what;
    let at = items::key_of(table, key)?;
    db.throttle.admit(table, None, false, cx.now.0)?;
    let item = items::read(&db.store.read(), table, &at)?;
    let size = item.as_ref().map_or(0, item_size);
    let consumed = Consumed::reading(read_units(size, consistent));
    db.throttle.charge(table, &consumed, cx.now.0);
    Ok(t::GetItemOutput {
        item: item.map(|item| item_to(seen(item, projection.as_ref()))),
        consumed_capacity: consumed.told(&table.name, asked.capacity.as_deref(), false),
    })
}

/// The part of an item that was asked for.
pub(crate) fn seen(item: Item, projection: Option<&Projection>) -> Item {
    match projection {
        Some(projection) => projection.apply(&item),
        None => item,
    }
}

/// What a write did.
pub(crate) struct Done {
    pub(crate) live: Arc<Live>,
    pub(crate) key: ItemKey,
    pub(crate) old: Option<Item>,
    pub(crate) new: Option<Arc<Item>>,
    pub(crate) written: Written,
}

/// The table of a write, as it is in the write's own transaction. Its data key must be at hand.
pub(crate) fn table_in(db: &DynamoDb, tx: &Tx, key: &TableKey) -> Result<Arc<Live>> {
    current(db, tx, &db.find(key).ok_or_else(Refusal::no_table)?)
}

/// The same for a table that was found before.
fn current(db: &DynamoDb, tx: &Tx, known: &Arc<Live>) -> Result<Arc<Live>> {
    let live = match tx.holds(&known.row)? {
        true => Arc::clone(known),
        // Memory is a moment behind the store.
        false => {
            let table = tx.get::<Table>(known.table.key())?;
            Arc::new(Live::new(table.ok_or_else(Refusal::no_table)?, &db.vault)?)
        }
    };
    if live.table.history.making {
        return Err(Refusal::no_table());
    }
    db.unlocked(live)
}

/// Carries out one write in a transaction.
pub(crate) fn carry_out(tx: &mut Tx, live: &Arc<Live>, write: &Write, now: i64) -> Result<Done> {
    let table = &live.table;
    let key = match &write.effect {
        Effect::Put(item) => items::key_in(table, item)?,
        _ => items::key_of(table, write.key.clone())?,
    };
    if let Effect::Update(actions) = &write.effect {
        request::check_update(table, actions)?;
    }
    if let Effect::Put(item) = &write.effect {
        items::check(table, item, false)?;
    }
    let old = items::read(tx, table, &key)?;
    if let Some(condition) = &write.condition {
        let nothing = Item::new();
        if !condition.holds(old.as_ref().unwrap_or(&nothing)) {
            return Err(Refusal::ConditionFailed(old.filter(|_| write.show_failed)));
        }
    }
    let new = match &write.effect {
        Effect::Put(item) => Some(Arc::clone(item)),
        Effect::Delete => None,
        Effect::Check => old.clone().map(Arc::new),
        Effect::Update(actions) => {
            let base = old.clone().unwrap_or_else(|| key.attributes.clone());
            let new = apply(actions, &base)?;
            items::check(table, &new, true)?;
            Some(Arc::new(new))
        }
    };
    let written = items::write(tx, table, &key, old.as_ref(), new.as_deref(), now, false)?;
    Ok(Done {
        live: Arc::clone(live),
        key,
        old,
        new,
        written,
    })
}

impl DynamoDb {
    /// After a write: its table pays for it, and will be counted again.
    pub(crate) fn note(&self, done: &Done, factor: u64, now: i64) {
        self.throttle
            .charge(done.table(), &done.consumption(factor), now);
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.insert(done.table().id);
        if done.table().is_global() {
            self.wake_shipping.wake();
        }
    }
}

pub(super) async fn single(
    db: &DynamoDb,
    cx: &Cx,
    live: Option<Arc<Live>>,
    write: &Write,
) -> Result<Done> {
    let live = live.ok_or_else(Refusal::no_table)?;
    let now = cx.now.0;
    db.throttle.admit(&live.table, None, true, now)?;
    let live = db.opened_for(cx, live).await?;
    let done = db
        .store
        .transact(|tx| db.carry_out(tx, &current(db, tx, &live)?, write, now))
        .await?;
    db.note(&done, 1, now);
    Ok(done)
}

impl Done {
    pub(crate) fn table(&self) -> &Table {
        &self.live.table
    }

    /// `factor` is two inside a transaction.
    pub(super) fn consumption(&self, factor: u64) -> Consumed {
        let mut consumed = Consumed::default();
        consumed.add_write(self.table(), &self.written, factor);
        consumed
    }

    fn consumed(&self, how: Option<&str>) -> Option<t::ConsumedCapacity> {
        self.consumption(1).told(&self.table().name, how, false)
    }

    /// Item collections exist where there are local indexes.
    fn metrics(
        &self,
        db: &DynamoDb,
        how: Option<&str>,
    ) -> Result<Option<t::ItemCollectionMetrics>> {
        if how != Some("SIZE") || self.table().locals.is_empty() {
            return Ok(None);
        }
        collection(db, self.table(), &self.key).map(Some)
    }
}

/// The estimated size of all items with one partition key.
pub(crate) fn collection(
    db: &DynamoDb,
    table: &Table,
    key: &ItemKey,
) -> Result<t::ItemCollectionMetrics> {
    let bytes = crate::collections::bytes(&db.store.read(), table, &key.partition)?;
    let gigabytes = (bytes as f64 / f64::from(1 << 30)).floor();
    let name = &table.keys.partition;
    let key = key.attributes.get_key_value(name);
    let key: Item = key
        .map(|(n, v)| (n.clone(), v.clone()))
        .into_iter()
        .collect();
    Ok(t::ItemCollectionMetrics {
        item_collection_key: Some(item_to(key)),
        size_estimate_range_gb: Some(vec![gigabytes, gigabytes + 1.0]),
    })
}

fn check_return_values(given: Option<&str>, allowed: &[&str]) -> Result<()> {
    match given {
        Some(value) if !allowed.contains(&value) => {
            Err(Refusal::validation("Return values set to invalid value"))
        }
        _ => Ok(()),
    }
}

pub(crate) async fn put_item(
    db: Arc<DynamoDb>,
    cx: Cx,
    asked: Single<Write>,
) -> gureum_schema::Result<t::PutItemOutput> {
    check_return_values(asked.returns.as_deref(), &["NONE", "ALL_OLD"])?;
    let done = single(&db, &cx, asked.live, &asked.what).await?;
    Ok(t::PutItemOutput {
        consumed_capacity: done.consumed(asked.capacity.as_deref()),
        item_collection_metrics: done.metrics(&db, asked.metrics.as_deref())?,
        attributes: old_if(done.old, asked.returns.as_deref()),
    })
}

pub(crate) async fn delete_item(
    db: Arc<DynamoDb>,
    cx: Cx,
    asked: Single<Write>,
) -> gureum_schema::Result<t::DeleteItemOutput> {
    check_return_values(asked.returns.as_deref(), &["NONE", "ALL_OLD"])?;
    let done = single(&db, &cx, asked.live, &asked.what).await?;
    Ok(t::DeleteItemOutput {
        consumed_capacity: done.consumed(asked.capacity.as_deref()),
        item_collection_metrics: done.metrics(&db, asked.metrics.as_deref())?,
        attributes: old_if(done.old, asked.returns.as_deref()),
    })
}

type Attributes = Option<std::collections::BTreeMap<String, t::AttributeValue>>;

fn old_if(old: Option<Item>, returns: Option<&str>) -> Attributes {
    old.filter(|_| returns == Some("ALL_OLD")).map(item_to)
}

pub(crate) async fn update_item(
    db: Arc<DynamoDb>,
    cx: Cx,
    asked: Single<Write>,
) -> gureum_schema::Result<t::UpdateItemOutput> {
    let done = single(&db, &cx, asked.live, &asked.what).await?;
    let touched = match &asked.what.effect {
        Effect::Update(actions) => Projection::tree(actions.iter().map(|action| action.path())),
        _ => Projection::default(),
    };
    let consumed_capacity = done.consumed(asked.capacity.as_deref());
    let item_collection_metrics = done.metrics(&db, asked.metrics.as_deref())?;
    let part = |item: Option<&Item>| {
        let part = item.map(|item| touched.apply(item));
        part.filter(|item| !item.is_empty())
    };
    let attributes = match asked.returns.as_deref() {
        Some("ALL_OLD") => done.old,
        Some("ALL_NEW") => done.new.map(Arc::unwrap_or_clone),
        Some("UPDATED_OLD") => part(done.old.as_ref()),
        Some("UPDATED_NEW") => part(done.new.as_deref()),
        _ => None,
    };
    Ok(t::UpdateItemOutput {
        attributes: attributes.map(item_to),
        consumed_capacity,
        item_collection_metrics,
    })
}

/// For reads by key alone, when an index does not hold all that is wanted.
pub(crate) fn whole(view: &impl Reader, table: &Table, part: &Item) -> Result<Option<Item>> {
    let at = items::key_in(table, part)?;
    items::read(view, table, &at)
}
