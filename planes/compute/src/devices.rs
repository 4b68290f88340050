//! Block devices inside a running instance: their nodes appear and go while it runs. May touch: the
//! instance's `/dev`, seen through its first process.

use std::os::fd::OwnedFd;

use gureum_room::{Doing, Error, Result};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, makedev, mknodat, openat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::spec::Device;

/// Makes a device's node in the `/dev` of the instance whose first process this is. A node of that
/// name is replaced.
pub(crate) fn plug(pid: i32, device: &Device) -> Result<()> {
    unplug(pid, &device.name)?;
    let doing = format!("make /dev/{}", device.name);
    let mode = Mode::from_raw_mode(0o660);
    let number = makedev(device.major, device.minor);
    let dev = dev(pid)?;
    mknodat(&dev, &device.name, FileType::BlockDevice, mode, number).doing(doing)
}

/// Removes a node; only one of a block device, since the instance may have put a file there.
pub(crate) fn unplug(pid: i32, name: &str) -> Result<()> {
    let dev = dev(pid)?;
    let doing = format!("remove /dev/{name}");
    match statat(&dev, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).doing(doing),
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice => {
            unlinkat(&dev, name, AtFlags::empty()).doing(doing)
        }
        Ok(_) => Err(Error::failed(format_args!("/dev/{name} is something else"))),
    }
}

/// A name that cannot lead out of the directory.
pub(crate) fn check(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.is_empty() || name.len() > 32 || !name.bytes().all(fits) {
        return Err(Error::failed(format_args!("{name:?} is no device's name")));
    }
    Ok(())
}

fn dev(pid: i32) -> Result<OwnedFd> {
    let doing = "open the instance's /dev";
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, format!("/proc/{pid}/root"), flags, Mode::empty()).doing(doing)?;
    let flags = flags | OFlags::NOFOLLOW;
    openat(&root, "dev", flags, Mode::empty()).doing(doing)
}
