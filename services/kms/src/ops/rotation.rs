//! EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand,
//! ListKeyRotations.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_kms::types as t;
use gureum_schema::Timestamp;

use crate::crypto;
use crate::errors::{Refusal, Result};
use crate::model::{DAY, KeyRow, Material, Rotation, Why};
use crate::names::{Name, key_arn};
use crate::page::{self, Page};
use crate::spec::KeySpec;
use crate::state::Kms;

/// A year, in days.
const USUAL_PERIOD: i32 = 365;
/// The most rotations on demand in the life of a key.
const MAX_ON_DEMAND: usize = 25;

/// Only symmetric encryption keys have versions of material.
fn rotates(row: &KeyRow) -> Result<()> {
    if row.spec == KeySpec::Symmetric {
        return Ok(());
    }
    Err(Refusal::Unsupported(format!(
        "{} has the key spec {}; only symmetric encryption keys can be rotated.",
        row.arn(),
        row.spec.name()
    )))
}

pub(crate) async fn enable_rotation(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::EnableKeyRotationRequest,
) -> gureum_schema::Result<t::EnableKeyRotationOutput> {
    let key = Name::read_key(&cx, &input.key_id)?;
    kms.change(&key, |row| {
        rotates(row)?;
        row.enabled()?;
        let period_days = input.rotation_period_in_days;
        match (&row.rotation, period_days) {
            // Enabling again without another period leaves the next date as it is.
            (Some(_), None) => {}
            _ => {
                let period_days = period_days.unwrap_or(USUAL_PERIOD);
                row.rotation = Some(Rotation {
                    period_days,
                    next: cx.now.0 + i64::from(period_days) * DAY,
                });
            }
        }
        Ok(())
    })
    .await?;
    Ok(t::EnableKeyRotationOutput {})
}

pub(crate) async fn disable_rotation(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::DisableKeyRotationRequest,
) -> gureum_schema::Result<t::DisableKeyRotationOutput> {
    let key = Name::read_key(&cx, &input.key_id)?;
    kms.change(&key, |row| {
        rotates(row)?;
        row.enabled()?;
        row.rotation = None;
        Ok(())
    })
    .await?;
    Ok(t::DisableKeyRotationOutput {})
}

pub(crate) async fn get_rotation_status(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::GetKeyRotationStatusRequest,
) -> gureum_schema::Result<t::GetKeyRotationStatusResponse> {
    let row = kms.row(&cx, &input.key_id)?;
    rotates(&row)?;
    // A key that is waiting to be deleted isn't rotated, whatever its setting.
    let rotation = row.rotation.filter(|_| row.alive().is_ok());
    Ok(t::GetKeyRotationStatusResponse {
        key_rotation_enabled: Some(rotation.is_some()),
        key_id: Some(row.arn().to_string()),
        rotation_period_in_days: rotation.map(|rotation| rotation.period_days),
        next_rotation_date: rotation.map(|rotation| Timestamp(rotation.next)),
        // Rotating on demand takes no time, so none is ever under way.
        on_demand_rotation_start_date: None,
    })
}

pub(crate) async fn rotate_now(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::RotateKeyOnDemandRequest,
) -> gureum_schema::Result<t::RotateKeyOnDemandResponse> {
    let key = Name::read_key(&cx, &input.key_id)?;
    let secret = crypto::generate(KeySpec::Symmetric)?;
    let material = kms.material(&key.2, Why::OnDemand, cx.now.0, &secret)?;
    kms.change(&key, |row| {
        rotates(row)?;
        row.enabled()?;
        let done = row.materials.iter().filter(|m| m.why == Why::OnDemand);
        if done.count() >= MAX_ON_DEMAND {
            return Err(Refusal::Limit(format!(
                "A key can be rotated on demand at most {MAX_ON_DEMAND} times."
            )));
        }
        row.rotate(material.clone());
        Ok(())
    })
    .await?;
    Ok(t::RotateKeyOnDemandResponse {
        key_id: Some(key_arn(&key).to_string()),
    })
}

pub(crate) async fn list_rotations(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::ListKeyRotationsRequest,
) -> gureum_schema::Result<t::ListKeyRotationsResponse> {
    let row = kms.row(&cx, &input.key_id)?;
    rotates(&row)?;
    let all = input.include_key_material.as_deref() == Some("ALL_KEY_MATERIAL");
    let scope = format!("ListKeyRotations {} {all}", row.id);
    let marker = input.marker.as_deref();
    let page = Page::read(&kms, &cx, &scope, &page::KEYS, input.limit, marker)?;
    let numbered = row.materials.iter().enumerate();
    let wanted = numbered.filter(|(_, material)| all || material.why != Why::Created);
    let paged = page.of(&kms, wanted, |(at, _)| format!("{at:08}"))?;
    let last = row.materials.len().saturating_sub(1);
    let entries = paged.items.iter();
    let entries = entries.map(|(at, material)| entry(&row, material, *at == last));
    Ok(t::ListKeyRotationsResponse {
        truncated: paged.truncated(),
        rotations: Some(entries.collect()),
        next_marker: paged.marker.clone(),
    })
}

fn entry(row: &KeyRow, material: &Material, current: bool) -> t::RotationsListEntry {
    let why = match material.why {
        Why::Created => None,
        Why::Automatic => Some("AUTOMATIC"),
        Why::OnDemand => Some("ON_DEMAND"),
    };
    let state = if current { "CURRENT" } else { "NON_CURRENT" };
    t::RotationsListEntry {
        key_id: Some(row.arn().to_string()),
        key_material_id: Some(material.id.clone()),
        key_material_state: Some(state.into()),
        rotation_date: why.map(|_| Timestamp(material.created)),
        rotation_type: why.map(Into::into),
        ..t::RotationsListEntry::default()
    }
}
