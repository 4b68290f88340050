//! The connections that a router tracks, and how to make it forget some.

use super::message::{Message, address, attributes};
use super::socket::Socket;
use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;

// From `linux/netfilter/nfnetlink*.h`, which the libc crate leaves out.
const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
/// `struct nfgenmsg`.
const HEADER: [u8; 4] = [libc::AF_INET as u8, 0, 0, 0];

/// Forgets every flow from or to one of these addresses, on either side of a translation.
pub(crate) fn forget(socket: &mut Socket, addresses: &BTreeSet<Ipv4Addr>) -> io::Result<()> {
    let mut deletions = Vec::new();
    socket.dump(&Message::new(GET, 0, &HEADER), |body| {
        let tuples = || {
            attributes(body, HEADER.len())
                .filter(|(kind, _)| [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY].contains(kind))
        };
        let concerned = tuples().any(|(_, tuple)| ends(tuple).any(|end| addresses.contains(&end)));
        if let Some((kind, tuple)) = tuples().next().filter(|_| concerned) {
            let request = Message::new(DELETE, 0, &HEADER);
            deletions.push(request.nest(kind, tuple, |nothing_more| nothing_more));
        }
    })?;
    // One that ended meanwhile is none the worse.
    socket.perform(&deletions)?;
    Ok(())
}

/// Source and destination of a tuple.
fn ends(tuple: &[u8]) -> impl Iterator<Item = Ipv4Addr> {
    attributes(tuple, 0)
        .filter(|(kind, _)| *kind == CTA_TUPLE_IP)
        .flat_map(|(_, pair)| attributes(pair, 0))
        .filter_map(|(_, value)| address(value))
}
