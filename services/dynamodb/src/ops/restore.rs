//! RestoreTableToPointInTime and RestoreTableFromBackup: the new table is there at once, and usable
//! when its items are.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_kit::{Reader, Tx};
use gureum_model_dynamodb::types as t;

use super::backups::find_in;
use super::describe::describe;
use crate::backup::model::{Copy, History, Purpose, Restored, Step, key_below};
use crate::errors::{Refusal, Result};
use crate::model::{Billing, Index, KeySchema, Table, TableKey, Throughput};
use crate::schema;
use crate::sealing::{self, Sealing, Wish};
use crate::state::{DynamoDb, key_of, key_of_arn, new_space, short};

pub(crate) async fn restore_to_point_in_time(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::RestoreTableToPointInTimeInput,
) -> gureum_schema::Result<t::RestoreTableToPointInTimeOutput> {
    let source = source_key(&cx, &input)?;
    let latest = input.use_latest_restorable_time == Some(true);
    let moment = match (latest, input.restore_date_time) {
        (true, None) => cx.now.0,
        (false, Some(at)) => at.0,
        (true, Some(_)) => {
            return Err(Refusal::validation(
                "RestoreDateTime and UseLatestRestorableTime cannot both be specified",
            )
            .into());
        }
        (false, None) => {
            return Err(Refusal::validation(
                "One of RestoreDateTime or UseLatestRestorableTime must be specified",
            )
            .into());
        }
    };
    let wishes = Wishes {
        billing_mode: input.billing_mode_override,
        throughput: input.provisioned_throughput_override,
        globals: input.global_secondary_index_override,
        locals: input.local_secondary_index_override,
        sealing: sealing::wish(input.sse_specification_override.as_ref())?,
    };
    let live = db.find(&source);
    let live = live.ok_or_else(|| Refusal::NoTable(source.2.clone()))?;
    let sealing = live.table.sealing.clone();
    let now = cx.now.0;
    let table = restore(&db, &cx, &input.target_table_name, wishes, sealing, move |tx| {
        let table = tx.get::<Table>(&source)?;
        let table = table.ok_or_else(|| Refusal::NoTable(source.2.clone()))?;
        let (Some(recovery), Some(log)) = (table.history.recovery, table.history.log) else {
            return Err(no_recovery(&table));
        };
        let earliest = recovery.earliest(now);
        // AWS tells times in whole seconds, and its clients hand back what they were told.
        if moment > now || moment.div_euclid(1000) < earliest.div_euclid(1000) {
            return Err(Refusal::Special(
                "InvalidRestoreTimeException",
                "The specified restore time is outside of the restorable window: it must be between EarliestRestorableDateTime and LatestRestorableDateTime".into(),
            ));
        }
        Ok(Origin {
            space: table.id,
            as_of: Some((log, moment.max(earliest))),
            restored: Restored {
                backup: None,
                table: table.arn().to_string(),
                at: moment,
            },
            table,
        })
    })
    .await?;
    Ok(t::RestoreTableToPointInTimeOutput {
        table_description: Some(describe(&db, &table, None)),
    })
}

fn source_key(cx: &Cx, input: &t::RestoreTableToPointInTimeInput) -> Result<TableKey> {
    match (&input.source_table_arn, &input.source_table_name) {
        (Some(arn), None) => key_of_arn(arn)
            .filter(|(region, ..)| *region == cx.region)
            .ok_or_else(|| Refusal::validation(format!("Invalid table ARN: {}", short(arn)))),
        (None, Some(name)) => key_of(cx, name),
        _ => Err(Refusal::validation(
            "Exactly one of SourceTableArn or SourceTableName must be specified",
        )),
    }
}

pub(crate) fn no_recovery(table: &Table) -> Refusal {
    Refusal::Special(
        "PointInTimeRecoveryUnavailableException",
        format!(
            "Point in time recovery is not enabled for table '{}'",
            table.name
        ),
    )
}

pub(crate) async fn restore_from_backup(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::RestoreTableFromBackupInput,
) -> gureum_schema::Result<t::RestoreTableFromBackupOutput> {
    let key = key_below(&input.backup_arn, "backup")
        .filter(|(region, ..)| *region == cx.region)
        .ok_or_else(|| Refusal::validation("Invalid BackupArn"))?;
    let wishes = Wishes {
        billing_mode: input.billing_mode_override,
        throughput: input.provisioned_throughput_override,
        globals: input.global_secondary_index_override,
        locals: input.local_secondary_index_override,
        sealing: sealing::wish(input.sse_specification_override.as_ref())?,
    };
    let sealing = find_in(&db.store.read(), &key)?.table.sealing;
    let table = restore(
        &db,
        &cx,
        &input.target_table_name,
        wishes,
        sealing,
        move |tx| {
            let backup = find_in(tx, &key)?;
            if !backup.available {
                return Err(super::backups::in_use(&backup));
            }
            Ok(Origin {
                space: backup.space,
                as_of: None,
                restored: Restored {
                    backup: Some(backup.arn()),
                    table: backup.table.arn().to_string(),
                    at: backup.at,
                },
                table: backup.table,
            })
        },
    )
    .await?;
    Ok(t::RestoreTableFromBackupOutput {
        table_description: Some(describe(&db, &table, None)),
    })
}

/// What a request wants to be different from the source.
struct Wishes {
    billing_mode: Option<String>,
    throughput: Option<t::ProvisionedThroughput>,
    globals: Option<Vec<t::GlobalSecondaryIndex>>,
    locals: Option<Vec<t::LocalSecondaryIndex>>,
    sealing: Option<Wish>,
}

/// What a table is restored from.
struct Origin {
    table: Table,
    space: u64,
    as_of: Option<(u64, i64)>,
    restored: Restored,
}

/// Makes the table and starts the copying of its items, which are sealed as `before` says.
async fn restore(
    db: &Arc<DynamoDb>,
    cx: &Cx,
    target: &str,
    wishes: Wishes,
    before: Option<Sealing>,
    origin: impl Fn(&mut Tx) -> Result<Origin> + Send + Sync + 'static,
) -> Result<Table> {
    let key = key_of(cx, target)?;
    let sealing = match (&before, &wishes.sealing) {
        (Some(before), wish) => {
            let wish = wish.clone().unwrap_or_else(|| before.wish());
            db.rewrap(cx, &key.2, before, &wish).await?
        }
        (None, wish) => {
            let wish = wish.as_ref().unwrap_or(&Wish::Owned);
            db.new_sealing(cx, &key.2, wish).await?
        }
    };
    let now = cx.now.0;
    let work = Arc::clone(db);
    let made = DynamoDb::whole(async move {
        work.alter(&key, |tx, place| {
            if place.is_some() {
                return Err(Refusal::Special(
                    "TableAlreadyExistsException",
                    format!("Table already exists: {}", key.2),
                ));
            }
            let origin = origin(tx)?;
            let before = origin.table.sealing.as_ref();
            if before.is_some_and(|before| before.id != sealing.id) {
                return Err(Refusal::InUse(format!(
                    "Table is being replaced: {}",
                    origin.table.name
                )));
            }
            let mut table = table_like(&origin, &key, &wishes, now)?;
            table.sealing = Some(sealing.clone());
            tx.put(&Copy {
                target: table.id,
                source: origin.space,
                as_of: origin.as_of,
                step: Step::Items(None),
                purpose: Purpose::Table(key.clone()),
            })?;
            *place = Some(table.clone());
            Ok(table)
        })
        .await
    })
    .await?;
    db.wake_copies.wake();
    Ok(made)
}

/// A table with the source's settings, save those that a restored table does not take over: tags,
/// expiry, stream, recovery, policy and protection.
fn table_like(origin: &Origin, key: &TableKey, wishes: &Wishes, now: i64) -> Result<Table> {
    let source = &origin.table;
    let billing = billing(source, wishes, now)?;
    let fresh = |index: &Index| Index {
        id: new_space(),
        backfilling: false,
        ..index.clone()
    };
    let mut locals = source.locals.clone();
    if let Some(wanted) = &wishes.locals {
        let wanted = schema::locals(wanted, &source.keys)?;
        locals = matching(&source.locals, &wanted)?;
    }
    let mut globals = source.globals.clone();
    if let Some(wanted) = &wishes.globals {
        let one = |one: &t::GlobalSecondaryIndex| {
            let given = one.provisioned_throughput.as_ref();
            let (name, keys) = (&one.index_name, &one.key_schema);
            schema::global(name, keys, &one.projection, given, billing.on_demand)
        };
        let wanted = wanted.iter().map(one).collect::<Result<Vec<_>>>()?;
        matching(&source.globals, &wanted)?;
        globals = wanted;
    }
    for index in &mut globals {
        if billing.on_demand {
            index.throughput = Throughput::default();
        } else if index.throughput == Throughput::default() {
            return Err(Refusal::parameters(&format!(
                "ProvisionedThroughput must be specified for index: {}",
                index.name
            )));
        }
    }
    let mut table = Table {
        region: key.0.clone(),
        account: key.1,
        name: key.2.clone(),
        id: new_space(),
        uuid: id::uuid(),
        created: now,
        locals: locals.iter().map(fresh).collect(),
        globals: globals.iter().map(fresh).collect(),
        billing,
        stream: None,
        ttl: None,
        protected: false,
        tags: Default::default(),
        policy: None,
        replicas: Vec::new(),
        legacy: None,
        history: History {
            restored: Some(origin.restored.clone()),
            making: true,
            ..History::default()
        },
        ..source.clone()
    };
    super::update_table::forget_unused(&mut table);
    Ok(table)
}

fn billing(source: &Table, wishes: &Wishes, now: i64) -> Result<Billing> {
    let before = &source.billing;
    let same = match wishes.billing_mode.as_deref() {
        None => true,
        Some(mode) => (mode == "PAY_PER_REQUEST") == before.on_demand,
    };
    if same && wishes.throughput.is_none() {
        return Ok(Billing {
            on_demand_since: before.on_demand.then_some(now),
            increased: None,
            decreased: None,
            ..before.clone()
        });
    }
    let current = if before.on_demand {
        "PAY_PER_REQUEST"
    } else {
        "PROVISIONED"
    };
    let mode = wishes.billing_mode.as_deref().unwrap_or(current);
    schema::billing(Some(mode), wishes.throughput.as_ref(), now)
}

/// The source's indexes that were asked for; each must be one of them.
fn matching(source: &[Index], wanted: &[Index]) -> Result<Vec<Index>> {
    let shape = |index: &Index| -> (String, KeySchema, _) {
        (
            index.name.clone(),
            index.keys.clone(),
            index.projection.clone(),
        )
    };
    wanted
        .iter()
        .map(|one| {
            let found = source.iter().find(|index| shape(index) == shape(one));
            found.cloned().ok_or_else(|| {
                Refusal::validation(format!(
                    "The index {} does not match an index of the source table",
                    one.name
                ))
            })
        })
        .collect()
}
