//! The host's routes: whether the pool of public addresses is free for us. Reads `/proc/net/route`,
//! which the kernel describes in proc_pid_net(5).

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Prefixes shorter than this stand for everywhere else (VPNs route `0.0.0.0/1` and the like).
const EVERYWHERE: u8 = 8;

#[derive(Debug, PartialEq)]
struct Route {
    interface: String,
    to: Ipv4Net,
}

/// Refuses a pool in which the host reaches something else already: packets would go there. A wider
/// route gives way to ours, so it is only worth a warning.
pub(crate) fn leave_room(pool: Ipv4Net, uplink: &str) -> Result<(), String> {
    let table = std::fs::read_to_string("/proc/net/route");
    let table = table.map_err(|error| format!("cannot read the routes: {error}"))?;
    for route in read(&table) {
        if route.interface == uplink || !overlap(route.to, pool) {
            continue;
        }
        if route.to.prefix_len() >= pool.prefix_len() {
            return Err(taken(pool, &route));
        }
        if route.to.prefix_len() >= EVERYWHERE {
            let Route { interface, to } = route;
            tracing::warn!(%pool, %to, interface, "public addresses hide some that the host reached");
        }
    }
    Ok(())
}

fn taken(pool: Ipv4Net, route: &Route) -> String {
    let Route { interface, to } = route;
    format!(
        "public_pool: the host routes {to} to {interface} already, so {pool} is not free for public \
         addresses. Stop the other cloud, if it is one, or start this one with `--public-pool` and \
         another network, such as 198.19.128.0/20"
    )
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

fn read(table: &str) -> Vec<Route> {
    table.lines().skip(1).filter_map(line).collect()
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`; addresses as a little-endian machine
/// prints the number that their bytes are.
fn line(line: &str) -> Option<Route> {
    let mut fields = line.split_whitespace();
    let interface = fields.next()?.to_owned();
    let to = address(fields.next()?)?;
    let mask = address(fields.nth(5)?)?;
    let to = Ipv4Net::with_netmask(to, mask).ok()?;
    Some(Route { interface, to })
}

fn address(hex: &str) -> Option<Ipv4Addr> {
    let number = u32::from_str_radix(hex, 16).ok()?;
    Some(Ipv4Addr::from(number.to_ne_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn tables_are_read() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            gureum01\t000012C6\t00000000\t0001\t0\t0\t0\t0000FEFF\t0\t0\t0\n";
        let route = |interface: &str, to: &str| Route {
            interface: interface.into(),
            to: to.parse().unwrap(),
        };
        let wanted = [
            route("eth0", "0.0.0.0/0"),
            route("gureum01", "198.18.0.0/15"),
        ];
        assert_eq!(read(table), wanted);
        assert!(overlap(wanted[1].to, "198.19.16.0/20".parse().unwrap()));
        assert!(!overlap(wanted[1].to, "198.20.0.0/20".parse().unwrap()));
    }
}
