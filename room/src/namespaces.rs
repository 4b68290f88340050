//! Into the room: through a process that lives in it, or, when none does, by making it. May touch:
//! this process's namespaces, and mounts inside them.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};
use rustix::process::{Pid, PidfdFlags, getegid, geteuid, getpid, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces};

use crate::inside::{NETNS, PROGRAM};
use crate::process::{self, Forked};
use crate::resident::{self, ALIVE};
use crate::{Doing, Error, Result};

/// The process that does nothing but live in the room, so that the room lasts.
pub(crate) const HOLDER: &str = "holder";

/// Names the file that says which room this is.
const IDENTITY: &str = "identity";

/// Moves this process into the room of this directory.
pub(crate) fn enter(dir: &Path) -> Result<()> {
    let program = std::env::current_exe().doing("find this program")?;
    if !join(dir)? {
        make(dir)?;
    }
    mount_program(dir, &program)?;
    if resident::connect(dir, HOLDER).is_err() {
        hold(dir)?;
    }
    Ok(())
}

/// Follows a living process into its namespaces; false when there is none.
fn join(dir: &Path) -> Result<bool> {
    let mut kinds = ThreadNameSpaceType::MOUNT | ThreadNameSpaceType::NETWORK;
    if !geteuid().is_root() {
        kinds |= ThreadNameSpaceType::USER;
    }
    for name in resident::names(dir)? {
        let Ok(stream) = resident::connect(dir, &name) else {
            continue;
        };
        let pidfd = pidfd_open(resident::peer(&stream)?, PidfdFlags::empty());
        // The connection was to this very process, so its id has not been given to another yet.
        let joined = pidfd.and_then(|p| move_into_thread_name_spaces(p.as_fd(), kinds));
        match joined {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                return Err(error).doing(format_args!("join the room through {name}"));
            }
        }
    }
    Ok(false)
}

fn make(dir: &Path) -> Result<()> {
    if !geteuid().is_root() {
        become_root()?;
    }
    let kinds = UnshareFlags::NEWNS | UnshareFlags::NEWNET;
    process::unshare(kinds).doing("make the room's namespaces")?;
    // What the host unmounts shall not stay mounted because of us; what we mount stays ours.
    let follow = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", follow).doing("set the room's mounts apart")?;
    process::loopback_up().doing("bring up the room's loopback interface")?;
    let names = dir.join(NETNS);
    fs::create_dir_all(&names).doing("make the directory of network namespaces")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", &names, "tmpfs", flags, Some(c"mode=0700,size=1m"))
        .doing("mount the directory of network namespaces")?;
    let identity = fs::read("/proc/sys/kernel/random/uuid").doing("give the room an identity")?;
    fs::write(dir.join(IDENTITY), identity).doing("write down the room's identity")
}

/// Which room this process is in; see [`crate::Host::room`].
pub(crate) fn identity(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join(IDENTITY)).unwrap_or_default();
    text.trim_end().to_owned()
}

/// Makes a user namespace in which we are root: of a range of ids where the host lends us one
/// (`/etc/subuid`), else of our own id alone.
fn become_root() -> Result<()> {
    let doing = "make a user namespace";
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let ours = getpid();
    // Ids are lent by a privileged helper that must stand outside.
    let (mut go, gone) = std::io::pipe().doing(doing)?;
    let (lent, mut lend) = std::io::pipe().doing(doing)?;
    match process::fork().doing(doing)? {
        Forked::Child => {
            drop((gone, lent));
            let _ = go.read(&mut [0]);
            let outcome = borrow_ids(ours, uid, gid);
            let _ = lend.write_all(&[u8::from(outcome)]);
            std::process::exit(0);
        }
        Forked::Parent(helper) => {
            drop((go, lend));
            process::unshare(UnshareFlags::NEWUSER).map_err(no_user_namespaces)?;
            drop(gone);
            let mut outcome = [0];
            let mut lent = lent;
            let _ = lent.read(&mut outcome);
            let _ = rustix::process::waitpid(Some(helper), rustix::process::WaitOptions::empty());
            if outcome == [0] {
                fs::write("/proc/self/setgroups", "deny").doing(doing)?;
                fs::write("/proc/self/uid_map", format!("0 {uid} 1")).doing(doing)?;
                fs::write("/proc/self/gid_map", format!("0 {gid} 1")).doing(doing)?;
            }
            Ok(())
        }
    }
}

fn no_user_namespaces(error: std::io::Error) -> Error {
    Error::Open(format!(
        "this user may not make a user namespace ({error}). Run as root, or allow it: \
         sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 \
         kernel.apparmor_restrict_unprivileged_userns=0"
    ))
}

/// Lends `/etc/subuid`'s and `/etc/subgid`'s ranges to a process; false when there are none.
fn borrow_ids(to: Pid, uid: u32, gid: u32) -> bool {
    let name = user_name(uid);
    let range = |file: &str| {
        let text = fs::read_to_string(file).ok()?;
        lent_range(&text, uid, name.as_deref())
    };
    let (Some(users), Some(groups)) = (range("/etc/subuid"), range("/etc/subgid")) else {
        return false;
    };
    let map = |tool: &str, own: u32, (first, count): (u32, u32)| {
        let status = Command::new(tool)
            .arg(to.to_string())
            .args(["0", &own.to_string(), "1"])
            .args(["1", &first.to_string(), &count.to_string()])
            .status();
        status.is_ok_and(|status| status.success())
    };
    map("newuidmap", uid, users) && map("newgidmap", gid, groups)
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    })
}

/// The first range of a user in a file like `/etc/subuid`: `name-or-id:first:count`.
fn lent_range(text: &str, uid: u32, name: Option<&str>) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        if Some(owner) != name && owner != uid.to_string() {
            return None;
        }
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

/// Mounts this program's file at `<room>/program`, read-only.
fn mount_program(dir: &Path, program: &Path) -> Result<()> {
    let doing = "mount this program";
    let at = dir.join(PROGRAM);
    // The last keeper's: whoever runs from it keeps it.
    match unmount(&at, UnmountFlags::DETACH) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error).doing(doing),
    }
    match mount_read_only(program, &at) {
        // It was replaced or deleted while it ran.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let copy = dir.join("program.copy");
            fs::copy("/proc/self/exe", &copy).doing(doing)?;
            mount_read_only(&copy, &at).doing(doing)
        }
        mounted => mounted.doing(doing),
    }
}

fn mount_read_only(file: &Path, at: &Path) -> std::io::Result<()> {
    fs::File::create(at)?;
    mount_bind(file, at)?;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    // In a user namespace what the host forbids must stay forbidden.
    if statvfs(at)?.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        flags |= MountFlags::NOEXEC;
    }
    Ok(mount_remount(at, flags, "")?)
}

/// Leaves a copy of this process in the room that sleeps until it is killed.
fn hold(dir: &Path) -> Result<()> {
    let doing = "leave a process that holds the room";
    let (mut heard, tell) = std::io::pipe().doing(doing)?;
    match process::fork().doing(doing)? {
        Forked::Child => {
            let listener = resident::listen(dir, HOLDER);
            let nothing = fs::File::options().read(true).write(true).open("/dev/null");
            if let (Ok(listener), Ok(nothing)) = (listener, nothing) {
                let _ = rustix::stdio::dup2_stdout(&nothing);
                let _ = rustix::stdio::dup2_stderr(&nothing);
                let _ = (&tell).write_all(&[1]);
                drop((nothing, heard, tell));
                while listener.accept().is_ok() {}
            }
            std::process::exit(1);
        }
        Forked::Parent(_) => {
            drop(tell);
            let mut lives = [0];
            match heard.read(&mut lives) {
                Ok(1) => Ok(()),
                _ => Err(Error::Open(format!("cannot {doing}"))),
            }
        }
    }
}

/// Makes the directories that the room needs before anyone is in it.
pub(crate) fn prepare(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    let alive = dir.join(ALIVE);
    builder
        .create(&alive)
        .doing(format_args!("make {}", alive.display()))
}

#[cfg(test)]
mod tests {
    use super::lent_range;

    #[test]
    fn ranges_are_lent_by_name_or_by_id() {
        let text = "alice:100000:65536\n1001:165536:65536\nbroken\n";
        assert_eq!(
            lent_range(text, 1000, Some("alice")),
            Some((100_000, 65_536))
        );
        assert_eq!(lent_range(text, 1001, Some("bob")), Some((165_536, 65_536)));
        assert_eq!(lent_range(text, 1002, None), None);
    }
}
