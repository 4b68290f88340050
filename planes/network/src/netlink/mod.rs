//! The kernel's network configuration by netlink: as much of rtnetlink(7) as routers need, blocking
//! and without a runtime, since the keeper is a single thread.

pub(crate) mod flows;
pub(crate) mod items;
pub(crate) mod link;
pub(crate) mod message;
pub(crate) mod socket;

use crate::error::{Doing, Result};
use crate::state::{Address, Neighbour, Route, Rule, Space};
use items::{Devices, Item};
use rustix::io::Errno;
use socket::{Socket, Subsystem};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Which things of a namespace an arrangement is about; the others are not touched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    /// All that this plane makes.
    All,
    /// What goes with these devices; `None` stands for what goes with none.
    Of(&'a [Option<&'a str>]),
}

impl Scope<'_> {
    fn holds(self, item: &impl Item) -> bool {
        match self {
            Scope::All => true,
            Scope::Of(devices) => devices.contains(&item.device()),
        }
    }
}

/// The routes of this plane in a namespace.
pub(crate) fn routes(socket: &mut Socket) -> Result<BTreeSet<Route>> {
    let listing = || "listing routes".to_owned();
    let devices = devices(socket)?;
    Route::list(socket, &devices).doing(listing)
}

/// The addresses of the namespace of this thread, but for 127.0.0.1 and its like.
pub fn own_addresses() -> Result<BTreeSet<Ipv4Addr>> {
    let listing = || "listing this host's addresses".to_owned();
    let mut socket = Socket::open(Subsystem::Route).doing(listing)?;
    let devices = devices(&mut socket)?;
    let all = Address::list(&mut socket, &devices).doing(listing)?;
    Ok(all.into_iter().map(|address| address.at.addr()).collect())
}

fn devices(socket: &mut Socket) -> Result<Devices> {
    let links = link::list(socket).doing(|| "listing links".to_owned())?;
    Ok(links
        .into_iter()
        .map(|(name, link)| (name, link.index))
        .collect())
}

/// Makes a namespace hold exactly what is wanted, within a scope.
pub(crate) fn arrange(socket: &mut Socket, wanted: &Space, scope: Scope<'_>) -> Result<()> {
    let devices = devices(socket)?;
    // Routes need addresses to stand on, and rules tables to point at.
    difference::<Address>(socket, &devices, &wanted.addresses, scope)?;
    difference::<Neighbour>(socket, &devices, &wanted.neighbours, scope)?;
    difference::<Route>(socket, &devices, &wanted.routes, scope)?;
    difference::<Rule>(socket, &devices, &wanted.rules, scope)
}

fn difference<T: Item + std::fmt::Debug>(
    socket: &mut Socket,
    devices: &Devices,
    wanted: &BTreeSet<T>,
    scope: Scope<'_>,
) -> Result<()> {
    let mut seen = T::list(socket, devices).doing(|| format!("listing every {}", T::WHAT))?;
    seen.retain(|item| scope.holds(item));
    let mut steps = Vec::new();
    let mut messages = Vec::new();
    let gone = seen.difference(wanted).map(|item| (item, T::DELETE, 0));
    let new = wanted.difference(&seen).map(|item| (item, T::NEW, T::MAKE));
    for (item, kind, flags) in gone.chain(new) {
        // Without its device a thing has to wait for the apply that brings the device.
        if let Some(message) = item.message(kind, flags, devices) {
            steps.push((item, kind));
            messages.push(message);
        }
    }
    let results = socket
        .perform(&messages)
        .doing(|| format!("changing every {}", T::WHAT))?;
    for ((item, kind), result) in steps.into_iter().zip(results) {
        match result {
            Ok(()) => {}
            // Gone already: with its device, or by a hand from outside.
            Err(Errno::SRCH | Errno::NOENT | Errno::ADDRNOTAVAIL) if kind == T::DELETE => {}
            Err(error) => return Err(error).doing(|| format!("{item:?}")),
        }
    }
    Ok(())
}
