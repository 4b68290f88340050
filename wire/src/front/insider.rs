//! Whether the other end of a connection is a process of our own user, on this machine.
//!
//! The kernel's socket tables list the client's end only when it is here, with its owner; nothing
//! that the client says is believed. Reads `/proc/net/tcp` and `/proc/net/tcp6`.

use std::net::{IpAddr, SocketAddr};

use super::pipeline::Via;

/// The client's socket is on this machine and belongs to the user that we run as.
pub(super) fn is_own_user(via: &Via) -> bool {
    owner(via) == Some(own_user())
}

fn own_user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The user id behind the client's end.
fn owner(via: &Via) -> Option<u32> {
    let read = |table| std::fs::read_to_string(table).unwrap_or_default();
    // A socket of either family may talk to a door that listens on both.
    let found = match (via.peer.ip().to_canonical(), via.local.ip().to_canonical()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => find(&read("/proc/net/tcp"), via, v4),
        _ => None,
    };
    found.or_else(|| find(&read("/proc/net/tcp6"), via, v6))
}

/// Looks a connection up as its client sees it: its address is `local`, ours is `remote`.
fn find(table: &str, via: &Via, spell: fn(SocketAddr) -> String) -> Option<u32> {
    let (client, door) = (spell(via.peer), spell(via.local));
    table.lines().skip(1).find_map(|line| {
        // sl local remote state queues timer retransmits uid timeout inode …
        let columns: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
        let [_, local, remote, _, _, _, _, user, _, inode] = columns[..] else {
            return None;
        };
        // A socket that its process has closed already shows user 0 and inode 0.
        let ours = local == client && remote == door && inode != "0";
        ours.then(|| user.parse().ok())?
    })
}

fn v4(end: SocketAddr) -> String {
    match end.ip().to_canonical() {
        IpAddr::V4(ip) => spelt(&ip.octets(), end.port()),
        IpAddr::V6(ip) => spelt(&ip.octets(), end.port()),
    }
}

/// IPv4 addresses as IPv6 sockets know them, `::ffff:127.0.0.1`.
fn v6(end: SocketAddr) -> String {
    match end.ip() {
        IpAddr::V4(ip) => spelt(&ip.to_ipv6_mapped().octets(), end.port()),
        IpAddr::V6(ip) => spelt(&ip.octets(), end.port()),
    }
}

/// Words of four bytes, each as the machine would print the number.
fn spelt(octets: &[u8], port: u16) -> String {
    let words = octets.chunks_exact(4);
    let hex: String = words
        .filter_map(|word| Some(u32::from_ne_bytes(word.try_into().ok()?)))
        .map(|word| format!("{word:08X}"))
        .collect();
    format!("{hex}:{port:04X}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn connect(listen: &str, to: &str) -> Option<(TcpStream, TcpStream, Via)> {
        let listener = TcpListener::bind(listen).ok()?;
        let port = listener.local_addr().ok()?.port();
        let client = TcpStream::connect((to, port)).ok()?;
        let (server, peer) = listener.accept().ok()?;
        let local = server.local_addr().ok()?;
        let via = Via {
            peer,
            local,
            gate: None,
            secure: false,
        };
        Some((client, server, via))
    }

    #[test]
    fn knows_its_own_connections() {
        let (_client, _server, via) = connect("127.0.0.1:0", "127.0.0.1").expect("loopback");
        assert!(is_own_user(&via));
        // Hosts without IPv6 have nothing to look up there.
        for (listen, to) in [
            ("[::1]:0", "::1"),
            ("[::]:0", "127.0.0.1"),
            ("[::]:0", "::1"),
        ] {
            if let Some((_client, _server, via)) = connect(listen, to) {
                assert!(is_own_user(&via), "{listen} {to}");
            }
        }
    }

    #[test]
    fn a_closed_or_foreign_connection_is_nobodys() {
        let (client, _server, mut via) = connect("127.0.0.1:0", "127.0.0.1").expect("loopback");
        let mut other = via.clone();
        other.local.set_port(1);
        assert!(!is_own_user(&other), "the same client port, another door");
        drop(client);
        assert!(!is_own_user(&via), "closed by its process");
        via.peer.set_ip([192, 0, 2, 1].into());
        assert!(!is_own_user(&via), "elsewhere");
    }

    #[test]
    fn reads_the_owner_from_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:C350 0100007F:11D6 01 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 20 4 30 10 -1\n";
        let via = Via {
            peer: ([127, 0, 0, 1], 50000).into(),
            local: ([127, 0, 0, 1], 4566).into(),
            gate: None,
            secure: false,
        };
        if cfg!(target_endian = "little") {
            assert_eq!(find(table, &via, v4), Some(1000));
        }
    }
}
