//! Network namespaces by name: the one thing that the executor needs of the room.

use crate::netlink::socket::{Socket, Subsystem};
use std::io;
use std::os::fd::OwnedFd;

/// A place that holds named network namespaces and a core one of its own.
pub(crate) trait Namespaces {
    /// Makes a namespace, unless it is there.
    fn ensure(&self, name: &str) -> io::Result<()>;
    /// Takes away a namespace, if it is there. What still runs in it keeps it alive, unnamed.
    fn remove(&self, name: &str) -> io::Result<()>;
    fn exists(&self, name: &str) -> bool;
    /// A handle of a namespace that exists.
    fn handle(&self, place: Place<'_>) -> io::Result<OwnedFd>;
    /// Runs something in a namespace that exists.
    fn within<T>(&self, place: Place<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T>;

    fn netlink(&self, place: Place<'_>) -> io::Result<Socket> {
        self.within(place, || Socket::open(Subsystem::Route))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// A router, an instance, a NAT gateway.
    Named(&'a str),
    /// The room's own namespace, in which all routers meet.
    Core,
    /// The namespace from which the room was made.
    Host,
}
