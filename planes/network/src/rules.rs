//! Rules of security groups and access lists as nftables matches.

use crate::plan::{GroupRule, Peer, Ports, Traffic};
use ipnet::Ipv4Net;
use std::collections::{BTreeMap, BTreeSet};

/// The direction in which a packet passes, seen from the interface or subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ingress,
    Egress,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Ingress => "ingress",
            Side::Egress => "egress",
        }
    }

    /// The field that holds the other party's address.
    fn field(self) -> &'static str {
        match self {
            Side::Ingress => "ip saddr",
            Side::Egress => "ip daddr",
        }
    }
}

/// What a group allows, in as few matches as are easily found: rules that differ only in their
/// network become one with a set of networks, then those that differ only in ports one with a set
/// of ports. Each ends with a space, unless it is empty and so matches everything.
pub(crate) fn compact(rules: &[GroupRule], side: Side) -> Vec<String> {
    let mut networks: BTreeMap<Traffic, Vec<Ipv4Net>> = BTreeMap::new();
    let mut ports: BTreeMap<(String, Carrier), Vec<Ports>> = BTreeMap::new();
    let mut out = BTreeSet::new();
    for rule in rules {
        match &rule.peer {
            Peer::Cidr(cidr) => networks.entry(rule.traffic).or_default().push(*cidr),
            peer => place(address(side, peer), rule.traffic, &mut ports, &mut out),
        }
    }
    for (traffic, networks) in networks {
        place(addresses(side, &networks), traffic, &mut ports, &mut out);
    }
    for ((peer, carrier), ranges) in ports {
        out.insert(format!("{peer}{}", carried(carrier, &merged(ranges))));
    }
    out.into_iter().collect()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Carrier {
    Tcp,
    Udp,
}

fn place(
    peer: String,
    what: Traffic,
    ports: &mut BTreeMap<(String, Carrier), Vec<Ports>>,
    out: &mut BTreeSet<String>,
) {
    match what {
        Traffic::Tcp(range) => ports.entry((peer, Carrier::Tcp)).or_default().push(range),
        Traffic::Udp(range) => ports.entry((peer, Carrier::Udp)).or_default().push(range),
        other => {
            out.insert(format!("{peer}{}", traffic(other)));
        }
    }
}

/// The other party of a rule.
pub(crate) fn address(side: Side, peer: &Peer) -> String {
    match peer {
        Peer::Cidr(cidr) => addresses(side, &[*cidr]),
        Peer::PrefixList(id) => format!("{} @list.{id} ", side.field()),
        Peer::Group(id) => format!("{} @members.{id} ", side.field()),
    }
}

fn addresses(side: Side, networks: &[Ipv4Net]) -> String {
    let networks = Ipv4Net::aggregate(&networks.iter().map(Ipv4Net::trunc).collect());
    match networks.as_slice() {
        [all] if all.prefix_len() == 0 => String::new(),
        some => format!("{} {} ", side.field(), listing(some.iter().map(network))),
    }
}

fn network(network: &Ipv4Net) -> String {
    match network.prefix_len() {
        32 => network.addr().to_string(),
        _ => network.to_string(),
    }
}

/// The kind of packet of a rule.
pub(crate) fn traffic(traffic: Traffic) -> String {
    match traffic {
        Traffic::All => String::new(),
        Traffic::Tcp(range) => carried(Carrier::Tcp, &[range]),
        Traffic::Udp(range) => carried(Carrier::Udp, &[range]),
        Traffic::Icmp(None) => "ip protocol icmp ".to_owned(),
        Traffic::Icmp(Some((kind, None))) => format!("icmp type {kind} "),
        Traffic::Icmp(Some((kind, Some(code)))) => format!("icmp type {kind} icmp code {code} "),
        Traffic::Protocol(number) => format!("ip protocol {number} "),
    }
}

fn carried(carrier: Carrier, ranges: &[Ports]) -> String {
    let name = match carrier {
        Carrier::Tcp => "tcp",
        Carrier::Udp => "udp",
    };
    if ranges == [Ports::ALL] {
        return format!("ip protocol {name} ");
    }
    let each = ranges.iter().map(|range| match range.first == range.last {
        true => range.first.to_string(),
        false => format!("{}-{}", range.first, range.last),
    });
    format!("{name} dport {} ", listing(each))
}

/// Ranges in order, without overlap or needless seams.
fn merged(mut ranges: Vec<Ports>) -> Vec<Ports> {
    ranges.sort();
    let mut out: Vec<Ports> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                last.last = last.last.max(range.last);
            }
            _ => out.push(range),
        }
    }
    out
}

fn listing(each: impl Iterator<Item = String>) -> String {
    let each: Vec<_> = each.collect();
    match each.as_slice() {
        [one] => one.clone(),
        _ => format!("{{ {} }}", each.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(traffic: Traffic, cidr: &str) -> GroupRule {
        GroupRule {
            traffic,
            peer: Peer::Cidr(cidr.parse().unwrap()),
        }
    }

    #[test]
    fn neighbours_become_one_match() {
        let http = Traffic::Tcp(Ports::one(80));
        let rules = [
            rule(http, "10.0.0.0/9"),
            rule(http, "10.128.0.0/9"),
            rule(http, "192.168.1.7/32"),
            rule(
                Traffic::Tcp(Ports {
                    first: 81,
                    last: 90,
                }),
                "0.0.0.0/0",
            ),
            rule(Traffic::Tcp(Ports::one(443)), "0.0.0.0/0"),
            rule(Traffic::Icmp(Some((8, None))), "0.0.0.0/0"),
            GroupRule {
                traffic: http,
                peer: Peer::Group("sg-1".into()),
            },
        ];
        assert_eq!(
            compact(&rules, Side::Ingress),
            [
                "icmp type 8 ",
                "ip saddr @members.sg-1 tcp dport 80 ",
                "ip saddr { 10.0.0.0/8, 192.168.1.7 } tcp dport 80 ",
                "tcp dport { 81-90, 443 } ",
            ]
        );
    }

    #[test]
    fn everything_is_the_empty_match() {
        assert_eq!(
            compact(&[rule(Traffic::All, "0.0.0.0/0")], Side::Egress),
            [""]
        );
        assert_eq!(
            compact(
                &[rule(Traffic::Udp(Ports::ALL), "10.0.0.0/8")],
                Side::Egress
            ),
            ["ip daddr 10.0.0.0/8 ip protocol udp "]
        );
    }

    proptest! {
        #[test]
        fn merging_ranges_changes_no_port(ranges in prop::collection::vec((0u16.., 0u16..300), 1..12)) {
            let ranges: Vec<_> = ranges
                .into_iter()
                .map(|(first, more)| Ports { first, last: first.saturating_add(more) })
                .collect();
            let merged = merged(ranges.clone());
            let within = |all: &[Ports], port| all.iter().any(|r| (r.first..=r.last).contains(&port));
            for port in 0..=u16::MAX {
                prop_assert_eq!(within(&ranges, port), within(&merged, port));
            }
            prop_assert!(merged.windows(2).all(|w| u32::from(w[0].last) + 1 < u32::from(w[1].first)));
        }
    }
}
