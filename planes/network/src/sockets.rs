//! Sockets made inside a namespace for somebody outside of it: a socket stays where it was made.

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect as connect_to, socket_with,
};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Tcp,
    Udp,
}

/// As many as wait to be accepted at most.
const BACKLOG: i32 = 1024;

fn socket(at: SocketAddr, kind: Kind) -> io::Result<OwnedFd> {
    let family = match at {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let kind = match kind {
        Kind::Tcp => SocketType::STREAM,
        Kind::Udp => SocketType::DGRAM,
    };
    Ok(socket_with(
        family,
        kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?)
}

/// A listening (or bound) socket that does not block.
pub(crate) fn listen(at: SocketAddr, kind: Kind) -> io::Result<OwnedFd> {
    let fd = socket(at, kind)?;
    if kind == Kind::Tcp {
        set_socket_reuseaddr(&fd, true)?;
    }
    bind(&fd, &at)?;
    if kind == Kind::Tcp {
        rustix::net::listen(&fd, BACKLOG)?;
    }
    Ok(fd)
}

/// A socket that is being connected: it can be written to once it is.
pub(crate) fn connect(from: Option<SocketAddr>, to: SocketAddr, kind: Kind) -> io::Result<OwnedFd> {
    let fd = socket(to, kind)?;
    if let Some(from) = from {
        bind(&fd, &from)?;
    }
    match connect_to(&fd, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error.into()),
    }
}
