//! UpdateTable: billing, streams, protection, and indexes that come and go.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Tx};
use gureum_model_dynamodb::types as t;

use super::describe::describe;
use super::replicas;
use super::tables::{end_stream, start_stream};
use crate::errors::{Refusal, Result};
use crate::model::{Backfill, Billing, Grave, StreamInfo, Table, TableKey, Throughput};
use crate::schema;
use crate::sealing::{self, Sealing, Wish};
use crate::state::{DynamoDb, key_of};

pub(crate) async fn update_table(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::UpdateTableInput,
) -> gureum_schema::Result<t::UpdateTableOutput> {
    let key = key_of(&cx, &input.table_name)?;
    let wish = sealing::wish(input.sse_specification.as_ref())?;
    let nothing = input.billing_mode.is_none()
        && input.provisioned_throughput.is_none()
        && input
            .global_secondary_index_updates
            .as_ref()
            .is_none_or(Vec::is_empty)
        && input.stream_specification.is_none()
        && input.sse_specification.is_none()
        && input.table_class.is_none()
        && input.deletion_protection_enabled.is_none();
    if input.multi_region_consistency.as_deref() == Some("STRONG") {
        return Err(Refusal::NotImplemented("Strong consistency between regions".into()).into());
    }
    let replicas = input.replica_updates.as_ref();
    if nothing && replicas.is_none_or(Vec::is_empty) {
        return Err(Refusal::validation(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required",
        )
        .into());
    }
    if let Some(updates) = input
        .replica_updates
        .as_ref()
        .filter(|list| !list.is_empty())
    {
        if !nothing {
            return Err(Refusal::validation(
                "ReplicaUpdates cannot be combined with other changes of the table",
            )
            .into());
        }
        let table = replicas::update(&db, &cx, key, updates).await?;
        return Ok(t::UpdateTableOutput {
            table_description: Some(describe(&db, &table, Some("UPDATING"))),
        });
    }
    let sealing = match &wish {
        Some(wish) => Some(resealed(&db, &cx, &key, wish).await?),
        None => None,
    };
    let now = cx.now.0;
    let work = Arc::clone(&db);
    let table = DynamoDb::whole(async move {
        let (table, touched) = work
            .alter(&key, |tx, place| {
                let table = place
                    .as_mut()
                    .ok_or_else(|| Refusal::no_table_named(&key.2))?;
                table.made()?;
                change(tx, table, &input, now)?;
                if let Some(sealing) = &sealing {
                    reseal(tx, table, sealing)?;
                }
                Ok((table.clone(), spread(tx, table, &input, now)?))
            })
            .await?;
        for key in touched {
            work.reload(&key).await?;
        }
        Ok(table)
    })
    .await?;
    db.wake_backfill.wake();
    db.wake_sweep.wake();
    Ok(t::UpdateTableOutput {
        table_description: Some(describe(&db, &table, Some("UPDATING"))),
    })
}

/// The table's data key, wrapped as the request wants it.
async fn resealed(db: &DynamoDb, cx: &Cx, key: &TableKey, wish: &Wish) -> Result<Sealing> {
    let live = db.find(key);
    let live = live.ok_or_else(|| Refusal::no_table_named(&key.2))?;
    let name = &live.table.name;
    let Some(before) = &live.table.sealing else {
        return db.new_sealing(cx, name, wish).await;
    };
    let after = db.rewrap(cx, name, before, wish).await?;
    match (before.wish(), after.wish()) {
        (before, after) if before != after => {}
        (Wish::Owned, _) => {
            return Err(Refusal::parameters("Table is already encrypted by default"));
        }
        (Wish::Kms(_), _) => {
            return Err(Refusal::parameters(
                "Table is already encrypted under the given KMSMasterKeyId",
            ));
        }
    }
    Ok(after)
}

/// Takes over another wrapping of the data key, for the table and its stream.
fn reseal(tx: &mut Tx, table: &mut Table, after: &Sealing) -> Result<()> {
    let before = table.sealing.as_ref().map(|before| before.id);
    if before.is_some_and(|before| before != after.id) {
        return Err(Refusal::InUse(format!(
            "Attempt to change a resource which is still in use: Table is being updated: {}",
            table.name
        )));
    }
    table.sealing = Some(after.clone());
    let Some(stream) = &table.stream else {
        return Ok(());
    };
    let (region, account, name) = gureum_kit::Row::key(table);
    if let Some(mut info) = tx.get::<StreamInfo>((region, account, name, stream.label.clone()))? {
        info.sealing.clone_from(&table.sealing);
        tx.put(&info)?;
    }
    Ok(())
}

fn change(tx: &mut Tx, table: &mut Table, input: &t::UpdateTableInput, now: i64) -> Result<()> {
    if table.globals.iter().any(|index| index.backfilling) {
        let only_protection = input.global_secondary_index_updates.is_none()
            && input.billing_mode.is_none()
            && input.provisioned_throughput.is_none()
            && input.stream_specification.is_none();
        if !only_protection {
            return Err(Refusal::InUse(format!(
                "Attempt to change a resource which is still in use: Table is being updated: {}",
                table.name
            )));
        }
    }
    if let Some(protected) = input.deletion_protection_enabled {
        table.protected = protected;
    }
    if let Some(class) = &input.table_class {
        table.class = Some(class.clone());
    }
    billing(table, input, now)?;
    if let Some(wanted) = &input.stream_specification {
        stream(tx, table, wanted, now)?;
    }
    let updates = input
        .global_secondary_index_updates
        .as_deref()
        .unwrap_or_default();
    let made = updates
        .iter()
        .filter(|update| update.create.is_some())
        .count();
    let removed = updates
        .iter()
        .filter(|update| update.delete.is_some())
        .count();
    if made + removed > 1 {
        return Err(Refusal::LimitExceeded(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table".into(),
        ));
    }
    for update in updates {
        index(tx, table, update, input)?;
    }
    Ok(())
}

/// Makes the changes in the other regions that the tables of a group share: billing and indexes.
fn spread(
    tx: &mut Tx,
    table: &Table,
    input: &t::UpdateTableInput,
    now: i64,
) -> Result<Vec<TableKey>> {
    let shared = t::UpdateTableInput {
        billing_mode: input.billing_mode.clone(),
        provisioned_throughput: input.provisioned_throughput.clone(),
        attribute_definitions: input.attribute_definitions.clone(),
        global_secondary_index_updates: input.global_secondary_index_updates.clone(),
        ..Default::default()
    };
    if shared.billing_mode.is_none()
        && shared.provisioned_throughput.is_none()
        && shared.global_secondary_index_updates.is_none()
    {
        return Ok(Vec::new());
    }
    replicas::share(tx, table, |tx, other| {
        other.made()?;
        change(tx, other, &shared, now)
    })
}

fn billing(table: &mut Table, input: &t::UpdateTableInput, now: i64) -> Result<()> {
    let mode = input.billing_mode.as_deref();
    let given = input.provisioned_throughput.as_ref();
    if mode.is_none() && given.is_none() {
        return Ok(());
    }
    let current = if table.billing.on_demand {
        "PAY_PER_REQUEST"
    } else {
        "PROVISIONED"
    };
    let before = table.billing.throughput;
    if mode.is_none_or(|mode| mode == current) && !table.billing.on_demand {
        let Some(given) = given else { return Ok(()) };
        let wanted = schema::units(given)?;
        if wanted == before {
            return Err(Refusal::validation(format!(
                "The provisioned throughput for the table will not change. The requested value equals the current value. Current ReadCapacityUnits provisioned for the table: {}. Requested ReadCapacityUnits: {}. Current WriteCapacityUnits provisioned for the table: {}. Requested WriteCapacityUnits: {}. Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits.",
                before.read, wanted.read, before.write, wanted.write
            )));
        }
        note(&mut table.billing, wanted, now);
        return Ok(());
    }
    let new = schema::billing(mode.or(Some(current)), given, now)?;
    if new.on_demand && !table.billing.on_demand {
        for index in &mut table.globals {
            index.throughput = Throughput::default();
        }
    }
    let since = new.on_demand_since.or(table.billing.on_demand_since);
    table.billing = Billing {
        on_demand_since: since,
        ..new
    };
    Ok(())
}

fn note(billing: &mut Billing, wanted: Throughput, now: i64) {
    let before = billing.throughput;
    if wanted.read > before.read || wanted.write > before.write {
        billing.increased = Some(now);
    }
    if wanted.read < before.read || wanted.write < before.write {
        billing.decreased = Some(now);
    }
    billing.throughput = wanted;
}

fn stream(tx: &mut Tx, table: &mut Table, wanted: &t::StreamSpecification, now: i64) -> Result<()> {
    match (schema::stream_view(wanted)?, &table.stream) {
        (Some(_), Some(_)) => Err(Refusal::validation(
            "Table already has an enabled stream: TableName: ".to_owned() + &table.name,
        )),
        (None, None) => Err(Refusal::validation(
            "Table does not have a stream to disable: TableName: ".to_owned() + &table.name,
        )),
        (Some(view), None) => start_stream(tx, table, &view, now),
        (None, Some(_)) if table.is_global() => Err(Refusal::parameters(
            "Disabling Stream is not allowed for a Global Table replica.",
        )),
        (None, Some(_)) => end_stream(tx, table, now),
    }
}

fn index(
    tx: &mut Tx,
    table: &mut Table,
    update: &t::GlobalSecondaryIndexUpdate,
    input: &t::UpdateTableInput,
) -> Result<()> {
    match (&update.create, &update.update, &update.delete) {
        (Some(create), None, None) => {
            let throughput = create.provisioned_throughput.as_ref();
            let mut made = schema::global(
                &create.index_name,
                &create.key_schema,
                &create.projection,
                throughput,
                table.billing.on_demand,
            )?;
            made.backfilling = true;
            tx.put(&Backfill {
                region: table.region.clone(),
                account: table.account,
                table: table.name.clone(),
                index: made.id,
                cursor: None,
            })?;
            table.globals.push(made);
            schema::check_indexes(&table.locals, &table.globals)?;
            define(
                table,
                input.attribute_definitions.as_deref().unwrap_or_default(),
            )
        }
        (None, Some(change), None) => {
            let found = table
                .globals
                .iter_mut()
                .find(|index| index.name == change.index_name);
            let found = found.ok_or_else(|| no_index(&change.index_name))?;
            if let Some(given) = &change.provisioned_throughput {
                found.throughput = schema::units(given)?;
            }
            Ok(())
        }
        (None, None, Some(delete)) => {
            let at = table
                .globals
                .iter()
                .position(|index| index.name == delete.index_name);
            let gone = table
                .globals
                .remove(at.ok_or_else(|| no_index(&delete.index_name))?);
            tx.put(&Grave { space: gone.id })?;
            tx.delete::<Backfill>(gone.id)?;
            forget_unused(table);
            Ok(())
        }
        _ => Err(Refusal::parameters(
            "One of GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Delete must not be null",
        )),
    }
}

fn no_index(name: &str) -> Refusal {
    Refusal::NotFound(format!(
        "Requested resource not found: Index: {name} not found"
    ))
}

/// Takes the definitions of attributes that are new as keys; known ones keep their type.
fn define(table: &mut Table, given: &[t::AttributeDefinition]) -> Result<()> {
    for one in given {
        let known = table
            .attributes
            .iter()
            .find(|(name, _)| *name == one.attribute_name);
        match known {
            Some((_, kind)) if *kind != one.attribute_type => {
                return Err(Refusal::parameters(&format!(
                    "Attribute {} is already defined with type {kind}",
                    one.attribute_name
                )));
            }
            Some(_) => {}
            None => table
                .attributes
                .push((one.attribute_name.clone(), one.attribute_type.clone())),
        }
    }
    for index in &table.globals {
        if let Some(name) = index
            .keys
            .names()
            .find(|name| !table.attributes.iter().any(|(a, _)| a == *name))
        {
            let known: Vec<_> = table
                .attributes
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            return Err(Refusal::parameters(&format!(
                "Some index key attributes are not defined in AttributeDefinitions. Keys: [{name}], AttributeDefinitions: [{}]",
                known.join(", ")
            )));
        }
    }
    forget_unused(table);
    Ok(())
}

pub(crate) fn forget_unused(table: &mut Table) {
    let used = |name: &String| {
        table.keys.contains(name) || table.indexes().any(|index| index.keys.contains(name))
    };
    let kept = table
        .attributes
        .iter()
        .filter(|(name, _)| used(name))
        .cloned()
        .collect();
    table.attributes = kept;
}
