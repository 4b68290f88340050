//! What global tables ask of the policy engine: changing one of version 2019.11.21 beside
//! `UpdateTable`, and the operations of version 2017.11.29.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables-security.html>
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/gt_IAM.html>

use std::collections::BTreeSet;

use gureum_dispatch::{Ask, Cx};
use gureum_kit::{Reader, Region};
use gureum_model_dynamodb::types as t;
use gureum_schema::Result;

use crate::asks::{about, at};
use crate::errors::Refusal;
use crate::global::legacy::{self, GlobalTable};
use crate::state::{DynamoDb, key_of};

pub(crate) fn update_table(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::UpdateTableInput,
) -> Result<Vec<Ask>> {
    let name = &input.table_name;
    let mut asks = vec![at(db, cx, "dynamodb:UpdateTable", name)?];
    for update in input.replica_updates.iter().flatten() {
        let (action, region) = match (&update.create, &update.delete) {
            (Some(create), _) => ("dynamodb:CreateTableReplica", &create.region_name),
            (_, Some(delete)) => ("dynamodb:DeleteTableReplica", &delete.region_name),
            (None, None) => continue,
        };
        let region = parse(region)?;
        let (_, account, table) = key_of(cx, name)?;
        asks.push(about(db, action, &(region, account, table), None));
    }
    Ok(asks)
}

fn parse(region: &str) -> Result<Region> {
    let region = region.parse();
    Ok(region.map_err(|_| Refusal::validation("Invalid RegionName"))?)
}

/// The ask about the global table itself.
fn group(action: &'static str, cx: &Cx, name: &str) -> Ask {
    Ask::new(action, legacy::arn(cx.account(), name)).owner(cx.account())
}

/// The same, and about each table that is concerned.
fn members(
    db: &DynamoDb,
    cx: &Cx,
    action: &'static str,
    name: &str,
    regions: impl IntoIterator<Item = Region>,
) -> Vec<Ask> {
    let table = |region| about(db, action, &(region, *cx.account(), name.to_owned()), None);
    let tables = regions.into_iter().map(table);
    std::iter::once(group(action, cx, name))
        .chain(tables)
        .collect()
}

pub(crate) fn create_global_table(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::CreateGlobalTableInput,
) -> Result<Vec<Ask>> {
    let named = input.replication_group.iter();
    let named = named.filter_map(|replica| replica.region_name.as_deref());
    let regions = named.map(parse).collect::<Result<Vec<_>>>()?;
    let (action, name) = ("dynamodb:CreateGlobalTable", &input.global_table_name);
    Ok(members(db, cx, action, name, regions))
}

pub(crate) fn update_global_table(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::UpdateGlobalTableInput,
) -> Result<Vec<Ask>> {
    let name = &input.global_table_name;
    let known = db
        .store
        .read()
        .get::<GlobalTable>((*cx.account(), name.clone()));
    let known = known.map_err(Refusal::from)?;
    let mut regions: BTreeSet<_> = known.into_iter().flat_map(|known| known.regions).collect();
    for update in &input.replica_updates {
        let created = update.create.iter().map(|create| &create.region_name);
        let deleted = update.delete.iter().map(|delete| &delete.region_name);
        for region in created.chain(deleted) {
            regions.insert(parse(region)?);
        }
    }
    let action = "dynamodb:UpdateGlobalTable";
    Ok(members(db, cx, action, name, regions))
}

pub(crate) fn describe_global_table(
    _: &DynamoDb,
    cx: &Cx,
    input: &t::DescribeGlobalTableInput,
) -> Result<Vec<Ask>> {
    let (action, name) = ("dynamodb:DescribeGlobalTable", &input.global_table_name);
    Ok(vec![group(action, cx, name)])
}

pub(crate) fn list_global_tables(
    _: &DynamoDb,
    _: &Cx,
    _: &t::ListGlobalTablesInput,
) -> Result<Vec<Ask>> {
    Ok(vec![Ask::new("dynamodb:ListGlobalTables", "*")])
}
