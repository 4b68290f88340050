//! CreateTable, DeleteTable and ListTables.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Tx;
use gureum_kit::names::id;
use gureum_model_dynamodb::types as t;

use super::backups::system_backup;
use super::describe::describe;
use super::policies::bind_policy;
use super::replicas;
use super::tags::{self, check_tags};
use crate::backup::model::History;
use crate::errors::{Refusal, Result};
use crate::model::{Backfill, Grave, ResourcePolicy, Stream, StreamInfo, Table};
use crate::schema;
use crate::sealing::{self, Wish};
use crate::state::{DynamoDb, key_of, new_space};

const MAX_TABLES_LISTED: usize = 100;

pub(crate) async fn create_table(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::CreateTableInput,
) -> gureum_schema::Result<t::CreateTableOutput> {
    let key = key_of(&cx, &input.table_name)?;
    let view = input.stream_specification.as_ref().map(schema::stream_view);
    let view = view.transpose()?.flatten();
    let wish = sealing::wish(input.sse_specification.as_ref())?;
    let mut table = table_of(&cx, key.2.clone(), input)?;
    if db.find(&key).is_none() {
        let wish = wish.unwrap_or(Wish::Owned);
        table.sealing = Some(db.new_sealing(&cx, &table.name, &wish).await?);
    }
    let created = DynamoDb::whole({
        let db = Arc::clone(&db);
        async move {
            db.alter(&key, |tx, place| {
                if place.is_some() || table.sealing.is_none() {
                    return Err(Refusal::InUse(format!("Table already exists: {}", key.2)));
                }
                let mut table = table.clone();
                if let Some(view) = &view {
                    let now = table.created;
                    start_stream(tx, &mut table, view, now)?;
                }
                *place = Some(table.clone());
                Ok(table)
            })
            .await
        }
    })
    .await?;
    Ok(t::CreateTableOutput {
        table_description: Some(describe(&db, &created, Some("CREATING"))),
    })
}

/// The table that is wanted, without its encryption.
pub(crate) fn table_of(cx: &Cx, name: String, input: t::CreateTableInput) -> Result<Table> {
    let keys = schema::key_schema(input.key_schema.as_deref().unwrap_or_default())?;
    let throughput = input.provisioned_throughput.as_ref();
    let billing = schema::billing(input.billing_mode.as_deref(), throughput, cx.now.0)?;
    let locals = input.local_secondary_indexes.as_deref().unwrap_or_default();
    let locals = schema::locals(locals, &keys)?;
    let globals = input.global_secondary_indexes.unwrap_or_default();
    let global = |one: &t::GlobalSecondaryIndex| {
        let throughput = one.provisioned_throughput.as_ref();
        let on_demand = billing.on_demand;
        schema::global(
            &one.index_name,
            &one.key_schema,
            &one.projection,
            throughput,
            on_demand,
        )
    };
    let globals = globals.iter().map(global).collect::<Result<Vec<_>>>()?;
    schema::check_indexes(&locals, &globals)?;
    let indexes: Vec<_> = locals.iter().chain(&globals).collect();
    let definitions = input.attribute_definitions.unwrap_or_default();
    let attributes = schema::definitions(&definitions, &keys, &indexes)?;
    let tags = tags::map_of(input.tags.unwrap_or_default())?;
    check_tags(&tags)?;
    let policy = input.resource_policy.map(|text| {
        let text = bind_policy(cx, &text)?;
        let revision = cx.now.0.to_string();
        Ok::<_, Refusal>(ResourcePolicy { text, revision })
    });
    Ok(Table {
        region: cx.region.clone(),
        account: *cx.account(),
        name,
        id: new_space(),
        uuid: id::uuid(),
        created: cx.now.0,
        attributes,
        keys,
        locals,
        globals,
        billing,
        stream: None,
        ttl: None,
        protected: input.deletion_protection_enabled.unwrap_or(false),
        class: input.table_class,
        tags,
        policy: policy.transpose()?,
        history: History::default(),
        replicas: Vec::new(),
        sealing: None,
        legacy: None,
    })
}

/// Begins a stream with this view of each change.
pub(crate) fn start_stream(tx: &mut Tx, table: &mut Table, view: &str, now: i64) -> Result<()> {
    let label = gureum_schema::Timestamp(now).iso_millis();
    let label = label.trim_end_matches('Z').to_owned();
    let stream = Stream {
        id: new_space(),
        label: label.clone(),
        view: view.to_owned(),
    };
    tx.put(&StreamInfo {
        region: table.region.clone(),
        account: table.account,
        table: table.name.clone(),
        label,
        id: stream.id,
        view: view.to_owned(),
        keys: table.keys.clone(),
        created: now,
        closed: None,
        policy: None,
        sealing: table.sealing.clone(),
    })?;
    table.stream = Some(stream);
    Ok(())
}

/// Ends the table's stream, if it has one; what it holds stays readable for a day.
pub(crate) fn end_stream(tx: &mut Tx, table: &mut Table, now: i64) -> Result<()> {
    use gureum_kit::Reader;
    let Some(stream) = table.stream.take() else {
        return Ok(());
    };
    let key = (
        table.region.clone(),
        table.account,
        table.name.clone(),
        stream.label,
    );
    if let Some(mut info) = tx.get::<StreamInfo>(key)? {
        info.closed = Some(now);
        tx.put(&info)?;
    }
    Ok(())
}

pub(crate) async fn delete_table(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::DeleteTableInput,
) -> gureum_schema::Result<t::DeleteTableOutput> {
    let key = key_of(&cx, &input.table_name)?;
    let now = cx.now.0;
    let work = Arc::clone(&db);
    let gone = DynamoDb::whole(async move {
        let (gone, touched) = work
            .alter(&key, |tx, place| {
                let mut table = place
                    .take()
                    .ok_or_else(|| Refusal::no_table_named(&key.2))?;
                table.may_go()?;
                let described = table.clone();
                end_stream(tx, &mut table, now)?;
                let touched = replicas::leave(tx, &table)?;
                leave_items(tx, &work, &table, now)?;
                Ok((described, touched))
            })
            .await?;
        for key in touched {
            work.reload(&key).await?;
        }
        Ok(gone)
    })
    .await?;
    db.wake_sweep.wake();
    Ok(t::DeleteTableOutput {
        table_description: Some(describe(&db, &gone, Some("DELETING"))),
    })
}

/// The items go to a backup where the table could be recovered, and away where it could not.
fn leave_items(tx: &mut Tx, db: &DynamoDb, table: &Table, now: i64) -> Result<()> {
    if let Some(log) = table.history.log {
        tx.put(&Grave { space: log })?;
    }
    if table.history.recovery.is_some() {
        tx.put(&system_backup(table, db.count_of(table.id), now))?;
        return bury_indexes(tx, table);
    }
    bury(tx, table)
}

/// Leaves all rows of a table to be removed in the background.
pub(crate) fn bury(tx: &mut Tx, table: &Table) -> Result<()> {
    tx.put(&Grave { space: table.id })?;
    bury_indexes(tx, table)
}

fn bury_indexes(tx: &mut Tx, table: &Table) -> Result<()> {
    for index in table.indexes() {
        tx.put(&Grave { space: index.id })?;
        tx.delete::<Backfill>(index.id)?;
    }
    Ok(())
}

pub(crate) async fn list_tables(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::ListTablesInput,
) -> gureum_schema::Result<t::ListTablesOutput> {
    let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit
        .unwrap_or(MAX_TABLES_LISTED)
        .clamp(1, MAX_TABLES_LISTED);
    let start = input.exclusive_start_table_name.unwrap_or_default();
    let mut names = db.names(&cx, &start, limit);
    let more = names.len() > limit;
    names.truncate(limit);
    Ok(t::ListTablesOutput {
        last_evaluated_table_name: names.last().filter(|_| more).cloned(),
        table_names: Some(names),
    })
}
