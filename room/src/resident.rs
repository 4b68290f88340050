//! Processes that live in the room beside the keeper: each listens at `<room>/alive/NAME`, so who is
//! alive is seen by connecting, and nobody trusts a process id that was written down. A new keeper
//! finds its way into the room through any of them.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{Doing, Error, Result, frame};

pub(crate) const ALIVE: &str = "alive";
/// In the environment of a process that the keeper launched: the room's directory.
pub const ROOM: &str = "GUREUM_ROOM";

/// Listens under a name. What a dead process left under it is taken away.
pub fn listen(room: &Path, name: &str) -> Result<UnixListener> {
    bind(&room.join(ALIVE), name)
}

/// Connects to the living process of this name; `NotFound` or `ConnectionRefused` when there is none.
pub fn connect(room: &Path, name: &str) -> Result<UnixStream> {
    connect_at(&room.join(ALIVE), name)
}

/// The names of all that live, and of some that may just have died.
pub fn names(room: &Path) -> Result<Vec<String>> {
    names_in(&room.join(ALIVE))
}

pub(crate) fn names_in(directory: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).doing(format_args!("read {}", directory.display())),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// The process at the other end of a connection. It must be of our own user.
pub fn peer(stream: &UnixStream) -> Result<Pid> {
    let doing = "see who is at the other end";
    let peer = rustix::net::sockopt::socket_peercred(stream).doing(doing)?;
    match peer.uid == rustix::process::geteuid() {
        true => Ok(peer.pid),
        false => Err(Error::Failed(format!(
            "process {} of another user is at the other end",
            peer.pid
        ))),
    }
}

/// In a process that the keeper launched ([`crate::Inside::launch`]): takes over the socket that
/// the keeper made, and leaves the keeper's session. Clients that connected meanwhile are waiting.
pub fn settle() -> Result<UnixListener> {
    let doing = "take over the socket";
    let stdin = std::io::stdin();
    let listener = stdin.as_fd().try_clone_to_owned().doing(doing)?;
    let nothing = File::open("/dev/null").doing(doing)?;
    rustix::stdio::dup2_stdin(&nothing).doing(doing)?;
    // Listening again makes this process, and no longer the keeper, the one whom clients see.
    rustix::net::listen(&listener, BACKLOG).doing(doing)?;
    rustix::process::setsid().doing("begin a session")?;
    Ok(UnixListener::from(listener))
}

const BACKLOG: i32 = 128;

/// Kills whoever lives under a name, and waits until it is gone.
pub fn kill(room: &Path, name: &str) -> Result<()> {
    end(&room.join(ALIVE), name)
}

/// The same where nobody is a resident.
pub(crate) fn end(directory: &Path, name: &str) -> Result<()> {
    let doing = format!("end {name}");
    if let Ok(stream) = connect_at(directory, name) {
        kill_process(peer(&stream)?).doing(&doing)?;
    }
    clear(directory, name).doing(doing)
}

/// Takes a name away that nobody answers to any more.
fn clear(directory: &Path, name: &str) -> std::io::Result<()> {
    match std::fs::remove_file(directory.join(name)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn kill_process(pid: Pid) -> std::io::Result<()> {
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        process => process?,
    };
    match pidfd_send_signal(&process, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        sent => sent?,
    }
    frame::wait_for(process.as_fd(), PollFlags::IN, Duration::from_secs(10))
}

/// A socket on which others can ring, without anyone having to listen: see [`ring`].
pub fn bell(directory: &Path, name: &str) -> Result<UnixDatagram> {
    let doing = || format!("listen at {}", directory.join(name).display());
    clear(directory, name).doing(doing())?;
    let (_open, short) = short(directory, name).doing(doing())?;
    UnixDatagram::bind(short).doing(doing())
}

/// Rings a [`bell`]. Nobody needs to hear it.
pub fn ring(directory: &Path, name: &str) {
    let rung = || {
        let (_open, short) = short(directory, name)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to(&[0], short)
    };
    let _ = rung();
}

pub(crate) fn bind(directory: &Path, name: &str) -> Result<UnixListener> {
    let doing = || format!("listen at {}", directory.join(name).display());
    clear(directory, name).doing(doing())?;
    let (_open, short) = short(directory, name).doing(doing())?;
    UnixListener::bind(short).doing(doing())
}

pub(crate) fn connect_at(directory: &Path, name: &str) -> Result<UnixStream> {
    let doing = || format!("connect to {}", directory.join(name).display());
    let (_open, short) = short(directory, name).doing(doing())?;
    UnixStream::connect(short).doing(doing())
}

/// A path of at most 107 bytes, which is all that a socket's address holds, however deep the
/// directory lies. It is good as long as the descriptor is open.
fn short(directory: &Path, name: &str) -> rustix::io::Result<(OwnedFd, PathBuf)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::open(directory, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{name}", open.as_raw_fd());
    Ok((open, path.into()))
}
