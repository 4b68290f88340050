//! Addresses, routes, rules and neighbours of a namespace, as values that can be compared: what is
//! wanted and what is seen are the same types, and work is the difference of two sets.

use ipnet::Ipv4Net;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

pub const MAIN_TABLE: u32 = 254;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Space {
    pub addresses: BTreeSet<Address>,
    pub neighbours: BTreeSet<Neighbour>,
    pub routes: BTreeSet<Route>,
    pub rules: BTreeSet<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub device: String,
    /// The address with the length of its network, host bits kept.
    pub at: Ipv4Net,
}

/// A neighbour that needs no asking (and that nobody else can pretend to be).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    pub device: String,
    pub address: Ipv4Addr,
    pub mac: [u8; 6],
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub table: u32,
    pub to: Ipv4Net,
    pub way: Way,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The destination is reached on the link itself.
    Link {
        device: String,
    },
    Gateway {
        device: String,
        gateway: Ipv4Addr,
    },
    /// Dropped without an answer.
    Blackhole,
    /// Not decided here: the next table is asked.
    Throw,
}

/// Which table decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub select: Select,
    pub table: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Select {
    /// Packets that come in by a device.
    Device(String),
    /// Packets with this source.
    From(Ipv4Addr),
}

impl Space {
    pub fn address(&mut self, device: &str, at: Ipv4Net) {
        self.addresses.insert(Address {
            device: device.to_owned(),
            at,
        });
    }

    pub fn neighbour(&mut self, device: &str, address: Ipv4Addr, mac: [u8; 6]) {
        self.neighbours.insert(Neighbour {
            device: device.to_owned(),
            address,
            mac,
        });
    }

    pub fn route(&mut self, table: u32, to: Ipv4Net, way: Way) {
        self.routes.insert(Route { table, to, way });
    }

    pub fn rule(&mut self, select: Select, table: u32) {
        self.rules.insert(Rule { select, table });
    }
}

impl Way {
    pub fn link(device: &str) -> Way {
        Way::Link {
            device: device.to_owned(),
        }
    }

    pub fn gateway(device: &str, gateway: Ipv4Addr) -> Way {
        Way::Gateway {
            device: device.to_owned(),
            gateway,
        }
    }
}

/// The network of one address.
pub fn host(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::from(address)
}

/// 0.0.0.0/0.
pub fn everywhere() -> Ipv4Net {
    Ipv4Net::default()
}
