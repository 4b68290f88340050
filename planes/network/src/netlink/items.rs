//! Addresses, neighbours, routes and rules: how each is listed, made and removed. Only what this
//! plane made is ever listed, so only that is ever removed.

use super::message::{Message, address, attributes, number, text};
use super::socket::Socket;
use crate::state::{Address, Neighbour, Route, Rule, Select, Way};
use ipnet::Ipv4Net;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Names and numbers of a namespace's interfaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Devices {
    by_name: BTreeMap<String, u32>,
    by_index: BTreeMap<u32, String>,
}

impl FromIterator<(String, u32)> for Devices {
    fn from_iter<I: IntoIterator<Item = (String, u32)>>(all: I) -> Devices {
        let by_name: BTreeMap<_, _> = all.into_iter().collect();
        let by_index = by_name
            .iter()
            .map(|(name, index)| (*index, name.clone()))
            .collect();
        Devices { by_name, by_index }
    }
}

impl Devices {
    pub(crate) fn index(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    fn name(&self, index: u32) -> Option<String> {
        self.by_index.get(&index).cloned()
    }
}

/// Something that a namespace holds many of.
pub(crate) trait Item: Ord + Sized {
    const WHAT: &str;
    const NEW: u16;
    const DELETE: u16;
    const GET: u16;
    /// Length of the fixed part of its messages.
    const FIXED: usize;
    /// Flags with which one is made.
    const MAKE: i32;

    /// The device that it goes with.
    fn device(&self) -> Option<&str>;

    /// The message that makes or removes it; `None` while its device does not exist.
    fn message(&self, kind: u16, flags: i32, devices: &Devices) -> Option<Message>;

    /// Reads an entry of a listing; `None` if it isn't ours.
    fn parse(body: &[u8], devices: &Devices) -> Option<Self>;

    fn list(socket: &mut Socket, devices: &Devices) -> io::Result<BTreeSet<Self>> {
        let mut fixed = vec![0; Self::FIXED];
        fixed[0] = libc::AF_INET as u8;
        let mut all = BTreeSet::new();
        socket.dump(&Message::new(Self::GET, 0, &fixed), |body| {
            all.extend(Self::parse(body, devices));
        })?;
        Ok(all)
    }
}

/// Marks what this plane made (`RTA_PROTOCOL` and its like); below 128 are those of known daemons.
const OURS: u8 = 0xc7;

impl Item for Address {
    const WHAT: &str = "address";
    const NEW: u16 = libc::RTM_NEWADDR;
    const DELETE: u16 = libc::RTM_DELADDR;
    const GET: u16 = libc::RTM_GETADDR;
    const FIXED: usize = 8;
    const MAKE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

    fn device(&self) -> Option<&str> {
        Some(&self.device)
    }

    fn message(&self, kind: u16, flags: i32, devices: &Devices) -> Option<Message> {
        let mut fixed = [0; 8];
        fixed[0] = libc::AF_INET as u8;
        fixed[1] = self.at.prefix_len();
        fixed[4..8].copy_from_slice(&devices.index(&self.device)?.to_ne_bytes());
        let local = self.at.addr().octets();
        let broadcast = self.at.broadcast().octets();
        let message = Message::new(kind, flags, &fixed);
        let message = message
            .attr(libc::IFA_LOCAL, &local)
            .attr(libc::IFA_ADDRESS, &local);
        Some(match self.at.prefix_len() {
            32 => message,
            _ => message.attr(libc::IFA_BROADCAST, &broadcast),
        })
    }

    fn parse(body: &[u8], devices: &Devices) -> Option<Address> {
        let prefix = *body.get(1)?;
        let device = devices.name(number(body.get(4..)?)?)?;
        let local = attributes(body, Self::FIXED).find(|(kind, _)| *kind == libc::IFA_LOCAL)?;
        let local = address(local.1)?;
        // The kernel gives every namespace 127.0.0.1 by itself.
        (!local.is_loopback()).then_some(())?;
        Some(Address {
            device,
            at: Ipv4Net::new(local, prefix).ok()?,
        })
    }
}

impl Item for Neighbour {
    const WHAT: &str = "neighbour";
    const NEW: u16 = libc::RTM_NEWNEIGH;
    const DELETE: u16 = libc::RTM_DELNEIGH;
    const GET: u16 = libc::RTM_GETNEIGH;
    const FIXED: usize = 12;
    const MAKE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

    fn device(&self) -> Option<&str> {
        Some(&self.device)
    }

    fn message(&self, kind: u16, flags: i32, devices: &Devices) -> Option<Message> {
        let mut fixed = [0; 12];
        fixed[0] = libc::AF_INET as u8;
        fixed[4..8].copy_from_slice(&devices.index(&self.device)?.to_ne_bytes());
        fixed[8..10].copy_from_slice(&libc::NUD_PERMANENT.to_ne_bytes());
        let message = Message::new(kind, flags, &fixed);
        Some(
            message
                .attr(libc::NDA_DST, &self.address.octets())
                .attr(libc::NDA_LLADDR, &self.mac),
        )
    }

    fn parse(body: &[u8], devices: &Devices) -> Option<Neighbour> {
        let device = devices.name(number(body.get(4..)?)?)?;
        let state = super::message::short(body.get(8..)?)?;
        (state == libc::NUD_PERMANENT).then_some(())?;
        let find = |wanted| attributes(body, Self::FIXED).find(|(kind, _)| *kind == wanted);
        Some(Neighbour {
            device,
            address: address(find(libc::NDA_DST)?.1)?,
            mac: find(libc::NDA_LLADDR)?.1.try_into().ok()?,
        })
    }
}

/// `RTNH_F_ONLINK`: the gateway is on the link though no address says so.
const ONLINK: u32 = 4;

impl Item for Route {
    const WHAT: &str = "route";
    const NEW: u16 = libc::RTM_NEWROUTE;
    const DELETE: u16 = libc::RTM_DELROUTE;
    const GET: u16 = libc::RTM_GETROUTE;
    const FIXED: usize = 12;
    const MAKE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

    fn device(&self) -> Option<&str> {
        match &self.way {
            Way::Link { device } | Way::Gateway { device, .. } => Some(device),
            Way::Blackhole | Way::Throw => None,
        }
    }

    fn message(&self, kind: u16, flags: i32, devices: &Devices) -> Option<Message> {
        let (class, scope, on_link) = match self.way {
            Way::Link { .. } => (libc::RTN_UNICAST, libc::RT_SCOPE_LINK, 0),
            Way::Gateway { .. } => (libc::RTN_UNICAST, libc::RT_SCOPE_UNIVERSE, ONLINK),
            Way::Blackhole => (libc::RTN_BLACKHOLE, libc::RT_SCOPE_UNIVERSE, 0),
            Way::Throw => (libc::RTN_THROW, libc::RT_SCOPE_UNIVERSE, 0),
        };
        let mut fixed = [
            libc::AF_INET as u8,
            self.to.prefix_len(),
            0,
            0,
            0,
            OURS,
            scope,
            class,
            0,
            0,
            0,
            0,
        ];
        fixed[8..12].copy_from_slice(&on_link.to_ne_bytes());
        let message = Message::new(kind, flags, &fixed).number(libc::RTA_TABLE, self.table);
        let message = match self.to.prefix_len() {
            0 => message,
            _ => message.attr(libc::RTA_DST, &self.to.network().octets()),
        };
        Some(match &self.way {
            Way::Link { device } => message.number(libc::RTA_OIF, devices.index(device)?),
            Way::Gateway { device, gateway } => message
                .number(libc::RTA_OIF, devices.index(device)?)
                .attr(libc::RTA_GATEWAY, &gateway.octets()),
            Way::Blackhole | Way::Throw => message,
        })
    }

    fn parse(body: &[u8], devices: &Devices) -> Option<Route> {
        let (prefix, protocol, class) = (*body.get(1)?, *body.get(5)?, *body.get(7)?);
        (protocol == OURS).then_some(())?;
        let (mut table, mut to, mut gateway, mut device) = (0, None, None, None);
        for (kind, value) in attributes(body, Self::FIXED) {
            match kind {
                libc::RTA_TABLE => table = number(value)?,
                libc::RTA_DST => to = address(value),
                libc::RTA_GATEWAY => gateway = address(value),
                libc::RTA_OIF => device = devices.name(number(value)?),
                _ => {}
            }
        }
        let way = match (class, gateway) {
            (libc::RTN_BLACKHOLE, _) => Way::Blackhole,
            (libc::RTN_THROW, _) => Way::Throw,
            (_, Some(gateway)) => Way::Gateway {
                device: device?,
                gateway,
            },
            (_, None) => Way::Link { device: device? },
        };
        let to = to.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
        Some(Route {
            table,
            to: Ipv4Net::new(to, prefix).ok()?,
            way,
        })
    }
}

/// Before the main table's rule, after the local table's.
const PRIORITY: u32 = 1000;
// From `linux/fib_rules.h`, which the libc crate leaves out.
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;
const FRA_PROTOCOL: u16 = 21;
const FR_ACT_TO_TBL: u8 = 1;

impl Item for Rule {
    const WHAT: &str = "rule";
    const NEW: u16 = libc::RTM_NEWRULE;
    const DELETE: u16 = libc::RTM_DELRULE;
    const GET: u16 = libc::RTM_GETRULE;
    const FIXED: usize = 12;
    const MAKE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

    fn device(&self) -> Option<&str> {
        match &self.select {
            Select::Device(device) => Some(device),
            Select::From(_) => None,
        }
    }

    fn message(&self, kind: u16, flags: i32, _: &Devices) -> Option<Message> {
        let prefix = if matches!(self.select, Select::From(_)) {
            32
        } else {
            0
        };
        let fixed = [
            libc::AF_INET as u8,
            0,
            prefix,
            0,
            0,
            0,
            0,
            FR_ACT_TO_TBL,
            0,
            0,
            0,
            0,
        ];
        let message = Message::new(kind, flags, &fixed)
            .number(FRA_PRIORITY, PRIORITY)
            .number(FRA_TABLE, self.table)
            .attr(FRA_PROTOCOL, &[OURS]);
        Some(match &self.select {
            Select::Device(name) => message.text(FRA_IIFNAME, name),
            Select::From(address) => message.attr(FRA_SRC, &address.octets()),
        })
    }

    fn parse(body: &[u8], _: &Devices) -> Option<Rule> {
        let (mut select, mut table, mut ours) = (None, None, false);
        for (kind, value) in attributes(body, Self::FIXED) {
            match kind {
                FRA_SRC => select = address(value).map(Select::From),
                FRA_IIFNAME => select = text(value).map(Select::Device),
                FRA_TABLE => table = number(value),
                FRA_PROTOCOL => ours = value == [OURS],
                _ => {}
            }
        }
        ours.then_some(Rule {
            select: select?,
            table: table?,
        })
    }
}
