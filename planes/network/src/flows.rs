//! Fetching what `counting` counted: a dump of the kernel's sets that sets their counters to zero, so
//! that nothing is told twice and nobody has to remember anything.

use crate::counting::{COUNTS, Count, SHAPES, SKIPPED, Shape};
use crate::error::{Doing, Result};
use crate::firewall::TABLE;
use crate::names;
use crate::netlink::message::{Message, address, attributes, text};
use crate::netlink::socket::Socket;
use crate::nft::IDLE;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Some packets of one flow that passed an interface, or were dropped there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The interface or NAT gateway.
    pub interface: String,
    /// The packets came out of it, rather than going in.
    pub outward: bool,
    /// They passed the rules of that side.
    pub accepted: bool,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    /// As in the IP header.
    pub protocol: u8,
    /// Source and destination; zero where the protocol has none.
    pub ports: (u16, u16),
    /// As this host handles them: what a card would cut into several is one.
    pub packets: u64,
    /// With their IP headers.
    pub bytes: u64,
    /// How long ago the last of them was.
    pub idle: Duration,
}

/// What has passed since it was fetched last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    pub flows: Vec<Flow>,
    /// Packets that could not be counted by their flows, by interface: there were too many flows.
    pub skipped: BTreeMap<String, u64>,
}

// From `linux/netfilter/nf_tables.h`.
const SUBSYSTEM: u16 = 10 << 8;
/// `NFT_MSG_GETSETELEM_RESET`, since Linux 6.5.
const GET_AND_RESET: u16 = SUBSYSTEM | 33;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_EXPIRATION: u16 = 5;
const ELEMENT_EXPRESSION: u16 = 7;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;
/// `struct nfgenmsg`.
const HEADER: [u8; 4] = [libc::AF_INET as u8, 0, 0, 0];
/// An interface's name in a key.
const NAME: usize = 16;

/// Fetches from a socket that was opened in a router's namespace. A router without such sets has
/// counted nothing.
pub(crate) fn fetch(socket: &mut Socket, interfaces: &BTreeSet<String>) -> Result<Flows> {
    let ids: BTreeMap<String, &String> = interfaces
        .iter()
        .map(|id| (names::device(id), id))
        .collect();
    let mut out = Flows::default();
    let doing = || "fetching counted flows (this needs Linux 6.5)".to_owned();
    for count in COUNTS {
        for shape in SHAPES {
            let found = |element: &Element<'_>| {
                let id = ids.get(&text(element.key)?)?;
                let flow = element.flow(count, shape)?;
                out.flows.push(Flow {
                    interface: (*id).clone(),
                    ..flow
                });
                Some(())
            };
            dump(socket, &count.set(shape), found).doing(doing)?;
        }
    }
    let found = |element: &Element<'_>| {
        let id = ids.get(&text(element.key)?)?;
        *out.skipped.entry((*id).clone()).or_default() += element.packets;
        Some(())
    };
    dump(socket, SKIPPED, found).doing(doing)?;
    Ok(out)
}

/// Shows the elements of a set that counted something.
fn dump(
    socket: &mut Socket,
    set: &str,
    mut found: impl FnMut(&Element<'_>) -> Option<()>,
) -> io::Result<()> {
    let request = Message::new(GET_AND_RESET, 0, &HEADER)
        .text(LIST_TABLE, TABLE)
        .text(LIST_SET, set);
    let dumped = socket.dump(&request, |body| {
        let lists = attributes(body, HEADER.len()).filter(|(kind, _)| *kind == LIST_ELEMENTS);
        for (_, element) in lists.flat_map(|(_, list)| attributes(list, 0)) {
            if let Some(element) = Element::read(element).filter(|it| it.packets > 0) {
                // One of an interface that is gone is nobody's.
                let _ = found(&element);
            }
        }
    });
    match dumped {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        dumped => dumped,
    }
}

struct Element<'a> {
    key: &'a [u8],
    packets: u64,
    bytes: u64,
    idle: Duration,
}

impl<'a> Element<'a> {
    fn read(bytes: &'a [u8]) -> Option<Element<'a>> {
        let counter = inner(inner(bytes, ELEMENT_EXPRESSION)?, EXPRESSION_DATA)?;
        let left = inner(bytes, ELEMENT_EXPIRATION).and_then(big);
        let left = left.map_or(IDLE, Duration::from_millis);
        Some(Element {
            key: inner(inner(bytes, ELEMENT_KEY)?, DATA_VALUE)?,
            packets: big(inner(counter, COUNTER_PACKETS)?)?,
            bytes: big(inner(counter, COUNTER_BYTES)?)?,
            idle: IDLE.saturating_sub(left),
        })
    }

    /// Without its interface. Each part of a key begins at a multiple of four bytes.
    fn flow(&self, count: Count, shape: Shape) -> Option<Flow> {
        let part = |at: usize| self.key.get(NAME + 4 * at..);
        let port = |at| Some(u16::from_be_bytes(part(at)?.get(..2)?.try_into().ok()?));
        let (protocol, ports) = match shape {
            Shape::Tcp => (libc::IPPROTO_TCP as u8, (port(2)?, port(3)?)),
            Shape::Udp => (libc::IPPROTO_UDP as u8, (port(2)?, port(3)?)),
            Shape::Other => (*part(2)?.first()?, (0, 0)),
        };
        Some(Flow {
            interface: String::new(),
            outward: count.outward,
            accepted: count.accepted,
            source: address(part(0)?)?,
            destination: address(part(1)?)?,
            protocol,
            ports,
            packets: self.packets,
            bytes: self.bytes,
            idle: self.idle,
        })
    }
}

fn inner(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut all = attributes(bytes, 0);
    all.find(|(of, _)| *of == kind).map(|(_, value)| value)
}

/// The numbers of netfilter are in the network's order.
fn big(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(key: &[u8]) -> Message {
        let value = |number: u64| number.to_be_bytes();
        Message::new(0, 0, &HEADER).nest(LIST_ELEMENTS, &[], |list| {
            list.nest(1, &[], |element| {
                element
                    .nest(ELEMENT_KEY, &[], |m| m.attr(DATA_VALUE, key))
                    .nest(ELEMENT_EXPRESSION, &[], |m| {
                        m.text(1, "counter").nest(EXPRESSION_DATA, &[], |m| {
                            m.attr(COUNTER_BYTES, &value(120))
                                .attr(COUNTER_PACKETS, &value(2))
                        })
                    })
                    .attr(ELEMENT_EXPIRATION, &value(29_000))
            })
        })
    }

    fn parsed(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.write(1, 0, &mut bytes);
        // Past the header of the message, its own, the list's and the element's.
        bytes[16 + 4 + 4 + 4..].to_vec()
    }

    #[test]
    fn an_element_is_a_flow() {
        let mut key = [0u8; NAME + 16];
        key[..6].copy_from_slice(b"veni-1");
        key[16..20].copy_from_slice(&[10, 0, 0, 1]);
        key[20..24].copy_from_slice(&[10, 0, 0, 2]);
        key[24..26].copy_from_slice(&4000u16.to_be_bytes());
        key[28..30].copy_from_slice(&80u16.to_be_bytes());
        let bytes = parsed(&element(&key));
        let element = Element::read(&bytes).expect("an element");
        assert_eq!(text(element.key).expect("a name"), "veni-1");
        let count = COUNTS[0];
        let flow = element.flow(count, Shape::Tcp).expect("a flow");
        assert_eq!((flow.packets, flow.bytes), (2, 120));
        assert_eq!(flow.ports, (4000, 80));
        assert_eq!(flow.source, Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(flow.idle, Duration::from_secs(1));
        assert!(flow.accepted && flow.outward && flow.protocol == 6);
    }

    proptest! {
        #[test]
        fn noise_is_no_flow(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Some(element) = Element::read(&bytes) {
                for shape in SHAPES {
                    let _ = element.flow(COUNTS[1], shape);
                }
            }
        }
    }
}
