//! What every region of every account begins with, and every VPC.
//!
//! <https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc-components.html>

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use gureum_kit::names::id;
use gureum_kit::{AccountId, Reader, Region, Row};
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::errors::Result;
use crate::model::acl::{self, AclRow, Entry};
use crate::model::dhcp::{self, DhcpOptionsRow};
use crate::model::gateway::{self, InternetGatewayRow};
use crate::model::group::{self, GroupRow, Peer, Rule, What};
use crate::model::route::{self, Route, RouteTableRow, Target};
use crate::model::subnet::{self, SubnetRow};
use crate::model::vpc::{self, Block, VpcRow};
use crate::names;
use crate::resource::{Here, Tags};
use crate::state::Change;
use crate::zones;

/// The default VPC's block; each zone's default subnet is a /20 of it.
const BLOCK: (Ipv4Addr, u8) = (Ipv4Addr::new(172, 31, 0, 0), 16);
const SUBNET_PREFIX: u8 = 20;

/// An account's region that has been looked at before.
#[derive(Serialize, Deserialize)]
pub(crate) struct RegionRow {
    region: Region,
    pub(crate) account: AccountId,
    /// What new VPCs are given.
    pub(crate) dhcp_options: String,
}

impl Row for RegionRow {
    const TABLE: &'static str = "ec2.region";
    type Key = (Region, AccountId);

    fn key(&self) -> Self::Key {
        (self.region.clone(), self.account)
    }
}

/// Whether the region has its defaults.
pub(crate) fn exist(reader: &impl Reader, here: &Here) -> Result<bool> {
    Ok(reader.has::<RegionRow>((&here.region, &here.account))?)
}

/// The DHCP options of new VPCs.
fn dhcp_options(w: &Change<'_>) -> Result<Option<String>> {
    let row = w.tx.get::<RegionRow>((&w.here.region, &w.here.account))?;
    Ok(row.map(|row| row.dhcp_options))
}

/// Makes what a region begins with; does nothing where it is there.
pub(crate) fn make_region(w: &mut Change<'_>) -> Result<()> {
    if exist(w.tx, w.here)? {
        return Ok(());
    }
    let domain = names::private_domain(&w.here.region);
    let options = DhcpOptionsRow {
        meta: w.here.new_meta(&dhcp::KIND, Tags::new()),
        options: BTreeMap::from([
            ("domain-name".to_owned(), vec![domain]),
            (
                "domain-name-servers".to_owned(),
                vec!["AmazonProvidedDNS".to_owned()],
            ),
        ]),
    };
    w.put(&options)?;
    w.tx.put(&RegionRow {
        region: w.here.region.clone(),
        account: w.here.account,
        dhcp_options: options.meta.id,
    })?;
    make_default_vpc(w)?;
    Ok(())
}

/// The default VPC with a public subnet in every zone.
pub(crate) fn make_default_vpc(w: &mut Change<'_>) -> Result<VpcRow> {
    let vpc = make_vpc(w, Cidr::around(BLOCK.0, BLOCK.1), true, Tags::new())?;
    let gateway = InternetGatewayRow {
        meta: w.here.new_meta(&gateway::KIND, Tags::new()),
        vpc: Some(vpc.meta.id.clone()),
    };
    w.put(&gateway)?;
    let mut tables = w.of_vpc::<RouteTableRow>(&vpc.meta.id)?;
    for table in &mut tables {
        table.routes.push(Route {
            destination: Cidr::ALL,
            target: Target::InternetGateway(gateway.meta.id.clone()),
        });
        w.put(table)?;
    }
    for zone in zones::of(&w.here.region) {
        make_default_subnet(w, &vpc, &zone.name)?;
    }
    Ok(vpc)
}

/// A zone's default subnet, in the first part of the VPC's block that is free.
pub(crate) fn make_default_subnet(
    w: &mut Change<'_>,
    vpc: &VpcRow,
    zone: &str,
) -> Result<Option<SubnetRow>> {
    let taken = w.of_vpc::<SubnetRow>(&vpc.meta.id)?;
    let parts = 0..1u32 << (SUBNET_PREFIX - BLOCK.1);
    let mut parts = parts.map(|part| {
        let first = vpc.cidr().nth(part << (32 - u32::from(SUBNET_PREFIX)));
        Cidr::around(first, SUBNET_PREFIX)
    });
    let free = parts.find(|part| !taken.iter().any(|subnet| subnet.cidr.overlaps(*part)));
    let Some(cidr) = free else { return Ok(None) };
    let subnet = SubnetRow {
        meta: w.here.new_meta(&subnet::KIND, Tags::new()),
        vpc: vpc.meta.id.clone(),
        cidr,
        zone: zone.to_owned(),
        default_for_zone: true,
        map_public_ip: true,
    };
    add_subnet(w, &subnet)?;
    Ok(Some(subnet))
}

/// Adds a subnet to its VPC, and to the VPC's default network ACL.
pub(crate) fn add_subnet(w: &mut Change<'_>, subnet: &SubnetRow) -> Result<()> {
    w.put(subnet)?;
    let acls = w.of_vpc::<AclRow>(&subnet.vpc)?;
    for mut acl in acls.into_iter().filter(|acl| acl.is_default) {
        acl.associations.push(acl::Association {
            id: id::resource("aclassoc"),
            subnet: subnet.meta.id.clone(),
        });
        w.put(&acl)?;
    }
    Ok(())
}

/// A VPC with what every VPC has: a main route table, a network ACL and a security group that
/// cannot be deleted.
pub(crate) fn make_vpc(
    w: &mut Change<'_>,
    cidr: Cidr,
    is_default: bool,
    tags: Tags,
) -> Result<VpcRow> {
    let vpc = VpcRow {
        meta: w.here.new_meta(&vpc::KIND, tags),
        blocks: vec![Block {
            id: id::resource("vpc-cidr-assoc"),
            cidr,
        }],
        dhcp_options: dhcp_options(w)?,
        is_default,
        dns_support: true,
        dns_hostnames: is_default,
    };
    w.put(&vpc)?;
    w.put(&RouteTableRow {
        meta: w.here.new_meta(&route::KIND, Tags::new()),
        vpc: vpc.meta.id.clone(),
        routes: Vec::new(),
        main: Some(id::resource("rtbassoc")),
        associations: Vec::new(),
    })?;
    let everything = BTreeMap::from([(100, Entry::open())]);
    w.put(&AclRow {
        meta: w.here.new_meta(&acl::KIND, Tags::new()),
        vpc: vpc.meta.id.clone(),
        is_default: true,
        ingress: everything.clone(),
        egress: everything,
        associations: Vec::new(),
    })?;
    let meta = w.here.new_meta(&group::KIND, Tags::new());
    let from_itself = Rule::new(
        all_traffic(false, Peer::Group(meta.id.clone())),
        None,
        Tags::new(),
    );
    w.put(&GroupRow {
        meta,
        vpc: vpc.meta.id.clone(),
        name: "default".into(),
        description: "default VPC security group".into(),
        rules: vec![from_itself, all_egress()],
    })?;
    Ok(vpc)
}

/// The rule that every new security group has.
pub(crate) fn all_egress() -> Rule {
    Rule::new(all_traffic(true, Peer::V4(Cidr::ALL)), None, Tags::new())
}

fn all_traffic(egress: bool, peer: Peer) -> What {
    What {
        egress,
        protocol: "-1".into(),
        from: None,
        to: None,
        peer,
    }
}
