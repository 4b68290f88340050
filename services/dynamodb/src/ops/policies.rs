//! The resource policies of tables.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_model_dynamodb::types as t;
use gureum_policy::{Kind, Policy};

use super::tags::{not_there, table_at};
use crate::errors::{Refusal, Result};
use crate::model::ResourcePolicy;
use crate::state::{DynamoDb, short};

const MAX_POLICY: usize = 20 << 10;

pub(crate) fn parse_policy(text: &str) -> Result<()> {
    if text.len() > MAX_POLICY {
        return Err(Refusal::validation(format!(
            "Resource policy size exceeds the limit of {MAX_POLICY} bytes"
        )));
    }
    match Policy::parse(text, Kind::Resource) {
        Ok(_) => Ok(()),
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
    _: Cx,
    input: t::PutResourcePolicyInput,
) -> gureum_schema::Result<t::PutResourcePolicyOutput> {
    let key = of_table(&input.resource_arn)?;
    parse_policy(&input.policy)?;
    let revision = DynamoDb::whole(async move {
        db.alter(&key, |_, place| {
            let arn = &input.resource_arn;
            let table = place.as_mut().ok_or_else(|| not_there(arn))?;
            let expected = input.expected_revision_id.as_deref();
            check_revision(table.policy.as_ref(), expected, arn)?;
            if let Some(same) = table.policy.as_ref().filter(|p| p.text == input.policy) {
                return Ok(same.revision.clone());
            }
            let revision = u64::from_be_bytes(id::bytes()).to_string();
            table.policy = Some(ResourcePolicy {
                text: input.policy.clone(),
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
    _: Cx,
    input: t::GetResourcePolicyInput,
) -> gureum_schema::Result<t::GetResourcePolicyOutput> {
    let key = of_table(&input.resource_arn)?;
    let live = db
        .find(&key)
        .ok_or_else(|| not_there(&input.resource_arn))?;
    let policy = live.table.policy.clone();
    let policy = policy.ok_or_else(|| none_at(&input.resource_arn))?;
    Ok(t::GetResourcePolicyOutput {
        policy: Some(policy.text),
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
