//! The few calls into the kernel for which no safe wrapper exists. The only unsafe code of this
//! crate.
#![allow(unsafe_code)]

use std::io;

use rustix::process::Pid;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves this process, which must have one thread, into new namespaces.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: unsafe only for `FILES`, which would take descriptors from under other threads.
    unsafe { unshare_unsafe(flags) }.map_err(Into::into)
}

/// Where [`fork`] returns.
pub(crate) enum Forked {
    Child,
    Parent(Pid),
}

/// Copies this process, which must have one thread: a copy of a lock that another thread holds
/// would never open.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the callers run before or without any thread, so the child finds every lock and the
    // heap in a sound state and may go on like the parent.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        pid => Pid::from_raw(pid)
            .filter(|_| pid > 0)
            .map(Forked::Parent)
            .ok_or_else(io::Error::last_os_error),
    }
}

/// Brings the loopback interface of this process's network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: all zeroes is a value of this plain C struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    // Both flags fit; the field is a short for history's sake.
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the kernel reads an `ifreq`, which this is, and keeps no pointer to it.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
