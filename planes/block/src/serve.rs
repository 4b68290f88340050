//! A volume as a file that the kernel can put a loop device on: FUSE with one file, which is its own
//! mount point. Every access goes through the image, so layers, keys and limits hold for whoever
//! uses the device.
//! May touch: the image, `/dev/fuse`.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, INodeNo,
    LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, Session, WriteFlags,
};
use serde::{Deserialize, Serialize};

use crate::gate::Gate;
use crate::{BLOCK, Error, Image, Limits, Result, Throttle};

/// What a volume has done since it was attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub read_operations: u64,
    pub read_bytes: u64,
    pub write_operations: u64,
    pub write_bytes: u64,
}

/// An image, shared by the file system that serves it and by who snapshots and grows it.
#[derive(Clone)]
pub(crate) struct Volume(Arc<Inner>);

struct Inner {
    image: Mutex<Image>,
    pace: Mutex<Pace>,
    since: Instant,
    gate: Gate,
}

struct Pace {
    throttle: Option<Throttle>,
    usage: Usage,
}

impl Volume {
    pub(crate) fn new(image: Image, limits: Option<Limits>) -> Self {
        let throttle = limits.map(Throttle::new);
        let usage = Usage::default();
        Self(Arc::new(Inner {
            image: Mutex::new(image),
            pace: Mutex::new(Pace { throttle, usage }),
            since: Instant::now(),
            gate: Gate::default(),
        }))
    }

    pub(crate) fn image(&self) -> MutexGuard<'_, Image> {
        lock(&self.0.image)
    }

    /// What writes pass through.
    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    pub(crate) fn limit(&self, limits: Option<Limits>) {
        lock(&self.0.pace).throttle = limits.map(Throttle::new);
    }

    pub(crate) fn usage(&self) -> Usage {
        lock(&self.0.pace).usage
    }

    /// Mounts the volume over the file at `at`; it is served until the answer is dropped.
    pub(crate) fn mount(&self, at: &Path) -> Result<BackgroundSession> {
        let mut config = fuser::Config::default();
        config.mount_options = vec![
            MountOption::FSName("gureum-volume".into()),
            MountOption::NoDev,
            MountOption::NoSuid,
            MountOption::NoExec,
        ];
        Ok(Session::new(self.clone(), at, &config)?.spawn()?)
    }

    /// Counts an access, and waits as long as the limits say.
    fn pace(&self, len: usize, count: impl FnOnce(&mut Usage, u64)) {
        let pause = {
            let mut pace = lock(&self.0.pace);
            count(&mut pace.usage, len as u64);
            let now = self.0.since.elapsed();
            pace.throttle
                .as_mut()
                .map(|throttle| throttle.pause(now, len as u64))
        };
        if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
            std::thread::sleep(pause);
        }
    }

    fn about(&self) -> FileAttr {
        let size = self.image().size();
        FileAttr {
            ino: INodeNo::ROOT,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: FileType::RegularFile,
            perm: 0o600,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK as u32,
            flags: 0,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn errno(error: &Error) -> Errno {
    match error {
        Error::Full => Errno::ENOSPC,
        Error::Range { .. } => Errno::EINVAL,
        _ => Errno::EIO,
    }
}

fn answer(reply: ReplyEmpty, result: Result<()>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(&error)),
    }
}

/// The size changes when the volume grows, so the kernel may not keep it.
const NEVER: Duration = Duration::ZERO;

impl Filesystem for Volume {
    fn lookup(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        // The root is a file; it has no entries.
        reply.error(Errno::ENOTDIR);
    }

    fn getattr(&self, _: &Request, _: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&NEVER, &self.about());
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // The loop device above has the page cache; a second copy here would be waste.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let left = self.image().size().saturating_sub(offset);
        let mut bytes = vec![0; u64::from(size).min(left) as usize];
        self.pace(bytes.len(), |usage, len| {
            usage.read_operations += 1;
            usage.read_bytes += len;
        });
        let read = self.image().read(offset, &mut bytes);
        match read {
            Ok(()) => reply.data(&bytes),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.pace(data.len(), |usage, len| {
            usage.write_operations += 1;
            usage.write_bytes += len;
        });
        self.gate().pass();
        let written = self.image().write(offset, data);
        match written {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let flushed = self.image().flush();
        answer(reply, flushed);
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mode = rustix::fs::FallocateFlags::from_bits_retain(mode as u32);
        use rustix::fs::FallocateFlags as Mode;
        if !mode.intersects(Mode::PUNCH_HOLE | Mode::ZERO_RANGE) {
            // Space is not reserved: volumes are sparse.
            return reply.error(Errno::EOPNOTSUPP);
        }
        self.gate().pass();
        let discarded = self.image().discard(offset, length);
        answer(reply, discarded);
    }
}
