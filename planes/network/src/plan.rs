//! What a virtual network shall be: plain data, written by the caller, owned by nobody.
//!
//! Ids are opaque to this plane; they only have to be short, plain and different.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// A whole VPC. Applying it again with changes brings the network to the new state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcPlan {
    pub id: String,
    /// The first one is the primary block; its base plus two is the resolver's address.
    pub cidrs: Vec<Ipv4Net>,
    /// Whether the resolver's addresses (169.254.169.253 and base plus two) are there to listen at.
    pub dns: bool,
    /// Whether an internet gateway is attached. Routes to it lead nowhere when not.
    pub internet: bool,
    /// Further addresses that the router itself serves, beside metadata and resolver.
    pub services: Vec<Ipv4Addr>,
    /// What the router serves to some interfaces, as if it lay beyond it.
    pub doors: Vec<DoorPlan>,
    pub subnets: Vec<SubnetPlan>,
    pub route_tables: Vec<RouteTablePlan>,
    pub prefix_lists: Vec<PrefixListPlan>,
    pub groups: Vec<GroupPlan>,
    pub acls: Vec<AclPlan>,
    pub interfaces: Vec<InterfacePlan>,
    pub public: Vec<PublicPlan>,
    pub nat_gateways: Vec<NatGatewayPlan>,
    pub peerings: Vec<PeeringPlan>,
    /// Interfaces and NAT gateways whose flows are counted, for [`crate::Network::flows`] to fetch.
    pub counted: BTreeSet<String>,
}

/// An address that the router serves to interfaces whose routes lead there; their groups and the
/// access lists of their subnets judge on the way to it, and the lists on the way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorPlan {
    pub address: Ipv4Addr,
    /// Ids of interfaces.
    pub open_to: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetPlan {
    pub id: String,
    pub cidr: Ipv4Net,
    pub route_table: String,
    pub acl: String,
}

/// Routes beside the local one, which every table has by itself. The longest prefix wins; a route
/// narrower than the local one overrides it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTablePlan {
    pub id: String,
    pub routes: Vec<RoutePlan>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutePlan {
    pub to: Ipv4Net,
    pub via: Target,
}

/// Where a route leads. A target that the plan does not contain swallows its packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    InternetGateway,
    NatGateway(String),
    Interface(String),
    Peering(String),
    Blackhole,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixListPlan {
    pub id: String,
    pub entries: Vec<Ipv4Net>,
}

/// A security group: stateful, allows only, everything else is dropped without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlan {
    pub id: String,
    pub ingress: Vec<GroupRule>,
    pub egress: Vec<GroupRule>,
    /// Addresses of members that live elsewhere, such as in a peered VPC.
    pub elsewhere: Vec<Ipv4Addr>,
}

/// Allows `traffic` from (ingress) or to (egress) `peer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRule {
    pub traffic: Traffic,
    pub peer: Peer,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    Cidr(Ipv4Net),
    PrefixList(String),
    /// The private addresses of a group's members.
    Group(String),
}

/// Which packets a rule means. Ports are the destination's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Traffic {
    All,
    Tcp(Ports),
    Udp(Ports),
    /// `None` means any type; a code without a type does not exist.
    Icmp(Option<(u8, Option<u8>)>),
    /// Another protocol by its number, whatever it carries.
    Protocol(u8),
}

/// An inclusive range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ports {
    pub first: u16,
    pub last: u16,
}

impl Ports {
    pub const ALL: Ports = Ports {
        first: 0,
        last: u16::MAX,
    };

    pub const fn one(port: u16) -> Ports {
        Ports {
            first: port,
            last: port,
        }
    }
}

/// A network access list: stateless, judged in order at the border of a subnet. What no entry
/// matches is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclPlan {
    pub id: String,
    /// In the order in which they are judged.
    pub ingress: Vec<AclEntry>,
    pub egress: Vec<AclEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclEntry {
    pub allow: bool,
    pub traffic: Traffic,
    /// The source of ingress, the destination of egress.
    pub cidr: Ipv4Net,
}

/// An address (or several) of a subnet, and the namespace in which it shows up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfacePlan {
    pub id: String,
    /// The namespace that holds the interface, made if it is not there; `None` while it is
    /// attached to nothing. One namespace may hold several interfaces of one VPC.
    pub netns: Option<String>,
    /// 0 is `eth0`, which has the default route.
    pub device_index: u8,
    pub mac: [u8; 6],
    pub subnet: String,
    /// The first one is the primary address.
    pub addresses: Vec<Ipv4Addr>,
    pub groups: Vec<String>,
    /// Drop what does not come from, or is not meant for, this interface's own addresses.
    pub source_dest_check: bool,
    pub mtu: u32,
}

/// One public address standing for one private address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicPlan {
    pub public: Ipv4Addr,
    pub private: Ipv4Addr,
}

/// A NAT gateway: a router of its own with one leg in `subnet`, hiding everyone behind `private`.
/// Its way out is that subnet's routing and the [`PublicPlan`] of its private address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGatewayPlan {
    pub id: String,
    pub subnet: String,
    pub private: Ipv4Addr,
    pub mac: [u8; 6],
}

/// A link to another VPC's router. It carries packets once both plans have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeeringPlan {
    pub id: String,
    /// The other VPC.
    pub with: String,
}

/// The joint of all VPCs: public addresses, and the way to whoever is beyond them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorePlan {
    /// Where public addresses are taken from. Its first address is the host's own.
    pub pool: Ipv4Net,
    pub uplink: Uplink,
}

/// What the core is linked to. No flow begins at an instance and ends at the host, unless somebody
/// there listens at the host's address in the pool, and at no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Uplink {
    /// Nothing: the core has the host's address itself.
    None,
    /// The host, by a pair of interfaces; needs root.
    Host {
        /// Of the host's end, at most 15 bytes and unique on the host.
        name: String,
        /// Whether the host carries traffic on to the real internet, in its own name.
        internet: bool,
    },
    /// The real internet, by a process that has no more rights than the host's user.
    Tap {
        /// The host's own addresses, which that process would reach for instances too.
        closed: BTreeSet<Ipv4Addr>,
    },
}
