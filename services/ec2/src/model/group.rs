//! Security groups and their rules.

use std::net::Ipv6Addr;

use gureum_kit::names::id;
use gureum_kit::{AccountId, Reader};
use gureum_model_ec2::types as t;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::errors::Result;
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, Resource as _, Tags, arn, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "sg",
    name: "security-group",
    label: "security group",
    not_found: "InvalidGroup.NotFound",
    malformed: "InvalidGroupId.Malformed",
    ownerless: false,
};

/// Rules have ids, ARNs and tags of their own, though they live in their group's row.
pub(crate) const RULE: Kind = Kind {
    prefix: "sgr",
    name: "security-group-rule",
    label: "security group rule",
    not_found: "InvalidSecurityGroupRuleId.NotFound",
    malformed: "InvalidSecurityGroupRuleId.Malformed",
    ownerless: false,
};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct GroupRow {
    pub(crate) meta: Meta,
    pub(crate) vpc: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) rules: Vec<Rule>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// `sgr-…`
    pub(crate) id: String,
    pub(crate) what: What,
    pub(crate) description: Option<String>,
    pub(crate) tags: Tags,
}

/// What a rule allows; two rules of a group never allow the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct What {
    pub(crate) egress: bool,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, another protocol's number, or `-1` for all.
    pub(crate) protocol: String,
    /// Ports, or ICMP type and code; absent when the protocol has neither.
    pub(crate) from: Option<i32>,
    pub(crate) to: Option<i32>,
    pub(crate) peer: Peer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Peer {
    V4(Cidr),
    /// Kept and shown, though no interface has an IPv6 address yet.
    V6 {
        base: Ipv6Addr,
        prefix: u8,
    },
    PrefixList(String),
    /// The private addresses of all interfaces in that group.
    Group(String),
}

resource!(GroupRow, "ec2.group", KIND, vpc: vpc);

impl Rule {
    pub(crate) fn new(what: What, description: Option<String>, tags: Tags) -> Self {
        Self {
            id: id::resource(RULE.prefix),
            what,
            description,
            tags,
        }
    }

    pub(crate) fn shape(&self, group: &GroupRow) -> t::SecurityGroupRule {
        let meta = &group.meta;
        let what = &self.what;
        let mut shape = t::SecurityGroupRule {
            security_group_rule_id: Some(self.id.clone()),
            group_id: Some(meta.id.clone()),
            group_owner_id: Some(meta.account.to_string()),
            is_egress: Some(what.egress),
            ip_protocol: Some(what.protocol.clone()),
            from_port: Some(what.from.unwrap_or(-1)),
            to_port: Some(what.to.unwrap_or(-1)),
            description: self.description.clone(),
            tags: tags::shapes(&self.tags),
            security_group_rule_arn: Some(
                arn(&RULE, &meta.region, &meta.account, &self.id).to_string(),
            ),
            ..Default::default()
        };
        match &what.peer {
            Peer::V4(cidr) => shape.cidr_ipv4 = Some(cidr.to_string()),
            Peer::V6 { base, prefix } => shape.cidr_ipv6 = Some(format!("{base}/{prefix}")),
            Peer::PrefixList(id) => shape.prefix_list_id = Some(id.clone()),
            Peer::Group(id) => {
                shape.referenced_group_info = Some(t::ReferencedSecurityGroup {
                    group_id: Some(id.clone()),
                    user_id: Some(meta.account.to_string()),
                    ..Default::default()
                });
            }
        }
        shape
    }
}

impl GroupRow {
    /// The group that every VPC has.
    pub(crate) fn is_default(&self) -> bool {
        self.name == "default"
    }

    pub(crate) fn refers_to(&self, group: &str) -> bool {
        let refers = |rule: &Rule| matches!(&rule.what.peer, Peer::Group(id) if id == group);
        self.rules.iter().any(refers)
    }

    fn permissions(&self, egress: bool) -> Vec<t::IpPermission> {
        let rules = self.rules.iter().filter(|rule| rule.what.egress == egress);
        permissions(&self.meta.account, rules)
    }
}

/// Rules in the older form: those of the same protocol and ports together.
pub(crate) fn permissions<'a>(
    account: &AccountId,
    rules: impl Iterator<Item = &'a Rule>,
) -> Vec<t::IpPermission> {
    let mut out: Vec<t::IpPermission> = Vec::new();
    for rule in rules {
        let what = &rule.what;
        let same = out.iter().position(|permission| {
            permission.ip_protocol.as_deref() == Some(what.protocol.as_str())
                && permission.from_port == what.from
                && permission.to_port == what.to
        });
        let index = same.unwrap_or_else(|| {
            out.push(t::IpPermission {
                ip_protocol: Some(what.protocol.clone()),
                from_port: what.from,
                to_port: what.to,
                user_id_group_pairs: Some(Vec::new()),
                ip_ranges: Some(Vec::new()),
                ipv6_ranges: Some(Vec::new()),
                prefix_list_ids: Some(Vec::new()),
            });
            out.len() - 1
        });
        add(&mut out[index], account, rule);
    }
    out
}

fn add(permission: &mut t::IpPermission, account: &AccountId, rule: &Rule) {
    let description = rule.description.clone();
    match &rule.what.peer {
        Peer::V4(cidr) => permission
            .ip_ranges
            .get_or_insert_default()
            .push(t::IpRange {
                description,
                cidr_ip: Some(cidr.to_string()),
            }),
        Peer::V6 { base, prefix } => {
            permission
                .ipv6_ranges
                .get_or_insert_default()
                .push(t::Ipv6Range {
                    description,
                    cidr_ipv6: Some(format!("{base}/{prefix}")),
                });
        }
        Peer::PrefixList(id) => {
            permission
                .prefix_list_ids
                .get_or_insert_default()
                .push(t::PrefixListId {
                    description,
                    prefix_list_id: Some(id.clone()),
                });
        }
        Peer::Group(id) => {
            permission
                .user_id_group_pairs
                .get_or_insert_default()
                .push(t::UserIdGroupPair {
                    description,
                    user_id: Some(account.to_string()),
                    group_id: Some(id.clone()),
                    ..Default::default()
                });
        }
    }
}

/// The filters of `DescribeSecurityGroupRules`.
pub(crate) const RULE_FILTERS: Paths = &[
    ("group-id", "GroupId"),
    ("security-group-rule-id", "SecurityGroupRuleId"),
];

impl Described for GroupRow {
    type Shape = t::SecurityGroup;
    const FILTERS: Paths = &[
        ("description", "Description"),
        (
            "egress.ip-permission.cidr",
            "IpPermissionsEgress.IpRanges.CidrIp",
        ),
        (
            "egress.ip-permission.from-port",
            "IpPermissionsEgress.FromPort",
        ),
        (
            "egress.ip-permission.group-id",
            "IpPermissionsEgress.UserIdGroupPairs.GroupId",
        ),
        (
            "egress.ip-permission.group-name",
            "IpPermissionsEgress.UserIdGroupPairs.GroupName",
        ),
        (
            "egress.ip-permission.ipv6-cidr",
            "IpPermissionsEgress.Ipv6Ranges.CidrIpv6",
        ),
        (
            "egress.ip-permission.prefix-list-id",
            "IpPermissionsEgress.PrefixListIds.PrefixListId",
        ),
        (
            "egress.ip-permission.protocol",
            "IpPermissionsEgress.IpProtocol",
        ),
        ("egress.ip-permission.to-port", "IpPermissionsEgress.ToPort"),
        (
            "egress.ip-permission.user-id",
            "IpPermissionsEgress.UserIdGroupPairs.UserId",
        ),
        ("group-id", "GroupId"),
        ("group-name", "GroupName"),
        ("ip-permission.cidr", "IpPermissions.IpRanges.CidrIp"),
        ("ip-permission.from-port", "IpPermissions.FromPort"),
        (
            "ip-permission.group-id",
            "IpPermissions.UserIdGroupPairs.GroupId",
        ),
        (
            "ip-permission.group-name",
            "IpPermissions.UserIdGroupPairs.GroupName",
        ),
        (
            "ip-permission.ipv6-cidr",
            "IpPermissions.Ipv6Ranges.CidrIpv6",
        ),
        (
            "ip-permission.prefix-list-id",
            "IpPermissions.PrefixListIds.PrefixListId",
        ),
        ("ip-permission.protocol", "IpPermissions.IpProtocol"),
        ("ip-permission.to-port", "IpPermissions.ToPort"),
        (
            "ip-permission.user-id",
            "IpPermissions.UserIdGroupPairs.UserId",
        ),
        ("owner-id", "OwnerId"),
        ("vpc-id", "VpcId"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::SecurityGroup> {
        Ok(t::SecurityGroup {
            group_id: Some(self.meta.id.clone()),
            ip_permissions_egress: Some(self.permissions(true)),
            tags: tags::shapes(&self.meta.tags),
            vpc_id: Some(self.vpc.clone()),
            security_group_arn: Some(self.arn().to_string()),
            owner_id: Some(self.meta.account.to_string()),
            group_name: Some(self.name.clone()),
            description: Some(self.description.clone()),
            ip_permissions: Some(self.permissions(false)),
        })
    }
}
