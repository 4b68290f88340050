//! TagResource, UntagResource, ListTagsForResource.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_sns::types as t;

use crate::errors::{Refusal, Result};
use crate::model::Texts;
use crate::state::{Sns, key_of};

const MAX_TAGS: usize = 50;

/// The tags of a request.
pub(crate) fn read(list: Vec<t::Tag>) -> Result<Texts> {
    let mut tags = Texts::new();
    for tag in list {
        if !(1..=128).contains(&tag.key.chars().count()) || tag.value.chars().count() > 256 {
            return Err(Refusal::reason(
                "Tags",
                "a key has up to 128 characters, a value 256",
            ));
        }
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Refusal::reason(
                "Tags",
                "keys that begin with aws: are reserved",
            ));
        }
        if tags.insert(tag.key, tag.value).is_some() {
            return Err(Refusal::parameter("Duplicated keys are not allowed."));
        }
    }
    bounded(&tags)?;
    Ok(tags)
}

fn bounded(tags: &Texts) -> Result<()> {
    if tags.len() > MAX_TAGS {
        let message = "Could not complete request: tag quota of per resource exceeded";
        return Err(Refusal::Limit("TagLimitExceeded", message.into()));
    }
    Ok(())
}

/// The tag operations have a word of their own for a topic that isn't there.
fn absent(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::NoSuchTopic => Refusal::NoSuchResource,
        other => other,
    }
}

pub(crate) async fn tag(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::TagResourceRequest,
) -> gureum_schema::Result<t::TagResourceResponse> {
    let key = key_of(&cx, &input.resource_arn)?;
    let tags = read(input.tags)?;
    Sns::whole(async move {
        let change = sns.alter(&key, |row| {
            row.tags.extend(tags);
            bounded(&row.tags)
        });
        change.await.map_err(absent)
    })
    .await?;
    Ok(t::TagResourceResponse {})
}

pub(crate) async fn untag(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::UntagResourceRequest,
) -> gureum_schema::Result<t::UntagResourceResponse> {
    let key = key_of(&cx, &input.resource_arn)?;
    Sns::whole(async move {
        let change = sns.alter(&key, |row| {
            row.tags.retain(|key, _| !input.tag_keys.contains(key));
            Ok(())
        });
        change.await.map_err(absent)
    })
    .await?;
    Ok(t::UntagResourceResponse {})
}

pub(crate) async fn list_tags(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::ListTagsForResourceRequest,
) -> gureum_schema::Result<t::ListTagsForResourceResponse> {
    let topic = sns.at(&cx, &input.resource_arn).map_err(absent)?;
    let tags = topic.row.tags.iter().map(|(key, value)| t::Tag {
        key: key.clone(),
        value: value.clone(),
    });
    Ok(t::ListTagsForResourceResponse {
        tags: Some(tags.collect()),
    })
}
