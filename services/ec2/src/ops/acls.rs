//! Network ACLs.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct};

use crate::describe::query;
use crate::errors::{Refusal, Result};
use crate::model::acl::{self, AclRow, Association, Entry, LAST, Source};
use crate::model::vpc::VpcRow;
use crate::permission;
use crate::resource::Resource as _;
use crate::state::Ec2;
use crate::tags;

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateNetworkAclRequest,
) -> Reply<t::CreateNetworkAclResult> {
    let tags = tags::on_create(&acl::KIND, &input.tag_specifications)?;
    let token = input.client_token.as_deref();
    let request = ("CreateNetworkAcl", &input as &dyn Struct);
    let ids = ec2
        .write_once(&cx, input.dry_run, token, request, |w| {
            let vpc = w.need::<VpcRow>(&input.vpc_id)?;
            let acl = AclRow {
                meta: w.here.new_meta(&acl::KIND, tags.clone()),
                vpc: vpc.meta.id,
                is_default: false,
                ingress: Default::default(),
                egress: Default::default(),
                associations: Vec::new(),
            };
            w.put(&acl)?;
            Ok(vec![acl.meta.id])
        })
        .await?;
    Ok(t::CreateNetworkAclResult {
        network_acl: ec2.shown::<AclRow>(&cx, &ids).await?,
        client_token: input.client_token,
    })
}

pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteNetworkAclRequest,
) -> Reply<t::DeleteNetworkAclOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let acl = w.need::<AclRow>(&input.network_acl_id)?;
        if acl.is_default {
            return Err(Refusal::value(format!(
                "cannot delete default network ACL {}",
                acl.id()
            )));
        }
        if !acl.associations.is_empty() {
            return Err(Refusal::in_use("networkAcl", acl.id()));
        }
        w.delete(&acl)
    })
    .await?;
    Ok(t::DeleteNetworkAclOutput {})
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeNetworkAclsRequest,
) -> Reply<t::DescribeNetworkAclsResult> {
    let query = query!("DescribeNetworkAcls", input, network_acl_ids);
    let page = ec2.list::<AclRow>(&cx, query).await?;
    Ok(t::DescribeNetworkAclsResult {
        network_acls: Some(page.items),
        next_token: page.next,
    })
}

/// An entry as a request spells it.
struct Wanted<'a> {
    number: i32,
    protocol: &'a str,
    action: &'a str,
    v4: Option<&'a str>,
    v6: Option<&'a str>,
    ports: Option<&'a t::PortRange>,
    icmp: Option<&'a t::IcmpTypeCode>,
}

impl Wanted<'_> {
    fn entry(&self) -> Result<Entry> {
        check_number(self.number)?;
        let allow = match self.action {
            "allow" => true,
            "deny" => false,
            other => return Err(Refusal::wrong("ruleAction", other)),
        };
        let name = permission::protocol(Some(self.protocol))?;
        let protocol = match name.as_str() {
            "tcp" => 6,
            "udp" => 17,
            "icmp" => 1,
            "icmpv6" => 58,
            other => other.parse().unwrap_or(-1),
        };
        let cidr = match (self.v4, self.v6) {
            (Some(text), None) => Source::V4(
                text.parse()
                    .map_err(|_| Refusal::value(format!("CIDR block {text} is malformed")))?,
            ),
            (None, Some(text)) => {
                permission::v6(text)?;
                Source::V6(text.to_owned())
            }
            (None, None) => return Err(Refusal::missing("cidrBlock")),
            (Some(_), Some(_)) => {
                return Err(Refusal::combination(
                    "The parameter 'cidrBlock' may not be used in combination with 'ipv6CidrBlock'",
                ));
            }
        };
        let (mut ports, mut icmp) = (None, None);
        match protocol {
            6 | 17 => {
                let range = self.ports.ok_or_else(|| Refusal::missing("portRange"))?;
                let (from, to) = permission::ports(&name, range.from, range.to)?;
                ports = from.zip(to);
            }
            1 | 58 => {
                let code = self.icmp.ok_or_else(|| Refusal::missing("icmpTypeCode"))?;
                let (kind, code) = permission::ports(&name, code.type_, code.code)?;
                icmp = kind.zip(code);
            }
            _ => {}
        }
        Ok(Entry {
            allow,
            protocol,
            cidr,
            ports,
            icmp,
        })
    }
}

fn check_number(number: i32) -> Result<()> {
    if (1..LAST).contains(&number) {
        return Ok(());
    }
    Err(Refusal::value(format!(
        "Value ({number}) for parameter ruleNumber is invalid. Rule numbers are from 1 to 32766."
    )))
}

fn absent(acl: &AclRow, number: i32, egress: bool) -> Refusal {
    let direction = if egress { "egress" } else { "ingress" };
    Refusal::new(
        "InvalidNetworkAclEntry.NotFound",
        format!(
            "The specified rule number {number} ({direction}) does not exist in network ACL {}",
            acl.id()
        ),
    )
}

pub(crate) async fn create_entry(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateNetworkAclEntryRequest,
) -> Reply<t::CreateNetworkAclEntryOutput> {
    let wanted = Wanted {
        number: input.rule_number,
        protocol: &input.protocol,
        action: &input.rule_action,
        v4: input.cidr_block.as_deref(),
        v6: input.ipv6_cidr_block.as_deref(),
        ports: input.port_range.as_ref(),
        icmp: input.icmp_type_code.as_ref(),
    };
    let entry = wanted.entry()?;
    ec2.write(&cx, input.dry_run, |w| {
        w.change(&input.network_acl_id, |acl: &mut AclRow| {
            let side = acl.side(input.egress);
            if side.insert(input.rule_number, entry.clone()).is_some() {
                return Err(Refusal::new(
                    "NetworkAclEntryAlreadyExists",
                    format!(
                        "The network acl entry identified by {} already exists.",
                        input.rule_number
                    ),
                ));
            }
            Ok(())
        })
    })
    .await?;
    Ok(t::CreateNetworkAclEntryOutput {})
}

pub(crate) async fn replace_entry(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ReplaceNetworkAclEntryRequest,
) -> Reply<t::ReplaceNetworkAclEntryOutput> {
    let wanted = Wanted {
        number: input.rule_number,
        protocol: &input.protocol,
        action: &input.rule_action,
        v4: input.cidr_block.as_deref(),
        v6: input.ipv6_cidr_block.as_deref(),
        ports: input.port_range.as_ref(),
        icmp: input.icmp_type_code.as_ref(),
    };
    let entry = wanted.entry()?;
    ec2.write(&cx, input.dry_run, |w| {
        w.change(&input.network_acl_id, |acl: &mut AclRow| {
            let side = acl.side(input.egress);
            if side.insert(input.rule_number, entry.clone()).is_none() {
                return Err(absent(acl, input.rule_number, input.egress));
            }
            Ok(())
        })
    })
    .await?;
    Ok(t::ReplaceNetworkAclEntryOutput {})
}

pub(crate) async fn delete_entry(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteNetworkAclEntryRequest,
) -> Reply<t::DeleteNetworkAclEntryOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        w.change(&input.network_acl_id, |acl: &mut AclRow| {
            let gone = acl.side(input.egress).remove(&input.rule_number);
            gone.map(drop)
                .ok_or_else(|| absent(acl, input.rule_number, input.egress))
        })
    })
    .await?;
    Ok(t::DeleteNetworkAclEntryOutput {})
}

/// Gives a subnet another ACL: it always has exactly one.
pub(crate) async fn replace_association(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ReplaceNetworkAclAssociationRequest,
) -> Reply<t::ReplaceNetworkAclAssociationResult> {
    let old = &input.association_id;
    let new = ec2
        .write(&cx, input.dry_run, |w| {
            let target = w.need::<AclRow>(&input.network_acl_id)?;
            let mut acls = w.all::<AclRow>()?.into_iter();
            let held = acls.find_map(|acl| {
                let at = acl.associations.iter().position(|it| it.id == *old)?;
                Some((acl, at))
            });
            let Some((mut from, at)) = held else {
                return Err(Refusal::new(
                    "InvalidAssociationID.NotFound",
                    format!("The association ID '{old}' does not exist"),
                ));
            };
            if from.vpc != target.vpc {
                return Err(Refusal::value(format!(
                    "Network ACL {} belongs to another network",
                    target.id()
                )));
            }
            let subnet = from.associations.remove(at).subnet;
            w.put(&from)?;
            let id = id::resource("aclassoc");
            w.change(&input.network_acl_id, |acl: &mut AclRow| {
                acl.associations.push(Association {
                    id: id.clone(),
                    subnet,
                });
                Ok(())
            })?;
            Ok(id)
        })
        .await?;
    Ok(t::ReplaceNetworkAclAssociationResult {
        new_association_id: Some(new),
    })
}
