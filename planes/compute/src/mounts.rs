//! Mounting an instance's volumes inside of it. Nobody there may mount; `mount(2)` and `umount2(2)`
//! wait for the supervisor, which does them for the instance's root where a volume of the instance is
//! concerned, and refuses everything else. So `mount`, `umount` and `/etc/fstab` work as they are.
//!
//! Invariants:
//! * only block devices that the instance has are mounted, without set-user-id programs and devices;
//! * only what was mounted here is unmounted: what hides parts of `/proc` stays;
//! * paths are followed as the caller's own, by a process that has entered its root.
//!
//! The file systems' code in the host's kernel reads what an instance may have written: only those
//! that the kernel guards against damaged images are mounted, and never with options that name other
//! devices or let an error stop the host.
//!
//! May touch: the caller's memory and links in `/proc`, the instance's mounts.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use gureum_room::intercept::{Call, Interceptor};
use gureum_room::process::{Forked, fork};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, major, minor, open, stat, statat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::spec::Device;

/// The calls that are answered here.
pub(crate) const CALLS: [i64; 2] = [libc::SYS_mount, libc::SYS_umount2];

/// What is not asked for by these flags is refused: binding, moving, remounting, propagation.
const FLAGS: MountFlags = MountFlags::RDONLY
    .union(MountFlags::NOSUID)
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC)
    .union(MountFlags::NOATIME)
    .union(MountFlags::NODIRATIME)
    .union(MountFlags::RELATIME)
    .union(MountFlags::STRICTATIME)
    .union(MountFlags::SYNCHRONOUS)
    .union(MountFlags::DIRSYNC)
    .union(MountFlags::LAZYTIME)
    .union(MountFlags::SILENT);
const UNMOUNT: UnmountFlags = UnmountFlags::DETACH
    .union(UnmountFlags::FORCE)
    .union(UnmountFlags::NOFOLLOW);
/// What `mount` has sent along with the flags since the last century, and its mask.
const MAGIC: (u64, u64) = (0xc0ed_0000, 0xffff_0000);
/// Options of file systems that concern nothing but the file system itself.
const OPTIONS: [&str; 9] = [
    "acl",
    "user_xattr",
    "discard",
    "nodiscard",
    "barrier",
    "nobarrier",
    "nouuid",
    "inode32",
    "inode64",
];
/// The longest string that is read of a caller: a path with its end (PATH_MAX), also a page.
const LONGEST: usize = 4096;

/// A device's number, major and minor.
pub(crate) type Number = (u32, u32);

/// The block devices that concern an instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Those that it has.
    pub(crate) now: Vec<Number>,
    /// Those that it had since it booted: they may be mounted still.
    pub(crate) ever: Vec<Number>,
}

impl Known {
    pub(crate) fn of(devices: &[Device]) -> Known {
        let mut known = Known::default();
        devices.iter().for_each(|device| known.plugged(device));
        known
    }

    pub(crate) fn plugged(&mut self, device: &Device) {
        let number = (device.major, device.minor);
        self.now.push(number);
        if !self.ever.contains(&number) {
            self.ever.push(number);
        }
    }

    pub(crate) fn unplugged(&mut self, device: &Device) {
        let number = (device.major, device.minor);
        self.now.retain(|other| *other != number);
    }
}

/// A process that answers one call. Its end is what its descriptor waits for.
pub(crate) struct Helper {
    pid: Pid,
    end: OwnedFd,
}

impl Helper {
    /// None when there cannot be one; then the call has been answered.
    pub(crate) fn start(interceptor: &Interceptor, call: &Call, known: &Known) -> Option<Helper> {
        match fork() {
            Ok(Forked::Child) => {
                serve(interceptor, call, known);
                std::process::exit(0)
            }
            Ok(Forked::Parent(pid)) => match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(end) => Some(Helper { pid, end }),
                Err(_) => {
                    let _ = waitpid(Some(pid), WaitOptions::empty());
                    None
                }
            },
            Err(_) => {
                let _ = interceptor.answer(call, Err(Errno::AGAIN));
                None
            }
        }
    }
}

impl AsFd for Helper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl Drop for Helper {
    /// Leaves no zombie of one that has ended.
    fn drop(&mut self) {
        let _ = waitpid(Some(self.pid), WaitOptions::NOHANG);
    }
}

/// Answers a call. Runs in a process of its own, which it changes for good.
fn serve(interceptor: &Interceptor, call: &Call, known: &Known) {
    let done = Caller::open(interceptor, call).and_then(|caller| caller.perform(call, known));
    // Who was killed meanwhile waits no more.
    let _ = interceptor.answer(call, done);
}

/// Whoever called: the way to its memory and its view of the files.
struct Caller {
    memory: File,
    mounts: OwnedFd,
    root: OwnedFd,
    directory: OwnedFd,
}

impl Caller {
    fn open(interceptor: &Interceptor, call: &Call) -> Result<Caller, Errno> {
        let process = PathBuf::from(format!("/proc/{}", call.pid));
        let link = |name: &str| {
            open(
                process.join(name),
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
        };
        let status = fs::read_to_string(process.join("status")).map_err(errno)?;
        let caller = Caller {
            memory: File::open(process.join("mem")).map_err(errno)?,
            mounts: open(
                process.join("ns/mnt"),
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )?,
            root: link("root")?,
            directory: link("cwd")?,
        };
        // Had the caller died, its number might be another's by now.
        match interceptor.waits(call) && is_root(&status) {
            true => Ok(caller),
            false => Err(Errno::PERM),
        }
    }

    fn perform(self, call: &Call, known: &Known) -> Result<(), Errno> {
        let [first, second, third, flags, options, _] = call.arguments;
        if call.number == libc::SYS_umount2 {
            let target = self.path(first)?;
            self.enter()?;
            return take_down(&target, second, &known.ever);
        }
        let (source, target) = (self.path(first)?, self.path(second)?);
        let (kind, options) = (self.string(third)?, self.string(options)?);
        self.enter()?;
        put_up(&source, &target, (&kind, flags, &options), &known.now)
    }

    fn path(&self, address: u64) -> Result<PathBuf, Errno> {
        match self.string(address)? {
            path if path.is_empty() => Err(Errno::NOENT),
            path => Ok(path.into()),
        }
    }

    /// A string of the caller's; an empty one where it gave none.
    fn string(&self, address: u64) -> Result<String, Errno> {
        if address == 0 {
            return Ok(String::new());
        }
        let mut bytes = vec![0; LONGEST];
        let mut read = 0;
        while read < LONGEST {
            // To the end of a page, because what is behind it need not be there.
            let at = address.checked_add(read as u64).ok_or(Errno::FAULT)?;
            let end = (LONGEST - (at % LONGEST as u64) as usize).min(LONGEST - read);
            let part = &mut bytes[read..read + end];
            self.memory
                .read_exact_at(part, at)
                .map_err(|_| Errno::FAULT)?;
            if let Some(length) = part.iter().position(|byte| *byte == 0) {
                bytes.truncate(read + length);
                return String::from_utf8(bytes).map_err(|_| Errno::INVAL);
            }
            read += end;
        }
        Err(Errno::NAMETOOLONG)
    }

    /// Sees the caller's files from now on, and no others.
    fn enter(&self) -> Result<(), Errno> {
        move_into_link_name_space(self.mounts.as_fd(), Some(LinkNameSpaceType::Mount))?;
        rustix::process::fchdir(&self.root)?;
        rustix::process::chroot(".")?;
        rustix::process::fchdir(&self.directory)
    }
}

/// Mounts a volume.
fn put_up(
    source: &Path,
    target: &Path,
    (kind, flags, options): (&str, u64, &str),
    known: &[Number],
) -> Result<(), Errno> {
    let flags = if flags & MAGIC.1 == MAGIC.0 {
        flags & !MAGIC.1
    } else {
        flags
    };
    let flags = u32::try_from(flags).ok().and_then(MountFlags::from_bits);
    let flags = flags
        .filter(|flags| FLAGS.contains(*flags))
        .ok_or(Errno::PERM)?;
    let forced = match kind {
        // Whatever the image says, an error stops the file system, and not the host.
        "ext2" | "ext3" | "ext4" => "errors=remount-ro",
        // Copies of one volume have one identity, and may be mounted on one host.
        "xfs" => "nouuid",
        _ => return Err(Errno::PERM),
    };
    let named = options.split(',').filter(|option| !option.is_empty());
    let mut options: Vec<&str> = named.collect();
    if options.iter().any(|option| !OPTIONS.contains(option)) {
        return Err(Errno::INVAL);
    }
    options.retain(|option| *option != forced);
    options.push(forced);
    let options = CString::new(options.join(",")).map_err(|_| Errno::INVAL)?;
    let about = stat(source)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::BlockDevice {
        return Err(Errno::NOTBLK);
    }
    if !known.contains(&(major(about.st_rdev), minor(about.st_rdev))) {
        return Err(Errno::PERM);
    }
    let flags = flags | MountFlags::NOSUID | MountFlags::NODEV;
    mount(source, target, kind, flags, Some(options.as_c_str()))
}

/// Unmounts a volume. The name cannot come to mean another mount between the look and the deed: its
/// directory is held, a mount point cannot be renamed, and only we change mounts, one at a time.
fn take_down(target: &Path, flags: u64, known: &[Number]) -> Result<(), Errno> {
    let flags = u32::try_from(flags).ok().and_then(UnmountFlags::from_bits);
    let flags = flags
        .filter(|flags| UNMOUNT.contains(*flags))
        .ok_or(Errno::INVAL)?;
    let target = fs::canonicalize(target).map_err(errno)?;
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(Errno::PERM);
    };
    let parent = open(
        parent,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let about = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if !known.contains(&(major(about.st_dev), minor(about.st_dev))) {
        return Err(Errno::PERM);
    }
    rustix::process::fchdir(&parent)?;
    unmount(name, flags | UnmountFlags::NOFOLLOW)
}

/// Whether a process acts as root, by its `status`: see proc_pid_status(5).
fn is_root(status: &str) -> bool {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_counts() {
        assert!(is_root("Name:\tmount\nUid:\t1000\t0\t0\t0\nGid:\t0\n"));
        assert!(!is_root("Name:\tmount\nUid:\t0\t1000\t0\t0\n"));
        assert!(!is_root(""));
    }

    #[test]
    fn only_volumes_are_mounted_and_unmounted() {
        let node = Path::new("/dev/null");
        let mount =
            |kind, flags, options| put_up(node, Path::new("/nowhere"), (kind, flags, options), &[]);
        assert_eq!(mount("ext4", 0, ""), Err(Errno::NOTBLK));
        assert_eq!(mount("proc", 0, ""), Err(Errno::PERM));
        assert_eq!(mount("ext4", libc::MS_BIND, ""), Err(Errno::PERM));
        assert_eq!(
            mount("ext4", 0xc0ed_0000 | libc::MS_REMOUNT, ""),
            Err(Errno::PERM)
        );
        assert_eq!(mount("ext4", 0, "errors=panic"), Err(Errno::INVAL));
        assert_eq!(mount("xfs", 0, "logdev=/dev/sda"), Err(Errno::INVAL));
        assert_eq!(take_down(Path::new("/proc"), 0, &[]), Err(Errno::PERM));
        assert_eq!(take_down(Path::new("/"), 0, &[]), Err(Errno::PERM));
    }
}
