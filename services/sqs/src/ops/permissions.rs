//! AddPermission and RemovePermission: statements of the queue's policy, by label.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::AccountId;
use gureum_model_sqs::types as t;
use serde_json::{Map, Value, json};

use crate::errors::{Refusal, Result};
use crate::settings::Settings;
use crate::state::Sqs;

/// How many statements a policy may hold, and how many actions a statement.
const MAX_STATEMENTS: usize = 20;
const MAX_ACTIONS: usize = 7;

/// What may be granted this way.
const GRANTABLE: [&str; 8] = [
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "ReceiveMessage",
    "SendMessage",
];

pub(crate) async fn add_permission(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::AddPermissionRequest,
) -> gureum_schema::Result<t::AddPermissionOutput> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    check(&input)?;
    Sqs::whole(async move {
        let arn = queue.arn.to_string();
        sqs.alter(&queue, |settings| add(settings, &arn, &input))
            .await
    })
    .await?;
    Ok(t::AddPermissionOutput {})
}

fn check(input: &t::AddPermissionRequest) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !(1..=80).contains(&input.label.len()) || !input.label.bytes().all(good) {
        return Err(Refusal::value(
            "Label",
            &input.label,
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.",
        ));
    }
    if input.aws_account_ids.is_empty() {
        return Err(Refusal::missing("AWSAccountIds"));
    }
    if input.actions.is_empty() {
        return Err(Refusal::missing("Actions"));
    }
    if input.actions.len() > MAX_ACTIONS {
        return Err(Refusal::OverLimit(format!(
            "{} Actions were found, maximum allowed is {MAX_ACTIONS}.",
            input.actions.len()
        )));
    }
    let accounts = &input.aws_account_ids;
    if let Some(bad) = accounts.iter().find(|id| id.parse::<AccountId>().is_err()) {
        return Err(Refusal::value(
            "PrincipalId",
            bad,
            "Unable to verify; it must be an account of 12 digits.",
        ));
    }
    let actions = &input.actions;
    if let Some(bad) = actions.iter().find(|a| !GRANTABLE.contains(&a.as_str())) {
        return Err(Refusal::value(
            "ActionName",
            bad,
            "Please refer to the appropriate WSDL for a list of valid actions.",
        ));
    }
    Ok(())
}

fn add(settings: &mut Settings, arn: &str, input: &t::AddPermissionRequest) -> Result<()> {
    let mut policy = read(settings, arn)?;
    let statements = statements(&mut policy)?;
    if statements.iter().any(|s| s["Sid"] == input.label.as_str()) {
        let reason = "Already exists.";
        return Err(Refusal::value("Label", &input.label, reason));
    }
    if statements.len() >= MAX_STATEMENTS {
        return Err(Refusal::OverLimit(format!(
            "{} Statements were found, maximum allowed is {MAX_STATEMENTS}.",
            statements.len() + 1
        )));
    }
    let accounts = input.aws_account_ids.iter();
    let principals: Vec<String> = accounts
        .map(|account| format!("arn:aws:iam::{account}:root"))
        .collect();
    let actions: Vec<String> = input.actions.iter().map(|a| format!("SQS:{a}")).collect();
    statements.push(json!({
        "Sid": input.label,
        "Effect": "Allow",
        "Principal": {"AWS": one_or_many(principals)},
        "Action": one_or_many(actions),
        "Resource": arn,
    }));
    settings.policy = Some(Value::Object(policy).to_string());
    Ok(())
}

/// A list of one is written as that one.
fn one_or_many(mut list: Vec<String>) -> Value {
    match list.len() {
        1 => list.remove(0).into(),
        _ => list.into(),
    }
}

fn read(settings: &Settings, arn: &str) -> Result<Map<String, Value>> {
    let Some(text) = &settings.policy else {
        let fresh = json!({
            "Version": "2012-10-17",
            "Id": format!("{arn}/SQSDefaultPolicy"),
            "Statement": [],
        });
        return Ok(fresh.as_object().cloned().unwrap_or_default());
    };
    match serde_json::from_str(text) {
        Ok(Value::Object(policy)) => Ok(policy),
        _ => Err(Refusal::Broken("a queue's policy is not JSON".into())),
    }
}

/// The policy's statements as a list, whichever way they were written.
fn statements(policy: &mut Map<String, Value>) -> Result<&mut Vec<Value>> {
    let entry = policy.entry("Statement").or_insert_with(|| json!([]));
    if entry.is_object() {
        *entry = Value::Array(vec![entry.take()]);
    }
    entry
        .as_array_mut()
        .ok_or_else(|| Refusal::Broken("a queue's policy has no statements".into()))
}

pub(crate) async fn remove_permission(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::RemovePermissionRequest,
) -> gureum_schema::Result<t::RemovePermissionOutput> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    Sqs::whole(async move {
        let arn = queue.arn.to_string();
        sqs.alter(&queue, |settings| remove(settings, &arn, &input.label))
            .await
    })
    .await?;
    Ok(t::RemovePermissionOutput {})
}

fn remove(settings: &mut Settings, arn: &str, label: &str) -> Result<()> {
    let mut policy = read(settings, arn)?;
    let statements = statements(&mut policy)?;
    let before = statements.len();
    statements.retain(|statement| statement["Sid"] != label);
    if statements.len() == before {
        return Err(Refusal::value(
            "Label",
            label,
            "can't find label on existing policy.",
        ));
    }
    let empty = statements.is_empty();
    settings.policy = (!empty).then(|| Value::Object(policy).to_string());
    Ok(())
}
