//! The packet filter and address translation of a VPC's router.
//!
//! A forwarded packet passes, in this order: `spoof` (may this interface send from that address),
//! `public` (a public address becomes a private one), `departure` (the access list, where it leaves a
//! subnet), `egress` (security groups of the sender), `arrival` (the access list, where it enters a
//! subnet), `ingress` (security groups of the receiver), `private` (a private address becomes a public
//! one). Nothing is ever answered for a packet that is dropped. What the router serves to everybody is
//! judged by `services` alone, as in AWS; what it serves at doors is judged there as if it left, and
//! its answers by `served`. Routes have no memory: a door that closes to somebody closes to the
//! connections that they have, too. Where flows are counted, `counting` adds to these chains.

use crate::counting;
use crate::names::{self, CORE};
use crate::nft::{Ruleset, Set};
use crate::plan::{AclEntry, GroupPlan, InterfacePlan, NatGatewayPlan, Peer, VpcPlan};
use crate::rules::{self, Side};
use crate::wanted;
use std::collections::BTreeSet;

/// The table's name, in the router's own namespace.
pub(crate) const TABLE: &str = "vpc";
/// The map from public to private addresses.
pub(crate) const TRANSLATIONS: &str = "public-to-private";
/// The name of a NAT gateway's table, in its namespace.
pub(crate) const NAT_TABLE: &str = "nat";

/// The table of a VPC.
pub(crate) fn ruleset(plan: &VpcPlan) -> Ruleset {
    let mut set = Ruleset::default();
    base_chains(&mut set);
    addresses(plan, &mut set);
    groups(plan, &mut set);
    borders(plan, &mut set);
    counting::add(plan, &mut set);
    set
}

fn base_chains(set: &mut Ruleset) {
    set.base(
        "spoof",
        "type filter hook prerouting priority raw; policy accept;",
        &["iifname @checked iifname . ether saddr . ip saddr != @senders drop"],
    );
    set.base(
        "public",
        "type nat hook prerouting priority dstnat; policy accept;",
        &["iifname \"core\" dnat to ip daddr map @public-to-private"],
    );
    set.base(
        "departure",
        "type filter hook forward priority filter - 10; policy accept;",
        &[
            "oifname @checked oifname . ip daddr != @receivers drop",
            "iifname vmap @leaving-subnet",
        ],
    );
    set.base(
        "egress",
        "type filter hook forward priority filter; policy drop;",
        &[
            "ct state established,related accept",
            "iifname vmap @egress-by-interface",
            "iifname \"core\" ct status dnat accept",
            "iifname @peerings accept",
        ],
    );
    set.base(
        "arrival",
        "type filter hook forward priority filter + 5; policy accept;",
        &["oifname vmap @entering-subnet"],
    );
    set.base(
        "ingress",
        "type filter hook forward priority filter + 10; policy drop;",
        &[
            "ct state established,related accept",
            "oifname vmap @ingress-by-interface",
            "oifname \"core\" accept",
            "oifname @peerings accept",
        ],
    );
    set.base(
        "private",
        "type nat hook postrouting priority srcnat; policy accept;",
        &["oifname \"core\" snat to ip saddr map @private-to-public"],
    );
    set.base(
        "services",
        "type filter hook input priority filter; policy drop;",
        &[
            "ip daddr @door-addresses iifname . ip daddr != @doors drop",
            "ct state established,related accept",
            "ip daddr @services accept",
            "iifname . ip daddr != @doors drop",
            "iifname vmap @leaving-subnet",
            "iifname vmap @egress-by-interface",
        ],
    );
    set.base(
        "served",
        "type filter hook output priority filter; policy accept;",
        &["oifname . ip saddr @doors oifname vmap @entering-subnet"],
    );
}

/// Who owns which address: the router's services, interfaces, public addresses.
fn addresses(plan: &VpcPlan, set: &mut Ruleset) {
    let mut services = Set::of("ipv4_addr");
    wanted::services(plan)
        .iter()
        .for_each(|address| services.insert(address));
    let mut checked = Set::of("ifname");
    let mut senders = Set::of("ifname . ether_addr . ipv4_addr");
    let mut receivers = Set::of("ifname . ipv4_addr");
    for interface in attached(plan).filter(|interface| interface.source_dest_check) {
        let device = quoted(&names::device(&interface.id));
        for address in &interface.addresses {
            senders.insert(format!("{device} . {} . {address}", mac(interface.mac)));
            receivers.insert(format!("{device} . {address}"));
        }
        checked.insert(device);
    }
    let mut inward = Set::map("ipv4_addr : ipv4_addr");
    let mut outward = Set::map("ipv4_addr : ipv4_addr");
    for public in plan.public.iter().filter(|_| plan.internet) {
        inward
            .elements
            .insert(public.public.to_string(), public.private.to_string());
        outward
            .elements
            .insert(public.private.to_string(), public.public.to_string());
    }
    let mut door_addresses = Set::of("ipv4_addr");
    let mut doors = Set::of("ifname . ipv4_addr");
    for door in &plan.doors {
        door_addresses.insert(door.address);
        for id in &door.open_to {
            let device = quoted(&names::device(id));
            doors.insert(format!("{device} . {}", door.address));
        }
    }
    let mut peerings = Set::of("ifname");
    plan.peerings
        .iter()
        .for_each(|peering| peerings.insert(quoted(&names::device(&peering.id))));

    set.set("services", services);
    set.set("door-addresses", door_addresses);
    set.set("doors", doors);
    set.set("checked", checked);
    set.set("senders", senders);
    set.set("receivers", receivers);
    set.set(TRANSLATIONS, inward);
    set.set("private-to-public", outward);
    set.set("peerings", peerings);
}

/// Security groups: a chain per group and direction, and one per interface that lists its groups.
fn groups(plan: &VpcPlan, set: &mut Ruleset) {
    for list in &plan.prefix_lists {
        let mut entries = Set::interval("ipv4_addr");
        ipnet::Ipv4Net::aggregate(&list.entries)
            .iter()
            .for_each(|net| entries.insert(net));
        set.set(format!("list.{}", list.id), entries);
    }
    for group in &plan.groups {
        set.set(format!("members.{}", group.id), members(plan, group));
        for (side, list) in [
            (Side::Ingress, &group.ingress),
            (Side::Egress, &group.egress),
        ] {
            let rules = rules::compact(list, side)
                .into_iter()
                .map(|rule| format!("{rule}accept"));
            set.chain(format!("{}.{}", side.name(), group.id), rules.collect());
        }
    }
    for side in [Side::Ingress, Side::Egress] {
        let mut by_interface = Set::map("ifname : verdict");
        for interface in attached(plan) {
            let device = names::device(&interface.id);
            let chain = format!("{}.{device}", side.name());
            by_interface
                .elements
                .insert(quoted(&device), format!("jump {chain}"));
            let jumps = interface
                .groups
                .iter()
                .map(|id| format!("jump {}.{id}", side.name()));
            set.chain(chain, jumps.collect());
        }
        for nat in &plan.nat_gateways {
            let device = quoted(&names::device(&nat.id));
            by_interface.elements.insert(device, "accept".to_owned());
        }
        set.set(format!("{}-by-interface", side.name()), by_interface);
    }
}

fn members(plan: &VpcPlan, group: &GroupPlan) -> Set {
    let mut members = Set::of("ipv4_addr");
    let holds = |interface: &&InterfacePlan| interface.groups.contains(&group.id);
    let here = plan
        .interfaces
        .iter()
        .filter(holds)
        .flat_map(|interface| &interface.addresses);
    here.chain(&group.elsewhere)
        .for_each(|address| members.insert(address));
    members
}

/// Access lists: judged for packets that leave a subnet, then for those that enter one.
fn borders(plan: &VpcPlan, set: &mut Ruleset) {
    for acl in &plan.acls {
        for (side, entries) in [(Side::Ingress, &acl.ingress), (Side::Egress, &acl.egress)] {
            let mut rules: Vec<_> = entries.iter().map(|entry| judged(entry, side)).collect();
            rules.push("drop".to_owned());
            set.chain(format!("acl-{}.{}", side.name(), acl.id), rules);
        }
    }
    let mut leaving = Set::map("ifname : verdict");
    let mut entering = Set::map("ifname : verdict");
    for subnet in &plan.subnets {
        let (id, acl) = (&subnet.id, &subnet.acl);
        let devices = devices_of(plan, id);
        let mut within = Set::of("ifname");
        for device in &devices {
            within.insert(quoted(device));
            leaving
                .elements
                .insert(quoted(device), format!("jump leaving.{id}"));
            entering
                .elements
                .insert(quoted(device), format!("jump entering.{id}"));
        }
        set.set(format!("within.{id}"), within);
        let rules = |device: &str, side: Side| {
            vec![
                format!("{device} @within.{id} return"),
                format!("goto acl-{}.{acl}", side.name()),
            ]
        };
        set.chain(format!("leaving.{id}"), rules("oifname", Side::Egress));
        set.chain(format!("entering.{id}"), rules("iifname", Side::Ingress));
    }
    set.set("leaving-subnet", leaving);
    set.set("entering-subnet", entering);
}

fn judged(entry: &AclEntry, side: Side) -> String {
    let peer = rules::address(side, &Peer::Cidr(entry.cidr));
    let verdict = if entry.allow { "return" } else { "drop" };
    format!("{peer}{}{verdict}", rules::traffic(entry.traffic))
}

fn devices_of(plan: &VpcPlan, subnet: &str) -> BTreeSet<String> {
    let interfaces = attached(plan).filter(|interface| interface.subnet == subnet);
    let nats = plan.nat_gateways.iter().filter(|nat| nat.subnet == subnet);
    let ids = interfaces
        .map(|interface| &interface.id)
        .chain(nats.map(|nat| &nat.id));
    ids.map(|id| names::device(id)).collect()
}

fn attached(plan: &VpcPlan) -> impl Iterator<Item = &InterfacePlan> {
    plan.interfaces
        .iter()
        .filter(|interface| interface.netns.is_some())
}

/// The table of a NAT gateway: everyone leaves by its own address, and nobody comes in unasked.
pub(crate) fn nat_gateway(nat: &NatGatewayPlan) -> Ruleset {
    let mut set = Ruleset::default();
    let snat = format!("oifname \"eth0\" snat to {}", nat.private);
    set.base(
        "out",
        "type nat hook postrouting priority srcnat; policy accept;",
        &[&snat],
    );
    set.base(
        "in",
        "type filter hook input priority filter; policy drop;",
        &["ct state established,related accept"],
    );
    set
}

pub(crate) fn quoted(device: &str) -> String {
    debug_assert_ne!(device, CORE);
    format!("\"{device}\"")
}

fn mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
