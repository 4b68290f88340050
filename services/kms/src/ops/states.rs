//! EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_kms::types as t;
use gureum_schema::Timestamp;

use crate::errors::Refusal;
use crate::model::{DAY, State};
use crate::names::{Name, key_arn};
use crate::state::Kms;

/// The waiting period before a key is deleted, in days.
const USUAL_WINDOW: i32 = 30;
const SHORTEST_WINDOW: i32 = 7;

pub(crate) async fn enable_key(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::EnableKeyRequest,
) -> gureum_schema::Result<t::EnableKeyOutput> {
    let key = Name::read_key(&cx, &input.key_id)?;
    kms.change(&key, |row| {
        row.alive()?;
        row.state = State::Enabled;
        Ok(())
    })
    .await?;
    // A rotation may have come due while the key was disabled.
    kms.keeper.wake();
    Ok(t::EnableKeyOutput {})
}

pub(crate) async fn disable_key(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::DisableKeyRequest,
) -> gureum_schema::Result<t::DisableKeyOutput> {
    let key = Name::read_key(&cx, &input.key_id)?;
    kms.change(&key, |row| {
        row.alive()?;
        row.state = State::Disabled;
        Ok(())
    })
    .await?;
    Ok(t::DisableKeyOutput {})
}

pub(crate) async fn schedule_deletion(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::ScheduleKeyDeletionRequest,
) -> gureum_schema::Result<t::ScheduleKeyDeletionResponse> {
    let key = Name::read_key(&cx, &input.key_id)?;
    let days = input.pending_window_in_days.unwrap_or(USUAL_WINDOW);
    if !(SHORTEST_WINDOW..=USUAL_WINDOW).contains(&days) {
        return Err(Refusal::validation(format!(
            "PendingWindowInDays must be between {SHORTEST_WINDOW} and {USUAL_WINDOW}, not {days}"
        ))
        .into());
    }
    let state = State::PendingDeletion {
        at: cx.now.0 + i64::from(days) * DAY,
        window_days: days,
    };
    kms.change(&key, |row| {
        row.alive()?;
        row.state = state;
        Ok(())
    })
    .await?;
    kms.keeper.wake();
    Ok(t::ScheduleKeyDeletionResponse {
        key_id: Some(key_arn(&key).to_string()),
        deletion_date: Some(Timestamp(cx.now.0 + i64::from(days) * DAY)),
        key_state: Some(state.name().into()),
        pending_window_in_days: Some(days),
    })
}

/// The key comes back disabled.
pub(crate) async fn cancel_deletion(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::CancelKeyDeletionRequest,
) -> gureum_schema::Result<t::CancelKeyDeletionResponse> {
    let key = Name::read_key(&cx, &input.key_id)?;
    kms.change(&key, |row| {
        if row.alive().is_ok() {
            return Err(Refusal::State {
                key: row.arn().to_string(),
                is: "not pending deletion",
            });
        }
        row.state = State::Disabled;
        Ok(())
    })
    .await?;
    Ok(t::CancelKeyDeletionResponse {
        key_id: Some(key_arn(&key).to_string()),
    })
}
