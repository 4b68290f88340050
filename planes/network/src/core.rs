//! The core: where all routers meet, and the link from there to the host or past it.

use crate::check;
use crate::error::{Doing, Error, Result};
use crate::executor::{Executor, gone_already, listing, up};
use crate::kernel;
use crate::names::{self, UPLINK};
use crate::namespaces::{Namespaces, Place};
use crate::netlink::link::{self, End};
use crate::netlink::{self, Scope};
use crate::nft::{Ruleset, Set};
use crate::plan::{CorePlan, Uplink};
use crate::slirp;
use crate::state::{MAIN_TABLE, Space, Way, everywhere, host};
use crate::wanted::WIDE;
use ipnet::Ipv4Net;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

/// The longest name of an interface.
const LONGEST_NAME: usize = 15;
/// Of no use beyond one link. On the host's there may be somebody of importance, such as the
/// metadata service of the cloud that the host is itself a machine of.
const LINK_LOCAL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16);

impl CorePlan {
    /// The host's own address in the pool.
    pub fn host(&self) -> Ipv4Addr {
        self.pool.hosts().next().unwrap_or(self.pool.network())
    }

    fn check(&self) -> Result<()> {
        let fault = |fault: String| {
            Err(Error::Plan {
                id: "core".to_owned(),
                fault,
            })
        };
        if self.pool.prefix_len() > 30 {
            return fault(format!("pool {} is too small", self.pool));
        }
        match &self.uplink {
            Uplink::Host { name, .. } if name.len() > LONGEST_NAME => {
                fault(format!("{name} is too long a name"))
            }
            Uplink::Host { name, .. } => check::plain(name).or_else(fault),
            Uplink::Tap { .. } | Uplink::None => Ok(()),
        }
    }
}

impl Executor {
    /// Sets up the core and what it is linked to. False when there is no tap yet to link it by.
    pub(crate) fn apply_core(&mut self, plan: &CorePlan, spaces: &impl Namespaces) -> Result<bool> {
        plan.check()?;
        let mut space = Space::default();
        // Public addresses that nobody has lead nowhere, instead of out and back.
        space.route(MAIN_TABLE, plan.pool.trunc(), Way::Blackhole);
        space.route(MAIN_TABLE, LINK_LOCAL, Way::Blackhole);
        let mut linked = true;
        match &plan.uplink {
            Uplink::Host { name, internet } => {
                self.link_to_host(name, *internet, plan, spaces)?;
                space.route(MAIN_TABLE, host(plan.host()), Way::link(UPLINK));
                space.route(MAIN_TABLE, everywhere(), Way::gateway(UPLINK, plan.host()));
            }
            Uplink::Tap { closed } => {
                space.address("lo", host(plan.host()));
                linked = self.link_to_tap(plan.pool, closed, spaces)?;
                space.address(UPLINK, host(slirp::ADDRESS));
                space.route(
                    MAIN_TABLE,
                    everywhere(),
                    Way::gateway(UPLINK, slirp::GATEWAY),
                );
            }
            Uplink::None => space.address("lo", host(plan.host())),
        }
        let core = self.core(spaces)?;
        netlink::arrange(core, &space, Scope::Of(&[None, Some("lo"), Some(UPLINK)]))?;
        Ok(linked)
    }

    /// Whoever holds the other end of the tap made it.
    fn link_to_tap(
        &mut self,
        pool: Ipv4Net,
        closed: &BTreeSet<Ipv4Addr>,
        spaces: &impl Namespaces,
    ) -> Result<bool> {
        self.leave_host(spaces)?;
        // The filter first: a link is never up without it.
        kernel::filter(spaces, Place::Core, &carried(pool, closed).script(UPLINK))?;
        let core = self.core(spaces)?;
        let linked = link::list(core).doing(listing)?.contains_key(UPLINK);
        if linked {
            up(core, UPLINK)?;
        }
        Ok(linked)
    }

    fn link_to_host(
        &mut self,
        name: &str,
        internet: bool,
        plan: &CorePlan,
        spaces: &impl Namespaces,
    ) -> Result<()> {
        let what = || format!("linking the host by {name}");
        let mut outside = spaces.netlink(Place::Host).doing(what)?;
        let core = self.core(spaces)?;
        let uplink = link::list(core).doing(listing)?.remove(UPLINK);
        let ours = uplink.as_ref().is_some_and(|uplink| uplink.alias == name);
        if !ours {
            if link::list(&mut outside).doing(listing)?.contains_key(name) {
                let fault = format!("the host has another interface {name}");
                return Err(Error::Plan {
                    id: "core".to_owned(),
                    fault,
                });
            }
            if let Some(uplink) = uplink {
                gone_already(link::remove(core, uplink.index)).doing(what)?;
            }
            let netns = spaces.handle(Place::Host).doing(what)?;
            let mac = Some(names::mac(name, "core"));
            let near = End {
                name: UPLINK,
                mac,
                alias: name,
                netns: None,
            };
            let mac = Some(names::mac(name, "host"));
            let far = End {
                name,
                mac,
                alias: "",
                netns: Some(netns.as_fd()),
            };
            link::add_pair(core, near, far, WIDE).doing(what)?;
        }
        up(&mut outside, name)?;
        up(core, UPLINK)?;
        if let Some(link) = link::list(core).doing(listing)?.get(UPLINK) {
            link::settle(core, link.index).doing(what)?;
            link::answer_at_once(core, link.index).doing(what)?;
        }
        // The pool lies behind the core, whose hardware address is known: the host asks nobody where an
        // address is, so one that came a moment ago is reached at once.
        let mut space = Space::default();
        space.address(name, host(plan.host()));
        space.neighbour(name, names::FAR_END, names::mac(name, "core"));
        space.route(
            MAIN_TABLE,
            plan.pool.trunc(),
            Way::gateway(name, names::FAR_END),
        );
        netlink::arrange(&mut outside, &space, Scope::Of(&[Some(name)]))?;
        if internet {
            spaces
                .within(Place::Host, || kernel::sysctls(kernel::FORWARDING))
                .doing(what)?;
        }
        let table = |open: &[String]| {
            let mut table = match internet {
                true => masquerade(name, plan.pool),
                false => confinement(name),
            };
            let shut = [only_answers(name)];
            let rules = open.iter().chain(&shut).map(String::as_str);
            table.base("entering", INPUT, &rules.collect::<Vec<_>>());
            table.script(name)
        };
        // A kernel that cannot tell one listener from another opens none.
        let open = meant_for_instances(name, plan.host());
        kernel::filter(spaces, Place::Host, &table(&open))
            .or_else(|_| kernel::filter(spaces, Place::Host, &table(&[])))
    }

    /// Takes from the host what the core brought there.
    pub(crate) fn leave_host(&mut self, spaces: &impl Namespaces) -> Result<()> {
        let core = self.core(spaces)?;
        let uplink = link::list(core).doing(listing)?.remove(UPLINK);
        // A tap is not the host's, and has no alias.
        let Some(uplink) = uplink.filter(|uplink| !uplink.alias.is_empty()) else {
            return Ok(());
        };
        gone_already(link::remove(core, uplink.index)).doing(|| uplink.alias.clone())?;
        forget_table(&uplink.alias, spaces)
    }
}

const INPUT: &str = "type filter hook input priority filter; policy accept;";
const FORWARD: &str = "type filter hook forward priority filter; policy accept;";
const LEAVING: &str = "type nat hook postrouting priority srcnat; policy accept;";

/// The host's own table, named after the link: the pool leaves in the host's name.
fn masquerade(name: &str, pool: Ipv4Net) -> Ruleset {
    let mut set = Ruleset::default();
    let rule = format!("ip saddr {} oifname != \"{name}\" masquerade", pool.trunc());
    set.base("leaving", LEAVING, &[&rule]);
    set
}

/// The same table where nothing may leave: a host that forwards for others does not for the pool.
fn confinement(name: &str) -> Ruleset {
    let mut set = Ruleset::default();
    let rule = format!("iifname \"{name}\" oifname != \"{name}\" drop");
    set.base("leaving", FORWARD, &[&rule]);
    set
}

/// The core's table where a tap leads out: all leaves in the core's name, but not to the host, which
/// the process at the other end would take for itself.
fn carried(pool: Ipv4Net, closed: &BTreeSet<Ipv4Addr>) -> Ruleset {
    let mut set = Ruleset::default();
    let mut host = Set::of("ipv4_addr");
    closed.iter().for_each(|address| host.insert(address));
    set.set("host", host);
    let closed = format!("oifname \"{UPLINK}\" ip daddr @host drop");
    set.base("passing", FORWARD, &[&closed, &only_answers(UPLINK)]);
    set.base("entering", INPUT, &[&only_answers(UPLINK)]);
    let pool = pool.trunc();
    let leaving = format!("oifname \"{UPLINK}\" ip saddr {pool} masquerade");
    set.base("leaving", LEAVING, &[&leaving]);
    set
}

/// A server of the host that listens at the host's address in the pool, and not just at every address,
/// is there for instances.
fn meant_for_instances(link: &str, own: Ipv4Addr) -> [String; 2] {
    ["tcp", "udp"].map(|protocol| {
        format!(
            "iifname \"{link}\" ip daddr {own} meta l4proto {protocol} socket wildcard 0 accept"
        )
    })
}

/// What comes in by this link goes on only if it belongs to a flow that began here.
fn only_answers(link: &str) -> String {
    format!("iifname \"{link}\" ct state != {{ established, related }} drop")
}

fn forget_table(name: &str, spaces: &impl Namespaces) -> Result<()> {
    let script = format!("table ip {name}\ndelete table ip {name}\n");
    kernel::filter(spaces, Place::Host, &script)
}
