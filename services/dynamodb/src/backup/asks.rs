//! What backup operations ask of the policy engine.
//!
//! Restoring writes a table, and needs the rights for that beside its own:
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html>

use gureum_dispatch::{Ask, Cx};
use gureum_model_dynamodb::types as t;
use gureum_schema::Result;

use super::model::key_below;
use crate::asks::{about, at};
use crate::errors::Refusal;
use crate::state::{DynamoDb, key_of_arn};

/// What whoever restores a table must be allowed to do with the new one.
const WRITING: [&str; 7] = [
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:UpdateItem",
];

/// The ask about something whose ARN lies below that of a table.
pub(crate) fn below(action: &'static str, arn: &str, kind: &str) -> Result<Ask> {
    let key = key_below(arn, kind)
        .ok_or_else(|| Refusal::validation(format!("Invalid ARN of a {kind}")))?;
    Ok(Ask::new(action, arn).owner(&key.1))
}

pub(crate) fn create_backup(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::CreateBackupInput,
) -> Result<Vec<Ask>> {
    Ok(vec![at(
        db,
        cx,
        "dynamodb:CreateBackup",
        &input.table_name,
    )?])
}

pub(crate) fn describe_backup(
    _: &DynamoDb,
    _: &Cx,
    input: &t::DescribeBackupInput,
) -> Result<Vec<Ask>> {
    let ask = below("dynamodb:DescribeBackup", &input.backup_arn, "backup")?;
    Ok(vec![ask])
}

pub(crate) fn delete_backup(
    _: &DynamoDb,
    _: &Cx,
    input: &t::DeleteBackupInput,
) -> Result<Vec<Ask>> {
    let ask = below("dynamodb:DeleteBackup", &input.backup_arn, "backup")?;
    Ok(vec![ask])
}

pub(crate) fn list_backups(_: &DynamoDb, _: &Cx, _: &t::ListBackupsInput) -> Result<Vec<Ask>> {
    Ok(vec![Ask::new("dynamodb:ListBackups", "*")])
}

pub(crate) fn update_continuous_backups(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::UpdateContinuousBackupsInput,
) -> Result<Vec<Ask>> {
    let action = "dynamodb:UpdateContinuousBackups";
    Ok(vec![at(db, cx, action, &input.table_name)?])
}

fn writing(db: &DynamoDb, cx: &Cx, target: &str) -> Result<Vec<Ask>> {
    let ask = |action: &&'static str| at(db, cx, action, target);
    WRITING.iter().map(ask).collect()
}

pub(crate) fn restore_from_backup(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::RestoreTableFromBackupInput,
) -> Result<Vec<Ask>> {
    let action = "dynamodb:RestoreTableFromBackup";
    let mut asks = vec![below(action, &input.backup_arn, "backup")?];
    asks.extend(writing(db, cx, &input.target_table_name)?);
    Ok(asks)
}

pub(crate) fn restore_to_point_in_time(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::RestoreTableToPointInTimeInput,
) -> Result<Vec<Ask>> {
    let action = "dynamodb:RestoreTableToPointInTime";
    let source = match (&input.source_table_arn, &input.source_table_name) {
        (Some(arn), _) => {
            let key = key_of_arn(arn).ok_or_else(|| Refusal::validation("Invalid table ARN"))?;
            about(db, action, &key, None)
        }
        (None, name) => at(db, cx, action, name.as_deref().unwrap_or_default())?,
    };
    let mut asks = vec![source];
    asks.extend(writing(db, cx, &input.target_table_name)?);
    Ok(asks)
}
