//! The resource policies of tables.

use std::sync::Arc;

use gureum_dispatch::{Cx, Unbound};
use gureum_kit::names::id;
use gureum_model_dynamodb::types as t;
use gureum_policy::{Kind, Policy};

use super::tags::{not_there, table_at};
use crate::errors::{Refusal, Result};
use crate::model::ResourcePolicy;
use crate::state::{DynamoDb, short};

const MAX_POLICY: usize = 20 << 10;

/// A policy that a request brings, as it is to be stored.
pub(crate) fn bind_policy(cx: &Cx, text: &str) -> Result<String> {
    if text.len() > MAX_POLICY {
        return Err(Refusal::validation(format!(
            "Resource policy size exceeds the limit of {MAX_POLICY} bytes"
        )));
    }
    match Policy::parse(text, Kind::Resource) {
        Ok(_) => cx.bind_principals(text).map_err(|unbound| match unbound {
            Unbound::Nobody(name) => Refusal::validation(format!(
                "Invalid policy document: Invalid principal in policy: \"AWS\":\"{}\"",
                short(&name)
            )),
            Unbound::Failed(error) => Refusal::Broken(error.to_string()),
        }),
        Err(error) => Err(Refusal::validation(format!(
            "Invalid policy document: {error}"
        ))),
    }
}

fn none_at(arn: &str) -> Refusal {
    Refusal::PolicyNotFound(format!(
        "Resource-based policy not found for the provided ResourceArn: {}",
        short(arn)
    ))
}

/// Streams have policies of their own, which we do not keep.
fn of_table(arn: &str) -> Result<crate::model::TableKey> {
    if arn.contains("/stream/") {
        return Err(Refusal::NotImplemented(
            "A resource policy of a stream".into(),
        ));
    }
    table_at(arn)
}

/// `NO_POLICY` as the expected revision says that there shall be none yet.
fn check_revision(found: Option<&ResourcePolicy>, expected: Option<&str>, arn: &str) -> Result<()> {
    match (found, expected) {
        (_, None) | (None, Some("NO_POLICY")) => Ok(()),
        (Some(policy), Some(expected)) if policy.revision == expected => Ok(()),
        _ => Err(none_at(arn)),
    }
}

pub(crate) async fn put_policy(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::PutResourcePolicyInput,
) -> gureum_schema::Result<t::PutResourcePolicyOutput> {
    let key = of_table(&input.resource_arn)?;
    let text = bind_policy(&cx, &input.policy)?;
    let revision = DynamoDb::whole(async move {
        db.alter(&key, |_, place| {
            let arn = &input.resource_arn;
            let table = place.as_mut().ok_or_else(|| not_there(arn))?;
            let expected = input.expected_revision_id.as_deref();
            check_revision(table.policy.as_ref(), expected, arn)?;
            if let Some(same) = table.policy.as_ref().filter(|p| p.text == text) {
                return Ok(same.revision.clone());
            }
            let revision = u64::from_be_bytes(id::bytes()).to_string();
            table.policy = Some(ResourcePolicy {
                text: text.clone(),
                revision: revision.clone(),
            });
            Ok(revision)
        })
        .await
    })
    .await?;
    Ok(t::PutResourcePolicyOutput {
        revision_id: Some(revision),
    })
}

pub(crate) async fn get_policy(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::GetResourcePolicyInput,
) -> gureum_schema::Result<t::GetResourcePolicyOutput> {
    let key = of_table(&input.resource_arn)?;
    let live = db
        .find(&key)
        .ok_or_else(|| not_there(&input.resource_arn))?;
    let policy = live.table.policy.clone();
    let policy = policy.ok_or_else(|| none_at(&input.resource_arn))?;
    Ok(t::GetResourcePolicyOutput {
        policy: Some(cx.show_principals(&policy.text)?),
        revision_id: Some(policy.revision),
    })
}

/// Deleting what is not there succeeds.
pub(crate) async fn delete_policy(
    db: Arc<DynamoDb>,
    _: Cx,
    input: t::DeleteResourcePolicyInput,
) -> gureum_schema::Result<t::DeleteResourcePolicyOutput> {
    let key = of_table(&input.resource_arn)?;
    let revision = DynamoDb::whole(async move {
        db.alter(&key, |_, place| {
            let arn = &input.resource_arn;
            let table = place.as_mut().ok_or_else(|| not_there(arn))?;
            let expected = input.expected_revision_id.as_deref();
            check_revision(table.policy.as_ref(), expected, arn)?;
            Ok(table.policy.take().map(|policy| policy.revision))
        })
        .await
    })
    .await?;
    Ok(t::DeleteResourcePolicyOutput {
        revision_id: revision,
    })
}
