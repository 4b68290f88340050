//! Network ACLs: stateless, per subnet, in the order of their rule numbers.

use std::collections::BTreeMap;

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::errors::Result;
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "acl",
    name: "network-acl",
    label: "networkAcl",
    not_found: "InvalidNetworkAclID.NotFound",
    malformed: "InvalidNetworkAclId.Malformed",
    ownerless: false,
};

/// The number of the last entry, which denies whatever no other one decided.
pub(crate) const LAST: i32 = 32_767;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AclRow {
    pub(crate) meta: Meta,
    pub(crate) vpc: String,
    pub(crate) is_default: bool,
    /// By rule number.
    pub(crate) ingress: BTreeMap<i32, Entry>,
    pub(crate) egress: BTreeMap<i32, Entry>,
    pub(crate) associations: Vec<Association>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Association {
    /// `aclassoc-…`
    pub(crate) id: String,
    pub(crate) subnet: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) allow: bool,
    /// A protocol's number, or `-1` for all.
    pub(crate) protocol: i32,
    pub(crate) cidr: Source,
    pub(crate) ports: Option<(i32, i32)>,
    /// ICMP type and code, `-1` for all.
    pub(crate) icmp: Option<(i32, i32)>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Source {
    V4(Cidr),
    /// Kept and shown, though no interface has an IPv6 address yet.
    V6(String),
}

resource!(AclRow, "ec2.acl", KIND, vpc: vpc);

impl Entry {
    /// Allows everything.
    pub(crate) fn open() -> Self {
        Self {
            allow: true,
            protocol: -1,
            cidr: Source::V4(Cidr::ALL),
            ports: None,
            icmp: None,
        }
    }

    fn shape(&self, number: i32, egress: bool) -> t::NetworkAclEntry {
        let (v4, v6) = match &self.cidr {
            Source::V4(cidr) => (Some(cidr.to_string()), None),
            Source::V6(cidr) => (None, Some(cidr.clone())),
        };
        t::NetworkAclEntry {
            cidr_block: v4,
            ipv6_cidr_block: v6,
            egress: Some(egress),
            icmp_type_code: self.icmp.map(|(type_, code)| t::IcmpTypeCode {
                code: Some(code),
                type_: Some(type_),
            }),
            port_range: self.ports.map(|(from, to)| t::PortRange {
                from: Some(from),
                to: Some(to),
            }),
            protocol: Some(self.protocol.to_string()),
            rule_action: Some(if self.allow { "allow" } else { "deny" }.into()),
            rule_number: Some(number),
        }
    }
}

impl AclRow {
    pub(crate) fn side(&mut self, egress: bool) -> &mut BTreeMap<i32, Entry> {
        if egress {
            &mut self.egress
        } else {
            &mut self.ingress
        }
    }
}

impl Described for AclRow {
    type Shape = t::NetworkAcl;
    const FILTERS: Paths = &[
        (
            "association.association-id",
            "Associations.NetworkAclAssociationId",
        ),
        ("association.network-acl-id", "Associations.NetworkAclId"),
        ("association.subnet-id", "Associations.SubnetId"),
        ("default", "IsDefault"),
        ("entry.cidr", "Entries.CidrBlock"),
        ("entry.egress", "Entries.Egress"),
        ("entry.icmp.code", "Entries.IcmpTypeCode.Code"),
        ("entry.icmp.type", "Entries.IcmpTypeCode.Type"),
        ("entry.ipv6-cidr", "Entries.Ipv6CidrBlock"),
        ("entry.port-range.from", "Entries.PortRange.From"),
        ("entry.port-range.to", "Entries.PortRange.To"),
        ("entry.protocol", "Entries.Protocol"),
        ("entry.rule-action", "Entries.RuleAction"),
        ("entry.rule-number", "Entries.RuleNumber"),
        ("network-acl-id", "NetworkAclId"),
        ("owner-id", "OwnerId"),
        ("vpc-id", "VpcId"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::NetworkAcl> {
        let last = Entry {
            allow: false,
            ..Entry::open()
        };
        let side = |entries: &BTreeMap<i32, Entry>, egress| {
            let entries = entries
                .iter()
                .map(|(number, entry)| entry.shape(*number, egress));
            entries
                .chain([last.shape(LAST, egress)])
                .collect::<Vec<_>>()
        };
        let association = |it: &Association| t::NetworkAclAssociation {
            network_acl_association_id: Some(it.id.clone()),
            network_acl_id: Some(self.meta.id.clone()),
            subnet_id: Some(it.subnet.clone()),
        };
        let entries = [side(&self.egress, true), side(&self.ingress, false)];
        Ok(t::NetworkAcl {
            associations: Some(self.associations.iter().map(association).collect()),
            entries: Some(entries.concat()),
            is_default: Some(self.is_default),
            network_acl_id: Some(self.meta.id.clone()),
            tags: tags::shapes(&self.meta.tags),
            vpc_id: Some(self.vpc.clone()),
            owner_id: Some(self.meta.account.to_string()),
        })
    }
}
