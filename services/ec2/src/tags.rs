//! Tags: as requests bring them and as replies show them.

use gureum_model_ec2::types as t;

use crate::errors::{Refusal, Result};
use crate::resource::{Kind, Tags};

/// The most tags of one resource.
pub(crate) const MAX_TAGS: usize = 50;

/// The tags that a request sets on a new resource of this kind.
pub(crate) fn on_create(kind: &Kind, specs: &Option<Vec<t::TagSpecification>>) -> Result<Tags> {
    let specs = specs.as_deref().unwrap_or_default();
    of_kinds(&[kind.name], specs)?;
    for_kind(kind.name, specs)
}

/// Refuses specifications for resources that the operation doesn't make.
pub(crate) fn of_kinds(kinds: &[&str], specs: &[t::TagSpecification]) -> Result<()> {
    for spec in specs {
        match spec.resource_type.as_deref() {
            None => return Err(Refusal::missing("ResourceType")),
            Some(kind) if kinds.contains(&kind) => {}
            Some(kind) => {
                return Err(Refusal::value(format!(
                    "'{kind}' is not a valid taggable resource type for this operation."
                )));
            }
        }
    }
    Ok(())
}

/// The tags for one of the kinds that an operation makes.
pub(crate) fn for_kind(kind: &str, specs: &[t::TagSpecification]) -> Result<Tags> {
    let mine = specs
        .iter()
        .filter(|spec| spec.resource_type.as_deref() == Some(kind));
    let mut tags = Tags::new();
    for tag in mine.flat_map(|spec| spec.tags.iter().flatten()) {
        let (key, value) = check(tag)?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Refusal::value(format!(
                "Duplicate tag key '{key}' specified."
            )));
        }
    }
    count(&tags)?;
    Ok(tags)
}

/// A tag's key and value, within AWS's limits.
pub(crate) fn check(tag: &t::Tag) -> Result<(&str, &str)> {
    let key = tag.key.as_deref().unwrap_or_default();
    let value = tag.value.as_deref().unwrap_or_default();
    if key.is_empty() {
        return Err(Refusal::value("Tag key cannot be null or empty"));
    }
    not_reserved(key)?;
    if key.chars().count() > 127 {
        return Err(Refusal::value(
            "Tag key exceeds the maximum length of 127 characters",
        ));
    }
    if value.chars().count() > 255 {
        return Err(Refusal::value(
            "Tag value exceeds the maximum length of 255 characters",
        ));
    }
    Ok((key, value))
}

/// Refuses tags that only AWS sets and takes away.
pub(crate) fn not_reserved(key: &str) -> Result<()> {
    match key.starts_with("aws:") {
        true => Err(Refusal::value(
            "Tag keys starting with 'aws:' are reserved for internal use",
        )),
        false => Ok(()),
    }
}

pub(crate) fn count(tags: &Tags) -> Result<()> {
    if tags.len() > MAX_TAGS {
        return Err(Refusal::new(
            "TagLimitExceeded",
            format!("The maximum number of tags per resource ({MAX_TAGS}) has been exceeded."),
        ));
    }
    Ok(())
}

pub(crate) fn shapes(tags: &Tags) -> Option<Vec<t::Tag>> {
    let shapes = tags.iter().map(|(key, value)| t::Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    });
    Some(shapes.collect())
}
