//! From rows to the network plane's plan of a VPC: a pure function.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use gureum_network as net;
use ipnet::Ipv4Net;

use crate::cidr::Cidr;
use crate::model::acl::{self, AclRow, Source};
use crate::model::endpoint::{self, EndpointRow};
use crate::model::flow_log::FlowLogRow;
use crate::model::group::{GroupRow, Peer, What};
use crate::model::interface::{InterfaceRow, Purpose};
use crate::model::nat::NatGatewayRow;
use crate::model::peering::PeeringRow;
use crate::model::prefix_list::PrefixListRow;
use crate::model::route::{RouteTableRow, Target};
use crate::model::subnet::SubnetRow;
use crate::model::vpc::VpcRow;
use crate::reconcile::reach;

/// Ethernet's; instances see it on `eth0`.
const MTU: u32 = 1500;

/// A VPC and everything in it.
pub(crate) struct Rows<'a> {
    pub(crate) vpc: &'a VpcRow,
    /// An internet gateway is attached.
    pub(crate) internet: bool,
    pub(crate) subnets: Vec<&'a SubnetRow>,
    pub(crate) tables: Vec<&'a RouteTableRow>,
    pub(crate) groups: Vec<&'a GroupRow>,
    pub(crate) acls: Vec<&'a AclRow>,
    pub(crate) interfaces: Vec<&'a InterfaceRow>,
    pub(crate) nat_gateways: Vec<&'a NatGatewayRow>,
    pub(crate) peerings: Vec<&'a PeeringRow>,
    /// Instances that have a network: those that are up.
    pub(crate) up: &'a dyn Fn(&str) -> bool,
    /// Groups of peered VPCs that rules here name: their members' addresses.
    pub(crate) elsewhere: &'a BTreeMap<String, Vec<Ipv4Addr>>,
    /// The prefix lists of the VPC's account and region.
    pub(crate) prefix_lists: Vec<&'a PrefixListRow>,
    pub(crate) endpoints: Vec<&'a EndpointRow>,
    /// Those of everybody.
    pub(crate) flow_logs: &'a [FlowLogRow],
}

impl Rows<'_> {
    /// The route table of a subnet: its own, or the main one.
    pub(crate) fn table_of(&self, subnet: &str) -> Option<&RouteTableRow> {
        let mut tables = self.tables.iter();
        let own = tables.find(|table| table.associations.iter().any(|it| it.subnet == subnet));
        let table = own.or_else(|| self.tables.iter().find(|table| table.main.is_some()));
        table.copied()
    }
}

pub(crate) fn plan(rows: &Rows<'_>) -> net::VpcPlan {
    net::VpcPlan {
        id: rows.vpc.meta.id.clone(),
        cidrs: rows.vpc.cidrs().map(network).collect(),
        dns: rows.vpc.dns_support,
        internet: rows.internet,
        services: Vec::new(),
        doors: reach::doors(rows),
        subnets: rows
            .subnets
            .iter()
            .map(|subnet| self::subnet(rows, subnet))
            .collect(),
        route_tables: rows.tables.iter().map(|table| self::table(table)).collect(),
        prefix_lists: prefix_lists(rows),
        groups: groups(rows),
        acls: rows.acls.iter().map(|acl| self::acl(acl)).collect(),
        interfaces: interfaces(rows),
        public: public(rows),
        nat_gateways: rows
            .nat_gateways
            .iter()
            .filter_map(|nat| nat_gateway(rows, nat))
            .collect(),
        peerings: rows
            .peerings
            .iter()
            .map(|it| peering(rows.vpc, it))
            .collect(),
        counted: counted(rows),
    }
}

fn network(cidr: Cidr) -> Ipv4Net {
    // A prefix is never longer than 32 bits.
    Ipv4Net::new(cidr.first(), cidr.prefix()).unwrap_or_default()
}

fn subnet(rows: &Rows<'_>, subnet: &SubnetRow) -> net::SubnetPlan {
    let id = &subnet.meta.id;
    let table = rows.table_of(id);
    let mut acls = rows.acls.iter();
    let acl = acls.find(|acl| acl.associations.iter().any(|it| it.subnet == *id));
    net::SubnetPlan {
        id: id.clone(),
        cidr: network(subnet.cidr),
        route_table: table.map(|table| table.meta.id.clone()).unwrap_or_default(),
        acl: acl.map(|acl| acl.meta.id.clone()).unwrap_or_default(),
    }
}

fn table(table: &RouteTableRow) -> net::RouteTablePlan {
    let routes = table.routes.iter().map(|route| net::RoutePlan {
        to: network(route.destination),
        via: match &route.target {
            // Whether it is attached, the plan says.
            Target::InternetGateway(_) => net::Target::InternetGateway,
            Target::NatGateway(id) => net::Target::NatGateway(id.clone()),
            Target::Peering(id) => net::Target::Peering(id.clone()),
            Target::Interface(id) => net::Target::Interface(id.clone()),
        },
    });
    net::RouteTablePlan {
        id: table.meta.id.clone(),
        routes: routes.collect(),
    }
}

/// The VPC's own groups, and those of peered VPCs as no more than their members' addresses.
fn groups(rows: &Rows<'_>) -> Vec<net::GroupPlan> {
    let own = rows.groups.iter().map(|group| self::group(group));
    let others = rows.elsewhere.iter().map(|(id, addresses)| net::GroupPlan {
        id: id.clone(),
        ingress: Vec::new(),
        egress: Vec::new(),
        elsewhere: addresses.clone(),
    });
    own.chain(others).collect()
}

/// The lists that rules name: the account's, and those of services.
fn prefix_lists(rows: &Rows<'_>) -> Vec<net::PrefixListPlan> {
    let named = rows.groups.iter().flat_map(|group| &group.rules);
    let named: BTreeSet<&str> = named
        .filter_map(|rule| match &rule.what.peer {
            Peer::PrefixList(id) => Some(id.as_str()),
            _ => None,
        })
        .collect();
    let plan = |id: &str| {
        let mut lists = rows.prefix_lists.iter();
        let list = lists.find(|list| list.meta.id == id);
        let entries = list.map(|list| list.blocks().map(network).collect());
        let of_service = || endpoint::blocks(&rows.vpc.meta.region, id);
        let entries = entries.unwrap_or_else(|| of_service().map(network).into_iter().collect());
        net::PrefixListPlan {
            id: id.to_owned(),
            entries,
        }
    };
    named.into_iter().map(plan).collect()
}

fn group(group: &GroupRow) -> net::GroupPlan {
    let side = |egress| {
        let rules = group
            .rules
            .iter()
            .filter(move |rule| rule.what.egress == egress);
        rules.filter_map(|rule| self::rule(&rule.what)).collect()
    };
    net::GroupPlan {
        id: group.meta.id.clone(),
        ingress: side(false),
        egress: side(true),
        elsewhere: Vec::new(),
    }
}

/// Rules about IPv6 let nothing through here.
fn rule(what: &What) -> Option<net::GroupRule> {
    let peer = match &what.peer {
        Peer::V4(cidr) => net::Peer::Cidr(network(*cidr)),
        Peer::Group(id) => net::Peer::Group(id.clone()),
        Peer::PrefixList(id) => net::Peer::PrefixList(id.clone()),
        Peer::V6 { .. } => return None,
    };
    let protocol = match what.protocol.as_str() {
        "-1" => -1,
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "icmpv6" => return None,
        number => number.parse().ok()?,
    };
    let pair = what.from.zip(what.to);
    Some(net::GroupRule {
        traffic: traffic(protocol, pair, pair),
        peer,
    })
}

/// `ports` count for TCP and UDP, `icmp` (type and code, `-1` for any) for ICMP.
fn traffic(protocol: i32, ports: Option<(i32, i32)>, icmp: Option<(i32, i32)>) -> net::Traffic {
    let port = |number: i32, else_: u16| u16::try_from(number).unwrap_or(else_);
    let ports = ports.map_or(net::Ports::ALL, |(first, last)| net::Ports {
        first: port(first, 0),
        last: port(last, u16::MAX),
    });
    match protocol {
        6 => net::Traffic::Tcp(ports),
        17 => net::Traffic::Udp(ports),
        1 => {
            let (kind, code) = icmp.unwrap_or((-1, -1));
            let kind = u8::try_from(kind).ok();
            net::Traffic::Icmp(kind.map(|kind| (kind, u8::try_from(code).ok())))
        }
        number => u8::try_from(number).map_or(net::Traffic::All, net::Traffic::Protocol),
    }
}

fn acl(acl: &AclRow) -> net::AclPlan {
    let side = |entries: &BTreeMap<i32, acl::Entry>| {
        let entry = |entry: &acl::Entry| match entry.cidr {
            Source::V4(cidr) => Some(net::AclEntry {
                allow: entry.allow,
                traffic: traffic(entry.protocol, entry.ports, entry.icmp),
                cidr: network(cidr),
            }),
            Source::V6(_) => None,
        };
        entries.values().filter_map(entry).collect()
    };
    net::AclPlan {
        id: acl.meta.id.clone(),
        ingress: side(&acl.ingress),
        egress: side(&acl.egress),
    }
}

fn interfaces(rows: &Rows<'_>) -> Vec<net::InterfacePlan> {
    let ordinary = rows
        .interfaces
        .iter()
        .filter(|row| row.purpose == Purpose::Ordinary);
    let plan = |row: &&InterfaceRow| {
        let attachment = row.attachment.as_ref();
        let up = attachment.filter(|attachment| (rows.up)(&attachment.instance));
        net::InterfacePlan {
            id: row.meta.id.clone(),
            netns: up.map(|attachment| attachment.instance.clone()),
            device_index: up.map_or(0, |at| u8::try_from(at.device_index).unwrap_or(0)),
            mac: row.mac,
            subnet: row.subnet.clone(),
            addresses: row
                .addresses
                .iter()
                .map(|address| address.private)
                .collect(),
            groups: row.groups.clone(),
            source_dest_check: row.source_dest_check,
            mtu: MTU,
        }
    };
    ordinary.map(plan).collect()
}

fn public(rows: &Rows<'_>) -> Vec<net::PublicPlan> {
    let addresses = rows.interfaces.iter().flat_map(|row| &row.addresses);
    let plan = |address: &crate::model::interface::Address| {
        Some(net::PublicPlan {
            public: address.public.as_ref()?.address,
            private: address.private,
        })
    };
    addresses.filter_map(plan).collect()
}

fn nat_gateway(rows: &Rows<'_>, nat: &NatGatewayRow) -> Option<net::NatGatewayPlan> {
    let mut interfaces = rows.interfaces.iter();
    let interface = interfaces.find(|row| row.meta.id == nat.interface)?;
    Some(net::NatGatewayPlan {
        id: nat.meta.id.clone(),
        subnet: nat.subnet.clone(),
        private: nat.private,
        mac: interface.mac,
    })
}

/// What flow logs tell of. An interface of a NAT gateway is the gateway to the network.
fn counted(rows: &Rows<'_>) -> BTreeSet<String> {
    let covered = |row: &InterfaceRow| rows.flow_logs.iter().any(|log| log.covers(row));
    let name = |row: &&InterfaceRow| match row.purpose {
        Purpose::Ordinary => {
            let instance = &row.attachment.as_ref()?.instance;
            (rows.up)(instance).then(|| row.meta.id.clone())
        }
        Purpose::NatGateway => {
            let mut nat_gateways = rows.nat_gateways.iter();
            let nat = nat_gateways.find(|nat| nat.interface == row.meta.id)?;
            Some(nat.meta.id.clone())
        }
    };
    let interfaces = rows.interfaces.iter().filter(|row| covered(row));
    interfaces.filter_map(name).collect()
}

fn peering(vpc: &VpcRow, peering: &PeeringRow) -> net::PeeringPlan {
    let (one, other) = (&peering.requester.vpc, &peering.accepter.vpc);
    let with = if *one == vpc.meta.id { other } else { one };
    net::PeeringPlan {
        id: peering.meta.id.clone(),
        with: with.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops;
    use crate::reconcile::lab::{eth0, in_a_region};

    /// The default VPC as a network, with one interface of an instance that is up.
    async fn planned() -> (net::VpcPlan, InterfaceRow) {
        let made = in_a_region(|w, ec2, subnet| {
            let mut row = eth0(w, subnet, "i-1")?;
            ops::instances::give_public(w, ec2, &mut row)?;
            w.put(&row)?;
            let (vpcs, subnets, tables) = (w.all::<VpcRow>()?, w.all()?, w.all()?);
            let (groups, acls, interfaces) = (w.all()?, w.all()?, w.all()?);
            Ok((vpcs, subnets, tables, groups, acls, interfaces, row))
        });
        let (vpcs, subnets, tables, groups, acls, interfaces, row) = made.await;
        let plan = plan(&Rows {
            vpc: &vpcs[0],
            internet: true,
            subnets: subnets.iter().collect(),
            tables: tables.iter().collect(),
            groups: groups.iter().collect(),
            acls: acls.iter().collect(),
            interfaces: interfaces.iter().collect(),
            nat_gateways: Vec::new(),
            peerings: Vec::new(),
            up: &|id| id == "i-1",
            elsewhere: &BTreeMap::new(),
            prefix_lists: Vec::new(),
            endpoints: Vec::new(),
            flow_logs: &[],
        });
        (plan, row)
    }

    #[tokio::test]
    async fn a_default_vpc_becomes_a_network() {
        let (plan, row) = planned().await;
        assert_eq!(plan.subnets.len(), 3);
        let [table] = &plan.route_tables[..] else {
            panic!("one table: {:?}", plan.route_tables);
        };
        assert!(
            plan.subnets
                .iter()
                .all(|subnet| subnet.route_table == table.id)
        );
        assert_eq!(table.routes[0].via, net::Target::InternetGateway);
        let [acl] = &plan.acls[..] else {
            panic!("one ACL: {:?}", plan.acls);
        };
        assert!(plan.subnets.iter().all(|subnet| subnet.acl == acl.id));
        assert_eq!(acl.ingress[0].traffic, net::Traffic::All);
        let [interface] = &plan.interfaces[..] else {
            panic!("one interface: {:?}", plan.interfaces);
        };
        assert_eq!(interface.netns.as_deref(), Some("i-1"));
        assert_eq!(interface.groups, [plan.groups[0].id.clone()]);
        assert_eq!(
            plan.groups[0].ingress[0].peer,
            net::Peer::Group(plan.groups[0].id.clone())
        );
        assert_eq!(Some(plan.public[0].private), row.primary_private());
    }

    #[test]
    fn traffic_is_what_rules_say() {
        let tcp = traffic(6, Some((80, 81)), None);
        assert_eq!(
            tcp,
            net::Traffic::Tcp(net::Ports {
                first: 80,
                last: 81
            })
        );
        assert_eq!(traffic(-1, None, None), net::Traffic::All);
        assert_eq!(
            traffic(1, None, Some((8, -1))),
            net::Traffic::Icmp(Some((8, None)))
        );
        assert_eq!(traffic(1, None, Some((-1, -1))), net::Traffic::Icmp(None));
        assert_eq!(traffic(50, None, None), net::Traffic::Protocol(50));
    }
}
