//! Whether a plan is sound: what `compile` may rely on, and what must never reach a kernel
//! interface or a packet filter's script unchecked.

use crate::error::{Error, Result};
use crate::names;
use crate::plan::{GroupRule, InterfacePlan, Peer, Traffic, VpcPlan};
use ipnet::Ipv4Net;
use std::collections::BTreeSet;
use std::fmt::Display;

/// The longest id; chains and sets are named after ids.
const LONGEST_ID: usize = 64;

type Checked = std::result::Result<(), String>;

/// Says the first fault of a plan.
pub(crate) fn check(plan: &VpcPlan) -> Result<()> {
    let all = || {
        ids(plan)?;
        blocks(plan)?;
        references(plan)?;
        interfaces(plan)
    };
    all().map_err(|fault| Error::Plan {
        id: plan.id.chars().take(LONGEST_ID).collect(),
        fault,
    })
}

/// An id that can be a file name, a set's name, and part of an interface's.
pub(crate) fn plain(id: &str) -> Checked {
    let fits = (1..=LONGEST_ID).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        Ok(())
    } else {
        Err(format!("{id:?} is not a plain id"))
    }
}

fn ids(plan: &VpcPlan) -> Checked {
    plain(&plan.id)?;
    different("subnet", plan.subnets.iter().map(|s| &s.id))?;
    different("route table", plan.route_tables.iter().map(|t| &t.id))?;
    different(
        "number of route table",
        plan.route_tables.iter().map(|t| names::table(&t.id)),
    )?;
    different("prefix list", plan.prefix_lists.iter().map(|l| &l.id))?;
    different("group", plan.groups.iter().map(|g| &g.id))?;
    different("access list", plan.acls.iter().map(|a| &a.id))?;
    let ids = plan.subnets.iter().map(|s| &s.id);
    let ids = ids.chain(plan.route_tables.iter().map(|t| &t.id));
    let ids = ids.chain(plan.prefix_lists.iter().map(|l| &l.id));
    let ids = ids.chain(plan.groups.iter().map(|g| &g.id));
    let ids = ids.chain(plan.acls.iter().map(|a| &a.id));
    let opened = plan.doors.iter().flat_map(|door| &door.open_to);
    for id in ids.chain(linked(plan)).chain(&plan.counted).chain(opened) {
        plain(id)?;
    }
    different("name of link", linked(plan).map(|id| names::device(id)))
}

/// Everything that has a link of its own to the router.
fn linked(plan: &VpcPlan) -> impl Iterator<Item = &String> {
    let ids = plan.interfaces.iter().map(|i| &i.id);
    let ids = ids.chain(plan.nat_gateways.iter().map(|n| &n.id));
    ids.chain(plan.peerings.iter().map(|p| &p.id))
}

fn different<T: Ord + Display>(what: &str, all: impl Iterator<Item = T>) -> Checked {
    let mut seen = BTreeSet::new();
    for one in all {
        let name = one.to_string();
        if !seen.insert(one) {
            return Err(format!("{what} {name} stands there twice"));
        }
    }
    Ok(())
}

fn blocks(plan: &VpcPlan) -> Checked {
    if plan.cidrs.is_empty() {
        return Err("there is no address block".to_owned());
    }
    apart("block", &plan.cidrs)?;
    apart(
        "subnet",
        &plan.subnets.iter().map(|s| s.cidr).collect::<Vec<_>>(),
    )?;
    for subnet in &plan.subnets {
        if !plan.cidrs.iter().any(|cidr| cidr.contains(&subnet.cidr)) {
            return Err(format!("subnet {} lies outside the VPC", subnet.id));
        }
        if subnet.cidr.prefix_len() > 29 {
            return Err(format!("subnet {} has no room for its router", subnet.id));
        }
    }
    Ok(())
}

fn apart(what: &str, nets: &[Ipv4Net]) -> Checked {
    let mut sorted = nets.to_vec();
    sorted.sort_by_key(Ipv4Net::network);
    match sorted
        .windows(2)
        .find(|pair| pair[0].contains(&pair[1].network()))
    {
        Some(pair) => Err(format!("{what} {} overlaps {}", pair[0], pair[1])),
        None => Ok(()),
    }
}

fn references(plan: &VpcPlan) -> Checked {
    for subnet in &plan.subnets {
        known(
            "route table",
            &subnet.route_table,
            plan.route_tables.iter().map(|t| &t.id),
        )?;
        known("access list", &subnet.acl, plan.acls.iter().map(|a| &a.id))?;
    }
    for table in &plan.route_tables {
        different(
            "route to",
            table.routes.iter().map(|route| route.to.trunc()),
        )?;
        if let Some(route) = table
            .routes
            .iter()
            .find(|r| plan.cidrs.contains(&r.to.trunc()))
        {
            return Err(format!("route to {} would replace the local one", route.to));
        }
    }
    for group in &plan.groups {
        for rule in group.ingress.iter().chain(&group.egress) {
            group_rule(plan, rule)?;
        }
    }
    let entries = plan
        .acls
        .iter()
        .flat_map(|acl| acl.ingress.iter().chain(&acl.egress));
    entries.map(|entry| &entry.traffic).try_for_each(traffic)
}

fn group_rule(plan: &VpcPlan, rule: &GroupRule) -> Checked {
    traffic(&rule.traffic)?;
    match &rule.peer {
        Peer::Cidr(_) => Ok(()),
        Peer::PrefixList(id) => known("prefix list", id, plan.prefix_lists.iter().map(|l| &l.id)),
        Peer::Group(id) => known("group", id, plan.groups.iter().map(|g| &g.id)),
    }
}

fn traffic(traffic: &Traffic) -> Checked {
    match traffic {
        Traffic::Tcp(range) | Traffic::Udp(range) if range.first > range.last => Err(format!(
            "ports {}-{} run backwards",
            range.first, range.last
        )),
        _ => Ok(()),
    }
}

fn known<'a>(what: &str, id: &String, mut among: impl Iterator<Item = &'a String>) -> Checked {
    match among.any(|other| other == id) {
        true => Ok(()),
        false => Err(format!("{what} {id} does not exist")),
    }
}

fn interfaces(plan: &VpcPlan) -> Checked {
    let nats: Vec<_> = plan
        .nat_gateways
        .iter()
        .map(|nat| nat.interface())
        .collect();
    let all = || plan.interfaces.iter().chain(&nats);
    different("address", all().flat_map(|i| &i.addresses))?;
    different(
        "place",
        all().filter_map(|i| Some(format!("{}/{}", i.netns.as_ref()?, i.device_index))),
    )?;
    different(
        "hardware address of interface",
        all().map(|i| format!("{:02x?}", i.mac)),
    )?;
    different("public address", plan.public.iter().map(|p| p.public))?;
    different(
        "address behind a public one",
        plan.public.iter().map(|p| p.private),
    )?;
    all().try_for_each(|interface| one_interface(plan, interface))
}

fn one_interface(plan: &VpcPlan, interface: &InterfacePlan) -> Checked {
    let InterfacePlan {
        id,
        subnet,
        addresses,
        mtu,
        ..
    } = interface;
    let Some(subnet) = plan.subnets.iter().find(|other| other.id == *subnet) else {
        return Err(format!("subnet {subnet} of {id} does not exist"));
    };
    // The first four addresses and the last one of a subnet are nobody's.
    let base = u32::from(subnet.cidr.network());
    let last = u32::from(subnet.cidr.broadcast());
    if let Some(odd) = addresses
        .iter()
        .find(|at| !(base + 4..last).contains(&u32::from(**at)))
    {
        return Err(format!(
            "address {odd} of {id} is not one of subnet {}",
            subnet.id
        ));
    }
    if addresses.is_empty() {
        return Err(format!("{id} has no address"));
    }
    if interface.mac[0] & 1 != 0 {
        return Err(format!("hardware address of {id} names a group"));
    }
    if !(576..=65_535).contains(mtu) {
        return Err(format!("{id} cannot have an MTU of {mtu}"));
    }
    if let Some(netns) = &interface.netns {
        plain(netns)?;
        if *netns == plan.id {
            return Err(format!("{id} cannot be in the router's own namespace"));
        }
    }
    different("group", interface.groups.iter())?;
    let groups = || plan.groups.iter().map(|group| &group.id);
    interface
        .groups
        .iter()
        .try_for_each(|group| known("group", group, groups()))
}
