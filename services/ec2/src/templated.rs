//! Launching by a template: the template's parameters, with the request's own laid over them.

use gureum_dispatch::{Ask, Cx};
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::asks::Asks;
use crate::errors::{Refusal, Result};
use crate::instance_types;
use crate::launch::{Launch, REFUSED};
use crate::machines::Planes;
use crate::mappings::Brought;
use crate::model::group::GroupRow;
use crate::model::instance;
use crate::model::interface::{self, InterfaceRow};
use crate::model::launch_template::{LaunchTemplateRow, Which};
use crate::model::subnet::SubnetRow;
use crate::mold::{self, Members, Value};
use crate::resource::{Find, Here, Resource as _, Tags};
use crate::state::Ec2;

/// Structures of which a request may name some members and leave the others to the template.
const MERGED: [&str; 2] = ["MetadataOptions", "Placement"];
const RUN: &str = "ec2:RunInstances";
const TAGS: &str = "TagSpecifications";

/// A launch as it was asked for and as the template completes it.
pub(crate) struct Completed {
    pub(crate) input: t::RunInstancesRequest,
    /// The template and the version that was meant at this moment.
    pub(crate) template: Option<(LaunchTemplateRow, u64)>,
}

impl Completed {
    /// The tags that say of an instance where its parameters came from.
    pub(crate) fn tags(&self) -> Tags {
        let tag = |(row, version): &(LaunchTemplateRow, u64)| {
            Tags::from([
                ("aws:ec2launchtemplate:id".to_owned(), row.meta.id.clone()),
                (
                    "aws:ec2launchtemplate:version".to_owned(),
                    version.to_string(),
                ),
            ])
        };
        self.template.as_ref().map(tag).unwrap_or_default()
    }
}

/// Completes a request by the template that it names, if it names one.
pub(crate) fn complete(
    reader: &impl Find,
    here: &Here,
    input: &t::RunInstancesRequest,
) -> Result<Completed> {
    let Some(spec) = &input.launch_template else {
        return Ok(Completed {
            input: input.clone(),
            template: None,
        });
    };
    let (id, name) = (&spec.launch_template_id, &spec.launch_template_name);
    let row = LaunchTemplateRow::named(reader, here, id.as_deref(), name.as_deref())?;
    let which = spec.version.as_deref().filter(|text| !text.is_empty());
    let which = which.map_or(Ok(Which::Default), Which::read)?;
    let version = row.version(reader, which)?;
    let own = mold::read(input);
    Ok(Completed {
        input: request(lay_over(version.data, own))?,
        template: Some((row, version.number)),
    })
}

fn request(members: Members) -> Result<t::RunInstancesRequest> {
    let mut out = t::RunInstancesRequest::default();
    mold::pour(&members, &mut out)
        .map_err(|name| Refusal::NotImplemented(format!("Parameter {name}")))?;
    Ok(out)
}

/// What the request says wins. Tags of the same kind of resource are put together, key by key.
fn lay_over(mut below: Members, above: Members) -> Members {
    for (name, value) in above {
        let merged = match (below.remove(&name), value) {
            (Some(Value::Members(below)), Value::Members(above))
                if MERGED.contains(&name.as_str()) =>
            {
                Value::Members(lay_over(below, above))
            }
            (Some(Value::List(below)), Value::List(above)) if name == TAGS => {
                Value::List(lay_tags_over(&below, &above))
            }
            (_, value) => value,
        };
        below.insert(name, merged);
    }
    below
}

fn lay_tags_over(below: &[Value], above: &[Value]) -> Vec<Value> {
    let kind = |spec: &Value| text(spec, "ResourceType");
    let mut out: Vec<Value> = above.to_vec();
    for spec in below {
        let Some(Value::Members(twin)) = out.iter_mut().find(|it| kind(it) == kind(spec)) else {
            out.push(spec.clone());
            continue;
        };
        let Value::List(tags) = twin
            .entry("Tags".to_owned())
            .or_insert_with(|| Value::List(Vec::new()))
        else {
            continue;
        };
        let taken: Vec<_> = tags.iter().map(|tag| text(tag, "Key")).collect();
        let Value::Members(spec) = spec else { continue };
        if let Some(Value::List(more)) = spec.get("Tags") {
            let free = more.iter().filter(|tag| !taken.contains(&text(tag, "Key")));
            tags.extend(free.cloned());
        }
    }
    out
}

fn text(value: &Value, member: &str) -> Option<String> {
    match value {
        Value::Members(members) => match members.get(member) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Judges a template's data: what no launch here honours is refused as a launch would, and what
/// could only fail is warned of.
pub(crate) fn judge(
    planes: Option<&Planes>,
    data: &Members,
) -> Result<Option<t::ValidationWarning>> {
    if let Some(name) = REFUSED.iter().find(|name| data.contains_key(**name)) {
        return Err(Refusal::NotImplemented(format!("Parameter {name}")));
    }
    let mut input = request(data.clone())?;
    (input.min_count, input.max_count) = (1, 1);
    // A template need not be complete, nor need its image be there yet.
    input.image_id = Some(crate::images::BASE.into());
    match Launch::read(planes, &input, &Brought::default()) {
        Ok(_) => Ok(None),
        Err(Refusal::Sender { code, message }) => {
            let error = t::ValidationError {
                code: Some(code.into()),
                message: Some(message),
            };
            Ok(Some(t::ValidationWarning {
                errors: Some(vec![error]),
            }))
        }
        Err(refusal) => Err(refusal),
    }
}

/// What `RunInstances` asks of the policy engine, of the completed request.
pub(crate) fn asks(ec2: &Ec2, cx: &Cx, given: &t::RunInstancesRequest) -> Reply<Vec<Ask>> {
    let completed = complete(&ec2.store.read(), &Here::of(cx), given);
    // The handler will say what is wrong with it.
    let Completed { input, template } = completed.unwrap_or_else(|_| Completed {
        input: given.clone(),
        template: None,
    });
    let asks = Asks::new(ec2, cx, RUN)
        .creates(&instance::KIND, &input.tag_specifications)
        .creates(&interface::KIND, &input.tag_specifications)
        .on_image(input.image_id.as_deref())
        .on_opt::<SubnetRow>(&input.subnet_id)
        .on_all::<GroupRow>(input.security_group_ids.as_deref().unwrap_or_default());
    let interfaces = input.network_interfaces.iter().flatten();
    let mut asks = interfaces.fold(asks, |asks, interface| {
        asks.on_opt::<InterfaceRow>(&interface.network_interface_id)
            .on_opt::<SubnetRow>(&interface.subnet_id)
            .on_all::<GroupRow>(interface.groups.as_deref().unwrap_or_default())
    });
    if let Some((row, _)) = &template {
        asks = asks.on::<LaunchTemplateRow>(row.id());
    }
    let kind = input.instance_type.as_deref();
    let kind = kind.unwrap_or(instance_types::USUAL);
    let more = |ask: Ask| {
        if ask.action != RUN {
            return ask;
        }
        let own = is_own(given, &ask.resource);
        let ask = match ask.resource.contains(":instance/") {
            true => ask.key("ec2:InstanceType", kind),
            false => ask,
        };
        match &template {
            Some((row, _)) => ask
                .key("ec2:LaunchTemplate", row.arn())
                .key("ec2:IsLaunchTemplateResource", !own),
            None => ask,
        }
    };
    Ok(asks.finish().into_iter().map(more).collect())
}

/// Whether the request itself names this resource, whatever the template says.
fn is_own(given: &t::RunInstancesRequest, resource: &str) -> bool {
    let interfaces = given.network_interfaces.iter().flatten();
    let of_interfaces = interfaces.flat_map(|it| {
        let groups = it.groups.iter().flatten();
        let one = it.network_interface_id.iter();
        one.chain(&it.subnet_id).chain(groups)
    });
    let ids = given.image_id.iter().chain(&given.subnet_id);
    let mut ids = ids
        .chain(given.security_group_ids.iter().flatten())
        .chain(of_interfaces);
    ids.any(|id| {
        let name = resource.rsplit('/').next();
        name == Some(id.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(kind: &str, pairs: &[(&str, &str)]) -> t::TagSpecification {
        let tag = |(key, value): &(&str, &str)| t::Tag {
            key: Some((*key).into()),
            value: Some((*value).into()),
        };
        t::TagSpecification {
            resource_type: Some(kind.into()),
            tags: Some(pairs.iter().map(tag).collect()),
        }
    }

    #[test]
    fn a_request_wins_over_its_template() {
        let below = t::RunInstancesRequest {
            instance_type: Some("t3.nano".into()),
            key_name: Some("ops".into()),
            placement: Some(t::Placement {
                availability_zone: Some("eu-west-1a".into()),
                tenancy: Some("default".into()),
                ..Default::default()
            }),
            tag_specifications: Some(vec![
                tagged("instance", &[("team", "a"), ("stage", "test")]),
                tagged("network-interface", &[("team", "a")]),
            ]),
            ..Default::default()
        };
        let above = t::RunInstancesRequest {
            instance_type: Some("t3.micro".into()),
            placement: Some(t::Placement {
                availability_zone: Some("eu-west-1b".into()),
                ..Default::default()
            }),
            tag_specifications: Some(vec![tagged("instance", &[("team", "b")])]),
            max_count: 3,
            ..Default::default()
        };
        let out = request(lay_over(mold::read(&below), mold::read(&above))).expect("request");
        assert_eq!(out.instance_type.as_deref(), Some("t3.micro"));
        assert_eq!(out.key_name.as_deref(), Some("ops"));
        assert_eq!(out.max_count, 3);
        let placement = out.placement.expect("placement");
        assert_eq!(placement.availability_zone.as_deref(), Some("eu-west-1b"));
        assert_eq!(placement.tenancy.as_deref(), Some("default"));
        let specs = out.tag_specifications.expect("tags");
        let tags = crate::tags::for_kind("instance", &specs).expect("instance");
        assert_eq!(
            (tags["team"].as_str(), tags["stage"].as_str()),
            ("b", "test")
        );
        assert!(
            crate::tags::for_kind("network-interface", &specs).is_ok_and(|it| it["team"] == "a")
        );
    }
}
