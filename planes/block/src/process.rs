//! The process behind an attached volume, and how it is spoken to.
//!
//! One process per volume: it mounts the volume's file, puts a loop device on it, and serves until it
//! is told to detach. It outlives whoever started it, so that instances keep their disks. It takes its
//! [`Order`] from standard input, where keys do not show in process lists, answers with one line on
//! standard output, and then takes [`Request`]s at a Unix socket, one a connection.
//! May touch: the depot, the directory of its socket, the mount table, loop devices.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use serde::{Deserialize, Serialize};

use crate::device::Loop;
use crate::serve::{Usage, Volume};
use crate::{Depot, Error, Key, Limits, Result};

/// What a volume process is to do.
#[derive(Serialize, Deserialize)]
pub struct Order {
    /// The depot's directory.
    pub depot: PathBuf,
    pub volume: String,
    /// A directory for the mount point and the socket; both are named after the volume.
    pub run: PathBuf,
    /// Keys by name, in hexadecimal.
    pub keys: BTreeMap<String, String>,
    pub limits: Option<Limits>,
}

/// What an attached volume can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Keep what it holds now under this name.
    Snapshot(String),
    /// Have this many bytes from now on.
    Grow(u64),
    /// Be this fast from now on.
    Limit(Option<Limits>),
    /// Tell what it has done.
    Usage,
    /// Go. A device in use stays until its last user is gone.
    Detach,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It serves, as this device.
    Ready(PathBuf),
    Done,
    Used(Usage),
    Failed(String),
}

/// The file that a volume of that name is mounted on.
fn mount_point(run: &Path, volume: &str) -> PathBuf {
    run.join(format!("{volume}.image"))
}

/// Where a volume of that name is spoken to.
pub fn socket(run: &Path, volume: &str) -> PathBuf {
    run.join(format!("{volume}.sock"))
}

/// Asks the volume behind `socket`; waits for its answer.
pub fn ask(socket: &Path, request: &Request) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket)?;
    send(&mut stream, request)?;
    let mut line = String::new();
    BufReader::new(stream).take(LONGEST).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// A request or an answer has at most this many bytes.
const LONGEST: u64 = 64 * 1024;

fn send(to: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// The whole life of a volume process: `order` comes from its standard input.
pub fn run(order: impl Read, mut answer: impl Write) -> io::Result<()> {
    let order: Order = serde_json::from_reader(order)?;
    let started = Process::start(&order);
    let said = match &started {
        Ok(process) => Reply::Ready(process.device.path().to_owned()),
        Err(error) => Reply::Failed(error.to_string()),
    };
    send(&mut answer, &said)?;
    drop(answer);
    match started {
        Ok(process) => process.serve(),
        Err(_) => Ok(()),
    }
}

struct Process {
    depot: Depot,
    name: String,
    keys: BTreeMap<String, Key>,
    volume: Volume,
    device: Loop,
    mounted: fuser::BackgroundSession,
    socket: PathBuf,
    mount_point: PathBuf,
    listener: UnixListener,
}

impl Process {
    fn start(order: &Order) -> Result<Self> {
        let depot = Depot::open(&order.depot)?;
        let keys: BTreeMap<String, Key> = order
            .keys
            .iter()
            .filter_map(|(name, digits)| Some((name.clone(), key(digits)?)))
            .collect();
        let image = depot.image(&order.volume, &|name| keys.get(name).cloned())?;
        let mount_point = mount_point(&order.run, &order.volume);
        let socket = socket(&order.run, &order.volume);
        File::create(&mount_point)?;
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let volume = Volume::new(image, order.limits);
        let mounted = volume.mount(&mount_point)?;
        Ok(Self {
            device: Loop::attach(&mount_point)?,
            name: order.volume.clone(),
            depot,
            keys,
            volume,
            mounted,
            socket,
            mount_point,
            listener,
        })
    }

    fn serve(self) -> io::Result<()> {
        loop {
            let (mut stream, _) = self.listener.accept()?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let mut line = String::new();
            // A caller that says nothing, or nonsense, is left to itself; others wait behind it.
            if BufReader::new(&stream)
                .take(LONGEST)
                .read_line(&mut line)
                .is_err()
            {
                continue;
            }
            let Ok(request) = serde_json::from_str(&line) else {
                continue;
            };
            let last = request == Request::Detach;
            let reply = self
                .perform(request)
                .unwrap_or_else(|e| Reply::Failed(e.to_string()));
            let done = last && reply == Reply::Done;
            let _ = send(&mut stream, &reply);
            if done {
                return self.end();
            }
        }
    }

    fn perform(&self, request: Request) -> Result<Reply> {
        let keys = |name: &str| self.keys.get(name).cloned();
        match request {
            Request::Snapshot(name) => {
                self.depot
                    .snapshot(&self.name, &name, &mut self.volume.image(), &keys)?;
            }
            Request::Grow(size) => {
                self.depot
                    .grow(&self.name, size, Some(&mut self.volume.image()))?;
                // The kernel asks for the size again when someone looks.
                fs::metadata(&self.mount_point)?;
                self.device.resize()?;
            }
            Request::Limit(limits) => self.volume.limit(limits),
            Request::Usage => return Ok(Reply::Used(self.volume.usage())),
            Request::Detach => self.device.detach()?,
        }
        Ok(Reply::Done)
    }

    /// Serves whoever still uses the device, then leaves nothing behind.
    fn end(self) -> io::Result<()> {
        while !self.device.gone() {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.volume.image().flush().map_err(into_io)?;
        unmount(&self.mount_point, UnmountFlags::DETACH)?;
        // A mount namespace that was copied from ours may still show the file; nobody waits for that.
        // With this process the connection ends, and with it every such view.
        std::mem::forget(self.mounted);
        let _ = fs::remove_file(&self.mount_point);
        fs::remove_file(&self.socket)
    }
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

fn key(digits: &str) -> Option<Key> {
    let mut key = [0; 64];
    hex::decode_to_slice(digits, &mut key).ok()?;
    Some(Key(key))
}
