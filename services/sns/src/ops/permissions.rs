//! AddPermission and RemovePermission: statements of the topic's policy, by label.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::AccountId;
use gureum_model_sns::types as t;
use serde_json::{Map, Value, json};

use crate::errors::{Refusal, Result};
use crate::state::Sns;

/// What may be granted this way.
const GRANTABLE: [&str; 10] = [
    "AddPermission",
    "DeleteTopic",
    "GetDataProtectionPolicy",
    "GetTopicAttributes",
    "ListSubscriptionsByTopic",
    "Publish",
    "PutDataProtectionPolicy",
    "RemovePermission",
    "SetTopicAttributes",
    "Subscribe",
];

pub(crate) async fn add_permission(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::AddPermissionInput,
) -> gureum_schema::Result<t::AddPermissionOutput> {
    let topic = sns.at(&cx, &input.topic_arn)?;
    let statement = statement(&topic.arn, &input)?;
    Sns::whole(async move {
        let shown = topic.shown_policy();
        sns.alter(&topic.key(), |row| {
            let now = row.attributes.get("Policy").cloned().unwrap_or(shown);
            let mut policy = read(&now)?;
            let statements = statements(&mut policy)?;
            if statements.iter().any(|one| one["Sid"] == statement["Sid"]) {
                return Err(Refusal::parameter("Statement already exists"));
            }
            statements.push(statement);
            let text = Value::Object(policy).to_string();
            row.attributes.insert("Policy".into(), text);
            Ok(())
        })
        .await
    })
    .await?;
    Ok(t::AddPermissionOutput {})
}

fn statement(topic: &str, input: &t::AddPermissionInput) -> Result<Value> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !(1..=80).contains(&input.label.len()) || !input.label.bytes().all(good) {
        return Err(Refusal::parameter("Label"));
    }
    let accounts = &input.aws_account_id;
    if accounts.is_empty() || accounts.iter().any(|id| id.parse::<AccountId>().is_err()) {
        return Err(Refusal::parameter("AWSAccountId"));
    }
    let actions = &input.action_name;
    if actions.is_empty()
        || !actions
            .iter()
            .all(|name| GRANTABLE.contains(&name.as_str()))
    {
        let why = "Policy statement action out of service scope!";
        return Err(Refusal::parameter(why));
    }
    let principals = accounts
        .iter()
        .map(|account| format!("arn:aws:iam::{account}:root"));
    let actions = actions.iter().map(|action| format!("SNS:{action}"));
    Ok(json!({
        "Sid": input.label,
        "Effect": "Allow",
        "Principal": {"AWS": one_or_many(principals.collect())},
        "Action": one_or_many(actions.collect()),
        "Resource": topic,
    }))
}

/// A list of one is written as that one.
fn one_or_many(mut list: Vec<String>) -> Value {
    match list.len() {
        1 => list.remove(0).into(),
        _ => list.into(),
    }
}

fn read(text: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(policy)) => Ok(policy),
        _ => Err(Refusal::Broken("a topic's policy is not JSON".into())),
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
        .ok_or_else(|| Refusal::Broken("a topic's policy has no statements".into()))
}

/// Removing a statement that isn't there is fine.
pub(crate) async fn remove_permission(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::RemovePermissionInput,
) -> gureum_schema::Result<t::RemovePermissionOutput> {
    let topic = sns.at(&cx, &input.topic_arn)?;
    Sns::whole(async move {
        sns.alter(&topic.key(), |row| {
            let Some(text) = row.attributes.get("Policy") else {
                return Ok(());
            };
            let mut policy = read(text)?;
            statements(&mut policy)?.retain(|one| one["Sid"] != input.label.as_str());
            let text = Value::Object(policy).to_string();
            row.attributes.insert("Policy".into(), text);
            Ok(())
        })
        .await
    })
    .await?;
    Ok(t::RemovePermissionOutput {})
}
