//! TransactWriteItems and TransactGetItems: all or nothing, in one store transaction.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gureum_dispatch::Cx;
use gureum_kit::Tx;
use gureum_kit::idempotency::{self, Request, Seen};
use gureum_model_dynamodb::types as t;

use super::items::{collection, seen, table_in};
use crate::capacity::{Consumed, read_units};
use crate::errors::{Reason, Refusal, Result};
use crate::items::{self, ItemKey};
use crate::model::TableKey;
use crate::request::{self, Effect, Write};
use crate::state::{DynamoDb, Live, key_of};
use crate::value::{Item, item_from, item_size, item_to};

const MAX_ACTIONS: usize = 100;
/// The most bytes of all items of one transaction.
const MAX_BYTES: usize = 4 << 20;
/// How long a client's token names its request.
const TOKEN: Duration = Duration::from_secs(600);

/// What was done, or that it had been done before.
pub(super) enum Outcome {
    Done(Vec<super::items::Done>),
    /// With the units that each table took then.
    Repeated(BTreeMap<String, f64>),
}

/// Whose transaction it is, and the client's token for it.
pub(super) struct Transaction<'a> {
    pub(super) operation: &'static str,
    pub(super) token: Option<&'a str>,
}

pub(crate) async fn transact_write_items(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::TransactWriteItemsInput,
) -> gureum_schema::Result<t::TransactWriteItemsOutput> {
    let capacity = input.return_consumed_capacity.as_deref();
    let sizes = input.return_item_collection_metrics.as_deref() == Some("SIZE");
    if input.transact_items.len() > MAX_ACTIONS {
        return Err(too_many().into());
    }
    let writes = input.transact_items.into_iter().map(|action| {
        let write = request::transact(action)?;
        Ok((key_of(&cx, &write.table)?, write))
    });
    let writes = writes.collect::<Result<Vec<_>>>()?;
    let transaction = Transaction {
        operation: "TransactWriteItems",
        token: input.client_request_token.as_deref(),
    };
    let outcome = write_all(&db, &cx, &transaction, &writes).await?;
    let mut metrics: BTreeMap<String, Vec<t::ItemCollectionMetrics>> = BTreeMap::new();
    if let (Outcome::Done(done), true) = (&outcome, sizes) {
        for done in done.iter().filter(|done| !done.table().locals.is_empty()) {
            let metric = collection(&db, done.table(), &done.key)?;
            metrics
                .entry(done.table().name.clone())
                .or_default()
                .push(metric);
        }
    }
    Ok(t::TransactWriteItemsOutput {
        consumed_capacity: consumed_by(&outcome, capacity),
        item_collection_metrics: (!metrics.is_empty()).then_some(metrics),
    })
}

/// Carries out all writes or none.
pub(super) async fn write_all(
    db: &DynamoDb,
    cx: &Cx,
    transaction: &Transaction<'_>,
    writes: &[(TableKey, Write)],
) -> Result<Outcome> {
    check_tables(db, writes)?;
    let (account, region) = (cx.account(), &cx.region);
    let scope = format!("dynamodb:{}/{account}/{region}", transaction.operation);
    let token = transaction.token.map(|token| Request {
        scope: &scope,
        token,
        // Debug text of ordered maps: the same for the same parameters.
        fingerprint: idempotency::fingerprint(format!("{writes:?}").as_bytes()),
        keep: TOKEN,
    });
    let now = cx.now.0;
    admit(db, writes, now)?;
    for live in writes.iter().filter_map(|(key, _)| db.find(key)) {
        db.open_key(cx, live.table.sealing.as_ref()).await?;
    }
    let outcome = db
        .store
        .transact(|tx| once(db, tx, writes, token.as_ref(), now))
        .await;
    let outcome = outcome.map_err(|refusal| match refusal {
        Refusal::Conflict => conflicting(writes.len()),
        other => other,
    })?;
    if let Outcome::Done(done) = &outcome {
        for done in done {
            db.note(done, 2, now);
        }
    }
    Ok(outcome)
}

/// What a transaction took of each table.
pub(super) fn consumed_by(
    outcome: &Outcome,
    capacity: Option<&str>,
) -> Option<Vec<t::ConsumedCapacity>> {
    let mut consumed: BTreeMap<&str, Consumed> = BTreeMap::new();
    match outcome {
        Outcome::Repeated(units) => {
            for (name, units) in units {
                consumed.insert(name, Consumed::reading(*units));
            }
        }
        Outcome::Done(done) => {
            for done in done {
                let sum = consumed.entry(&done.table().name).or_default();
                sum.add_write(done.table(), &done.written, 2);
            }
        }
    }
    let told = consumed
        .into_iter()
        .filter_map(|(name, sum)| sum.told(name, capacity, true));
    let told: Vec<_> = told.collect();
    (!told.is_empty()).then_some(told)
}

fn too_many() -> Refusal {
    Refusal::validation(
        "1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to 100",
    )
}

/// All tables must have capacity left; the reasons tell which have not.
fn admit(db: &DynamoDb, writes: &[(TableKey, Write)], now: i64) -> Result<()> {
    let reason = |(key, _): &(TableKey, Write)| {
        let live = db.find(key)?;
        let refused = db.throttle.admit(&live.table, None, true, now).err()?;
        refused.reason()
    };
    let reasons: Vec<_> = writes.iter().map(reason).collect();
    if reasons.iter().all(Option::is_none) {
        return Ok(());
    }
    let none = || Reason {
        code: "None",
        ..Reason::default()
    };
    let reasons = reasons
        .into_iter()
        .map(|reason| reason.unwrap_or_else(none));
    Err(Refusal::Canceled(reasons.collect()))
}

/// Other writers kept changing the items until the store gave up.
fn conflicting(count: usize) -> Refusal {
    let reason = Reason {
        code: "TransactionConflict",
        message: Some("Transaction is ongoing for the item".into()),
        item: None,
    };
    Refusal::Canceled(vec![reason; count])
}

/// One action for an item.
fn check_tables(db: &DynamoDb, writes: &[(TableKey, Write)]) -> Result<()> {
    let mut distinct = HashSet::new();
    for (key, write) in writes {
        let live = db.find(key).ok_or_else(Refusal::no_table)?;
        let at = match &write.effect {
            Effect::Put(item) => items::key_in(&live.table, item),
            _ => items::key_of(&live.table, write.key.clone()),
        };
        // A key that is wrong is a reason to cancel, told with its position.
        let Ok(at) = at else { continue };
        if !distinct.insert(at.row(live.table.id)) {
            return Err(Refusal::validation(
                "Transaction request cannot include multiple operations on one item",
            ));
        }
    }
    Ok(())
}

fn once(
    db: &DynamoDb,
    tx: &mut Tx,
    writes: &[(TableKey, Write)],
    token: Option<&Request<'_>>,
    now: i64,
) -> Result<Outcome> {
    if let Some(token) = token {
        match idempotency::recall(tx, now, token)? {
            Seen::Never => {}
            Seen::Differently => return Err(Refusal::TokenMismatch),
            Seen::Before(result) => {
                let units = rmp_serde::from_slice(&result);
                let units = units.map_err(|error| Refusal::Broken(error.to_string()))?;
                return Ok(Outcome::Repeated(units));
            }
        }
    }
    let done = all(db, tx, writes, now)?;
    if let Some(token) = token {
        let mut units: BTreeMap<String, f64> = BTreeMap::new();
        for done in &done {
            let item = done.new.as_deref().or(done.old.as_ref());
            let size = item.map_or(0, item_size);
            *units.entry(done.table().name.clone()).or_default() += 2.0 * read_units(size, true);
        }
        let result = rmp_serde::to_vec(&units);
        let result = result.map_err(|error| Refusal::Broken(error.to_string()))?;
        idempotency::remember(tx, now, token, result.into())?;
    }
    Ok(Outcome::Done(done))
}

fn all(
    db: &DynamoDb,
    tx: &mut Tx,
    writes: &[(TableKey, Write)],
    now: i64,
) -> Result<Vec<super::items::Done>> {
    let mut done = Vec::new();
    let mut reasons = Vec::new();
    let mut bytes = 0;
    for (key, write) in writes {
        let table = table_in(db, tx, key)?;
        match db.carry_out(tx, &table, write, now) {
            Ok(one) => {
                bytes += one.new.as_deref().map_or(0, item_size);
                done.push(one);
                reasons.push(Reason {
                    code: "None",
                    ..Reason::default()
                });
            }
            Err(refusal) => match refusal.reason() {
                Some(reason) => reasons.push(reason),
                None => return Err(refusal),
            },
        }
    }
    if reasons.iter().any(|reason| reason.code != "None") {
        return Err(Refusal::Canceled(reasons));
    }
    if bytes > MAX_BYTES {
        return Err(Refusal::validation(
            "Collection size of items in the transaction has exceeded the maximum allowed size of 4 MB",
        ));
    }
    Ok(done)
}

pub(crate) async fn transact_get_items(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::TransactGetItemsInput,
) -> gureum_schema::Result<t::TransactGetItemsOutput> {
    let capacity = input.return_consumed_capacity.as_deref();
    if input.transact_items.len() > MAX_ACTIONS {
        return Err(too_many().into());
    }
    let (mut gets, mut projections) = (Vec::new(), Vec::new());
    for one in input.transact_items {
        let get = one.get;
        let names = get.expression_attribute_names;
        projections.push(request::projection(get.projection_expression, None, names)?);
        let live = db.opened(&cx, &get.table_name).await?;
        let at = items::key_of(&live.table, item_from(get.key)?)?;
        gets.push(Get { live, at });
    }
    let (items, told) = read_all(&db, &cx, gets, capacity)?;
    let responses = items.into_iter().zip(projections);
    let responses = responses.map(|(item, projection)| t::ItemResponse {
        item: item.map(|item| item_to(seen(item, projection.as_ref()))),
    });
    Ok(t::TransactGetItemsOutput {
        consumed_capacity: told,
        responses: Some(responses.collect()),
    })
}

/// One read of a transaction.
pub(super) struct Get {
    pub(super) live: Arc<Live>,
    pub(super) at: ItemKey,
}

/// Reads all items as they were at one moment.
#[allow(clippy::type_complexity)]
pub(super) fn read_all(
    db: &DynamoDb,
    cx: &Cx,
    gets: Vec<Get>,
    capacity: Option<&str>,
) -> Result<(Vec<Option<Item>>, Option<Vec<t::ConsumedCapacity>>)> {
    let view = db.store.read();
    let mut units: BTreeMap<String, f64> = BTreeMap::new();
    let mut distinct = HashSet::new();
    let mut found = Vec::new();
    for Get { live, at } in gets {
        db.throttle.admit(&live.table, None, false, cx.now.0)?;
        if !distinct.insert(at.row(live.table.id)) {
            return Err(Refusal::validation(
                "Transaction request cannot include multiple operations on one item",
            ));
        }
        let item = items::read(&view, &live.table, &at)?;
        let size = item.as_ref().map_or(0, item_size);
        let taken = 2.0 * read_units(size, true);
        db.throttle
            .charge(&live.table, &Consumed::reading(taken), cx.now.0);
        *units.entry(live.table.name.clone()).or_default() += taken;
        found.push(item);
    }
    let told = units
        .iter()
        .filter_map(|(name, units)| Consumed::reading(*units).told(name, capacity, true));
    let told: Vec<_> = told.collect();
    Ok((found, (!told.is_empty()).then_some(told)))
}
