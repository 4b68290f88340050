//! The core: where all routers meet, and the link from there to the host.

use crate::check;
use crate::error::{Doing, Error, Result};
use crate::executor::{Executor, gone_already, listing, up};
use crate::kernel;
use crate::names::{self, UPLINK};
use crate::namespaces::{Namespaces, Place};
use crate::netlink::link::{self, End};
use crate::netlink::{self, Scope};
use crate::nft::Ruleset;
use crate::plan::CorePlan;
use crate::state::{MAIN_TABLE, Space, Way, everywhere, host};
use crate::wanted::WIDE;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

/// The longest name of an interface.
const LONGEST_NAME: usize = 15;
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
            Some(name) if name.len() > LONGEST_NAME => fault(format!("{name} is too long a name")),
            Some(name) => check::plain(name).or_else(fault),
            None => Ok(()),
        }
    }
}

impl Executor {
    /// Sets up the core, and its link to the host if there shall be one.
    pub(crate) fn apply_core(&mut self, plan: &CorePlan, spaces: &impl Namespaces) -> Result<()> {
        plan.check()?;
        let mut space = Space::default();
        // Public addresses that nobody has lead nowhere, instead of to the host and back.
        space.route(MAIN_TABLE, plan.pool.trunc(), Way::Blackhole);
        match &plan.uplink {
            Some(name) => {
                self.link_to_host(name, plan, spaces)?;
                space.route(MAIN_TABLE, host(plan.host()), Way::link(UPLINK));
                space.route(MAIN_TABLE, everywhere(), Way::gateway(UPLINK, plan.host()));
            }
            // Without a host at hand the core answers in its place.
            None => space.address("lo", host(plan.host())),
        }
        let core = self.core(spaces)?;
        netlink::arrange(core, &space, Scope::Of(&[None, Some("lo"), Some(UPLINK)]))
    }

    fn link_to_host(
        &mut self,
        name: &str,
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
        let table = match plan.internet {
            true => {
                spaces
                    .within(Place::Host, || kernel::sysctls(kernel::FORWARDING))
                    .doing(what)?;
                masquerade(name, plan.pool)
            }
            false => confinement(name),
        };
        kernel::filter(spaces, Place::Host, &table.script(name))
    }

    /// Takes from the host what the core brought there.
    pub(crate) fn leave_host(&mut self, spaces: &impl Namespaces) -> Result<()> {
        let core = self.core(spaces)?;
        let Some(uplink) = link::list(core).doing(listing)?.remove(UPLINK) else {
            return Ok(());
        };
        gone_already(link::remove(core, uplink.index)).doing(|| uplink.alias.clone())?;
        forget_table(&uplink.alias, spaces)
    }
}

/// The host's own table, named after the link: the pool leaves in the host's name.
fn masquerade(name: &str, pool: Ipv4Net) -> Ruleset {
    let mut set = Ruleset::default();
    let rule = format!("ip saddr {} oifname != \"{name}\" masquerade", pool.trunc());
    set.base(
        "leaving",
        "type nat hook postrouting priority srcnat; policy accept;",
        &[&rule],
    );
    set
}

/// The same table where nothing may leave: a host that forwards for others does not for the pool.
fn confinement(name: &str) -> Ruleset {
    let mut set = Ruleset::default();
    let rule = format!("iifname \"{name}\" oifname != \"{name}\" drop");
    set.base(
        "leaving",
        "type filter hook forward priority filter; policy accept;",
        &[&rule],
    );
    set
}

fn forget_table(name: &str, spaces: &impl Namespaces) -> Result<()> {
    let script = format!("table ip {name}\ndelete table ip {name}\n");
    kernel::filter(spaces, Place::Host, &script)
}
