//! SendCommand: from a request to a command and its invocations.

use std::collections::BTreeSet;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_model_ec2::types as ec2;
use gureum_model_ssm::types as t;

use super::document::{self, Script};
use super::list;
use super::managed::{self, Node};
use super::model::{CommandRow, InvocationRow, OpenRow};
use super::status::State;
use crate::Ssm;
use crate::errors::{Refusal, Result};

/// How long a command may wait for an instance unless it is said, in seconds.
const USUAL_TIMEOUT: i32 = 3600;
const USUAL_CONCURRENCY: &str = "50";
const USUAL_ERRORS: &str = "0";

pub(crate) async fn send_command(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::SendCommandRequest,
) -> gureum_schema::Result<t::SendCommandResult> {
    document::check(&input.document_name, input.document_version.as_deref())?;
    let parameters = input.parameters.clone().unwrap_or_default();
    let script = Script::read(&parameters)?;
    let nodes = addressed(&cx, &input).await?;
    let version = input.document_version.clone();
    let targets = input.targets.unwrap_or_default().into_iter();
    let command = CommandRow {
        region: cx.region.clone(),
        account: *cx.account(),
        id: id::uuid(),
        document_version: version.unwrap_or_else(|| "$DEFAULT".into()),
        comment: input.comment.unwrap_or_default(),
        parameters,
        instances: input.instance_ids.unwrap_or_default(),
        targets: targets
            .map(|it| (it.key.unwrap_or_default(), it.values.unwrap_or_default()))
            .collect(),
        max_concurrency: input
            .max_concurrency
            .unwrap_or_else(|| USUAL_CONCURRENCY.into()),
        max_errors: input.max_errors.unwrap_or_else(|| USUAL_ERRORS.into()),
        target_count: nodes.len(),
        requested: cx.now.0,
        delivery_timeout: input.timeout_seconds.unwrap_or(USUAL_TIMEOUT).into(),
        execution_timeout: script.timeout,
        cancelled: false,
    };
    let invocations: Vec<_> = nodes
        .iter()
        .map(|node| invocation(&command, node))
        .collect();
    let kept: Result<()> = ssm
        .store
        .transact(|tx| {
            tx.put(&command)?;
            for row in &invocations {
                tx.put(row)?;
                tx.put(&OpenRow {
                    region: row.region.clone(),
                    account: row.account,
                    command: row.command.clone(),
                    instance: row.instance.clone(),
                })?;
            }
            Ok(())
        })
        .await;
    kept?;
    ssm.commands.wake();
    Ok(t::SendCommandResult {
        command: Some(list::command(command, &invocations)),
    })
}

fn invocation(command: &CommandRow, node: &Node) -> InvocationRow {
    InvocationRow {
        region: command.region.clone(),
        account: command.account,
        command: command.id.clone(),
        instance: node.id.clone(),
        instance_name: node.name.clone(),
        requested: command.requested,
        state: State::Pending,
        cancel: false,
        begun: None,
        ended: None,
        code: -1,
        output: String::new(),
        errors: String::new(),
    }
}

/// The instances that a request means: those it names, all of which must be managed, or the managed
/// ones among those that its targets mean.
async fn addressed(cx: &Cx, input: &t::SendCommandRequest) -> Result<Vec<Node>> {
    let ids = input.instance_ids.as_deref().unwrap_or_default();
    let targets = input.targets.as_deref().unwrap_or_default();
    match (ids, targets) {
        ([], []) => Err(Refusal::validation(
            "Either InstanceIds or Targets must be specified.",
        )),
        (ids, []) => named(cx, ids).await,
        ([], targets) => {
            let filters = targets.iter().map(target).collect::<Result<_>>()?;
            managed::nodes(cx, filters).await
        }
        _ => Err(Refusal::validation(
            "InstanceIds and Targets cannot be specified together.",
        )),
    }
}

async fn named(cx: &Cx, ids: &[String]) -> Result<Vec<Node>> {
    let distinct: BTreeSet<&String> = ids.iter().collect();
    if distinct.len() < ids.len() {
        return Err(Refusal::DuplicateInstance);
    }
    let nodes = managed::nodes(cx, vec![managed::filter("instance-id", ids)]).await?;
    let found = |id: &&String| nodes.iter().any(|node| node.id == **id);
    let missing: Vec<_> = ids.iter().filter(|id| !found(id)).cloned().collect();
    match missing.is_empty() {
        true => Ok(nodes),
        false => Err(Refusal::Unmanaged(missing)),
    }
}

fn target(target: &t::Target) -> Result<ec2::Filter> {
    let key = target.key.as_deref().unwrap_or_default();
    let values = target.values.as_deref().unwrap_or_default();
    let name = match key {
        "InstanceIds" => "instance-id",
        "tag-key" => "tag-key",
        _ if key.starts_with("tag:") => key,
        _ if key.starts_with("resource-groups:") => {
            return Err(Refusal::NotImplemented(format!("The target key {key}")));
        }
        _ => {
            return Err(Refusal::validation(format!(
                "The target key {key} is not valid."
            )));
        }
    };
    Ok(managed::filter(name, values))
}
