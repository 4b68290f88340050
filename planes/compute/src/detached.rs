//! Reading a file system that nobody sees: its mount hangs in no directory of any namespace, and goes
//! with the descriptor, also when this process is killed.
//!
//! May touch: the block device.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use gureum_room::{Doing, Error, Result};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

/// Kinds that the kernel guards against damaged images, and what they need to be told. `ext4` reads
/// its older forms too.
const KINDS: [(&str, &[&str]); 2] = [("ext4", &[]), ("xfs", &["nouuid"])];

/// A file system, mounted read-only.
pub(crate) struct Detached(OwnedFd);

impl Detached {
    /// What is on a block device. The kernel may finish what its journal holds.
    pub(crate) fn open(device: &Path) -> Result<Detached> {
        for (kind, flags) in KINDS {
            match mount(device, kind, flags) {
                Ok(mount) => return Ok(Detached(mount)),
                // It is of another kind, or this kernel does not know this one.
                Err(Errno::INVAL | Errno::NODEV | Errno::UCLEAN) => {}
                Err(error) => return Err(error).doing(format_args!("read a file system ({kind})")),
            }
        }
        let kinds = KINDS.map(|(kind, _)| kind).join(" or ");
        Err(Error::failed(format_args!(
            "there is no file system ({kinds}) on the whole of the disk"
        )))
    }

    /// Its root directory, for this process and those that it starts.
    pub(crate) fn path(&self) -> PathBuf {
        let (process, number) = (std::process::id(), self.0.as_raw_fd());
        // The dot makes a directory of what is a link otherwise.
        PathBuf::from(format!("/proc/{process}/fd/{number}/."))
    }
}

fn mount(device: &Path, kind: &str, flags: &[&str]) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device)?;
    for flag in flags.iter().chain(&["ro"]) {
        fsconfig_set_flag(&context, *flag)?;
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}
