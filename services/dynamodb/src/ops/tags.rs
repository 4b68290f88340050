//! TagResource, UntagResource and ListTagsOfResource.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_dynamodb::types as t;

use crate::errors::{Refusal, Result};
use crate::model::TableKey;
use crate::state::{DynamoDb, key_of_arn, short};

const MAX_TAGS: usize = 50;

pub(crate) fn map_of(tags: Vec<t::Tag>) -> Result<BTreeMap<String, String>> {
    let count = tags.len();
    let map: BTreeMap<_, _> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    if map.len() < count {
        return Err(Refusal::parameters("Duplicate tag keys found"));
    }
    Ok(map)
}

pub(crate) fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    if tags.len() > MAX_TAGS {
        return Err(Refusal::validation(format!(
            "Tagging limit exceeded: a resource can have at most {MAX_TAGS} tags"
        )));
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(Refusal::parameters(
                "Tag keys have 1 to 128 characters, values up to 256",
            ));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Refusal::parameters("Tag keys cannot begin with aws:"));
        }
    }
    Ok(())
}

pub(crate) fn table_at(arn: &str) -> Result<TableKey> {
    key_of_arn(arn)
        .ok_or_else(|| Refusal::validation(format!("Invalid ResourceArn: {}", short(arn))))
}

pub(crate) fn not_there(arn: &str) -> Refusal {
    Refusal::NotFound(format!(
        "Requested resource not found: ResourcArn: {} not found",
        short(arn)
    ))
}

pub(crate) async fn tag_resource(
    db: Arc<DynamoDb>,
    _: Cx,
    input: t::TagResourceInput,
) -> gureum_schema::Result<t::TagResourceOutput> {
    let key = table_at(&input.resource_arn)?;
    let new = map_of(input.tags)?;
    check_tags(&new)?;
    DynamoDb::whole(async move {
        db.alter(&key, |_, place| {
            let table = place
                .as_mut()
                .ok_or_else(|| not_there(&input.resource_arn))?;
            table.tags.extend(new.clone());
            check_tags(&table.tags)
        })
        .await
    })
    .await?;
    Ok(t::TagResourceOutput {})
}

pub(crate) async fn untag_resource(
    db: Arc<DynamoDb>,
    _: Cx,
    input: t::UntagResourceInput,
) -> gureum_schema::Result<t::UntagResourceOutput> {
    let key = table_at(&input.resource_arn)?;
    DynamoDb::whole(async move {
        db.alter(&key, |_, place| {
            let table = place
                .as_mut()
                .ok_or_else(|| not_there(&input.resource_arn))?;
            table.tags.retain(|key, _| !input.tag_keys.contains(key));
            Ok(())
        })
        .await
    })
    .await?;
    Ok(t::UntagResourceOutput {})
}

/// All of them: there are never more than one page holds.
pub(crate) async fn list_tags(
    db: Arc<DynamoDb>,
    _: Cx,
    input: t::ListTagsOfResourceInput,
) -> gureum_schema::Result<t::ListTagsOfResourceOutput> {
    let key = table_at(&input.resource_arn)?;
    let live = db
        .find(&key)
        .ok_or_else(|| not_there(&input.resource_arn))?;
    let tags = live.table.tags.iter().map(|(key, value)| t::Tag {
        key: key.clone(),
        value: value.clone(),
    });
    Ok(t::ListTagsOfResourceOutput {
        tags: Some(tags.collect()),
        next_token: None,
    })
}
