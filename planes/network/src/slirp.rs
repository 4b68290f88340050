//! The way out without root: slirp4netns reads the packets of a tap in the core, and carries their
//! contents on by ordinary sockets of the host's user. May touch: that one process, and its log.

use crate::error::{Doing, Error, Result};
use crate::names::UPLINK;
use gureum_room::Room;
use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Command;

const PROGRAM: &str = "slirp4netns";
const TUN: &str = "/dev/net/tun";
/// The core's address on the tap, and who is at its other end. Nobody has addresses of this block
/// (RFC 6890, 2.2.2), so none that somebody means is hidden by them.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 100);
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);
const NETWORK: &str = "192.0.0.0/24";
/// How long the process may take to make the tap. It takes some 20 ms.
const START: Duration = Duration::from_secs(10);

/// Whether this host has what a way out without root takes; says what it lacks.
pub fn way_out() -> std::result::Result<(), String> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&paths).map(|path| path.join(PROGRAM));
    if !places.any(|place| place.is_file()) {
        return Err(format!("{PROGRAM} is not installed"));
    }
    match File::options().read(true).write(true).open(TUN) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{TUN}: {error}")),
    }
}

/// Starts the process, in place of one that an earlier room has left, and waits for its tap.
pub(crate) async fn start(room: &Room) -> Result<()> {
    way_out().map_err(Error::Uplink)?;
    end(room)?;
    let starting = || format!("starting {PROGRAM}");
    let (ready, told) = std::io::pipe().doing(starting)?;
    let mut ready = pipe::Receiver::from_owned_fd(OwnedFd::from(ready)).doing(starting)?;
    let log = room.dir().join(format!("{UPLINK}.log"));
    let holder = room.holder()?;
    Command::new(PROGRAM)
        .arg(format!("--api-socket={UPLINK}"))
        .arg(format!("--cidr={NETWORK}"))
        // The host's own servers stay out of reach, and so does its resolver.
        .args(["--disable-host-loopback", "--disable-dns"])
        .args(["--enable-sandbox", "--enable-seccomp"])
        // It says so on its standard input, the one descriptor that it can be given.
        .arg("--ready-fd=0")
        .args([&holder.pid().to_string(), UPLINK])
        .current_dir(room.attendants()?)
        // Not to end with the terminal: it serves instances that outlive this process.
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(told)))
        .stdout(Stdio::null())
        .stderr(File::create(&log).doing(starting)?)
        .spawn()
        .doing(starting)?;
    match tokio::time::timeout(START, ready.read_u8()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(Error::Uplink(format!("{PROGRAM} ended: {}", said(&log)))),
        Err(_) => Err(Error::Uplink(format!("{PROGRAM} does not get ready"))),
    }
}

/// The beginning of what it wrote, in one line.
fn said(log: &Path) -> String {
    let mut text = String::new();
    let read = File::open(log).and_then(|log| log.take(1024).read_to_string(&mut text));
    match read {
        Ok(_) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

pub(crate) fn end(room: &Room) -> Result<()> {
    Ok(room.dismiss(UPLINK)?)
}

pub(crate) fn lives(room: &Room) -> bool {
    room.is_attended(UPLINK)
}
