//! Brings the kernel to what a plan wants. All of it is idempotent, and a step that fails leaves
//! what the next apply carries on from.
//!
//! The executor remembers what it did, to do less; it believes only what it sees. One that
//! remembers nothing (its predecessor was killed) does everything once more, to the same end.

use crate::check;
use crate::error::{Doing, Error, Result};
use crate::firewall::{NAT_TABLE, TABLE, TRANSLATIONS};
use crate::kernel;
use crate::names::{self, CORE};
use crate::namespaces::{Namespaces, Place};
use crate::netlink::link::{self, End, Link};
use crate::netlink::socket::{Socket, Subsystem};
use crate::netlink::{self, Scope, flows};
use crate::nft::Ruleset;
use crate::observed::{Observed, Seen};
use crate::plan::VpcPlan;
use crate::state::{MAIN_TABLE, Route, Space, Way, host};
use crate::wanted::{self, Leg, Namespace, Trunk, WIDE, Wanted};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

#[derive(Debug, Default)]
pub(crate) struct Executor {
    routers: BTreeMap<String, Router>,
    core: Option<Socket>,
}

/// What is known of a VPC.
#[derive(Debug)]
struct Router {
    netlink: Socket,
    /// What the packet filter holds, if this executor wrote it.
    ruleset: Option<Ruleset>,
    /// What was last arranged.
    space: Space,
    namespaces: BTreeMap<String, Namespace>,
}

impl Executor {
    /// Makes a VPC what its plan says.
    pub(crate) fn apply(&mut self, plan: &VpcPlan, spaces: &impl Namespaces) -> Result<()> {
        check::check(plan)?;
        let wanted = wanted::compile(plan);
        self.core(spaces)?;
        let mut router = match self.routers.remove(&plan.id) {
            Some(router) if spaces.exists(&plan.id) => router,
            _ => Router::open(&plan.id, spaces)?,
        };
        let done = self.bring(&mut router, &plan.id, wanted, spaces);
        self.routers.insert(plan.id.clone(), router);
        done
    }

    fn bring(
        &mut self,
        router: &mut Router,
        id: &str,
        wanted: Wanted,
        spaces: &impl Namespaces,
    ) -> Result<()> {
        let before = router.owned()?;
        let translations = router.translations();
        // The filter first: a new interface is never up without its rules.
        router.filter(id, wanted.ruleset, spaces)?;
        let mut links = router.links()?;
        router.drop_links(&mut links, &wanted.legs, &wanted.peerings)?;
        if !links.contains_key(CORE) {
            self.join_core(id, spaces)?;
        }
        for (device, leg) in &wanted.legs {
            router.leg(id, device, leg, links.get(device), spaces)?;
        }
        for (name, namespace) in &wanted.namespaces {
            router.settle(name, namespace, spaces)?;
        }
        for (device, trunk) in &wanted.peerings {
            if !links.contains_key(device) && spaces.exists(&trunk.with) {
                self.join_peer(router, id, device, trunk, spaces)?;
            }
        }
        router.start(&links)?;
        netlink::arrange(&mut router.netlink, &wanted.router, Scope::All)?;
        router.space = wanted.router;
        router.forget(id, before, translations, spaces)?;
        router.leave(&wanted.namespaces, spaces)?;

        let device = names::device(id);
        let mut ways = Space::default();
        ways.neighbour(&device, names::FAR_END, names::mac(id, "router"));
        for public in wanted.public {
            ways.route(
                MAIN_TABLE,
                host(public),
                Way::gateway(&device, names::FAR_END),
            );
        }
        netlink::arrange(self.core(spaces)?, &ways, Scope::Of(&[Some(&device)]))
    }

    /// Takes a VPC away, with everything that its plan brought.
    pub(crate) fn remove(&mut self, id: &str, spaces: &impl Namespaces) -> Result<()> {
        check::plain(id).map_err(|fault| Error::Plan {
            id: String::new(),
            fault,
        })?;
        let known = self.routers.remove(id);
        if spaces.exists(id) {
            let mut router = match known {
                Some(router) => router,
                None => Router::open(id, spaces)?,
            };
            let links = router.links()?;
            for link in links.values().filter(|link| !link.alias.is_empty()) {
                gone_already(link::remove(&mut router.netlink, link.index))
                    .doing(|| format!("removing {}", link.alias))?;
                if let Some((_, namespace)) = read_note(&link.alias) {
                    router.namespaces.entry(namespace.to_owned()).or_default();
                }
            }
            router.leave(&BTreeMap::new(), spaces)?;
            drop(router);
            spaces
                .remove(id)
                .doing(|| format!("removing the router of {id}"))?;
        }
        // The other end may outlive the router for a moment.
        let core = self.core(spaces)?;
        if let Some(link) = link::list(core).doing(listing)?.get(&names::device(id)) {
            gone_already(link::remove(core, link.index)).doing(|| format!("removing {id}"))?;
        }
        Ok(())
    }

    /// The VPCs that exist, and their interfaces.
    pub(crate) fn observe(&mut self, spaces: &impl Namespaces) -> Result<Vec<Observed>> {
        let ends = link::list(self.core(spaces)?).doing(listing)?;
        let mut all = Vec::new();
        for vpc in ends
            .into_values()
            .map(|link| link.alias)
            .filter(|id| spaces.exists(id))
        {
            let mut own;
            let netlink = match self.routers.get_mut(&vpc) {
                Some(router) => &mut router.netlink,
                None => {
                    own = spaces
                        .netlink(Place::Named(&vpc))
                        .doing(|| format!("entering {vpc}"))?;
                    &mut own
                }
            };
            let links = link::list(netlink).doing(listing)?;
            let interfaces = links.values().filter_map(seen).collect();
            all.push(Observed { vpc, interfaces });
        }
        Ok(all)
    }

    /// The core's socket; the core itself is set up the first time.
    pub(crate) fn core(&mut self, spaces: &impl Namespaces) -> Result<&mut Socket> {
        if self.core.is_none() {
            spaces
                .within(Place::Core, || kernel::sysctls(kernel::CORE))
                .doing(|| "setting up the core".to_owned())?;
            let mut socket = spaces
                .netlink(Place::Core)
                .doing(|| "entering the core".to_owned())?;
            up(&mut socket, "lo")?;
            self.core = Some(socket);
        }
        self.core
            .as_mut()
            .ok_or_else(|| Error::Filter("no core".to_owned()))
    }

    fn join_core(&mut self, id: &str, spaces: &impl Namespaces) -> Result<()> {
        let device = names::device(id);
        let netns = spaces
            .handle(Place::Named(id))
            .doing(|| format!("entering {id}"))?;
        let near = End {
            name: &device,
            mac: Some(names::mac(id, "core")),
            alias: id,
            netns: None,
        };
        let far = End {
            name: CORE,
            mac: Some(names::mac(id, "router")),
            alias: "",
            netns: Some(netns.as_fd()),
        };
        let core = self.core(spaces)?;
        // An end whose router is gone would be in the way.
        if let Some(stale) = link::list(core).doing(listing)?.get(&device) {
            gone_already(link::remove(core, stale.index)).doing(|| format!("removing {device}"))?;
        }
        link::add_pair(core, near, far, WIDE).doing(|| format!("linking {id} to the core"))
    }

    fn join_peer(
        &mut self,
        router: &mut Router,
        id: &str,
        device: &str,
        trunk: &Trunk,
        spaces: &impl Namespaces,
    ) -> Result<()> {
        let netns = spaces
            .handle(Place::Named(&trunk.with))
            .doing(|| format!("entering {}", trunk.with))?;
        // One word of alias: at the other end of this link is no namespace of the VPC's own.
        let near = End {
            name: device,
            mac: Some(names::mac(&trunk.id, id)),
            alias: &trunk.id,
            netns: None,
        };
        let mac = Some(names::mac(&trunk.id, &trunk.with));
        let far = End {
            name: device,
            mac,
            alias: &trunk.id,
            netns: Some(netns.as_fd()),
        };
        link::add_pair(&mut router.netlink, near, far, WIDE)
            .doing(|| format!("linking {}", trunk.id))?;
        // If the other side was arranged before, what it has for this link is still missing.
        if let Some(peer) = self.routers.get_mut(&trunk.with) {
            up(&mut peer.netlink, device)?;
            netlink::arrange(&mut peer.netlink, &peer.space, Scope::All)?;
        }
        Ok(())
    }
}

impl Router {
    /// Makes the namespace if need be, and its settings in any case: whoever made it may have been
    /// killed before it came to them.
    fn open(id: &str, spaces: &impl Namespaces) -> Result<Router> {
        let what = || format!("making the router of {id}");
        spaces.ensure(id).doing(what)?;
        spaces
            .within(Place::Named(id), || kernel::sysctls(kernel::ROUTER))
            .doing(what)?;
        let mut netlink = spaces.netlink(Place::Named(id)).doing(what)?;
        up(&mut netlink, "lo")?;
        Ok(Router {
            netlink,
            ruleset: None,
            space: Space::default(),
            namespaces: BTreeMap::new(),
        })
    }

    /// Which address is reached through which interface.
    fn owned(&mut self) -> Result<BTreeSet<(Ipv4Addr, Way)>> {
        Ok(owned(netlink::routes(&mut self.netlink)?))
    }

    /// Which public address stands for which private one.
    fn translations(&self) -> BTreeSet<(String, String)> {
        let map = self
            .ruleset
            .as_ref()
            .and_then(|held| held.sets.get(TRANSLATIONS));
        map.map(|map| map.elements.clone().into_iter().collect())
            .unwrap_or_default()
    }

    /// Ends the flows of addresses that changed hands: what was allowed to their last owner is not
    /// to reach the next one.
    fn forget(
        &mut self,
        id: &str,
        owned_before: BTreeSet<(Ipv4Addr, Way)>,
        translated_before: BTreeSet<(String, String)>,
        spaces: &impl Namespaces,
    ) -> Result<()> {
        let owned = owned(self.space.routes.iter().cloned());
        let mut lost: BTreeSet<_> = owned_before
            .difference(&owned)
            .map(|(address, _)| *address)
            .collect();
        let translated = self.translations();
        let publics = translated_before.difference(&translated);
        lost.extend(publics.filter_map(|(public, _)| public.parse::<Ipv4Addr>().ok()));
        if lost.is_empty() {
            return Ok(());
        }
        let what = || format!("ending flows of {id}");
        let open = || Socket::open(Subsystem::Netfilter);
        let mut socket = spaces.within(Place::Named(id), open).doing(what)?;
        flows::forget(&mut socket, &lost).doing(what)
    }

    fn links(&mut self) -> Result<BTreeMap<String, Link>> {
        link::list(&mut self.netlink).doing(listing)
    }

    /// Sets up the links that were not there before.
    fn start(&mut self, before: &BTreeMap<String, Link>) -> Result<()> {
        for (name, link) in self.links()? {
            if !link.up {
                link::set_up(&mut self.netlink, link.index).doing(|| name.clone())?;
            }
            if !before.contains_key(&name) {
                link::settle(&mut self.netlink, link.index).doing(|| name.clone())?;
                link::answer_at_once(&mut self.netlink, link.index).doing(|| name)?;
            }
        }
        Ok(())
    }

    fn filter(&mut self, id: &str, ruleset: Ruleset, spaces: &impl Namespaces) -> Result<()> {
        let script = match &self.ruleset {
            Some(held) if *held == ruleset => return Ok(()),
            Some(held) => ruleset.update(held, TABLE),
            None => None,
        };
        // A script that fails may mean that somebody else changed the table: the whole one helps.
        let updated = match script {
            Some(script) => kernel::filter(spaces, Place::Named(id), &script).is_ok(),
            None => false,
        };
        if !updated {
            self.ruleset = None;
            kernel::filter(spaces, Place::Named(id), &ruleset.script(TABLE))?;
        }
        self.ruleset = Some(ruleset);
        Ok(())
    }

    /// Removes links that lead nowhere any more, and those that lead elsewhere.
    fn drop_links(
        &mut self,
        links: &mut BTreeMap<String, Link>,
        legs: &BTreeMap<String, Leg>,
        peerings: &BTreeMap<String, Trunk>,
    ) -> Result<()> {
        let wanted = |name: &String, link: &Link| {
            legs.get(name).is_some_and(|leg| note(leg) == link.alias) || peerings.contains_key(name)
        };
        let odd: Vec<_> = links
            .iter()
            .filter(|(name, link)| !link.alias.is_empty() && !wanted(name, link))
            .map(|(name, link)| (name.clone(), link.clone()))
            .collect();
        for (name, link) in odd {
            gone_already(link::remove(&mut self.netlink, link.index))
                .doing(|| format!("removing {}", link.alias))?;
            if let Some((_, namespace)) = read_note(&link.alias) {
                // Known, so that it is either settled anew or left.
                self.namespaces
                    .insert(namespace.to_owned(), Namespace::default());
            }
            links.remove(&name);
        }
        Ok(())
    }

    fn leg(
        &mut self,
        id: &str,
        device: &str,
        leg: &Leg,
        link: Option<&Link>,
        spaces: &impl Namespaces,
    ) -> Result<()> {
        if let Some(link) = link {
            if link.mtu != leg.mtu {
                link::set_mtu(&mut self.netlink, link.index, leg.mtu).doing(|| leg.id.clone())?;
            }
            return Ok(());
        }
        let what = || format!("linking {} to {id}", leg.id);
        spaces.ensure(&leg.namespace).doing(what)?;
        spaces
            .within(Place::Named(&leg.namespace), || {
                kernel::sysctls(kernel::INSTANCE)
            })
            .doing(what)?;
        let netns = spaces.handle(Place::Named(&leg.namespace)).doing(what)?;
        let note = note(leg);
        let near = End {
            name: device,
            mac: None,
            alias: &note,
            netns: None,
        };
        let far = End {
            name: &leg.inner,
            mac: Some(leg.mac),
            alias: "",
            netns: Some(netns.as_fd()),
        };
        link::add_pair(&mut self.netlink, near, far, leg.mtu).doing(what)?;
        self.namespaces.remove(&leg.namespace);
        Ok(())
    }

    /// The inside of a namespace: interfaces up, addresses, routes, and a filter if it forwards.
    fn settle(
        &mut self,
        name: &str,
        namespace: &Namespace,
        spaces: &impl Namespaces,
    ) -> Result<()> {
        if self.namespaces.get(name) == Some(namespace) {
            return Ok(());
        }
        let place = Place::Named(name);
        if let Some(ruleset) = &namespace.ruleset {
            spaces
                .within(place, || kernel::sysctls(kernel::ROUTER))
                .doing(|| format!("setting up {name}"))?;
            kernel::filter(spaces, place, &ruleset.script(NAT_TABLE))?;
        }
        let mut netlink = spaces.netlink(place).doing(|| format!("entering {name}"))?;
        let links = link::list(&mut netlink).doing(listing)?;
        for (device, link) in links.iter().filter(|(_, link)| !link.up) {
            link::set_up(&mut netlink, link.index).doing(|| format!("{device} in {name}"))?;
            link::settle(&mut netlink, link.index).doing(|| format!("{device} in {name}"))?;
        }
        netlink::arrange(&mut netlink, &namespace.space, Scope::All)?;
        self.namespaces.insert(name.to_owned(), namespace.clone());
        Ok(())
    }

    /// Takes away the namespaces in which no interface is left.
    fn leave(
        &mut self,
        wanted: &BTreeMap<String, Namespace>,
        spaces: &impl Namespaces,
    ) -> Result<()> {
        let left: Vec<_> = self
            .namespaces
            .keys()
            .filter(|name| !wanted.contains_key(*name))
            .cloned()
            .collect();
        for name in left {
            spaces
                .remove(&name)
                .doing(|| format!("removing namespace {name}"))?;
            self.namespaces.remove(&name);
        }
        Ok(())
    }
}

fn owned(routes: impl IntoIterator<Item = Route>) -> BTreeSet<(Ipv4Addr, Way)> {
    let direct = routes
        .into_iter()
        .filter(|route| route.table == MAIN_TABLE && matches!(route.way, Way::Link { .. }));
    direct
        .map(|route| (route.to.network(), route.way))
        .collect()
}

/// An interface by its router's end: what the router received is what the interface sent.
fn seen(link: &Link) -> Option<Seen> {
    let (id, _) = read_note(&link.alias)?;
    Some(Seen {
        id: id.to_owned(),
        running: link.running,
        packets_in: link.traffic.sent_packets,
        bytes_in: link.traffic.sent_bytes,
        packets_out: link.traffic.received_packets,
        bytes_out: link.traffic.received_bytes,
    })
}

/// What is noted on the router's end of a leg: whose it is, where it leads, and as what.
fn note(leg: &Leg) -> String {
    let mac = leg.mac.map(|byte| format!("{byte:02x}")).join(":");
    format!("{} {} {} {mac}", leg.id, leg.namespace, leg.inner)
}

/// The interface and the namespace of a [`note`]; `None` on links that lead to no namespace of ours.
fn read_note(alias: &str) -> Option<(&str, &str)> {
    let mut words = alias.split(' ');
    Some((words.next()?, words.next()?))
}

pub(crate) fn up(socket: &mut Socket, device: &str) -> Result<()> {
    match link::list(socket).doing(listing)?.get(device) {
        Some(link) if !link.up => link::set_up(socket, link.index).doing(|| device.to_owned()),
        _ => Ok(()),
    }
}

pub(crate) fn listing() -> String {
    "listing links".to_owned()
}

pub(crate) fn gone_already(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => other,
    }
}
