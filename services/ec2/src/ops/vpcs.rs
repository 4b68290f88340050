//! VPCs and their address blocks.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::cidr::Cidr;
use crate::defaults;
use crate::describe::query;
use crate::errors::{Refusal, Result, refuse_on};
use crate::model::acl::AclRow;
use crate::model::endpoint::EndpointRow;
use crate::model::gateway::InternetGatewayRow;
use crate::model::group::GroupRow;
use crate::model::interface::InterfaceRow;
use crate::model::peering::PeeringRow;
use crate::model::route::RouteTableRow;
use crate::model::subnet::SubnetRow;
use crate::model::vpc::{self, Block, VpcRow};
use crate::resource::{Find as _, Resource as _};
use crate::state::{Change, Ec2};
use crate::tags;

/// The most address blocks of one VPC.
const MAX_BLOCKS: usize = 5;

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateVpcRequest,
) -> Reply<t::CreateVpcResult> {
    refuse_on(&[(
        "AmazonProvidedIpv6CidrBlock",
        input.amazon_provided_ipv6_cidr_block,
    )])?;
    match input.instance_tenancy.as_deref() {
        None | Some("default") => {}
        Some(other) => Err(Refusal::NotImplemented(format!(
            "InstanceTenancy = {other}"
        )))?,
    }
    let cidr = input.cidr_block.as_deref();
    let cidr = block(cidr.ok_or_else(|| Refusal::missing("cidrBlock"))?)?;
    let tags = tags::on_create(&vpc::KIND, &input.tag_specifications)?;
    let vpc = ec2
        .write(&cx, input.dry_run, |w| {
            let vpc = defaults::make_vpc(w, cidr, false, tags.clone())?;
            // A new VPC is still being prepared when AWS answers.
            w.show(&vpc)
        })
        .await?;
    Ok(t::CreateVpcResult { vpc: Some(vpc) })
}

/// An address block that a VPC can have.
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
            "InvalidVpc.Range",
            format!("The CIDR '{text}' is invalid."),
        ))
    }
}

pub(crate) async fn create_default(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateDefaultVpcRequest,
) -> Reply<t::CreateDefaultVpcResult> {
    let vpc = ec2
        .write(&cx, input.dry_run, |w| {
            if w.all::<VpcRow>()?.iter().any(|vpc| vpc.is_default) {
                return Err(Refusal::new(
                    "DefaultVpcAlreadyExists",
                    "A Default VPC already exists for this account in this region.",
                ));
            }
            let vpc = defaults::make_default_vpc(w)?;
            w.show(&vpc)
        })
        .await?;
    Ok(t::CreateDefaultVpcResult { vpc: Some(vpc) })
}

/// Deletes a VPC that nothing was put into. What came with it goes with it.
pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteVpcRequest,
) -> Reply<t::DeleteVpcOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let vpc = w.need::<VpcRow>(&input.vpc_id)?;
        if is_used(w, vpc.id())? {
            return Err(Refusal::in_use("vpc", vpc.id()));
        }
        for table in w.of_vpc::<RouteTableRow>(vpc.id())? {
            w.delete(&table)?;
        }
        for acl in w.of_vpc::<AclRow>(vpc.id())? {
            w.delete(&acl)?;
        }
        for group in w.of_vpc::<GroupRow>(vpc.id())? {
            w.delete(&group)?;
        }
        w.delete(&vpc)
    })
    .await?;
    Ok(t::DeleteVpcOutput {})
}

fn is_used(w: &Change<'_>, vpc: &str) -> Result<bool> {
    let gateways = w.all::<InternetGatewayRow>()?;
    let peerings = w.all::<PeeringRow>()?;
    Ok(!w.of_vpc::<SubnetRow>(vpc)?.is_empty()
        || !w.of_vpc::<InterfaceRow>(vpc)?.is_empty()
        || !w.of_vpc::<EndpointRow>(vpc)?.is_empty()
        || gateways
            .iter()
            .any(|gateway| gateway.vpc.as_deref() == Some(vpc))
        || peerings.iter().any(|peering| peering.concerns(vpc))
        || w.of_vpc::<RouteTableRow>(vpc)?
            .iter()
            .any(|table| table.main.is_none())
        || w.of_vpc::<AclRow>(vpc)?.iter().any(|acl| !acl.is_default)
        || w.of_vpc::<GroupRow>(vpc)?
            .iter()
            .any(|group| !group.is_default()))
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeVpcsRequest,
) -> Reply<t::DescribeVpcsResult> {
    let page = ec2
        .list::<VpcRow>(&cx, query!("DescribeVpcs", input, vpc_ids))
        .await?;
    Ok(t::DescribeVpcsResult {
        next_token: page.next,
        vpcs: Some(page.items),
    })
}

pub(crate) async fn modify_attribute(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyVpcAttributeRequest,
) -> Reply<t::ModifyVpcAttributeOutput> {
    let value = |attribute: &Option<t::AttributeBooleanValue>| {
        attribute.as_ref().and_then(|attribute| attribute.value)
    };
    let hostnames = value(&input.enable_dns_hostnames);
    let support = value(&input.enable_dns_support);
    let metrics = value(&input.enable_network_address_usage_metrics);
    refuse_on(&[("EnableNetworkAddressUsageMetrics", metrics)])?;
    match [hostnames, support, metrics].iter().flatten().count() {
        0 => Err(Refusal::missing("Attribute"))?,
        1 => {}
        _ => Err(Refusal::combination(
            "Fields for multiple attribute types specified",
        ))?,
    }
    ec2.write(&cx, None, |w| {
        w.change(&input.vpc_id, |vpc: &mut VpcRow| {
            vpc.dns_hostnames = hostnames.unwrap_or(vpc.dns_hostnames);
            vpc.dns_support = support.unwrap_or(vpc.dns_support);
            Ok(())
        })
    })
    .await?;
    Ok(t::ModifyVpcAttributeOutput {})
}

pub(crate) async fn describe_attribute(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeVpcAttributeRequest,
) -> Reply<t::DescribeVpcAttributeResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let vpc = snapshot.need::<VpcRow>(&here, &input.vpc_id)?;
    let mut out = t::DescribeVpcAttributeResult {
        vpc_id: Some(input.vpc_id),
        ..Default::default()
    };
    let value = |value| Some(t::AttributeBooleanValue { value: Some(value) });
    match input.attribute.as_str() {
        "enableDnsSupport" => out.enable_dns_support = value(vpc.dns_support),
        "enableDnsHostnames" => out.enable_dns_hostnames = value(vpc.dns_hostnames),
        "enableNetworkAddressUsageMetrics" => {
            out.enable_network_address_usage_metrics = value(false);
        }
        other => Err(Refusal::wrong("attribute", other))?,
    }
    Ok(out)
}

pub(crate) async fn associate_block(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AssociateVpcCidrBlockRequest,
) -> Reply<t::AssociateVpcCidrBlockResult> {
    refuse_on(&[(
        "AmazonProvidedIpv6CidrBlock",
        input.amazon_provided_ipv6_cidr_block,
    )])?;
    let cidr = input.cidr_block.as_deref();
    let cidr = block(cidr.ok_or_else(|| Refusal::missing("cidrBlock"))?)?;
    let block = ec2
        .write(&cx, None, |w| {
            w.change(&input.vpc_id, |vpc: &mut VpcRow| {
                if vpc.cidrs().any(|taken| taken.overlaps(cidr)) {
                    return Err(Refusal::new(
                        "InvalidVpc.Range",
                        format!("The CIDR '{cidr}' conflicts with another CIDR block of the VPC."),
                    ));
                }
                if vpc.blocks.len() == MAX_BLOCKS {
                    return Err(Refusal::new(
                        "CidrLimitExceeded",
                        format!(
                            "The vpc '{}' has reached its limit of CIDR blocks.",
                            vpc.id()
                        ),
                    ));
                }
                let block = Block {
                    id: id::resource("vpc-cidr-assoc"),
                    cidr,
                };
                vpc.blocks.push(block.clone());
                Ok(block)
            })
        })
        .await?;
    Ok(t::AssociateVpcCidrBlockResult {
        cidr_block_association: Some(block.shape()),
        vpc_id: Some(input.vpc_id),
        ..Default::default()
    })
}

pub(crate) async fn disassociate_block(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DisassociateVpcCidrBlockRequest,
) -> Reply<t::DisassociateVpcCidrBlockResult> {
    let (vpc, block) = ec2
        .write(&cx, None, |w| {
            let id = &input.association_id;
            let mut vpcs = w.all::<VpcRow>()?.into_iter();
            let holder = vpcs.find(|vpc| vpc.blocks.iter().any(|block| block.id == *id));
            let Some(mut vpc) = holder else {
                return Err(Refusal::new(
                    "InvalidVpcCidrBlockAssociationID.NotFound",
                    format!("The vpc CIDR block association ID '{id}' does not exist"),
                ));
            };
            let at = vpc
                .blocks
                .iter()
                .position(|block| block.id == *id)
                .unwrap_or(0);
            if at == 0 {
                return Err(Refusal::denied(
                    "The primary IPv4 CIDR block of a VPC cannot be disassociated.",
                ));
            }
            let block = vpc.blocks.remove(at);
            let subnets = w.of_vpc::<SubnetRow>(vpc.id())?;
            if subnets
                .iter()
                .any(|subnet| block.cidr.contains(subnet.cidr))
            {
                return Err(Refusal::new(
                    "InvalidCidrBlock.InUse",
                    format!("The CIDR block {} is used by a subnet.", block.cidr),
                ));
            }
            w.put(&vpc)?;
            Ok((vpc.meta.id, block))
        })
        .await?;
    let mut association = block.shape();
    association.cidr_block_state = Some(t::VpcCidrBlockState {
        state: Some("disassociating".into()),
        ..Default::default()
    });
    Ok(t::DisassociateVpcCidrBlockResult {
        cidr_block_association: Some(association),
        vpc_id: Some(vpc),
        ..Default::default()
    })
}
