//! CancelCommand: what has not begun never does, and what runs is told to end.

use std::collections::BTreeSet;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Scan};
use gureum_model_ssm::types as t;

use super::model::{CommandRow, InvocationRow, OpenRow};
use crate::Ssm;
use crate::errors::{Refusal, Result};

pub(crate) async fn cancel_command(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::CancelCommandRequest,
) -> gureum_schema::Result<t::CancelCommandResult> {
    let ids = input.instance_ids.unwrap_or_default();
    let distinct: BTreeSet<&String> = ids.iter().collect();
    if distinct.len() < ids.len() {
        return Err(Refusal::DuplicateInstance.into());
    }
    let place = (cx.region.clone(), *cx.account(), input.command_id);
    let cancelled: Result<()> = ssm
        .store
        .transact(|tx| {
            let row = tx.get::<CommandRow>(&place)?;
            let mut command = row.ok_or(Refusal::NoSuchCommand)?;
            for id in &ids {
                let (region, account, command) = place.clone();
                let row = tx.get::<InvocationRow>((region, account, command, id.clone()))?;
                row.ok_or_else(|| Refusal::Unmanaged(vec![id.clone()]))?;
            }
            let open = tx.scan(Scan::<OpenRow>::of(place.clone()));
            let open = open.collect::<std::result::Result<Vec<_>, _>>()?;
            let meant = |row: &&OpenRow| ids.is_empty() || ids.contains(&row.instance);
            for row in open.iter().filter(meant) {
                if let Some(mut row) = tx.get::<InvocationRow>(gureum_kit::Row::key(row))? {
                    row.cancel = true;
                    tx.put(&row)?;
                }
            }
            if ids.is_empty() && !open.is_empty() {
                command.cancelled = true;
                tx.put(&command)?;
            }
            Ok(())
        })
        .await;
    cancelled?;
    ssm.commands.wake();
    Ok(t::CancelCommandResult {})
}
