//! The process behind an attached volume, and how it is spoken to.
//!
//! One process per volume, which lives in the machine room: it mounts the volume's file, puts a loop
//! device on it, and serves until it is told to detach. It outlives whoever asked for it, so that
//! instances keep their disks. Its first request is the [`Order`]: keys come over the socket, where
//! they show in no process list.
//! May touch: the depot, the directory of mount points, the mount table, loop devices.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gureum_room::{decode, encode, frame, resident};
use rustix::event::PollFlags;
use rustix::mount::{UnmountFlags, unmount};
use serde::{Deserialize, Serialize};

use crate::device::Loop;
use crate::serve::{Usage, Volume};
use crate::{Depot, Key, Limits, Result};

/// What a volume process is to serve.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The depot's directory.
    pub(crate) depot: PathBuf,
    pub(crate) volume: String,
    /// A directory for mount points, each named after its volume.
    pub(crate) run: PathBuf,
    pub(crate) keys: BTreeMap<String, Key>,
    pub(crate) limits: Option<Limits>,
}

/// What a volume process can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Serve this, unless you do already.
    Attach(Order),
    /// Keep what the volume holds now under this name.
    Snapshot(String),
    /// Hold up all writes, for a few seconds at most.
    Hold,
    /// Let them through again. Fails if they were not held up until now.
    Release,
    /// Have this many bytes from now on.
    Grow(u64),
    /// Be this fast from now on.
    Limit(Option<Limits>),
    /// Tell what has been done.
    Usage,
    /// Go. A device in use stays until its last user is gone.
    Detach,
    /// Go at once, whoever uses the device: their accesses fail from now on.
    Abandon,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// It serves, as this device.
    Ready(PathBuf),
    Done,
    Used(Usage),
    Failed(String),
    /// It was told to go before, and somebody still uses the device.
    InUse,
}

/// The name under which a volume's process lives in the room.
pub(crate) fn resident_name(volume: &str) -> String {
    format!("volume-{volume}")
}

/// How long an exchange may take; a snapshot waits for the disk.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks the process of a volume, and waits for its answer. `NotFound` or `ConnectionRefused` inside
/// of the error: there is none.
pub(crate) fn ask(room: &Path, volume: &str, request: &Request) -> gureum_room::Result<Reply> {
    let stream = resident::connect(room, &resident_name(volume))?;
    let talk = || {
        frame::send(&stream, &encode(request)?, &[], PATIENCE).map_err(lost)?;
        decode(&frame::receive(&stream, PATIENCE).map_err(lost)?.body)
    };
    talk()
}

fn lost(_: io::Error) -> gureum_room::Error {
    gureum_room::Error::Lost
}

/// The whole life of a volume process.
pub(crate) fn run() -> gureum_room::Result<()> {
    let listener = resident::settle()?;
    let mut serving: Option<Serving> = None;
    loop {
        if let Some(leaving) = serving.take_if(|serving| serving.is_over()) {
            return leaving.end().map_err(gureum_room::Error::failed);
        }
        let leaves = serving.as_ref().is_some_and(|it| it.leaves.is_some());
        if leaves && frame::wait_for(listener.as_fd(), PollFlags::IN, LOOK).is_err() {
            continue;
        }
        let request = exchange(&listener, |request| perform(&mut serving, request));
        // An order that failed is not tried again: who gave it launches a new process.
        if matches!(request, Ok((Request::Attach(_), Reply::Failed(_)))) && serving.is_none() {
            return Ok(());
        }
        // A caller that says nothing, or nonsense, is left to itself.
    }
}

/// How often a process that is to go looks whether its device is still used.
const LOOK: Duration = Duration::from_millis(20);

/// One request and its answer; callers wait for each other.
fn exchange(
    listener: &UnixListener,
    perform: impl FnOnce(&Request) -> Reply,
) -> gureum_room::Result<(Request, Reply)> {
    let (stream, _) = listener.accept().map_err(lost)?;
    resident::peer(&stream)?;
    let request = decode(&frame::receive(&stream, PATIENCE).map_err(lost)?.body)?;
    let reply = perform(&request);
    // Who does not wait for the answer has had the deed.
    let _ = frame::send(&stream, &encode(&reply)?, &[], PATIENCE);
    Ok((request, reply))
}

fn perform(serving: &mut Option<Serving>, request: &Request) -> Reply {
    let done = match (&mut *serving, request) {
        (None, Request::Attach(order)) => Serving::start(order).map(|started| {
            let device = started.device.path().to_owned();
            *serving = Some(started);
            Reply::Ready(device)
        }),
        (Some(serving), request) => serving.perform(request),
        (None, _) => return Reply::Failed("there is no volume yet".into()),
    };
    done.unwrap_or_else(|error| Reply::Failed(error.to_string()))
}

struct Serving {
    depot: Depot,
    name: String,
    keys: BTreeMap<String, Key>,
    volume: Volume,
    device: Loop,
    mounted: fuser::BackgroundSession,
    mount_point: PathBuf,
    /// When it ends, once it was told to.
    leaves: Option<Leave>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    WithLastUser,
    AtOnce,
}

impl Serving {
    fn start(order: &Order) -> Result<Self> {
        let depot = Depot::open(&order.depot)?;
        let keys = order.keys.clone();
        let image = depot.image(&order.volume, &|name| keys.get(name).cloned())?;
        let mount_point = order.run.join(format!("{}.image", order.volume));
        clear(&mount_point)?;
        File::create(&mount_point)?;
        let volume = Volume::new(image, order.limits);
        let mounted = volume.mount(&mount_point)?;
        Ok(Self {
            device: Loop::attach(&mount_point)?,
            name: order.volume.clone(),
            depot,
            keys,
            volume,
            mounted,
            mount_point,
            leaves: None,
        })
    }

    fn perform(&mut self, request: &Request) -> Result<Reply> {
        let keys = |name: &str| self.keys.get(name).cloned();
        match request {
            Request::Attach(_) => return Ok(Reply::Ready(self.device.path().to_owned())),
            Request::Snapshot(name) => {
                let mut image = self.volume.image();
                self.depot.snapshot(&self.name, name, &mut image, &keys)?;
            }
            Request::Hold => self.volume.gate().shut(),
            Request::Release if self.volume.gate().open() => {}
            Request::Release => {
                let why = "writes could not be held up long enough";
                return Ok(Reply::Failed(why.into()));
            }
            Request::Grow(size) => {
                self.depot
                    .grow(&self.name, *size, Some(&mut self.volume.image()))?;
                // The kernel asks for the size again when someone looks.
                fs::metadata(&self.mount_point)?;
                self.device.resize()?;
            }
            Request::Limit(limits) => self.volume.limit(*limits),
            Request::Usage => return Ok(Reply::Used(self.volume.usage())),
            Request::Detach if self.leaves.is_some() => return Ok(Reply::InUse),
            Request::Detach => {
                self.device.detach()?;
                self.leaves = Some(Leave::WithLastUser);
            }
            Request::Abandon => {
                self.device.detach()?;
                self.leaves = Some(Leave::AtOnce);
            }
        }
        Ok(Reply::Done)
    }

    fn is_over(&self) -> bool {
        match self.leaves {
            None => false,
            Some(Leave::WithLastUser) => self.device.gone(),
            Some(Leave::AtOnce) => true,
        }
    }

    /// Leaves nothing behind but a device in use, behind which there is nothing.
    fn end(self) -> Result<()> {
        self.volume.image().flush()?;
        // A mount namespace that was copied from ours may still show the file; nobody waits for that.
        // With this process the connection ends, and with it every such view.
        std::mem::forget(self.mounted);
        clear(&self.mount_point)
    }
}

/// Takes away the device, the mount and the file that a volume process left, if any.
pub(crate) fn clear(mount_point: &Path) -> Result<()> {
    for device in Loop::all_of(mount_point)? {
        device.detach()?;
    }
    match unmount(mount_point, UnmountFlags::DETACH) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(io::Error::from(error).into()),
    }
    match fs::remove_file(mount_point) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
