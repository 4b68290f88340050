//! CreateGlobalTable, UpdateGlobalTable, DescribeGlobalTable and ListGlobalTables: global tables of
//! version 2017.11.29, whose tables are made one by one and join, and leave, as they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Region, Row, Scan, Tx};
use gureum_model_dynamodb::types as t;
use gureum_schema::Timestamp;

use super::replicas::{self, check_stream, region};
use crate::errors::{Refusal, Result};
use crate::global::legacy::{self, GlobalTable};
use crate::global::shipping::follow;
use crate::model::{Table, TableKey};
use crate::state::{DynamoDb, new_space};

const MAX_LISTED: usize = 100;

pub(crate) async fn create_global_table(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::CreateGlobalTableInput,
) -> gureum_schema::Result<t::CreateGlobalTableOutput> {
    let regions = regions(&input.replication_group)?;
    let new = GlobalTable {
        account: *cx.account(),
        name: input.global_table_name,
        created: cx.now.0,
        regions: Vec::new(),
    };
    let work = Arc::clone(&db);
    let made = DynamoDb::whole(async move {
        work.alter_several(|tx| {
            if tx.has::<GlobalTable>(&new.key())? {
                return Err(already_there(&new.name));
            }
            let mut group = new.clone();
            for region in &regions {
                join(tx, &mut group, region)?;
            }
            group.settle(tx)?;
            let touched = group.regions.iter().map(|region| group.key_in(region));
            let touched = touched.collect();
            Ok((group, touched))
        })
        .await
    })
    .await?;
    db.wake_shipping.wake();
    Ok(t::CreateGlobalTableOutput {
        global_table_description: Some(describe(&db, &made, "CREATING")),
    })
}

/// The regions of a new group; at least one, and each once.
fn regions(given: &[t::Replica]) -> Result<Vec<Region>> {
    let named = |replica: &t::Replica| match &replica.region_name {
        Some(name) => region(name),
        None => Err(Refusal::parameters("Replica must have a RegionName")),
    };
    let regions = given.iter().map(named).collect::<Result<Vec<_>>>()?;
    let distinct: BTreeSet<_> = regions.iter().collect();
    if regions.is_empty() {
        return Err(Refusal::parameters("ReplicationGroup must not be empty"));
    }
    if distinct.len() < regions.len() {
        return Err(Refusal::parameters(
            "ReplicationGroup must name each region once",
        ));
    }
    Ok(regions)
}

pub(crate) async fn update_global_table(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::UpdateGlobalTableInput,
) -> gureum_schema::Result<t::UpdateGlobalTableOutput> {
    let changes = input.replica_updates.iter().map(Change::of);
    let changes = changes.collect::<Result<Vec<_>>>()?;
    if changes.is_empty() {
        return Err(Refusal::parameters("ReplicaUpdates must not be empty").into());
    }
    let key = (*cx.account(), input.global_table_name);
    let work = Arc::clone(&db);
    let changed = DynamoDb::whole(async move {
        if changes
            .iter()
            .any(|change| matches!(change, Change::Delete(_)))
        {
            work.ship_group(&key).await?;
        }
        work.alter_several(|tx| {
            let group = tx.get::<GlobalTable>(&key)?;
            let mut group = group.ok_or_else(|| not_there(&key.1))?;
            let mut touched: BTreeSet<TableKey> = BTreeSet::new();
            for change in &changes {
                match change {
                    Change::Create(region) => join_later(tx, &mut group, region)?,
                    Change::Delete(region) => part(tx, &mut group, region)?,
                }
                let (Change::Create(region) | Change::Delete(region)) = change;
                touched.insert(group.key_in(region));
            }
            group.settle(tx)?;
            touched.extend(group.regions.iter().map(|region| group.key_in(region)));
            Ok((group, touched.into_iter().collect()))
        })
        .await
    })
    .await?;
    db.wake_shipping.wake();
    db.wake_sweep.wake();
    let status = match changed.regions.is_empty() {
        true => "DELETING",
        false => "UPDATING",
    };
    Ok(t::UpdateGlobalTableOutput {
        global_table_description: Some(describe(&db, &changed, status)),
    })
}

enum Change {
    Create(Region),
    Delete(Region),
}

impl Change {
    fn of(update: &t::ReplicaUpdate) -> Result<Self> {
        match (&update.create, &update.delete) {
            (Some(create), None) => Ok(Self::Create(region(&create.region_name)?)),
            (None, Some(delete)) => Ok(Self::Delete(region(&delete.region_name)?)),
            _ => Err(Refusal::parameters(
                "One of ReplicaUpdate.Create, ReplicaUpdate.Delete must be given",
            )),
        }
    }
}

impl DynamoDb {
    /// Carries what was written in a group until now, so that all who are in it have it when one goes.
    /// What cannot be carried, because a key cannot be used, does not hold that one back.
    async fn ship_group(&self, key: &<GlobalTable as Row>::Key) -> Result<()> {
        let group = self.store.read().get::<GlobalTable>(key)?;
        for region in group.iter().flat_map(|group| &group.regions) {
            let table = (region.clone(), key.0, key.1.clone());
            let Some(live) = self.find(&table) else {
                continue;
            };
            if let Err(refusal) = self.ship_from(&live.table).await {
                tracing::warn!(table = key.1, %region, ?refusal, "changes stay behind");
            }
        }
        Ok(())
    }
}

/// Takes the table of a region into the group. All tables must be empty, so they agree; whoever joins
/// follows the streams of the others from now on, and they its.
fn join(tx: &mut Tx, group: &mut GlobalTable, region: &Region) -> Result<()> {
    if group.regions.contains(region) {
        return Err(Refusal::Special(
            "ReplicaAlreadyExistsException",
            format!(
                "Replica already exists: Global table with name: '{}' already has a replica in region: '{region}'.",
                group.name
            ),
        ));
    }
    let mut table = table_in(tx, group, region)?;
    table.made()?;
    if table.is_global() {
        return Err(Refusal::parameters(&format!(
            "Table: '{}' in region: '{region}' is already a replica of a global table",
            table.name
        )));
    }
    check_stream(&table)?;
    legacy::check_keys(&table)?;
    legacy::check_empty(tx, &table)?;
    for mut member in group.members(tx)? {
        legacy::check_alike(&table, &member)?;
        legacy::check_empty(tx, &member)?;
        follow(tx, &member, region)?;
        follow(tx, &table, &member.region)?;
        member.replicas.push(region.clone());
        tx.put(&member)?;
    }
    table.replicas.clone_from(&group.regions);
    table.legacy = Some(new_space());
    tx.put(&table)?;
    group.regions.push(region.clone());
    Ok(())
}

/// The same for a group that exists, which asks for more.
fn join_later(tx: &mut Tx, group: &mut GlobalTable, region: &Region) -> Result<()> {
    let members = group.members(tx)?;
    join(tx, group, region)?;
    let table = table_in(tx, group, region)?;
    members
        .iter()
        .try_for_each(|member| legacy::check_capacity(&table, member))
}

/// Takes the table of a region out of the group; it goes on alone, with the items that it has.
fn part(tx: &mut Tx, group: &mut GlobalTable, region: &Region) -> Result<()> {
    if !group.regions.contains(region) {
        return Err(Refusal::Special(
            "ReplicaNotFoundException",
            format!(
                "Replica not found: Global table with name: '{}' has no replica in region: '{region}'.",
                group.name
            ),
        ));
    }
    let mut table = table_in(tx, group, region)?;
    replicas::leave(tx, &table)?;
    table.replicas.clear();
    table.legacy = None;
    tx.put(&table)?;
    group.regions.retain(|member| member != region);
    Ok(())
}

fn table_in(tx: &Tx, group: &GlobalTable, region: &Region) -> Result<Table> {
    let table = tx.get::<Table>(&group.key_in(region))?;
    table.ok_or_else(|| {
        Refusal::Special(
            "TableNotFoundException",
            format!(
                "Table not found: Table: '{}' not found in region: '{region}'.",
                group.name
            ),
        )
    })
}

pub(crate) async fn describe_global_table(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::DescribeGlobalTableInput,
) -> gureum_schema::Result<t::DescribeGlobalTableOutput> {
    let key = (*cx.account(), input.global_table_name);
    let group = db.store.read().get::<GlobalTable>(&key);
    let group = group.map_err(Refusal::from)?;
    let group = group.ok_or_else(|| not_there(&key.1))?;
    Ok(t::DescribeGlobalTableOutput {
        global_table_description: Some(describe(&db, &group, "ACTIVE")),
    })
}

pub(crate) async fn list_global_tables(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::ListGlobalTablesInput,
) -> gureum_schema::Result<t::ListGlobalTablesOutput> {
    let wanted = input.region_name.as_deref().map(region).transpose()?;
    let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(MAX_LISTED).clamp(1, MAX_LISTED);
    let mut found = Vec::new();
    let start = input.exclusive_start_global_table_name;
    let start = (*cx.account(), start.unwrap_or_default());
    let rest = Scan::<GlobalTable>::of((start.0,)).after(&start);
    for group in db.store.read().scan(rest) {
        let group = group.map_err(Refusal::from)?;
        if wanted
            .as_ref()
            .is_none_or(|region| group.regions.contains(region))
        {
            found.push(group);
        }
        if found.len() > limit {
            break;
        }
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    Ok(t::ListGlobalTablesOutput {
        last_evaluated_global_table_name: last.map(|group| group.name.clone()),
        global_tables: Some(found.into_iter().map(listed).collect()),
    })
}

fn listed(group: GlobalTable) -> t::GlobalTable {
    let replica = |region: Region| t::Replica {
        region_name: Some(region.to_string()),
    };
    t::GlobalTable {
        global_table_name: Some(group.name),
        replication_group: Some(group.regions.into_iter().map(replica).collect()),
    }
}

fn describe(db: &DynamoDb, group: &GlobalTable, status: &str) -> t::GlobalTableDescription {
    let replica = |region| replicas::describe(db, &group.key_in(region));
    t::GlobalTableDescription {
        replication_group: Some(group.regions.iter().map(replica).collect()),
        global_table_arn: Some(group.arn().to_string()),
        creation_date_time: Some(Timestamp(group.created)),
        global_table_status: Some(status.to_owned()),
        global_table_name: Some(group.name.clone()),
    }
}

fn not_there(name: &str) -> Refusal {
    Refusal::Special(
        "GlobalTableNotFoundException",
        format!("Global table not found: Global table with name: '{name}' does not exist."),
    )
}

fn already_there(name: &str) -> Refusal {
    Refusal::Special(
        "GlobalTableAlreadyExistsException",
        format!("Global table already exists: Global table with name: '{name}' already exists."),
    )
}
