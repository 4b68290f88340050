//! The resource policies of tables and of streams.

use std::sync::Arc;

use gureum_dispatch::{Cx, Unbound};
use gureum_kit::Reader;
use gureum_kit::names::id;
use gureum_model_dynamodb::types as t;
use gureum_policy::{Kind, Policy};

use super::streams;
use super::tags::{not_there, table_at};
use crate::errors::{Refusal, Result};
use crate::model::{ResourcePolicy, StreamInfo, StreamKey, TableKey};
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

/// `NO_POLICY` as the expected revision says that there shall be none yet.
fn check_revision(found: Option<&ResourcePolicy>, expected: Option<&str>, arn: &str) -> Result<()> {
    match (found, expected) {
        (_, None) | (None, Some("NO_POLICY")) => Ok(()),
        (Some(policy), Some(expected)) if policy.revision == expected => Ok(()),
        _ => Err(none_at(arn)),
    }
}

/// What a policy belongs to: a table, with its indexes, or a stream.
enum Holder {
    Table(TableKey),
    Stream(StreamKey),
}

fn holder(arn: &str) -> Result<Holder> {
    match streams::key_of(arn) {
        Some(key) => Ok(Holder::Stream(key)),
        None => table_at(arn).map(Holder::Table),
    }
}

/// Changes the policy of what the ARN names, in one transaction.
async fn change<T: Send + 'static>(
    db: Arc<DynamoDb>,
    arn: String,
    mut change: impl FnMut(&str, &mut Option<ResourcePolicy>) -> Result<T> + Send + 'static,
) -> Result<T> {
    match holder(&arn)? {
        Holder::Table(key) => {
            DynamoDb::whole(async move {
                db.alter(&key, |_, place| {
                    let table = place.as_mut().ok_or_else(|| not_there(&arn))?;
                    change(&arn, &mut table.policy)
                })
                .await
            })
            .await
        }
        Holder::Stream(key) => {
            db.store
                .transact(|tx| {
                    let info = tx.get::<StreamInfo>(&key)?;
                    let mut info = info.ok_or_else(|| not_there(&arn))?;
                    let value = change(&arn, &mut info.policy)?;
                    tx.put(&info)?;
                    Ok(value)
                })
                .await
        }
    }
}

pub(crate) async fn put_policy(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::PutResourcePolicyInput,
) -> gureum_schema::Result<t::PutResourcePolicyOutput> {
    let text = bind_policy(&cx, &input.policy)?;
    let expected = input.expected_revision_id;
    let revision = change(db, input.resource_arn, move |arn, place| {
        check_revision(place.as_ref(), expected.as_deref(), arn)?;
        if let Some(same) = place.as_ref().filter(|policy| policy.text == text) {
            return Ok(same.revision.clone());
        }
        let revision = u64::from_be_bytes(id::bytes()).to_string();
        *place = Some(ResourcePolicy {
            text: text.clone(),
            revision: revision.clone(),
        });
        Ok(revision)
    });
    Ok(t::PutResourcePolicyOutput {
        revision_id: Some(revision.await?),
    })
}

pub(crate) async fn get_policy(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::GetResourcePolicyInput,
) -> gureum_schema::Result<t::GetResourcePolicyOutput> {
    let arn = &input.resource_arn;
    let policy = match holder(arn)? {
        Holder::Table(key) => db.find(&key).map(|live| live.table.policy.clone()),
        Holder::Stream(key) => {
            let info = db.store.read().get::<StreamInfo>(key);
            info.map_err(Refusal::from)?.map(|info| info.policy)
        }
    };
    let policy = policy.ok_or_else(|| not_there(arn))?;
    let policy = policy.ok_or_else(|| none_at(arn))?;
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
    let expected = input.expected_revision_id;
    let revision = change(db, input.resource_arn, move |arn, place| {
        check_revision(place.as_ref(), expected.as_deref(), arn)?;
        Ok(place.take().map(|policy| policy.revision))
    });
    Ok(t::DeleteResourcePolicyOutput {
        revision_id: revision.await?,
    })
}
