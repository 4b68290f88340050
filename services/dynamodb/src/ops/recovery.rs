//! UpdateContinuousBackups and DescribeContinuousBackups.
//!
//! A moment can be told as soon as it is over, not five minutes later as on AWS.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_dynamodb::types as t;
use gureum_schema::Timestamp;

use crate::backup::model::Recovery;
use crate::errors::Refusal;
use crate::model::Table;
use crate::state::{DynamoDb, key_of, new_space};

/// How long the past is kept where the request does not say, and at most.
const MOST_DAYS: i32 = 35;

pub(crate) async fn update_continuous_backups(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::UpdateContinuousBackupsInput,
) -> gureum_schema::Result<t::UpdateContinuousBackupsOutput> {
    let key = key_of(&cx, &input.table_name)?;
    let wanted = input.point_in_time_recovery_specification;
    if !wanted.point_in_time_recovery_enabled && wanted.recovery_period_in_days.is_some() {
        return Err(Refusal::parameters(
            "RecoveryPeriodInDays can only be set where point in time recovery is enabled",
        )
        .into());
    }
    let now = cx.now.0;
    let table = DynamoDb::whole(async move {
        db.alter(&key, |_, place| {
            let table = place
                .as_mut()
                .ok_or_else(|| Refusal::NoTable(key.2.clone()))?;
            if table.history.making {
                return Err(Refusal::Special(
                    "ContinuousBackupsUnavailableException",
                    format!("Backups are being enabled for the table: {}", key.2),
                ));
            }
            table.history.recovery = wanted.point_in_time_recovery_enabled.then(|| {
                let before = table.history.recovery;
                let days = wanted.recovery_period_in_days;
                Recovery {
                    since: before.map_or(now, |before| before.since),
                    days: days
                        .or(before.map(|before| before.days))
                        .unwrap_or(MOST_DAYS),
                }
            });
            // A log that is no longer wanted is ended by the sweep, once no copy needs it.
            if table.history.recovery.is_some() {
                table.history.log.get_or_insert_with(new_space);
            }
            Ok(table.clone())
        })
        .await
    })
    .await?;
    Ok(t::UpdateContinuousBackupsOutput {
        continuous_backups_description: Some(told(&table, now)),
    })
}

pub(crate) async fn describe_continuous_backups(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::DescribeContinuousBackupsInput,
) -> gureum_schema::Result<t::DescribeContinuousBackupsOutput> {
    let key = key_of(&cx, &input.table_name)?;
    let live = db.find(&key).ok_or(Refusal::NoTable(key.2))?;
    Ok(t::DescribeContinuousBackupsOutput {
        continuous_backups_description: Some(told(&live.table, cx.now.0)),
    })
}

fn told(table: &Table, now: i64) -> t::ContinuousBackupsDescription {
    let recovery = table.history.recovery;
    let status = if recovery.is_some() {
        "ENABLED"
    } else {
        "DISABLED"
    };
    t::ContinuousBackupsDescription {
        // Any table can be backed up at any time.
        continuous_backups_status: "ENABLED".to_owned(),
        point_in_time_recovery_description: Some(t::PointInTimeRecoveryDescription {
            point_in_time_recovery_status: Some(status.to_owned()),
            recovery_period_in_days: recovery.map(|recovery| recovery.days),
            earliest_restorable_date_time: recovery.map(|r| Timestamp(r.earliest(now))),
            latest_restorable_date_time: recovery.map(|_| Timestamp(now)),
        }),
    }
}
