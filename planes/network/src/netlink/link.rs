//! Network interfaces: veth pairs, their names, namespaces and counters.

use super::message::{Message, attributes, long, number, text};
use super::socket::Socket;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// One end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub name: &'a str,
    pub mac: Option<[u8; 6]>,
    /// What is noted on it, for whoever looks later.
    pub alias: &'a str,
    /// Where it goes; `None` is the socket's own namespace.
    pub netns: Option<BorrowedFd<'a>>,
}

/// An interface as seen in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub index: u32,
    pub alias: String,
    pub mtu: u32,
    pub up: bool,
    /// Its carrier is there: for a veth, its other end is up as well.
    pub running: bool,
    pub traffic: Traffic,
}

/// What went through an interface since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub received_packets: u64,
    pub received_bytes: u64,
    pub sent_packets: u64,
    pub sent_bytes: u64,
}

const VETH_INFO_PEER: u16 = 1;
const INFO_HEADER: usize = 16;

/// `struct ifinfomsg`.
fn info(index: u32, flags: i32) -> [u8; INFO_HEADER] {
    let mut header = [0; INFO_HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    // The flags, then which of them are meant.
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&flags.to_ne_bytes());
    header
}

fn describe(message: Message, end: End<'_>, mtu: u32) -> Message {
    let mut message = message
        .text(libc::IFLA_IFNAME, end.name)
        .number(libc::IFLA_MTU, mtu);
    if let Some(mac) = end.mac {
        message = message.attr(libc::IFLA_ADDRESS, &mac);
    }
    match end.netns {
        Some(fd) => message.number(libc::IFLA_NET_NS_FD, fd.as_raw_fd() as u32),
        None => message,
    }
}

/// Makes a pair. The near end carries the alias and is up at once; the far one waits to be set up.
pub(crate) fn add_pair(
    socket: &mut Socket,
    near: End<'_>,
    far: End<'_>,
    mtu: u32,
) -> io::Result<()> {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let pair = Message::new(libc::RTM_NEWLINK, flags, &info(0, libc::IFF_UP));
    let pair = describe(pair, near, mtu).nest(libc::IFLA_LINKINFO, &[], |kind| {
        kind.attr(libc::IFLA_INFO_KIND, b"veth")
            .nest(libc::IFLA_INFO_DATA, &[], |data| {
                data.nest(VETH_INFO_PEER, &info(0, 0), |peer| describe(peer, far, mtu))
            })
    });
    // A link is not made with an alias, but it is never seen without: both messages go in one
    // system call.
    let alias = Message::new(libc::RTM_SETLINK, 0, &unchanged(0))
        .text(libc::IFLA_IFNAME, near.name)
        .text(libc::IFLA_IFALIAS, near.alias);
    for result in socket.perform(&[pair, alias])? {
        result?;
    }
    Ok(())
}

pub(crate) fn set_up(socket: &mut Socket, index: u32) -> io::Result<()> {
    socket.one(Message::new(
        libc::RTM_NEWLINK,
        0,
        &info(index, libc::IFF_UP),
    ))
}

/// Waits until an interface whose other end is up does send: asking for a single interface has
/// the kernel act on a carrier that just came, which it would do at its leisure otherwise.
pub(crate) fn settle(socket: &mut Socket, index: u32) -> io::Result<()> {
    socket.one(Message::new(libc::RTM_GETLINK, 0, &info(index, 0)))
}

pub(crate) fn set_mtu(socket: &mut Socket, index: u32, mtu: u32) -> io::Result<()> {
    socket.one(Message::new(libc::RTM_NEWLINK, 0, &unchanged(index)).number(libc::IFLA_MTU, mtu))
}

/// Changes no flags.
fn unchanged(index: u32) -> [u8; INFO_HEADER] {
    let mut header = [0; INFO_HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header
}

/// Removes an interface, and the other end with it.
pub(crate) fn remove(socket: &mut Socket, index: u32) -> io::Result<()> {
    socket.one(Message::new(libc::RTM_DELLINK, 0, &info(index, 0)))
}

/// The interfaces of the socket's namespace, by name.
pub(crate) fn list(socket: &mut Socket) -> io::Result<BTreeMap<String, Link>> {
    let mut links = BTreeMap::new();
    socket.dump(&Message::new(libc::RTM_GETLINK, 0, &info(0, 0)), |body| {
        if let Some((name, link)) = parse(body) {
            links.insert(name, link);
        }
    })?;
    Ok(links)
}

fn parse(body: &[u8]) -> Option<(String, Link)> {
    let flags = number(body.get(8..)?)? as i32;
    let mut name = None;
    let mut link = Link {
        index: number(body.get(4..)?)?,
        alias: String::new(),
        mtu: 0,
        up: flags & libc::IFF_UP != 0,
        running: flags & libc::IFF_RUNNING != 0,
        traffic: Traffic::default(),
    };
    for (kind, value) in attributes(body, INFO_HEADER) {
        match kind {
            libc::IFLA_IFNAME => name = text(value),
            libc::IFLA_IFALIAS => link.alias = text(value)?,
            libc::IFLA_MTU => link.mtu = number(value)?,
            libc::IFLA_STATS64 => {
                let field = |n: usize| long(value.get(8 * n..)?);
                link.traffic = Traffic {
                    received_packets: field(0)?,
                    sent_packets: field(1)?,
                    received_bytes: field(2)?,
                    sent_bytes: field(3)?,
                };
            }
            _ => {}
        }
    }
    Some((name?, link))
}

// From `linux/neighbour.h`, which the libc crate leaves out.
const NDTA_NAME: u16 = 1;
const NDTA_PARMS: u16 = 6;
const NDTPA_IFINDEX: u16 = 1;
const NDTPA_PROXY_DELAY: u16 = 13;

/// Has ARP questions for others answered at once; by default up to 0.8 seconds pass.
pub(crate) fn answer_at_once(socket: &mut Socket, index: u32) -> io::Result<()> {
    let family = [libc::AF_INET as u8, 0, 0, 0];
    let message = Message::new(libc::RTM_SETNEIGHTBL, 0, &family).text(NDTA_NAME, "arp_cache");
    socket.one(message.nest(NDTA_PARMS, &[], |parameters| {
        parameters
            .number(NDTPA_IFINDEX, index)
            .attr(NDTPA_PROXY_DELAY, &0u64.to_ne_bytes())
    }))
}
