//! The two things that netlink cannot do: sysctls and packet filters. Both act on the namespace of
//! the calling thread.

use crate::error::Error;
use crate::namespaces::{Namespaces, Place};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::process::{Command, Stdio};

/// A router forwards, answers ARP for everybody, never sends redirects (all its packets
/// seem to turn back), and leaves the judgement of sources to the packet filter.
pub(crate) const ROUTER: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/default/proxy_arp", "1"),
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
    // A packet may pass twice on its way through an appliance.
    ("netfilter/nf_conntrack_tcp_be_liberal", "1"),
];

/// The core is a router that lets nobody use addresses whose way back is another one's.
pub(crate) const CORE: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "1"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/default/proxy_arp", "1"),
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
];

/// An instance keeps IPv6 to itself, as nothing of the network carries it, and may have interfaces
/// of which only one has the default route.
pub(crate) const INSTANCE: &[(&str, &str)] = &[
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
];

/// The host forwards, for those who may reach the internet through it.
pub(crate) const FORWARDING: &[(&str, &str)] = &[("ipv4/ip_forward", "1")];

/// Sets values below `/proc/sys/net`; without IPv6 in the kernel there is none to switch off.
pub(crate) fn sysctls(values: &[(&str, &str)]) -> io::Result<()> {
    for (key, value) in values {
        match fs::write(format!("/proc/sys/net/{key}"), value) {
            Err(error) if error.kind() == ErrorKind::NotFound && key.starts_with("ipv6") => {}
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("net/{key}: {error}")));
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Has nftables perform a script in a namespace, as one transaction.
pub(crate) fn filter(
    spaces: &impl Namespaces,
    place: Place<'_>,
    script: &str,
) -> Result<(), Error> {
    let output = spaces
        .within(place, || {
            let mut child = Command::new("nft")
                .args(["-f", "-"])
                .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(script.as_bytes())?;
            }
            child.wait_with_output()
        })
        .map_err(|error| Error::Filter(format!("nft: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Filter(
        said.lines().take(4).collect::<Vec<_>>().join(" "),
    ))
}
