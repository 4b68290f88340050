//! Regions, zones and the account's attributes.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::describe::Query;
use crate::errors::{Refusal, Result};
use crate::filter::Paths;
use crate::model::vpc::VpcRow;
use crate::resource::Find as _;
use crate::state::Ec2;
use crate::zones::{self, REGIONS, Zone};

pub(crate) const ZONE_FILTERS: Paths = &[
    ("group-name", "GroupName"),
    ("message", "Messages.Message"),
    ("opt-in-status", "OptInStatus"),
    ("region-name", "RegionName"),
    ("state", "State"),
    ("zone-id", "ZoneId"),
    ("zone-name", "ZoneName"),
    ("zone-type", "ZoneType"),
];

pub(crate) async fn describe_zones(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeAvailabilityZonesRequest,
) -> Reply<t::DescribeAvailabilityZonesResult> {
    let names = input.zone_names.as_deref().unwrap_or_default();
    let ids = input.zone_ids.as_deref().unwrap_or_default();
    let mut zones = zones::of(&cx.region);
    let known = |zones: &[Zone], fits: &dyn Fn(&Zone) -> bool| zones.iter().any(fits);
    for name in names {
        if !known(&zones, &|zone| zone.name == *name) {
            Err(Refusal::value(format!(
                "Invalid availability zone: [{name}]"
            )))?;
        }
    }
    for id in ids {
        if !known(&zones, &|zone| zone.id == *id) {
            Err(Refusal::value(format!(
                "Invalid availability zone-id: [{id}]"
            )))?;
        }
    }
    zones.retain(|zone| names.is_empty() || names.contains(&zone.name));
    zones.retain(|zone| ids.is_empty() || ids.contains(&zone.id));
    let shapes = zones.into_iter().map(|zone| {
        let shape = t::AvailabilityZone {
            opt_in_status: Some("opt-in-not-required".into()),
            messages: Some(Vec::new()),
            region_name: Some(cx.region.to_string()),
            zone_name: Some(zone.name.clone()),
            zone_id: Some(zone.id),
            group_name: Some(format!("{}-zg-1", cx.region)),
            network_border_group: Some(cx.region.to_string()),
            zone_type: Some("availability-zone".into()),
            state: Some("available".into()),
            ..Default::default()
        };
        Ok((zone.name, shape))
    });
    let query = Query {
        operation: "DescribeAvailabilityZones",
        filters: input.filters.as_ref(),
        dry_run: input.dry_run,
        ..Default::default()
    };
    let page = ec2.page(&cx, query, ZONE_FILTERS, shapes)?;
    Ok(t::DescribeAvailabilityZonesResult {
        availability_zones: Some(page.items),
    })
}

pub(crate) const REGION_FILTERS: Paths = &[
    ("endpoint", "Endpoint"),
    ("opt-in-status", "OptInStatus"),
    ("region-name", "RegionName"),
];

pub(crate) async fn describe_regions(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeRegionsRequest,
) -> Reply<t::DescribeRegionsResult> {
    // The region that is spoken to exists, known to us or not.
    let here = cx.region.as_str();
    let mut names: Vec<&str> = REGIONS.to_vec();
    if !names.contains(&here) {
        names.push(here);
    }
    let wanted = input.region_names.as_deref().unwrap_or_default();
    for name in wanted {
        if !names.contains(&name.as_str()) {
            Err(Refusal::value(format!("Invalid region: [{name}]")))?;
        }
    }
    names.retain(|name| wanted.is_empty() || wanted.iter().any(|it| it == name));
    let shapes = names.into_iter().map(|name| {
        let shape = t::Region {
            opt_in_status: Some("opt-in-not-required".into()),
            region_name: Some(name.into()),
            endpoint: Some(format!("ec2.{name}.amazonaws.com")),
            ..Default::default()
        };
        Ok((name.to_owned(), shape))
    });
    let query = Query {
        operation: "DescribeRegions",
        filters: input.filters.as_ref(),
        dry_run: input.dry_run,
        ..Default::default()
    };
    let page = ec2.page(&cx, query, REGION_FILTERS, shapes)?;
    Ok(t::DescribeRegionsResult {
        regions: Some(page.items),
    })
}

/// What an account may have at most, and which VPC is its default.
pub(crate) async fn describe_attributes(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeAccountAttributesRequest,
) -> Reply<t::DescribeAccountAttributesResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let vpcs = snapshot.all::<VpcRow>(&here)?;
    let default = vpcs.into_iter().find(|vpc| vpc.is_default);
    let default = default.map_or_else(|| "none".to_owned(), |vpc| vpc.meta.id);
    let known = [
        ("supported-platforms", "VPC".to_owned()),
        ("default-vpc", default),
        ("vpc-max-security-groups-per-interface", "5".to_owned()),
        ("vpc-max-elastic-ips", "64".to_owned()),
    ];
    let wanted = input.attribute_names.as_deref().unwrap_or_default();
    let attributes = pick(&known, wanted)?;
    if input.dry_run == Some(true) {
        Err(Refusal::DryRun)?;
    }
    Ok(t::DescribeAccountAttributesResult {
        account_attributes: Some(attributes),
    })
}

fn pick(known: &[(&str, String)], wanted: &[String]) -> Result<Vec<t::AccountAttribute>> {
    if let Some(name) = wanted
        .iter()
        .find(|name| known.iter().all(|(it, _)| it != name))
    {
        return Err(Refusal::wrong("attributeName", name));
    }
    let chosen = known
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|it| it == name));
    Ok(chosen
        .map(|(name, value)| t::AccountAttribute {
            attribute_name: Some((*name).to_owned()),
            attribute_values: Some(vec![t::AccountAttributeValue {
                attribute_value: Some(value.clone()),
            }]),
        })
        .collect())
}
