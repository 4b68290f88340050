//! Whether there is room on the disk: commits are refused before it is quite full, so that what is
//! written in the background, and what gives space back, still has some.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags};

use super::StoreError;

/// Free space that commits leave to background work, at most; small disks give a part.
const RESERVE_BYTES: u64 = 64 << 20;
const RESERVE_PART: u64 = 16;
/// The part of the reserve that not even transactions which give space back may touch.
const LAST_PART: u64 = 4;

pub(super) struct Space {
    dir: PathBuf,
    /// The same, open: each commit asks, and looking a path up takes longer than the answer.
    open: OnceLock<OwnedFd>,
    /// The last look found no space beyond the reserve.
    tight: AtomicBool,
}

impl Space {
    pub(super) fn of(dir: PathBuf) -> Space {
        Space {
            dir,
            open: OnceLock::new(),
            tight: AtomicBool::new(false),
        }
    }

    /// Whether a transaction may write `size` bytes; one that `frees` space is not asked yet.
    pub(super) fn admit(&self, size: usize, frees: bool) -> Result<(), StoreError> {
        if !self.tight.load(Ordering::Relaxed) || frees {
            return Ok(());
        }
        self.check(size, 1)
    }

    /// Whether a batch of `size` bytes may be written. Of what was admitted while space was tight,
    /// all gives some back, and may use the reserve.
    pub(super) fn allow(&self, size: usize) -> Result<(), StoreError> {
        match self.tight.load(Ordering::Relaxed) {
            true => self.check(size, LAST_PART),
            false => self.check(size, 1),
        }
    }

    fn open(&self) -> Result<&OwnedFd, StoreError> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(&self.dir, flags, Mode::empty());
        let open = open.map_err(std::io::Error::from)?;
        Ok(self.open.get_or_init(|| open))
    }

    /// Refuses `size` bytes when they would eat into this part of the reserve.
    fn check(&self, size: usize, part: u64) -> Result<(), StoreError> {
        let disk = rustix::fs::fstatvfs(self.open()?).map_err(std::io::Error::from)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let total = disk.f_blocks.saturating_mul(disk.f_frsize);
        let reserve = RESERVE_BYTES.min(total / RESERVE_PART);
        let size = size as u64;
        let tight = free < reserve.saturating_add(size);
        self.tight.store(tight, Ordering::Relaxed);
        if free < (reserve / part).saturating_add(size) {
            return Err(StoreError::NoRoom(format!(
                "{} has {} MiB left, of which {} MiB are kept in reserve",
                self.dir.display(),
                free >> 20,
                reserve >> 20
            )));
        }
        Ok(())
    }
}
