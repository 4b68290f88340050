//! Addresses, routes, rules and neighbours of a namespace, as values that can be compared: what is
//! wanted and what is seen are the same types, and work is the difference of two sets.

use ipnet::Ipv4Net;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

pub(crate) const MAIN_TABLE: u32 = 254;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Space {
    pub addresses: BTreeSet<Address>,
    pub neighbours: BTreeSet<Neighbour>,
    pub routes: BTreeSet<Route>,
    pub rules: BTreeSet<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    pub device: String,
    /// The address with the length of its network, host bits kept.
    pub at: Ipv4Net,
}

/// A neighbour that needs no asking (and that nobody else can pretend to be).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Neighbour {
    pub device: String,
    pub address: Ipv4Addr,
    pub mac: [u8; 6],
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    pub table: u32,
    pub to: Ipv4Net,
    pub way: Way,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
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
pub(crate) struct Rule {
    pub select: Select,
    pub table: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Select {
    /// Packets that come in by a device.
    Device(String),
    /// Packets with this source.
    From(Ipv4Addr),
}

impl Space {
    pub(crate) fn address(&mut self, device: &str, at: Ipv4Net) {
        self.addresses.insert(Address {
            device: device.to_owned(),
            at,
        });
    }

    pub(crate) fn neighbour(&mut self, device: &str, address: Ipv4Addr, mac: [u8; 6]) {
        self.neighbours.insert(Neighbour {
            device: device.to_owned(),
            address,
            mac,
        });
    }

    pub(crate) fn route(&mut self, table: u32, to: Ipv4Net, way: Way) {
        self.routes.insert(Route { table, to, way });
    }

    pub(crate) fn rule(&mut self, select: Select, table: u32) {
        self.rules.insert(Rule { select, table });
    }
}

impl Way {
    pub(crate) fn link(device: &str) -> Way {
        Way::Link {
            device: device.to_owned(),
        }
    }

    pub(crate) fn gateway(device: &str, gateway: Ipv4Addr) -> Way {
        Way::Gateway {
            device: device.to_owned(),
            gateway,
        }
    }
}

/// The network of one address.
pub(crate) fn host(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::from(address)
}

/// 0.0.0.0/0.
pub(crate) fn everywhere() -> Ipv4Net {
    Ipv4Net::default()
}
