//! DeleteParameter, DeleteParameters.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Tx};
use gureum_model_ssm::types as t;

use crate::Ssm;
use crate::errors::{Refusal, Result};
use crate::model::{ParameterRef, ParameterRow, VersionRow};
use crate::names::{self, Named};

pub(crate) async fn delete_parameter(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::DeleteParameterRequest,
) -> gureum_schema::Result<t::DeleteParameterResult> {
    let name = Named::read_plain(&cx, &input.name)?;
    let place = names::place(&cx, &name);
    let there = ssm.store.transact(|tx| remove(tx, &place)).await?;
    match there {
        true => Ok(t::DeleteParameterResult {}),
        false => Err(Refusal::NotFound(input.name).into()),
    }
}

pub(crate) async fn delete_parameters(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::DeleteParametersRequest,
) -> gureum_schema::Result<t::DeleteParametersResult> {
    let (deleted, invalid) = ssm
        .store
        .transact(|tx| {
            let (mut deleted, mut invalid) = (Vec::new(), Vec::new());
            for name in &input.names {
                let there = match Named::read_plain(&cx, name) {
                    Ok(plain) => remove(tx, &names::place(&cx, &plain))?,
                    Err(_) => false,
                };
                let list = if there { &mut deleted } else { &mut invalid };
                list.push(name.clone());
            }
            Ok::<_, Refusal>((deleted, invalid))
        })
        .await?;
    Ok(t::DeleteParametersResult {
        deleted_parameters: Some(deleted),
        invalid_parameters: Some(invalid),
    })
}

/// Removes a parameter with all its versions; whether there was one.
fn remove(tx: &mut Tx, place: &ParameterRef) -> Result<bool> {
    let Some(row) = tx.get::<ParameterRow>(place)? else {
        return Ok(false);
    };
    let (region, account, name) = place;
    for version in row.oldest..=row.version {
        tx.delete::<VersionRow>((region, account, name, &version))?;
    }
    tx.delete::<ParameterRow>(place)?;
    Ok(true)
}
