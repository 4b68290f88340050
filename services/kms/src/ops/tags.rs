//! TagResource, UntagResource, ListResourceTags.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_kms::types as t;

use crate::errors::{Refusal, Result};
use crate::model::Tags;
use crate::names::Name;
use crate::page::{self, Page};
use crate::state::Kms;

/// The most tags that a key can have.
const MAX_TAGS: usize = 50;

/// The tags of a request; the model has checked their lengths.
pub(crate) fn read(list: &[t::Tag]) -> Result<Tags> {
    let mut tags = Tags::new();
    for tag in list {
        if tag.tag_key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Refusal::Tag(
                "Tag keys that begin with aws: are reserved.".into(),
            ));
        }
        let known = tags.insert(tag.tag_key.clone(), tag.tag_value.clone());
        if known.is_some() {
            return Err(Refusal::Tag("Duplicate tag keys".into()));
        }
    }
    bounded(&tags)?;
    Ok(tags)
}

fn bounded(tags: &Tags) -> Result<()> {
    if tags.len() > MAX_TAGS {
        return Err(Refusal::Tag(format!(
            "A key can have at most {MAX_TAGS} tags."
        )));
    }
    Ok(())
}

pub(crate) async fn tag(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::TagResourceRequest,
) -> gureum_schema::Result<t::TagResourceOutput> {
    let key = Name::read_key(&cx, &input.key_id)?;
    let tags = read(&input.tags)?;
    kms.change(&key, |row| {
        row.alive()?;
        row.tags.extend(tags.clone());
        bounded(&row.tags)
    })
    .await?;
    Ok(t::TagResourceOutput {})
}

pub(crate) async fn untag(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::UntagResourceRequest,
) -> gureum_schema::Result<t::UntagResourceOutput> {
    let key = Name::read_key(&cx, &input.key_id)?;
    kms.change(&key, |row| {
        row.alive()?;
        row.tags.retain(|key, _| !input.tag_keys.contains(key));
        Ok(())
    })
    .await?;
    Ok(t::UntagResourceOutput {})
}

pub(crate) async fn list_tags(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::ListResourceTagsRequest,
) -> gureum_schema::Result<t::ListResourceTagsResponse> {
    let row = kms.row(&cx, &input.key_id)?;
    let scope = format!("ListResourceTags {}", row.id);
    let marker = input.marker.as_deref();
    let page = Page::read(&kms, &cx, &scope, &page::OTHERS, input.limit, marker)?;
    let paged = page.of(&kms, row.tags, |(key, _)| key.clone())?;
    Ok(t::ListResourceTagsResponse {
        truncated: paged.truncated(),
        tags: Some(
            paged
                .items
                .into_iter()
                .map(|(tag_key, tag_value)| t::Tag { tag_key, tag_value })
                .collect(),
        ),
        next_marker: paged.marker,
    })
}
