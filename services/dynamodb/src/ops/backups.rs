//! CreateBackup, DescribeBackup, ListBackups and DeleteBackup.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Scan};
use gureum_model_dynamodb::types as t;
use gureum_schema::Timestamp;

use super::describe::{keys, projection};
use crate::backup::DAY;
use crate::backup::model::{Backup, BelowKey, Copy, Purpose, Step, key_below, new_id, readers};
use crate::errors::{Refusal, Result};
use crate::model::{Grave, Table, Throughput};
use crate::sealing;
use crate::state::{DynamoDb, key_of, new_space, short};

/// How long the backup of a deleted table is kept.
const SYSTEM_BACKUP_KEPT: i64 = 35 * DAY;
const MAX_LISTED: usize = 100;

pub(crate) async fn create_backup(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::CreateBackupInput,
) -> gureum_schema::Result<t::CreateBackupOutput> {
    let key = key_of(&cx, &input.table_name)?;
    let (now, id) = (cx.now.0, new_id(cx.now.0));
    let work = Arc::clone(&db);
    let backup = DynamoDb::whole(async move {
        work.alter(&key, |tx, place| {
            let table = place
                .as_mut()
                .ok_or_else(|| Refusal::NoTable(key.2.clone()))?;
            if table.history.making {
                return Err(Refusal::Special(
                    "TableInUseException",
                    format!("Table is being created: {}", key.2),
                ));
            }
            let backup = Backup {
                table: table.clone(),
                id: id.clone(),
                name: input.backup_name.clone(),
                space: new_space(),
                at: now,
                available: false,
                expires: None,
                items: 0,
                bytes: 0,
            };
            let log = *table.history.log.get_or_insert_with(new_space);
            tx.put(&Copy {
                target: backup.space,
                source: table.id,
                as_of: Some((log, now)),
                step: Step::Items(None),
                purpose: Purpose::Backup(gureum_kit::Row::key(&backup)),
            })?;
            tx.put(&backup)?;
            Ok(backup)
        })
        .await
    })
    .await?;
    db.wake_copies.wake();
    Ok(t::CreateBackupOutput {
        backup_details: Some(details(&backup)),
    })
}

/// The backup of a table with recovery that is being deleted: it takes the items over.
pub(crate) fn system_backup(table: &Table, count: crate::state::Counted, now: i64) -> Backup {
    Backup {
        id: new_id(now),
        name: format!("{}$DeletedTableBackup", table.name),
        space: table.id,
        at: now,
        available: true,
        expires: Some(now + SYSTEM_BACKUP_KEPT),
        items: count.items,
        bytes: count.bytes,
        table: table.clone(),
    }
}

pub(crate) fn in_use(backup: &Backup) -> Refusal {
    Refusal::Special(
        "BackupInUseException",
        format!("Backup is being created or restored: {}", backup.arn()),
    )
}

/// The key of the backup that an ARN means.
fn key_in(arn: &str) -> Result<BelowKey> {
    key_below(arn, "backup")
        .ok_or_else(|| Refusal::validation(format!("Invalid BackupArn: {}", short(arn))))
}

pub(crate) fn find_in(view: &impl Reader, key: &BelowKey) -> Result<Backup> {
    view.get::<Backup>(key)?.ok_or_else(|| {
        Refusal::Special(
            "BackupNotFoundException",
            format!(
                "Backup not found: {}",
                crate::backup::model::arn_below(key, "backup")
            ),
        )
    })
}

pub(crate) async fn describe_backup(
    db: Arc<DynamoDb>,
    _: Cx,
    input: t::DescribeBackupInput,
) -> gureum_schema::Result<t::DescribeBackupOutput> {
    let backup = find_in(&db.store.read(), &key_in(&input.backup_arn)?)?;
    Ok(t::DescribeBackupOutput {
        backup_description: Some(described(&backup)),
    })
}

pub(crate) async fn delete_backup(
    db: Arc<DynamoDb>,
    _: Cx,
    input: t::DeleteBackupInput,
) -> gureum_schema::Result<t::DeleteBackupOutput> {
    let key = key_in(&input.backup_arn)?;
    let backup = db
        .store
        .transact(|tx| {
            let backup = find_in(tx, &key)?;
            if !backup.available || !readers(tx, backup.space)?.is_empty() {
                return Err(in_use(&backup));
            }
            tx.delete::<Backup>(&key)?;
            tx.put(&Grave {
                space: backup.space,
            })?;
            Ok(backup)
        })
        .await?;
    db.wake_sweep.wake();
    let mut description = described(&backup);
    if let Some(details) = &mut description.backup_details {
        details.backup_status = "DELETED".to_owned();
    }
    Ok(t::DeleteBackupOutput {
        backup_description: Some(description),
    })
}

pub(crate) async fn list_backups(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::ListBackupsInput,
) -> gureum_schema::Result<t::ListBackupsOutput> {
    let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(MAX_LISTED).clamp(1, MAX_LISTED);
    let (region, account) = (&cx.region, cx.account());
    let mut scan = match &input.table_name {
        Some(table) => Scan::<Backup>::of((region, account, key_of(&cx, table)?.2)),
        None => Scan::<Backup>::of((region, account)),
    };
    if let Some(start) = &input.exclusive_start_backup_arn {
        scan = scan.after(key_in(start)?);
    }
    let kind = input.backup_type.as_deref().unwrap_or("USER");
    let wanted = |backup: &Backup| {
        let at = Timestamp(backup.at);
        (kind == "ALL" || kind == backup.kind())
            && input.time_range_lower_bound.is_none_or(|low| low <= at)
            && input.time_range_upper_bound.is_none_or(|high| at < high)
    };
    let view = db.store.read();
    let found = view.scan(scan);
    let found = found.filter(|found| found.as_ref().map_or(true, wanted));
    let found = found.take(limit + 1).collect::<Result<Vec<_>, _>>();
    let mut found = found.map_err(Refusal::from)?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok(t::ListBackupsOutput {
        last_evaluated_backup_arn: found.last().filter(|_| more).map(Backup::arn),
        backup_summaries: Some(found.iter().map(summary).collect()),
    })
}

fn status(backup: &Backup) -> String {
    let status = if backup.available {
        "AVAILABLE"
    } else {
        "CREATING"
    };
    status.to_owned()
}

fn summary(backup: &Backup) -> t::BackupSummary {
    t::BackupSummary {
        table_name: Some(backup.table.name.clone()),
        table_id: Some(backup.table.uuid.clone()),
        table_arn: Some(backup.table.arn().to_string()),
        backup_arn: Some(backup.arn()),
        backup_name: Some(backup.name.clone()),
        backup_creation_date_time: Some(Timestamp(backup.at)),
        backup_expiry_date_time: backup.expires.map(Timestamp),
        backup_status: Some(status(backup)),
        backup_type: Some(backup.kind().to_owned()),
        backup_size_bytes: Some(backup.bytes),
    }
}

fn details(backup: &Backup) -> t::BackupDetails {
    t::BackupDetails {
        backup_arn: backup.arn(),
        backup_name: backup.name.clone(),
        backup_size_bytes: Some(backup.bytes),
        backup_status: status(backup),
        backup_type: backup.kind().to_owned(),
        backup_creation_date_time: Timestamp(backup.at),
        backup_expiry_date_time: backup.expires.map(Timestamp),
    }
}

fn units(throughput: Throughput) -> t::ProvisionedThroughput {
    t::ProvisionedThroughput {
        read_capacity_units: throughput.read,
        write_capacity_units: throughput.write,
    }
}

fn described(backup: &Backup) -> t::BackupDescription {
    let table = &backup.table;
    let mode = if table.billing.on_demand {
        "PAY_PER_REQUEST"
    } else {
        "PROVISIONED"
    };
    t::BackupDescription {
        backup_details: Some(details(backup)),
        source_table_details: Some(t::SourceTableDetails {
            table_name: table.name.clone(),
            table_id: table.uuid.clone(),
            table_arn: Some(table.arn().to_string()),
            table_size_bytes: Some(backup.bytes),
            key_schema: keys(&table.keys),
            table_creation_date_time: Timestamp(table.created),
            provisioned_throughput: units(table.billing.throughput),
            on_demand_throughput: None,
            item_count: Some(backup.items),
            billing_mode: Some(mode.to_owned()),
        }),
        source_table_feature_details: Some(features(table)),
    }
}

fn features(table: &Table) -> t::SourceTableFeatureDetails {
    let locals = table.locals.iter().map(|index| t::LocalSecondaryIndexInfo {
        index_name: Some(index.name.clone()),
        key_schema: Some(keys(&index.keys)),
        projection: Some(projection(&index.projection)),
    });
    let globals = table
        .globals
        .iter()
        .map(|index| t::GlobalSecondaryIndexInfo {
            index_name: Some(index.name.clone()),
            key_schema: Some(keys(&index.keys)),
            projection: Some(projection(&index.projection)),
            provisioned_throughput: Some(units(index.throughput)),
            on_demand_throughput: None,
        });
    let stream = table.stream.as_ref();
    let ttl = table.ttl.as_ref();
    t::SourceTableFeatureDetails {
        local_secondary_indexes: (!table.locals.is_empty()).then(|| locals.collect()),
        global_secondary_indexes: (!table.globals.is_empty()).then(|| globals.collect()),
        stream_description: stream.map(|stream| t::StreamSpecification {
            stream_enabled: true,
            stream_view_type: Some(stream.view.clone()),
        }),
        time_to_live_description: ttl.map(|name| t::TimeToLiveDescription {
            time_to_live_status: Some("ENABLED".to_owned()),
            attribute_name: Some(name.clone()),
        }),
        sse_description: sealing::told(table.sealing.as_ref(), None),
    }
}
