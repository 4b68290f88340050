//! Subnets.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::cidr::Cidr;
use crate::defaults;
use crate::describe::query;
use crate::errors::{Refusal, Result, refuse_on};
use crate::model::acl::AclRow;
use crate::model::interface::InterfaceRow;
use crate::model::route::RouteTableRow;
use crate::model::subnet::{self, SubnetRow};
use crate::model::vpc::VpcRow;
use crate::resource::Resource as _;
use crate::state::Ec2;
use crate::tags;
use crate::zones::{self, Zone};

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateSubnetRequest,
) -> Reply<t::CreateSubnetResult> {
    refuse_on(&[("Ipv6Native", input.ipv6_native)])?;
    let cidr = input.cidr_block.as_deref();
    let cidr = block(cidr.ok_or_else(|| Refusal::missing("cidrBlock"))?)?;
    let zone = zone(
        &cx,
        input.availability_zone.as_deref(),
        input.availability_zone_id.as_deref(),
    )?;
    let tags = tags::on_create(&subnet::KIND, &input.tag_specifications)?;
    let subnet = ec2
        .write(&cx, input.dry_run, |w| {
            let vpc = w.need::<VpcRow>(&input.vpc_id)?;
            if !vpc.cidrs().any(|block| block.contains(cidr)) {
                return Err(Refusal::new(
                    "InvalidSubnet.Range",
                    format!("The CIDR '{cidr}' is invalid."),
                ));
            }
            let neighbours = w.of_vpc::<SubnetRow>(vpc.id())?;
            if neighbours.iter().any(|subnet| subnet.cidr.overlaps(cidr)) {
                return Err(Refusal::new(
                    "InvalidSubnet.Conflict",
                    format!("The CIDR '{cidr}' conflicts with another subnet"),
                ));
            }
            let subnet = SubnetRow {
                meta: w.here.new_meta(&subnet::KIND, tags.clone()),
                vpc: vpc.meta.id,
                cidr,
                zone: zone.name.clone(),
                default_for_zone: false,
                map_public_ip: false,
            };
            defaults::add_subnet(w, &subnet)?;
            w.show(&subnet)
        })
        .await?;
    Ok(t::CreateSubnetResult {
        subnet: Some(subnet),
    })
}

/// An address block that a subnet can have.
fn block(text: &str) -> Result<Cidr> {
    let cidr: Cidr = text.parse().map_err(|_| {
        Refusal::value(format!(
            "Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ))
    })?;
    if (16..=28).contains(&cidr.prefix()) {
        Ok(cidr)
    } else {
        Err(Refusal::new(
            "InvalidSubnet.Range",
            format!("The CIDR '{text}' is invalid."),
        ))
    }
}

/// The zone that is asked for, or the first one.
fn zone(cx: &Cx, name: Option<&str>, id: Option<&str>) -> Result<Zone> {
    zones::find(&cx.region, name, id).ok_or_else(|| {
        let asked = name.or(id).unwrap_or_default();
        let known: Vec<String> = zones::of(&cx.region).into_iter().map(|zone| zone.name).collect();
        Refusal::value(format!(
            "Value ({asked}) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: {}.",
            known.join(", ")
        ))
    })
}

pub(crate) async fn create_default(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateDefaultSubnetRequest,
) -> Reply<t::CreateDefaultSubnetResult> {
    refuse_on(&[("Ipv6Native", input.ipv6_native)])?;
    let (name, id) = (
        input.availability_zone.as_deref(),
        input.availability_zone_id.as_deref(),
    );
    if name.is_none() && id.is_none() {
        Err(Refusal::missing("availabilityZone"))?;
    }
    let zone = zone(&cx, name, id)?;
    let subnet = ec2
        .write(&cx, input.dry_run, |w| {
            let mut vpcs = w.all::<VpcRow>()?.into_iter();
            let vpc = vpcs.find(|vpc| vpc.is_default).ok_or_else(|| {
                Refusal::new(
                    "DefaultVpcDoesNotExist",
                    "No default VPC exists for this account in this region.",
                )
            })?;
            let subnets = w.of_vpc::<SubnetRow>(vpc.id())?;
            if subnets
                .iter()
                .any(|it| it.default_for_zone && it.zone == zone.name)
            {
                return Err(Refusal::new(
                    "DefaultSubnetAlreadyExistsInAvailabilityZone",
                    format!(
                        "A default subnet already exists in availability zone {}.",
                        zone.name
                    ),
                ));
            }
            let subnet = defaults::make_default_subnet(w, &vpc, &zone.name)?.ok_or_else(|| {
                Refusal::new(
                    "InsufficientCidrBlocks",
                    "There is no free CIDR block in the default VPC.",
                )
            })?;
            w.show(&subnet)
        })
        .await?;
    Ok(t::CreateDefaultSubnetResult {
        subnet: Some(subnet),
    })
}

pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteSubnetRequest,
) -> Reply<t::DeleteSubnetOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let subnet = w.need::<SubnetRow>(&input.subnet_id)?;
        let interfaces = w.of_vpc::<InterfaceRow>(&subnet.vpc)?;
        if interfaces.iter().any(|it| it.subnet == subnet.meta.id) {
            return Err(Refusal::in_use("subnet", subnet.id()));
        }
        for mut table in w.of_vpc::<RouteTableRow>(&subnet.vpc)? {
            let before = table.associations.len();
            table.associations.retain(|it| it.subnet != subnet.meta.id);
            if table.associations.len() < before {
                w.put(&table)?;
            }
        }
        for mut acl in w.of_vpc::<AclRow>(&subnet.vpc)? {
            let before = acl.associations.len();
            acl.associations.retain(|it| it.subnet != subnet.meta.id);
            if acl.associations.len() < before {
                w.put(&acl)?;
            }
        }
        w.delete(&subnet)
    })
    .await?;
    Ok(t::DeleteSubnetOutput {})
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeSubnetsRequest,
) -> Reply<t::DescribeSubnetsResult> {
    let query = query!("DescribeSubnets", input, subnet_ids);
    let page = ec2.list::<SubnetRow>(&cx, query).await?;
    Ok(t::DescribeSubnetsResult {
        next_token: page.next,
        subnets: Some(page.items),
    })
}

pub(crate) async fn modify_attribute(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifySubnetAttributeRequest,
) -> Reply<t::ModifySubnetAttributeOutput> {
    let value = |attribute: &Option<t::AttributeBooleanValue>| {
        attribute.as_ref().and_then(|attribute| attribute.value)
    };
    refuse_on(&[
        (
            "AssignIpv6AddressOnCreation",
            value(&input.assign_ipv6_address_on_creation),
        ),
        (
            "MapCustomerOwnedIpOnLaunch",
            value(&input.map_customer_owned_ip_on_launch),
        ),
        ("EnableDns64", value(&input.enable_dns64)),
        (
            "EnableResourceNameDnsARecordOnLaunch",
            value(&input.enable_resource_name_dns_a_record_on_launch),
        ),
        (
            "EnableResourceNameDnsAAAARecordOnLaunch",
            value(&input.enable_resource_name_dns_aaaa_record_on_launch),
        ),
    ])?;
    match input.private_dns_hostname_type_on_launch.as_deref() {
        None | Some("ip-name") => {}
        Some(other) => Err(Refusal::NotImplemented(format!(
            "PrivateDnsHostnameTypeOnLaunch = {other}"
        )))?,
    }
    let map_public_ip = value(&input.map_public_ip_on_launch);
    ec2.write(&cx, None, |w| {
        w.change(&input.subnet_id, |subnet: &mut SubnetRow| {
            subnet.map_public_ip = map_public_ip.unwrap_or(subnet.map_public_ip);
            Ok(())
        })
    })
    .await?;
    Ok(t::ModifySubnetAttributeOutput {})
}
