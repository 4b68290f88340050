//! How often figures of instances are kept: every five minutes, or, in detail, every minute.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::errors::{Refusal, Result};
use crate::model::instance::{InstanceRow, State};
use crate::resource::Resource as _;
use crate::state::{Change, Ec2};

pub(crate) async fn monitor(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::MonitorInstancesRequest,
) -> Reply<t::MonitorInstancesResult> {
    let set = |w: &mut Change<'_>| each(w, &input.instance_ids, true);
    Ok(t::MonitorInstancesResult {
        instance_monitorings: Some(ec2.write(&cx, input.dry_run, set).await?),
    })
}

pub(crate) async fn unmonitor(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::UnmonitorInstancesRequest,
) -> Reply<t::UnmonitorInstancesResult> {
    let set = |w: &mut Change<'_>| each(w, &input.instance_ids, false);
    Ok(t::UnmonitorInstancesResult {
        instance_monitorings: Some(ec2.write(&cx, input.dry_run, set).await?),
    })
}

/// Sets all of these instances, or none.
fn each(w: &mut Change<'_>, ids: &[String], detailed: bool) -> Result<Vec<t::InstanceMonitoring>> {
    if ids.is_empty() {
        return Err(Refusal::missing("InstanceId"));
    }
    let mut out = Vec::new();
    for id in ids {
        let mut row = w.need::<InstanceRow>(id)?;
        if matches!(row.state, State::ShuttingDown | State::Terminated) {
            return Err(Refusal::new(
                "IncorrectInstanceState",
                format!(
                    "The instance '{}' is not in a state from which it can be monitored.",
                    row.id()
                ),
            ));
        }
        row.detailed = detailed;
        w.put(&row)?;
        out.push(t::InstanceMonitoring {
            instance_id: Some(id.clone()),
            monitoring: Some(row.monitoring()),
        });
    }
    Ok(out)
}
