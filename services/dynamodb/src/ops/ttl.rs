//! UpdateTimeToLive and DescribeTimeToLive; the removing is done in the background.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_dynamodb::types as t;

use crate::errors::Refusal;
use crate::state::{DynamoDb, key_of};

pub(crate) async fn update_ttl(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::UpdateTimeToLiveInput,
) -> gureum_schema::Result<t::UpdateTimeToLiveOutput> {
    let key = key_of(&cx, &input.table_name)?;
    let wanted = input.time_to_live_specification.clone();
    let work = Arc::clone(&db);
    DynamoDb::whole(async move {
        let wanted = &input.time_to_live_specification;
        let touched = work.alter(&key, |tx, place| {
            let table = place.as_mut().ok_or_else(Refusal::no_table)?;
            table.made()?;
            match (&table.ttl, wanted.enabled) {
                (Some(_), true) => Err(Refusal::validation("TimeToLive is already enabled")),
                (None, false) => Err(Refusal::validation("TimeToLive is already disabled")),
                (Some(name), false) if *name != wanted.attribute_name => {
                    Err(Refusal::validation(format!(
                        "TimeToLive is active on a different AttributeName: current AttributeName is {name}"
                    )))
                }
                (Some(_), false) => {
                    table.ttl = None;
                    Ok(())
                }
                (None, true) => {
                    table.ttl = Some(wanted.attribute_name.clone());
                    Ok(())
                }
            }?;
            let ttl = table.ttl.clone();
            super::replicas::share(tx, table, |_, other| {
                other.ttl.clone_from(&ttl);
                Ok(())
            })
        })
        .await?;
        for key in touched {
            work.reload(&key).await?;
        }
        Ok(())
    })
    .await?;
    db.wake_sweep.wake();
    Ok(t::UpdateTimeToLiveOutput {
        time_to_live_specification: Some(wanted),
    })
}

pub(crate) async fn describe_ttl(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::DescribeTimeToLiveInput,
) -> gureum_schema::Result<t::DescribeTimeToLiveOutput> {
    let live = db.table(&cx, &input.table_name)?;
    let ttl = live.table.ttl.clone();
    let status = if ttl.is_some() { "ENABLED" } else { "DISABLED" };
    Ok(t::DescribeTimeToLiveOutput {
        time_to_live_description: Some(t::TimeToLiveDescription {
            time_to_live_status: Some(status.to_owned()),
            attribute_name: ttl,
        }),
    })
}
