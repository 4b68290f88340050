//! From a plan to what the kernel shall hold: a pure function.
//!
//! One router per VPC. Every interface is a veth pair between the router and a namespace; routes of
//! one address each lead there, and there is no bridge, so that neighbours of one subnet meet the
//! packet filter like everybody else. A subnet's route table is a kernel table, chosen by the
//! device that a packet comes from. It *throws* what is local: then the main table, which knows
//! every interface, decides, unless a narrower route of the subnet's table did.

use crate::firewall;
use crate::names::{self, CORE, FAR_END};
use crate::nft::Ruleset;
use crate::plan::{InterfacePlan, NatGatewayPlan, RouteTablePlan, SubnetPlan, Target, VpcPlan};
use crate::state::{MAIN_TABLE, Select, Space, Way, everywhere, host};
use ipnet::Ipv4Net;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Where the metadata service and the resolver are in every VPC.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// MTU of links that the user doesn't see: AWS's jumbo frames fit.
pub const WIDE: u32 = 9001;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub router: Space,
    pub ruleset: Ruleset,
    /// Links to interfaces, by the name of the router's end.
    pub legs: BTreeMap<String, Leg>,
    /// Namespaces at the other ends of the legs.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Links to other routers: device name and the other VPC.
    pub peerings: BTreeMap<String, Trunk>,
    /// Public addresses that the core sends here.
    pub public: BTreeSet<Ipv4Addr>,
}

/// A veth pair from the router into another namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leg {
    pub id: String,
    pub namespace: String,
    /// The name of the far end.
    pub inner: String,
    /// The hardware address of the far end.
    pub mac: [u8; 6],
    pub mtu: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trunk {
    pub id: String,
    /// The VPC whose router has the other end.
    pub with: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Namespace {
    pub space: Space,
    /// A packet filter of its own: this namespace is a NAT gateway and forwards.
    pub ruleset: Option<Ruleset>,
}

/// A plan in which `check` found no fault.
pub(crate) fn compile(plan: &VpcPlan) -> Wanted {
    let mut wanted = Wanted {
        router: Space::default(),
        ruleset: firewall::ruleset(plan),
        legs: BTreeMap::new(),
        namespaces: BTreeMap::new(),
        peerings: BTreeMap::new(),
        public: BTreeSet::new(),
    };
    for address in services(plan)
        .into_iter()
        .chain(plan.doors.iter().map(|door| door.address))
        .chain(plan.subnets.iter().map(gateway))
    {
        wanted.router.address("lo", host(address));
    }
    wanted
        .router
        .route(MAIN_TABLE, everywhere(), Way::Blackhole);
    for interface in &plan.interfaces {
        attach(plan, interface, &mut wanted);
    }
    for nat in &plan.nat_gateways {
        let interface = nat.interface();
        attach(plan, &interface, &mut wanted);
        if let Some(namespace) = wanted.namespaces.get_mut(&nat.id) {
            namespace.ruleset = Some(firewall::nat_gateway(nat));
        }
    }
    if plan.internet {
        wanted
            .public
            .extend(plan.public.iter().map(|public| public.public));
    }
    wanted
        .router
        .neighbour(CORE, FAR_END, names::mac(&plan.id, "core"));
    for peering in &plan.peerings {
        let device = names::device(&peering.id);
        wanted
            .router
            .neighbour(&device, FAR_END, names::mac(&peering.id, &peering.with));
        let trunk = Trunk {
            id: peering.id.clone(),
            with: peering.with.clone(),
        };
        wanted.peerings.insert(device, trunk);
    }
    for table in &plan.route_tables {
        route_table(plan, table, &mut wanted.router);
    }
    wanted
}

/// Addresses at which the router itself serves everybody.
pub(crate) fn services(plan: &VpcPlan) -> BTreeSet<Ipv4Addr> {
    let mut all: BTreeSet<_> = plan.services.iter().copied().chain([METADATA]).collect();
    if plan.dns {
        all.insert(RESOLVER);
        all.extend(plan.cidrs.first().and_then(|cidr| nth(*cidr, 2)));
    }
    all
}

/// The router's address in a subnet.
pub(crate) fn gateway(subnet: &SubnetPlan) -> Ipv4Addr {
    nth(subnet.cidr, 1).unwrap_or(subnet.cidr.network())
}

fn nth(net: Ipv4Net, n: u32) -> Option<Ipv4Addr> {
    let address = Ipv4Addr::from(u32::from(net.network()).checked_add(n)?);
    net.contains(&address).then_some(address)
}

impl NatGatewayPlan {
    /// A NAT gateway is a machine with one interface that may carry what isn't its own.
    pub fn interface(&self) -> InterfacePlan {
        InterfacePlan {
            id: self.id.clone(),
            netns: Some(self.id.clone()),
            device_index: 0,
            mac: self.mac,
            subnet: self.subnet.clone(),
            addresses: vec![self.private],
            groups: Vec::new(),
            source_dest_check: false,
            mtu: WIDE,
        }
    }
}

fn attach(plan: &VpcPlan, interface: &InterfacePlan, wanted: &mut Wanted) {
    let Some(namespace) = &interface.netns else {
        return;
    };
    let Some(subnet) = plan
        .subnets
        .iter()
        .find(|subnet| subnet.id == interface.subnet)
    else {
        return;
    };
    let device = names::device(&interface.id);
    let inner = names::inner(interface.device_index);
    for address in &interface.addresses {
        wanted
            .router
            .route(MAIN_TABLE, host(*address), Way::link(&device));
        wanted.router.neighbour(&device, *address, interface.mac);
    }
    wanted.router.rule(
        Select::Device(device.clone()),
        names::table(&subnet.route_table),
    );

    let space = &mut wanted
        .namespaces
        .entry(namespace.clone())
        .or_default()
        .space;
    // One interface has the default route; the others answer through themselves alone.
    let table = match interface.device_index {
        0 => MAIN_TABLE,
        n => 1000 + u32::from(n),
    };
    for address in &interface.addresses {
        // Host bits are kept; the length was checked when the net was parsed.
        let at = Ipv4Net::new(*address, subnet.cidr.prefix_len()).unwrap_or(host(*address));
        space.address(&inner, at);
        if table != MAIN_TABLE {
            space.rule(Select::From(*address), table);
        }
    }
    space.route(table, everywhere(), Way::gateway(&inner, gateway(subnet)));
    if table != MAIN_TABLE {
        space.route(table, subnet.cidr.trunc(), Way::link(&inner));
    }
    let leg = Leg {
        id: interface.id.clone(),
        namespace: namespace.clone(),
        inner,
        mac: interface.mac,
        mtu: interface.mtu,
    };
    wanted.legs.insert(device, leg);
}

fn route_table(plan: &VpcPlan, table: &RouteTablePlan, router: &mut Space) {
    let number = names::table(&table.id);
    for cidr in &plan.cidrs {
        router.route(number, cidr.trunc(), Way::Throw);
    }
    for route in &table.routes {
        let way = way(plan, &route.via).unwrap_or(Way::Blackhole);
        router.route(number, route.to.trunc(), way);
    }
}

/// How packets reach a target; `None` if the plan does not have it.
fn way(plan: &VpcPlan, target: &Target) -> Option<Way> {
    let through = |interface: &InterfacePlan| {
        interface.netns.as_ref()?;
        Some(Way::gateway(
            &names::device(&interface.id),
            *interface.addresses.first()?,
        ))
    };
    match target {
        Target::InternetGateway => plan.internet.then(|| Way::gateway(CORE, FAR_END)),
        Target::Interface(id) => through(plan.interfaces.iter().find(|other| other.id == *id)?),
        Target::NatGateway(id) => through(
            &plan
                .nat_gateways
                .iter()
                .find(|other| other.id == *id)?
                .interface(),
        ),
        Target::Peering(id) => {
            let peering = plan.peerings.iter().find(|other| other.id == *id)?;
            Some(Way::gateway(&names::device(&peering.id), FAR_END))
        }
        Target::Blackhole => None,
    }
}

#[cfg(test)]
mod tests;
