//! Tags of all kinds of resources.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx};
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::asks::{pairs, tagged};
use crate::describe::Query;
use crate::errors::{Refusal, Result};
use crate::filter::Paths;
use crate::model::acl::AclRow;
use crate::model::address::ElasticIpRow;
use crate::model::dhcp::DhcpOptionsRow;
use crate::model::endpoint::EndpointRow;
use crate::model::flow_log::FlowLogRow;
use crate::model::gateway::InternetGatewayRow;
use crate::model::group::{GroupRow, RULE};
use crate::model::image::ImageRow;
use crate::model::instance::InstanceRow;
use crate::model::interface::InterfaceRow;
use crate::model::key_pair::KeyPairRow;
use crate::model::launch_template::LaunchTemplateRow;
use crate::model::nat::NatGatewayRow;
use crate::model::peering::PeeringRow;
use crate::model::prefix_list::PrefixListRow;
use crate::model::route::RouteTableRow;
use crate::model::snapshot::SnapshotRow;
use crate::model::subnet::SubnetRow;
use crate::model::volume::VolumeRow;
use crate::model::vpc::VpcRow;
use crate::resource::{Find, Here, Kind, Resource, Tags, arn};
use crate::state::{Change, Ec2};
use crate::tags::{check, count, not_reserved};

/// Does the same for every kind of row: `$do` is a macro that takes a row type.
macro_rules! every_kind {
    ($do:ident) => {
        $do!(VpcRow);
        $do!(SubnetRow);
        $do!(RouteTableRow);
        $do!(InternetGatewayRow);
        $do!(NatGatewayRow);
        $do!(ElasticIpRow);
        $do!(GroupRow);
        $do!(AclRow);
        $do!(InterfaceRow);
        $do!(InstanceRow);
        $do!(KeyPairRow);
        $do!(EndpointRow);
        $do!(PeeringRow);
        $do!(DhcpOptionsRow);
        $do!(LaunchTemplateRow);
        $do!(PrefixListRow);
        $do!(VolumeRow);
        $do!(SnapshotRow);
        $do!(ImageRow);
        $do!(FlowLogRow);
    };
}

fn is_of(kind: &Kind, id: &str) -> bool {
    id.strip_prefix(kind.prefix)
        .is_some_and(|rest| rest.starts_with('-'))
}

/// Changes the tags of whatever has this id.
fn retag(w: &mut Change<'_>, id: &str, change: impl FnOnce(&mut Tags) -> Result<()>) -> Result<()> {
    macro_rules! this_kind {
        ($row:ty) => {
            if is_of(<$row>::KIND, id) {
                return w.change(id, |row: &mut $row| change(&mut row.meta_mut().tags));
            }
        };
    }
    every_kind!(this_kind);
    if is_of(&RULE, id) {
        RULE.check(id)?;
        let mut groups = w.all::<GroupRow>()?.into_iter();
        let holder = groups.find(|group| group.rules.iter().any(|rule| rule.id == id));
        let mut group = holder.ok_or_else(|| RULE.absent(id))?;
        let mut rules = group.rules.iter_mut();
        let rule = rules.find(|rule| rule.id == id);
        change(&mut rule.ok_or_else(|| RULE.absent(id))?.tags)?;
        return w.put(&group);
    }
    Err(Refusal::new(
        "InvalidID",
        format!("The ID '{id}' is not valid"),
    ))
}

/// The kind that an id is of, and the tags that it has.
fn look(reader: &impl Find, here: &Here, id: &str) -> Result<Option<(&'static Kind, Tags)>> {
    macro_rules! this_kind {
        ($row:ty) => {
            if is_of(<$row>::KIND, id) {
                let row = reader.find::<$row>(here, id)?;
                let tags = row.map(|row| row.meta().tags.clone()).unwrap_or_default();
                return Ok(Some((<$row>::KIND, tags)));
            }
        };
    }
    every_kind!(this_kind);
    if is_of(&RULE, id) {
        let groups = reader.all::<GroupRow>(here)?;
        let mut rules = groups.into_iter().flat_map(|group| group.rules);
        let tags = rules.find(|rule| rule.id == id).map(|rule| rule.tags);
        return Ok(Some((&RULE, tags.unwrap_or_default())));
    }
    Ok(None)
}

/// All resources that have tags.
fn everything(reader: &impl Find, here: &Here) -> Result<Vec<(&'static Kind, String, Tags)>> {
    let mut out = Vec::new();
    macro_rules! this_kind {
        ($row:ty) => {
            for mut row in reader.all::<$row>(here)? {
                let tags = std::mem::take(&mut row.meta_mut().tags);
                out.push((<$row>::KIND, row.id().to_owned(), tags));
            }
        };
    }
    every_kind!(this_kind);
    for group in reader.all::<GroupRow>(here)? {
        out.extend(
            group
                .rules
                .into_iter()
                .map(|rule| (&RULE, rule.id, rule.tags)),
        );
    }
    Ok(out)
}

/// Asks about every resource that is to be tagged.
pub(crate) fn asks(
    ec2: &Ec2,
    cx: &Cx,
    action: &'static str,
    ids: &[String],
    tags: &[t::Tag],
) -> Reply<Vec<Ask>> {
    let snapshot = ec2.store.read();
    let here = Here::of(cx);
    let mut out = Vec::new();
    for id in ids {
        let (resource, has) = match look(&snapshot, &here, id)? {
            Some((kind, tags)) => (arn(kind, &here.region, &here.account, id).to_string(), tags),
            None => ("*".to_owned(), Tags::new()),
        };
        let ask = Ask::new(action, resource).key("ec2:Region", &cx.region);
        out.push(tagged(ask, &has).request_tags(pairs(tags.iter())));
    }
    Ok(out)
}

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateTagsRequest,
) -> Reply<t::CreateTagsOutput> {
    if input.resources.is_empty() {
        Err(Refusal::missing("resourceIdSet"))?;
    }
    if input.tags.is_empty() {
        Err(Refusal::missing("tagSet"))?;
    }
    ec2.write(&cx, input.dry_run, |w| {
        for id in &input.resources {
            retag(w, id, |tags| {
                for tag in &input.tags {
                    let (key, value) = check(tag)?;
                    tags.insert(key.to_owned(), value.to_owned());
                }
                count(tags)
            })?;
        }
        Ok(())
    })
    .await?;
    Ok(t::CreateTagsOutput {})
}

/// Without a value a tag goes whatever its value is; without any tags, all of them go.
pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteTagsRequest,
) -> Reply<t::DeleteTagsOutput> {
    let gone = input.tags.as_deref().unwrap_or_default();
    for key in gone.iter().filter_map(|tag| tag.key.as_deref()) {
        not_reserved(key)?;
    }
    ec2.write(&cx, input.dry_run, |w| {
        for id in &input.resources {
            retag(w, id, |tags| {
                if gone.is_empty() {
                    tags.retain(|key, _| key.starts_with("aws:"));
                }
                tags.retain(|key, value| {
                    !gone.iter().any(|tag| {
                        tag.key.as_ref() == Some(key)
                            && tag.value.as_ref().is_none_or(|gone| gone == value)
                    })
                });
                Ok(())
            })?;
        }
        Ok(())
    })
    .await?;
    Ok(t::DeleteTagsOutput {})
}

pub(crate) const FILTERS: Paths = &[
    ("key", "Key"),
    ("resource-id", "ResourceId"),
    ("resource-type", "ResourceType"),
    ("value", "Value"),
];

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeTagsRequest,
) -> Reply<t::DescribeTagsResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let mut all = everything(&snapshot, &here)?;
    all.sort_by(|a, b| a.1.cmp(&b.1));
    let shapes = all.into_iter().flat_map(|(kind, id, tags)| {
        tags.into_iter().map(move |(key, value)| {
            let shape = t::TagDescription {
                key: Some(key.clone()),
                resource_id: Some(id.clone()),
                resource_type: Some(kind.name.into()),
                value: Some(value),
            };
            Ok((format!("{id} {key}"), shape))
        })
    });
    let query = Query {
        operation: "DescribeTags",
        filters: input.filters.as_ref(),
        max: input.max_results,
        token: input.next_token.as_deref(),
        dry_run: input.dry_run,
        ids: None,
    };
    let page = ec2.page(&cx, query, FILTERS, shapes)?;
    Ok(t::DescribeTagsResult {
        next_token: page.next,
        tags: Some(page.items),
    })
}
