//! Replicas of a table in other regions (version 2019.11.21): made and removed by UpdateTable, told by
//! DescribeTable.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_kit::{Reader, Region, Row, Tx};
use gureum_model_dynamodb::types as t;

use super::tables::{bury, end_stream, start_stream};
use crate::backup::model::{Copy, History, Purpose, Step};
use crate::errors::{Refusal, Result};
use crate::global::legacy::GlobalTable;
use crate::global::model::Route;
use crate::model::{Grave, Index, Table, TableKey};
use crate::sealing::{Sealing, Wish, Wrapped};
use crate::state::{DynamoDb, new_space};

/// What the stream of a global table must show of a change.
pub(crate) const VIEW: &str = "NEW_AND_OLD_IMAGES";

/// Carries out `ReplicaUpdates`, which stand alone in their request and hold one change.
pub(crate) async fn update(
    db: &Arc<DynamoDb>,
    cx: &Cx,
    key: TableKey,
    updates: &[t::ReplicationGroupUpdate],
) -> Result<Table> {
    let [update] = updates else {
        return Err(Refusal::validation(
            "ReplicaUpdates must hold exactly one update",
        ));
    };
    let now = cx.now.0;
    let change = match (&update.create, &update.update, &update.delete) {
        (Some(create), None, None) => {
            let refused = create.provisioned_throughput_override.is_some()
                || create.on_demand_throughput_override.is_some()
                || create.global_secondary_indexes.is_some()
                || create.table_class_override.is_some();
            if refused {
                return Err(Refusal::NotImplemented(
                    "A replica with settings of its own".into(),
                ));
            }
            let region = elsewhere(&key, &create.region_name)?;
            let sealing = sealing_in(db, cx, &key, &region, create.kms_master_key_id.clone());
            Change::Add(region.clone(), sealing.await?)
        }
        (None, None, Some(delete)) => Change::Remove(elsewhere(&key, &delete.region_name)?),
        (None, Some(_), None) => {
            return Err(Refusal::NotImplemented(
                "A replica with settings of its own".into(),
            ));
        }
        _ => {
            return Err(Refusal::validation(
                "One of Create, Update or Delete must be given in a replica update",
            ));
        }
    };
    let work = Arc::clone(db);
    let table = DynamoDb::whole(async move {
        if let Change::Remove(_) = &change {
            // What was written there until now shall not go with it.
            work.ship().await?;
        }
        let (table, touched) = work
            .alter(&key, |tx, place| {
                let table = place
                    .as_mut()
                    .ok_or_else(|| Refusal::no_table_named(&key.2))?;
                table.made()?;
                if table.legacy.is_some() {
                    return Err(Refusal::validation(format!(
                        "Table with name: '{}' is a replica of a global table of version 2017.11.29, which UpdateGlobalTable changes",
                        table.name
                    )));
                }
                let touched = match &change {
                    Change::Add(region, sealing) => {
                        add(tx, table, (region, sealing.as_ref()), now)?
                    }
                    Change::Remove(region) => remove(tx, table, region, now)?,
                };
                Ok((table.clone(), touched))
            })
            .await?;
        for key in touched {
            work.reload(&key).await?;
        }
        Ok(table)
    })
    .await?;
    db.wake_copies.wake();
    db.wake_sweep.wake();
    Ok(table)
}

enum Change {
    /// With the encryption that it will have.
    Add(Region, Option<Sealing>),
    Remove(Region),
}

/// The encryption of a replica: with the same data key, because items are copied as they are sealed;
/// by a key of KMS in its own region where the table has one in its.
async fn sealing_in(
    db: &DynamoDb,
    cx: &Cx,
    key: &TableKey,
    region: &Region,
    named: Option<String>,
) -> Result<Option<Sealing>> {
    let live = db.find(key);
    let live = live.ok_or_else(|| Refusal::no_table_named(&key.2))?;
    let Some(before) = &live.table.sealing else {
        return Ok(None);
    };
    let wish = match (before.wish(), named) {
        (Wish::Owned, None) => Wish::Owned,
        (_, named) => Wish::Kms(named),
    };
    // Opened in this region, by the key of this region.
    db.open_key(cx, Some(before)).await?;
    let there = cx.in_region(region.clone());
    let made = db.rewrap(&there, &key.2, before, &wish).await?;
    Ok(Some(made))
}

/// A region that is not the table's own.
fn elsewhere(key: &TableKey, name: &str) -> Result<Region> {
    let region = region(name)?;
    if region == key.0 {
        return Err(Refusal::validation(
            "Cannot add, delete, or update the local region through ReplicaUpdates. Use CreateTable, DeleteTable, or UpdateTable as required.",
        ));
    }
    Ok(region)
}

/// Region codes as AWS's are; one cloud serves them all.
pub(crate) fn region(name: &str) -> Result<Region> {
    let parts: Vec<_> = name.split('-').collect();
    let good = parts.len() >= 3
        && parts[0].len() == 2
        && parts.last().is_some_and(|last| last.parse::<u8>().is_ok());
    name.parse()
        .ok()
        .filter(|_| good)
        .ok_or_else(|| Refusal::validation(format!("Region {name} is not supported")))
}

/// Makes a replica of the table, which begins with a copy of the items. The other tables that
/// change.
fn add(
    tx: &mut Tx,
    table: &mut Table,
    (region, sealing): (&Region, Option<&Sealing>),
    now: i64,
) -> Result<Vec<TableKey>> {
    let ids = |sealing: Option<&Sealing>| sealing.map(|sealing| sealing.id);
    if ids(table.sealing.as_ref()) != ids(sealing) {
        return Err(Refusal::no_table_named(&table.name));
    }
    check_stream(table)?;
    let key = table.key_in(region);
    if tx.has::<Table>(&key)? {
        return Err(Refusal::validation(format!(
            "Failed to create the new replica of table with name: '{}' because one or more replicas already existed as tables.",
            table.name
        )));
    }
    let fresh = |index: &Index| Index {
        id: new_space(),
        backfilling: false,
        ..index.clone()
    };
    let mut members = table.replicas.clone();
    members.push(table.region.clone());
    let mut replica = Table {
        region: region.clone(),
        id: new_space(),
        uuid: id::uuid(),
        created: now,
        locals: table.locals.iter().map(fresh).collect(),
        globals: table.globals.iter().map(fresh).collect(),
        stream: None,
        tags: Default::default(),
        policy: None,
        protected: false,
        history: History {
            making: true,
            ..History::default()
        },
        replicas: members.clone(),
        sealing: sealing.cloned(),
        ..table.clone()
    };
    start_stream(tx, &mut replica, VIEW, now)?;
    let log = *table.history.log.get_or_insert_with(new_space);
    tx.put(&Copy {
        target: replica.id,
        source: table.id,
        as_of: Some((log, now)),
        step: Step::Items(None),
        purpose: Purpose::Table(key.clone()),
    })?;
    tx.put(&replica)?;
    let mut touched = others(tx, table, |_, other| {
        other.replicas.push(region.clone());
        Ok(())
    })?;
    table.replicas.push(region.clone());
    touched.push(key);
    Ok(touched)
}

/// Replicas follow the stream of a table, so it must tell all of a change.
pub(crate) fn check_stream(table: &Table) -> Result<()> {
    match &table.stream {
        Some(stream) if stream.view == VIEW => Ok(()),
        _ => Err(Refusal::validation(format!(
            "Table with name: '{}' must have a stream with the view type {VIEW} to be replicated",
            table.name
        ))),
    }
}

fn remove(tx: &mut Tx, table: &mut Table, region: &Region, now: i64) -> Result<Vec<TableKey>> {
    let key = table.key_in(region);
    let found = tx.get::<Table>(&key)?;
    let (true, Some(mut gone)) = (table.replicas.contains(region), found) else {
        return Err(Refusal::validation(format!(
            "Replica not found: the table '{}' has none in {region}",
            table.name
        )));
    };
    gone.may_go()?;
    let mut touched = leave(tx, &gone)?;
    // Written by the others' leave-taking as well; what is here goes back into its place.
    touched.retain(|other| *other != table.key());
    table.replicas.retain(|replica| replica != region);
    end_stream(tx, &mut gone, now)?;
    bury(tx, &gone)?;
    tx.delete::<Table>(&key)?;
    touched.push(key);
    Ok(touched)
}

/// Takes a table out of its group; the others that change by that.
pub(crate) fn leave(tx: &mut Tx, gone: &Table) -> Result<Vec<TableKey>> {
    let touched = others(tx, gone, |_, other| {
        other.replicas.retain(|region| *region != gone.region);
        Ok(())
    })?;
    // A replica that is made here later follows the streams of the others anew.
    for key in &touched {
        let other = tx.get::<Table>(key)?;
        if let Some(stream) = other.and_then(|other| other.stream) {
            tx.delete::<Route>((stream.id, gone.region.clone()))?;
        }
        if let Some(stream) = &gone.stream {
            tx.delete::<Route>((stream.id, key.0.clone()))?;
        }
    }
    if let Some(versions) = gone.legacy {
        // Outside the group they mean nothing.
        tx.put(&Grave { space: versions })?;
        let key = (gone.account, gone.name.clone());
        if let Some(mut group) = tx.get::<GlobalTable>(key)? {
            group.regions.retain(|region| *region != gone.region);
            group.settle(tx)?;
        }
    }
    Ok(touched)
}

/// Changes the other tables of a group in what they share, which those of version 2017.11.29 do not.
pub(crate) fn share(
    tx: &mut Tx,
    table: &Table,
    change: impl FnMut(&mut Tx, &mut Table) -> Result<()>,
) -> Result<Vec<TableKey>> {
    match table.is_current() {
        true => others(tx, table, change),
        false => Ok(Vec::new()),
    }
}

/// Changes all other tables of a group.
pub(crate) fn others(
    tx: &mut Tx,
    table: &Table,
    mut change: impl FnMut(&mut Tx, &mut Table) -> Result<()>,
) -> Result<Vec<TableKey>> {
    let mut touched = Vec::new();
    for region in &table.replicas {
        if let Some(mut other) = tx.get::<Table>(table.key_in(region))? {
            change(tx, &mut other)?;
            tx.put(&other)?;
            touched.push(other.key());
        }
    }
    Ok(touched)
}

/// The replicas as they are told with their table; `None` where there are none.
pub(crate) fn told(db: &DynamoDb, table: &Table) -> Option<Vec<t::ReplicaDescription>> {
    let one = |region| describe(db, &table.key_in(region));
    table
        .is_current()
        .then(|| table.replicas.iter().map(one).collect())
}

/// A table as a replica.
pub(crate) fn describe(db: &DynamoDb, key: &TableKey) -> t::ReplicaDescription {
    let live = db.find(key);
    let status = match &live {
        Some(live) if !live.table.history.making => "ACTIVE",
        _ => "CREATING",
    };
    t::ReplicaDescription {
        region_name: Some(key.0.to_string()),
        replica_status: Some(status.to_owned()),
        replica_arn: live.as_ref().map(|live| live.table.arn().to_string()),
        kms_master_key_id: live.and_then(|live| match &live.table.sealing.as_ref()?.wrapped {
            Wrapped::Kms(kms) => Some(kms.key.clone()),
            Wrapped::Owned { .. } => None,
        }),
        ..Default::default()
    }
}
