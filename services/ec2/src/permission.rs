//! Security group rules as requests bring them: `IpPermissions` and their older, flat form.

use std::net::Ipv6Addr;

use gureum_model_ec2::types as t;

use crate::errors::{Refusal, Result};
use crate::model::group::{GroupRow, Peer, What};
use crate::model::prefix_list::PrefixListRow;
use crate::ops::groups::named;
use crate::state::Change;

/// What a rule is to allow, and its description.
pub(crate) type Wanted = (What, Option<String>);

/// The flat members of `AuthorizeSecurityGroupIngress` and its like, as one permission.
pub(crate) struct Flat<'a> {
    pub(crate) protocol: &'a Option<String>,
    pub(crate) from: Option<i32>,
    pub(crate) to: Option<i32>,
    pub(crate) cidr: &'a Option<String>,
    pub(crate) group: &'a Option<String>,
}

impl Flat<'_> {
    fn permission(&self) -> Option<t::IpPermission> {
        if self.protocol.is_none() && self.cidr.is_none() && self.group.is_none() {
            return None;
        }
        let range = self.cidr.clone().map(|cidr| t::IpRange {
            cidr_ip: Some(cidr),
            description: None,
        });
        let group = self.group.clone().map(|name| t::UserIdGroupPair {
            group_name: Some(name),
            ..Default::default()
        });
        Some(t::IpPermission {
            // With a group and no protocol, everything is meant.
            ip_protocol: self.protocol.clone().or_else(|| Some("-1".into())),
            from_port: self.from,
            to_port: self.to,
            ip_ranges: range.map(|range| vec![range]),
            user_id_group_pairs: group.map(|group| vec![group]),
            ..Default::default()
        })
    }
}

/// All rules that a request spells. Groups that rules name must be there.
pub(crate) fn read(
    w: &Change<'_>,
    group: &GroupRow,
    egress: bool,
    permissions: &Option<Vec<t::IpPermission>>,
    flat: &Flat<'_>,
) -> Result<Vec<Wanted>> {
    let flat = flat.permission();
    let all: Vec<&t::IpPermission> = match permissions {
        Some(permissions) if !permissions.is_empty() => {
            if flat.is_some() {
                return Err(Refusal::combination(
                    "The parameter 'ipPermissions' may not be used in combination with 'ipProtocol'",
                ));
            }
            permissions.iter().collect()
        }
        _ => flat.iter().collect(),
    };
    if all.is_empty() {
        return Err(Refusal::missing("ipPermissions"));
    }
    let mut out = Vec::new();
    for permission in all {
        out.extend(expand(w, group, egress, permission)?);
    }
    Ok(out)
}

fn expand(
    w: &Change<'_>,
    group: &GroupRow,
    egress: bool,
    permission: &t::IpPermission,
) -> Result<Vec<Wanted>> {
    let protocol = protocol(permission.ip_protocol.as_deref())?;
    let (from, to) = ports(&protocol, permission.from_port, permission.to_port)?;
    let what = |peer| What {
        egress,
        protocol: protocol.clone(),
        from,
        to,
        peer,
    };
    let mut out = Vec::new();
    for range in permission.ip_ranges.iter().flatten() {
        let text = range.cidr_ip.as_deref().unwrap_or_default();
        out.push((what(v4(text)?), description(&range.description)?));
    }
    for range in permission.ipv6_ranges.iter().flatten() {
        let text = range.cidr_ipv6.as_deref().unwrap_or_default();
        out.push((what(v6(text)?), description(&range.description)?));
    }
    for list in permission.prefix_list_ids.iter().flatten() {
        let id = list.prefix_list_id.clone().unwrap_or_default();
        out.push((what(prefix_list(w, &id)?), description(&list.description)?));
    }
    for pair in permission.user_id_group_pairs.iter().flatten() {
        let account = w.here.account;
        if pair.user_id.as_deref().is_some_and(|user| account != *user) {
            return Err(Refusal::NotImplemented(
                "A rule that names another account's group".into(),
            ));
        }
        let peer = match (&pair.group_id, &pair.group_name) {
            // A group may name itself.
            (Some(id), _) if *id == group.meta.id => group.clone(),
            (id, name) => named(w, id.as_deref(), name.as_deref())?,
        };
        let what = what(Peer::Group(peer.meta.id));
        out.push((what, description(&pair.description)?));
    }
    if out.is_empty() {
        return Err(Refusal::value(
            "Either 'cidrIp', 'cidrIpv6', 'prefixListIds' or 'groups' must be specified in 'ipPermissions'",
        ));
    }
    Ok(out)
}

/// `tcp`, `udp`, `icmp`, `icmpv6`, `-1`, or another protocol's number.
pub(crate) fn protocol(text: Option<&str>) -> Result<String> {
    let text = text.ok_or_else(|| Refusal::missing("ipProtocol"))?;
    Ok(match text.to_ascii_lowercase().as_str() {
        "tcp" | "6" => "tcp".into(),
        "udp" | "17" => "udp".into(),
        "icmp" | "1" => "icmp".into(),
        "icmpv6" | "58" => "icmpv6".into(),
        "-1" | "all" => "-1".into(),
        other => match other.parse::<u8>() {
            Ok(number) => number.to_string(),
            Err(_) => {
                return Err(Refusal::value(format!(
                    "Invalid value '{text}' for IP protocol. Unknown protocol."
                )));
            }
        },
    })
}

/// Ports, or ICMP type and code, as far as the protocol has them.
pub(crate) fn ports(
    protocol: &str,
    from: Option<i32>,
    to: Option<i32>,
) -> Result<(Option<i32>, Option<i32>)> {
    let wrong = |what: &str| Err(Refusal::value(what));
    match protocol {
        "tcp" | "udp" => match (from, to) {
            (Some(-1), Some(-1)) => Ok((Some(0), Some(65_535))),
            (Some(from), Some(to))
                if !(0..=65_535).contains(&from) || !(0..=65_535).contains(&to) =>
            {
                wrong(&format!(
                    "Invalid value '{from}-{to}' for portRange. Must be between 0 and 65535."
                ))
            }
            (Some(from), Some(to)) if from > to => {
                wrong(&format!("Invalid TCP/UDP port range ({from}:{to})"))
            }
            (Some(from), Some(to)) => Ok((Some(from), Some(to))),
            _ => wrong(
                "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.",
            ),
        },
        "icmp" | "icmpv6" => {
            let (kind, code) = (from.unwrap_or(-1), to.unwrap_or(-1));
            if !(-1..=255).contains(&kind) || !(-1..=255).contains(&code) {
                return wrong(&format!("ICMP code ({code}) out of range"));
            }
            if kind == -1 && code != -1 {
                return wrong("ICMP type of -1 needs a code of -1");
            }
            Ok((Some(kind), Some(code)))
        }
        _ => Ok((None, None)),
    }
}

pub(crate) fn v4(text: &str) -> Result<Peer> {
    // A bare address is not a block, as with AWS.
    let cidr = text
        .parse()
        .map_err(|_| Refusal::value(format!("CIDR block {text} is malformed")))?;
    Ok(Peer::V4(cidr))
}

pub(crate) fn v6(text: &str) -> Result<Peer> {
    let malformed = || Refusal::value(format!("CIDR block {text} is malformed"));
    let (base, prefix) = text.split_once('/').ok_or_else(malformed)?;
    let base: Ipv6Addr = base.parse().map_err(|_| malformed())?;
    let prefix: u8 = prefix.parse().map_err(|_| malformed())?;
    let mask = match prefix {
        0 => 0,
        1..=128 => u128::MAX << (128 - prefix),
        _ => return Err(malformed()),
    };
    Ok(Peer::V6 {
        base: (u128::from(base) & mask).into(),
        prefix,
    })
}

pub(crate) fn prefix_list(w: &Change<'_>, id: &str) -> Result<Peer> {
    use crate::model::endpoint::{SERVICES, prefix_list};
    let known = SERVICES
        .iter()
        .any(|service| prefix_list(&w.here.region, service) == id);
    if known || w.find::<PrefixListRow>(id)?.is_some() {
        return Ok(Peer::PrefixList(id.to_owned()));
    }
    Err(Refusal::new(
        "InvalidPrefixListID.NotFound",
        format!("The prefix list ID '{id}' does not exist"),
    ))
}

pub(crate) fn description(text: &Option<String>) -> Result<Option<String>> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    match text {
        Some(text) if text.len() > 255 || !text.chars().all(allowed) => Err(Refusal::value(
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
        )),
        Some(text) if text.is_empty() => Ok(None),
        text => Ok(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_go_by_their_names() {
        let read = |text| protocol(Some(text)).ok();
        assert_eq!(read("6").as_deref(), Some("tcp"));
        assert_eq!(read("TCP").as_deref(), Some("tcp"));
        assert_eq!(read("50").as_deref(), Some("50"));
        assert_eq!(read("all").as_deref(), Some("-1"));
        assert_eq!(read("256"), None);
        assert_eq!(read("http"), None);
    }

    #[test]
    fn ports_are_checked_where_the_protocol_has_them() {
        assert_eq!(
            ports("tcp", Some(80), Some(81)).ok(),
            Some((Some(80), Some(81)))
        );
        assert!(ports("tcp", Some(81), Some(80)).is_err());
        assert!(ports("tcp", None, None).is_err());
        assert!(ports("udp", Some(0), Some(65_536)).is_err());
        assert_eq!(ports("-1", Some(80), Some(80)).ok(), Some((None, None)));
        assert_eq!(
            ports("icmp", Some(8), Some(-1)).ok(),
            Some((Some(8), Some(-1)))
        );
    }

    #[test]
    fn a_v6_block_is_cut_to_its_canonical_form() {
        let Ok(Peer::V6 { base, prefix }) = v6("2001:db8::1/32") else {
            panic!("not read");
        };
        assert_eq!((base.to_string().as_str(), prefix), ("2001:db8::", 32));
        assert!(v6("::/129").is_err() && v6("::").is_err());
    }
}
