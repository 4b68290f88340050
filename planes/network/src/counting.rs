//! Counting the flows of some interfaces: the rules that do it, beside those that judge.
//!
//! The kernel keeps the counts, in sets that rules fill: an element for each flow, with a counter. So a
//! packet costs a lookup and nobody is woken, a flood fills a set and no more, and counting goes on
//! while the cloud is down. What a full set turned away is counted too. [`crate::flows`] fetches.

use crate::firewall::quoted;
use crate::names;
use crate::nft::{Ruleset, Set};
use crate::plan::VpcPlan;

/// The most flows of one set, and the most interfaces.
const MOST: u32 = 65_536;
/// Whose packets are counted.
const COUNTED: &str = "counted";
/// Packets of flows that found no room, by interface.
pub(crate) const SKIPPED: &str = "skipped";

/// What became of packets, and on which side of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub accepted: bool,
    /// They came out of the interface.
    pub outward: bool,
}

/// By what flows are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Tcp,
    Udp,
    /// Other protocols have no ports.
    Other,
}

pub(crate) const COUNTS: [Count; 4] = [
    Count::new(true, true),
    Count::new(true, false),
    Count::new(false, true),
    Count::new(false, false),
];
pub(crate) const SHAPES: [Shape; 3] = [Shape::Tcp, Shape::Udp, Shape::Other];

impl Count {
    const fn new(accepted: bool, outward: bool) -> Count {
        Count { accepted, outward }
    }

    /// The chain that counts.
    fn chain(self) -> &'static str {
        match (self.accepted, self.outward) {
            (true, true) => "accepted-out",
            (true, false) => "accepted-in",
            (false, true) => "refused-out",
            (false, false) => "refused-in",
        }
    }

    fn device(self) -> &'static str {
        match self.outward {
            true => "iifname",
            false => "oifname",
        }
    }

    pub(crate) fn set(self, shape: Shape) -> String {
        format!("{}.{}", self.chain(), shape.name())
    }

    fn rules(self) -> Vec<String> {
        let device = self.device();
        let count = |shape: Shape| {
            let (set, which, key) = (self.set(shape), shape.which(), shape.key());
            let ends = "ip saddr . ip daddr";
            format!("{which} update @{set} {{ {device} . {ends} . {key} counter }} return")
        };
        let mut rules: Vec<_> = SHAPES.map(count).into();
        rules.push(format!("update @{SKIPPED} {{ {device} counter }}"));
        rules
    }

    /// Has its chain count the packets of interfaces that are counted.
    fn jump(self) -> String {
        format!("{} @{COUNTED} jump {}", self.device(), self.chain())
    }
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Shape::Tcp => "tcp",
            Shape::Udp => "udp",
            Shape::Other => "other",
        }
    }

    fn which(self) -> &'static str {
        match self {
            Shape::Tcp => "meta l4proto tcp",
            Shape::Udp => "meta l4proto udp",
            Shape::Other => "meta l4proto != { tcp, udp }",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Shape::Tcp => "tcp sport . tcp dport",
            Shape::Udp => "udp sport . udp dport",
            Shape::Other => "ip protocol",
        }
    }

    /// Five parts are all that `nft` can name.
    fn holds(self) -> &'static str {
        match self {
            Shape::Tcp | Shape::Udp => {
                "ifname . ipv4_addr . ipv4_addr . inet_service . inet_service"
            }
            Shape::Other => "ifname . ipv4_addr . ipv4_addr . inet_proto",
        }
    }
}

/// Adds to a finished table what counts; nothing where nobody is counted.
pub(crate) fn add(plan: &VpcPlan, set: &mut Ruleset) {
    if plan.counted.is_empty() {
        return;
    }
    let mut counted = Set::of("ifname");
    for id in &plan.counted {
        counted.insert(quoted(&names::device(id)));
    }
    set.set(COUNTED, counted);
    set.set(SKIPPED, Set::dynamic("ifname", MOST));
    for count in COUNTS {
        for shape in SHAPES {
            set.set(count.set(shape), Set::dynamic(shape.holds(), MOST));
        }
        set.chain(count.chain(), count.rules());
    }
    accepted(set);
    refused(set);
}

/// Counted where the groups of the one side have let a packet pass, and those of the other.
fn accepted(set: &mut Ruleset) {
    let [sent, received, ..] = COUNTS;
    if let Some(arrival) = set.chains.get_mut("arrival") {
        arrival.rules.insert(0, sent.jump());
    }
    let hook = "type filter hook forward priority filter + 15; policy accept;";
    set.base("received", hook, &[&received.jump()]);
    let hook = "type filter hook input priority filter + 5; policy accept;";
    let called = format!("iifname . ip daddr @doors {}", sent.jump());
    set.base("called", hook, &[&called]);
    let hook = "type filter hook output priority filter + 5; policy accept;";
    let answered = format!("oifname . ip saddr @doors {}", received.jump());
    set.base("answered", hook, &[&answered]);
}

/// Whatever drops a packet counts it first.
fn refused(set: &mut Ruleset) {
    let [.., sent, received] = COUNTS;
    for (count, judges, lists) in [
        (sent, &["egress", "services"][..], "acl-egress."),
        (received, &["ingress"], "acl-ingress."),
    ] {
        let end = format!("drop-{}", count.chain());
        for (name, chain) in &mut set.chains {
            if judges.contains(&name.as_str()) {
                chain.rules.push(format!("goto {end}"));
            } else if name.starts_with(lists) {
                for rule in &mut chain.rules {
                    if let Some(what) = rule.strip_suffix("drop") {
                        *rule = format!("{what}goto {end}");
                    }
                }
            }
        }
        set.chain(end, vec![count.jump(), "drop".to_owned()]);
    }
}
