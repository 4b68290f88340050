//! GetItem, PutItem, UpdateItem and DeleteItem.

use std::sync::{Arc, PoisonError};

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Tx};
use gureum_model_dynamodb::types as t;

use crate::capacity::{Consumed, read_units};
use crate::errors::{Refusal, Result};
use crate::expression::{Projection, apply};
use crate::items::{self, ItemKey, Written};
use crate::model::{Table, TableKey};
use crate::request::{self, Effect, Single, Write};
use crate::state::{DynamoDb, key_of};
use crate::value::{Item, item_from, item_size, item_to};

pub(crate) async fn get_item(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::GetItemInput,
) -> gureum_schema::Result<t::GetItemOutput> {
    let projection = request::projection(
        input.projection_expression,
        input.attributes_to_get,
        input.expression_attribute_names,
    )?;
    let live = db.opened(&cx, &input.table_name).await?;
    let table = &live.table;
    let at = items::key_of(table, item_from(input.key)?)?;
    db.throttle.admit(table, None, false, cx.now.0)?;
    let item = items::read(&db.store.read(), table, &at)?;
    let size = item.as_ref().map_or(0, item_size);
    let consumed = Consumed::reading(read_units(size, input.consistent_read == Some(true)));
    db.throttle.charge(table, &consumed, cx.now.0);
    Ok(t::GetItemOutput {
        item: item.map(|item| item_to(seen(item, projection.as_ref()))),
        consumed_capacity: consumed.told(
            &table.name,
            input.return_consumed_capacity.as_deref(),
            false,
        ),
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
    pub(crate) table: Table,
    pub(crate) key: ItemKey,
    pub(crate) old: Option<Item>,
    pub(crate) new: Option<Item>,
    pub(crate) written: Written,
}

/// The table of a write, as it is in the write's own transaction. Its data key must be at hand.
pub(crate) fn table_in(db: &DynamoDb, tx: &Tx, key: &TableKey) -> Result<Table> {
    let table = tx.get::<Table>(key)?;
    let table = table.filter(|table| !table.history.making);
    let mut table = table.ok_or_else(Refusal::no_table)?;
    db.unlock(&mut table)?;
    Ok(table)
}

/// Carries out one write in a transaction.
pub(crate) fn carry_out(tx: &mut Tx, table: &Table, write: &Write, now: i64) -> Result<Done> {
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
        Effect::Put(item) => Some(item.clone()),
        Effect::Delete => None,
        Effect::Check => old.clone(),
        Effect::Update(actions) => {
            let base = old.clone().unwrap_or_else(|| key.attributes.clone());
            let new = apply(actions, &base)?;
            items::check(table, &new, true)?;
            Some(new)
        }
    };
    let written = items::write(tx, table, &key, old.as_ref(), new.as_ref(), now, false)?;
    Ok(Done {
        table: table.clone(),
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
            .charge(&done.table, &done.consumption(factor), now);
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.insert(done.table.id);
        if done.table.is_global() {
            self.wake_shipping.wake();
        }
    }
}

pub(super) async fn single(db: &DynamoDb, cx: &Cx, write: &Write) -> Result<Done> {
    let key = key_of(cx, &write.table)?;
    let now = cx.now.0;
    if let Some(live) = db.find(&key) {
        db.throttle.admit(&live.table, None, true, now)?;
        db.open_key(cx, live.table.sealing.as_ref()).await?;
    }
    let done = db
        .store
        .transact(|tx| {
            let table = table_in(db, tx, &key)?;
            db.carry_out(tx, &table, write, now)
        })
        .await?;
    db.note(&done, 1, now);
    Ok(done)
}

impl Done {
    /// `factor` is two inside a transaction.
    pub(super) fn consumption(&self, factor: u64) -> Consumed {
        let mut consumed = Consumed::default();
        consumed.add_write(&self.table, &self.written, factor);
        consumed
    }

    fn consumed(&self, how: Option<&str>) -> Option<t::ConsumedCapacity> {
        self.consumption(1).told(&self.table.name, how, false)
    }

    /// Item collections exist where there are local indexes.
    fn metrics(
        &self,
        db: &DynamoDb,
        how: Option<&str>,
    ) -> Result<Option<t::ItemCollectionMetrics>> {
        if how != Some("SIZE") || self.table.locals.is_empty() {
            return Ok(None);
        }
        collection(db, &self.table, &self.key).map(Some)
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
    asked: Single,
) -> gureum_schema::Result<t::PutItemOutput> {
    check_return_values(asked.returns.as_deref(), &["NONE", "ALL_OLD"])?;
    let done = single(&db, &cx, &asked.write).await?;
    Ok(t::PutItemOutput {
        consumed_capacity: done.consumed(asked.capacity.as_deref()),
        item_collection_metrics: done.metrics(&db, asked.metrics.as_deref())?,
        attributes: old_if(done.old, asked.returns.as_deref()),
    })
}

pub(crate) async fn delete_item(
    db: Arc<DynamoDb>,
    cx: Cx,
    asked: Single,
) -> gureum_schema::Result<t::DeleteItemOutput> {
    check_return_values(asked.returns.as_deref(), &["NONE", "ALL_OLD"])?;
    let done = single(&db, &cx, &asked.write).await?;
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
    asked: Single,
) -> gureum_schema::Result<t::UpdateItemOutput> {
    let done = single(&db, &cx, &asked.write).await?;
    let touched = match &asked.write.effect {
        Effect::Update(actions) => Projection::tree(actions.iter().map(|action| action.path())),
        _ => Projection::default(),
    };
    let consumed_capacity = done.consumed(asked.capacity.as_deref());
    let item_collection_metrics = done.metrics(&db, asked.metrics.as_deref())?;
    let part = |item: Option<Item>| {
        let part = item.map(|item| touched.apply(&item));
        part.filter(|item| !item.is_empty())
    };
    let attributes = match asked.returns.as_deref() {
        Some("ALL_OLD") => done.old,
        Some("ALL_NEW") => done.new,
        Some("UPDATED_OLD") => part(done.old),
        Some("UPDATED_NEW") => part(done.new),
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
