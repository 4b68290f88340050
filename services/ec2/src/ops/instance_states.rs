//! Starting, stopping, rebooting, terminating.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use super::instances::{give_public, taken};
use crate::errors::{Refusal, Result, refuse_on};
use crate::instance_types;
use crate::model::instance::{InstanceRow, State};
use crate::resource::Resource as _;
use crate::state::{Change, Ec2};

fn wrong_state(row: &InstanceRow, action: &str) -> Refusal {
    Refusal::new(
        "IncorrectInstanceState",
        format!(
            "The instance '{}' is not in a state from which it can be {action}.",
            row.id()
        ),
    )
}

/// Moves every one of these instances on, or none.
fn each(
    w: &mut Change<'_>,
    ids: &[String],
    mut change: impl FnMut(&mut Change<'_>, &mut InstanceRow) -> Result<()>,
) -> Result<Vec<t::InstanceStateChange>> {
    if ids.is_empty() {
        return Err(Refusal::missing("InstanceId"));
    }
    let mut out = Vec::new();
    for id in ids {
        let mut row = w.need::<InstanceRow>(id)?;
        let before = row.state;
        change(w, &mut row)?;
        w.put(&row)?;
        out.push(t::InstanceStateChange {
            instance_id: Some(id.clone()),
            current_state: Some(row.state.shape()),
            previous_state: Some(before.shape()),
        });
    }
    Ok(out)
}

pub(crate) async fn start(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::StartInstancesRequest,
) -> Reply<t::StartInstancesResult> {
    let changes = ec2
        .write(&cx, input.dry_run, |w| {
            each(w, &input.instance_ids, |w, row| match row.state {
                State::Pending | State::Running => Ok(()),
                State::Stopped => bring_up(w, &ec2, row),
                _ => Err(wrong_state(row, "started")),
            })
        })
        .await?;
    Ok(t::StartInstancesResult {
        starting_instances: Some(changes),
    })
}

fn bring_up(w: &mut Change<'_>, ec2: &Ec2, row: &mut InstanceRow) -> Result<()> {
    let planes = ec2.planes()?;
    let kind = instance_types::find(Some(planes), &row.instance_type);
    let kind = kind.ok_or_else(|| {
        Refusal::new(
            "Unsupported",
            format!(
                "The instance type '{}' is more than this host can serve.",
                row.instance_type
            ),
        )
    })?;
    if taken(w)? + kind.bytes() > planes.memory {
        return Err(Refusal::Capacity(format!(
            "We currently do not have sufficient {} capacity on this host.",
            kind.name
        )));
    }
    if row.auto_public {
        for mut interface in row.interfaces(w.tx)?.into_iter().take(1) {
            give_public(w, ec2, &mut interface)?;
            w.put(&interface)?;
        }
    }
    row.goes(State::Pending, w.here.now);
    row.launched = w.here.now;
    row.reason = None;
    row.transition.clear();
    row.responsive = true;
    Ok(())
}

/// Puts down that a user asked for it.
fn by_user(row: &mut InstanceRow, state: State, now: i64) {
    row.goes(state, now);
    row.reboot = false;
    let code = "Client.UserInitiatedShutdown";
    row.reason = Some((code.into(), format!("{code}: User initiated shutdown")));
    let at = gureum_schema::Timestamp(now).iso_millis();
    row.transition = format!(
        "User initiated ({})",
        at.replace('T', " ")
            .split('.')
            .next()
            .unwrap_or_default()
            .to_owned()
            + " GMT"
    );
}

pub(crate) async fn stop(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::StopInstancesRequest,
) -> Reply<t::StopInstancesResult> {
    refuse_on(&[
        ("Hibernate", input.hibernate),
        ("SkipOsShutdown", input.skip_os_shutdown),
    ])?;
    let changes = ec2
        .write(&cx, input.dry_run, |w| {
            each(w, &input.instance_ids, |w, row| match row.state {
                State::Stopping | State::Stopped => Ok(()),
                State::Running if row.keep_from_stop => Err(Refusal::denied(format!(
                    "The instance '{}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.",
                    row.id()
                ))),
                State::Running => {
                    by_user(row, State::Stopping, w.here.now);
                    Ok(())
                }
                _ => Err(wrong_state(row, "stopped")),
            })
        })
        .await?;
    Ok(t::StopInstancesResult {
        stopping_instances: Some(changes),
    })
}

pub(crate) async fn reboot(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::RebootInstancesRequest,
) -> Reply<t::RebootInstancesOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        each(w, &input.instance_ids, |_, row| match row.state {
            State::Running => {
                row.reboot = true;
                Ok(())
            }
            _ => Err(wrong_state(row, "rebooted")),
        })
    })
    .await?;
    Ok(t::RebootInstancesOutput {})
}

/// All of them, or none if one is protected.
pub(crate) async fn terminate(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::TerminateInstancesRequest,
) -> Reply<t::TerminateInstancesResult> {
    refuse_on(&[("SkipOsShutdown", input.skip_os_shutdown)])?;
    let changes = ec2
        .write(&cx, input.dry_run, |w| {
            each(w, &input.instance_ids, |w, row| match row.state {
                State::ShuttingDown | State::Terminated => Ok(()),
                _ if row.keep_from_termination => Err(Refusal::denied(format!(
                    "The instance '{}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
                    row.id()
                ))),
                _ => {
                    by_user(row, State::ShuttingDown, w.here.now);
                    Ok(())
                }
            })
        })
        .await?;
    Ok(t::TerminateInstancesResult {
        terminating_instances: Some(changes),
    })
}
