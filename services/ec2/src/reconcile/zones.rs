//! What names mean inside a VPC: a pure function of the rows.
//!
//! <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html>

use std::net::Ipv4Addr;

use gureum_dns::{A, Error, Name, PTR, RData, SOA, Zone, name};
use gureum_network::METADATA;

use crate::machines::{API, GATEWAYS};
use crate::model::interface::InterfaceRow;
use crate::model::vpc::VpcRow;
use crate::names::{self, Names};

/// How long an answer may be remembered, in seconds: as AWS's own resolvers say.
const TTL: u32 = 60;
/// Where unmodified AWS clients look for its APIs.
const AWS: &str = "amazonaws.com";

/// The zones of a VPC: its own private names and their reverse, the cloud's public names (those of
/// this VPC mean private addresses here), and the names of the APIs. `interfaces` are all that
/// there are, `named` says whether a VPC gives out public names.
pub(super) fn zones(
    vpc: &VpcRow,
    interfaces: &[InterfaceRow],
    named: &dyn Fn(&str) -> bool,
    names: &Names,
) -> Result<Vec<Zone>, Error> {
    let mut mine = interfaces.iter().filter(|row| row.vpc == vpc.meta.id);
    let region = &vpc.meta.region;
    let mut private = empty(&names::private_domain(region))?;
    let helper = format!("instance-data.{}", names::private_domain(region));
    point(&mut private, &helper, METADATA)?;
    let mut reverse = Vec::new();
    for cidr in vpc.cidrs() {
        let zone = empty(&reverse_zone(cidr.first(), cidr.prefix()))?;
        if !reverse.iter().any(|it: &Zone| it.origin() == zone.origin()) {
            reverse.push(zone);
        }
    }
    mine.try_for_each(|row| {
        row.addresses.iter().try_for_each(|address| {
            let host = names::private(region, address.private);
            point(&mut private, &host, address.private)?;
            back(&mut reverse, address.private, &host)
        })
    })?;
    let mut zones = vec![
        private,
        public(vpc, interfaces, named, names)?,
        apis(AWS, API)?,
    ];
    for (service, address) in GATEWAYS {
        for domain in [AWS, &names.domain] {
            zones.push(apis(&format!("{service}.{region}.{domain}"), address)?);
        }
    }
    zones.append(&mut reverse);
    Ok(zones)
}

/// The cloud's own domain: its APIs, and everybody who has a public name in it.
fn public(
    vpc: &VpcRow,
    interfaces: &[InterfaceRow],
    named: &dyn Fn(&str) -> bool,
    names: &Names,
) -> Result<Zone, Error> {
    let mut zone = apis(&names.domain, API)?;
    for row in interfaces.iter().filter(|row| named(&row.vpc)) {
        for address in &row.addresses {
            let Some(public) = &address.public else {
                continue;
            };
            let host = names.public(&row.meta.region, public.address);
            let at = match row.vpc == vpc.meta.id {
                true => address.private,
                false => public.address,
            };
            point(&mut zone, &host, at)?;
        }
    }
    Ok(zone)
}

/// A domain of which every name is an API's.
fn apis(domain: &str, at: Ipv4Addr) -> Result<Zone, Error> {
    let mut zone = empty(domain)?;
    point(&mut zone, domain, at)?;
    point(&mut zone, &format!("*.{domain}"), at)?;
    Ok(zone)
}

fn empty(origin: &str) -> Result<Zone, Error> {
    let origin = name(origin)?;
    let below = |label| {
        origin
            .prepend_label(label)
            .unwrap_or_else(|_| origin.clone())
    };
    let (server, person) = (below("ns"), below("hostmaster"));
    let soa = SOA::new(server, person, 1, 3600, 900, 604_800, TTL);
    Ok(Zone::new(&origin, soa, TTL))
}

fn point(zone: &mut Zone, host: &str, at: Ipv4Addr) -> Result<(), Error> {
    zone.set(&name(host)?, TTL, vec![RData::A(A(at))])
}

/// From an address to a name, in the zone that holds the address.
fn back(zones: &mut [Zone], address: Ipv4Addr, host: &str) -> Result<(), Error> {
    let [a, b, c, d] = address.octets();
    let from: Name = name(&format!("{d}.{c}.{b}.{a}.in-addr.arpa"))?;
    let holds = |zone: &&mut Zone| zone.origin().zone_of(&from);
    match zones.iter_mut().find(holds) {
        Some(zone) => zone.set(&from, TTL, vec![RData::PTR(PTR(name(host)?))]),
        None => Ok(()),
    }
}

/// Zones end at bytes: the smallest that holds a block (which has a prefix of 16 to 28 bits).
fn reverse_zone(first: Ipv4Addr, prefix: u8) -> String {
    let [a, b, c, _] = first.octets();
    match prefix {
        24.. => format!("{c}.{b}.{a}.in-addr.arpa"),
        _ => format!("{b}.{a}.in-addr.arpa"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gureum_dns::{Found, RecordType};

    #[test]
    fn zones_of_apis_hold_every_name() {
        let zone = apis(AWS, API).expect("zone");
        for host in [
            "amazonaws.com",
            "s3.us-east-1.amazonaws.com",
            "a.b.s3.amazonaws.com",
        ] {
            match zone.find(&name(host).expect("name"), RecordType::A) {
                Found::Records(records) => assert_eq!(records.data, [RData::A(A(API))], "{host}"),
                other => panic!("{host}: {other:?}"),
            }
        }
    }

    #[test]
    fn reverse_zones_end_at_bytes() {
        let zone = |prefix| reverse_zone(Ipv4Addr::new(10, 1, 16, 0), prefix);
        assert_eq!(zone(16), "1.10.in-addr.arpa");
        assert_eq!(zone(20), "1.10.in-addr.arpa");
        assert_eq!(zone(24), "16.1.10.in-addr.arpa");
        assert_eq!(zone(28), "16.1.10.in-addr.arpa");
        let mut zones = [empty(&zone(20)).expect("zone")];
        let address = Ipv4Addr::new(10, 1, 17, 4);
        back(&mut zones, address, "ip-10-1-17-4.ec2.internal").expect("record");
        let asked = name("4.17.1.10.in-addr.arpa").expect("name");
        assert!(matches!(
            zones[0].find(&asked, RecordType::PTR),
            Found::Records(_)
        ));
    }
}
