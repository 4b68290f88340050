//! AddTagsToResource, RemoveTagsFromResource, ListTagsForResource.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Reader;
use gureum_model_ssm::types as t;

use crate::Ssm;
use crate::errors::{Refusal, Result};
use crate::model::{ParameterRow, Tags};
use crate::names::{self, Named};

const MOST: usize = 50;

/// The tags of a request; the model has checked their characters.
pub(crate) fn read(list: &[t::Tag]) -> Result<Tags> {
    let mut tags = Tags::new();
    for tag in list {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Refusal::validation(
                "Tag keys that begin with aws: are reserved.",
            ));
        }
        tags.insert(tag.key.clone(), tag.value.clone());
    }
    match tags.len() {
        0..=MOST => Ok(tags),
        _ => Err(Refusal::TooManyTags),
    }
}

pub(crate) async fn add_tags(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::AddTagsToResourceRequest,
) -> gureum_schema::Result<t::AddTagsToResourceResult> {
    check_kind(&input.resource_type)?;
    let tags = read(&input.tags)?;
    let add = |row: &mut ParameterRow| {
        row.tags.extend(tags.clone());
        match row.tags.len() {
            0..=MOST => Ok(()),
            _ => Err(Refusal::TooManyTags),
        }
    };
    ssm.change(&cx, &input.resource_id, add)
        .await
        .map_err(unknown)?;
    Ok(t::AddTagsToResourceResult {})
}

pub(crate) async fn remove_tags(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::RemoveTagsFromResourceRequest,
) -> gureum_schema::Result<t::RemoveTagsFromResourceResult> {
    check_kind(&input.resource_type)?;
    let remove = |row: &mut ParameterRow| {
        row.tags.retain(|key, _| !input.tag_keys.contains(key));
        Ok(())
    };
    ssm.change(&cx, &input.resource_id, remove)
        .await
        .map_err(unknown)?;
    Ok(t::RemoveTagsFromResourceResult {})
}

pub(crate) async fn list_tags(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::ListTagsForResourceRequest,
) -> gureum_schema::Result<t::ListTagsForResourceResult> {
    check_kind(&input.resource_type)?;
    let name = Named::read_plain(&cx, &input.resource_id)?;
    let row = ssm
        .store
        .read()
        .get::<ParameterRow>(names::place(&cx, &name));
    let row = row.map_err(Refusal::from)?.ok_or(Refusal::NoSuchResource)?;
    let tags = row
        .tags
        .into_iter()
        .map(|(key, value)| t::Tag { key, value });
    Ok(t::ListTagsForResourceResult {
        tag_list: Some(tags.collect()),
    })
}

/// Parameters are the only resources here.
fn check_kind(kind: &str) -> Result<()> {
    match kind {
        "Parameter" => Ok(()),
        "Document" | "ManagedInstance" | "MaintenanceWindow" | "PatchBaseline" | "OpsItem"
        | "OpsMetadata" | "Automation" | "Association" => {
            Err(Refusal::NotImplemented(format!("The resource type {kind}")))
        }
        _ => Err(Refusal::ResourceType),
    }
}

fn unknown(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::NotFound(_) => Refusal::NoSuchResource,
        other => other,
    }
}
