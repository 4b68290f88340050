//! What a process with one thread may do to itself, and for which no safe wrapper exists. The only
//! unsafe code of the machine room: the planes that run processes use it too.
#![allow(unsafe_code)]

use std::io::{self, Error};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves this process into new namespaces. Refused when it has more than one thread, or for flags
/// that make no namespace.
pub fn unshare(kinds: UnshareFlags) -> io::Result<()> {
    alone()?;
    let parts = UnshareFlags::FILES | UnshareFlags::FS | UnshareFlags::SYSVSEM;
    if kinds.intersects(parts) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: unsafe only for `FILES`, which would take descriptors from under other threads.
    unsafe { unshare_unsafe(kinds) }.map_err(Into::into)
}

/// Where [`fork`] returns.
pub enum Forked {
    Child,
    Parent(Pid),
}

/// Copies this process. Refused when it has more than one thread: a copy of a lock that another
/// thread holds would never open.
pub fn fork() -> io::Result<Forked> {
    alone()?;
    // SAFETY: there is no other thread, so the child finds every lock and the heap in a sound state
    // and may go on like the parent.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        pid => Pid::from_raw(pid)
            .filter(|_| pid > 0)
            .map(Forked::Parent)
            .ok_or_else(Error::last_os_error),
    }
}

/// Copies this process, the copy being the first process of a new process id namespace. Unlike
/// unsharing and forking, this can be done again, also without rights over our own namespace.
pub fn fork_first() -> io::Result<Forked> {
    alone()?;
    let flags = i64::from(libc::CLONE_NEWPID | libc::SIGCHLD);
    // SAFETY: as in `fork`; with no flag that shares anything and no stack of its own, the child is
    // a copy like fork's. What libc's fork does besides concerns locks, which are free, and the
    // thread's cached id, which nothing here reads and the next fork sets.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        0 => Ok(Forked::Child),
        pid => i32::try_from(pid)
            .ok()
            .filter(|pid| *pid > 0)
            .and_then(Pid::from_raw)
            .map(Forked::Parent)
            .ok_or_else(Error::last_os_error),
    }
}

/// Whether this process has one thread only, which can then start no other behind our back.
fn alone() -> io::Result<()> {
    match std::fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        _ => Err(Error::other("a process of several threads cannot do this")),
    }
}

/// Signals as a descriptor to poll, instead of handlers.
pub struct Signals(OwnedFd);

impl Signals {
    /// From now on these signals (numbers, as those of real time have no names) wait here, in this
    /// process and in its copies.
    pub fn take(numbers: &[i32]) -> io::Result<Signals> {
        alone()?;
        // SAFETY: the set is initialised by `sigemptyset` before anything reads it; the calls keep
        // no pointer. Blocking signals concerns this one thread.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for number in numbers {
                if libc::sigaddset(&raw mut set, *number) != 0 {
                    return Err(Error::last_os_error());
                }
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
                return Err(Error::last_os_error());
            }
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            match libc::signalfd(-1, &raw const set, flags) {
                -1 => Err(Error::last_os_error()),
                fd => Ok(Signals(OwnedFd::from_raw_fd(fd))),
            }
        }
    }

    /// In a copy of the process that took signals: lets them all through again, so that what it
    /// executes can be ended as usual.
    pub fn let_through() -> io::Result<()> {
        // SAFETY: as in `take`.
        unsafe {
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            match libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) {
                0 => Ok(()),
                _ => Err(Error::last_os_error()),
            }
        }
    }

    /// The number of a signal that has come.
    pub fn next(&self) -> Option<i32> {
        let mut about = [0u8; size_of::<libc::signalfd_siginfo>()];
        let read = rustix::io::read(&self.0, &mut about[..]).ok()?;
        // The number is the structure's first field, see signalfd(2).
        let number = about.first_chunk().filter(|_| read == about.len())?;
        Some(i32::from_ne_bytes(*number))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Closes every descriptor but the standard ones: whatever whoever started us had open, and did not
/// mean to lend for ever. For the very beginning of a process that opened none itself.
pub(crate) fn close_inherited() {
    // SAFETY: nothing in this process owns any of them yet. A kernel too old to know the call
    // leaves them open, which does no harm here.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32);
    }
}

/// Brings the loopback interface of this process's network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
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
        _ => Err(Error::last_os_error()),
    }
}
