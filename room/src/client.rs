//! The room from outside: finds the keeper or starts one, and asks it. May touch: the keeper's
//! socket, and the one process that it starts.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::frame::{self, Frame};
use crate::keeper::{READY, SOCKET};
use crate::protocol::{self, Greeting, Hello, PROTOCOL};
use crate::{Doing, Error, Host, Result, resident};

/// How long a keeper may take to start. It takes some 20 ms.
const START: Duration = Duration::from_secs(20);

/// The machine room, seen from the main process. Cheap to clone; clones share one connection, and
/// requests are done one after the other.
#[derive(Clone)]
pub struct Room(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    launch: Launch,
    link: Mutex<Option<Link>>,
}

/// How a keeper is started: a program that calls [`crate::keeper_main`] when run with these
/// arguments and the room's directory.
#[derive(Clone, Debug)]
pub struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

impl Default for Launch {
    /// This program, as `PROGRAM keeper DIR`.
    fn default() -> Launch {
        Launch {
            program: "/proc/self/exe".into(),
            arguments: vec!["keeper".into()],
        }
    }
}

impl Room {
    /// The room of a directory (`<data>/room`). Nothing happens before the first request.
    pub fn at(dir: &Path) -> Room {
        Room::launched_by(dir, Launch::default())
    }

    /// The room of a directory, with another way to start its keeper.
    pub fn launched_by(dir: &Path, launch: Launch) -> Room {
        Room(Arc::new(Shared {
            dir: dir.to_path_buf(),
            launch,
            link: Mutex::new(None),
        }))
    }

    /// The room of a directory, with its keeper: the living one, or a new one.
    pub async fn open(dir: &Path) -> Result<Room> {
        let room = Room::at(dir);
        room.host().await?;
        Ok(room)
    }

    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Asks a duty. An answer that does not come ([`Error::Lost`]) leaves open what was done, so
    /// requests should be such that they can be made again.
    pub async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        duty: &str,
        request: &Q,
    ) -> Result<(A, Vec<OwnedFd>)> {
        let (body, fds) = self.ask_raw(duty, &protocol::encode(request)?).await?;
        Ok((protocol::decode(&body)?, fds))
    }

    /// Asks a duty in its own encoding.
    pub async fn ask_raw(&self, duty: &str, request: &[u8]) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
        let call = protocol::call(duty, request)?;
        let mut held = self.0.link.lock().await;
        // Taken out while it is used: whoever is dropped half-way takes the connection along.
        let link = match held.take() {
            Some(link) if link.lives() => link,
            _ => self.0.link().await?,
        };
        let answer = link.call(&call).await?;
        *held = Some(link);
        Ok((protocol::parse_answer(&answer.body)?.to_vec(), answer.fds))
    }

    /// What the host can do. Starts the keeper when there is none.
    pub async fn host(&self) -> Result<Host> {
        self.ask_raw(protocol::ROOM, protocol::LOOK).await?;
        let held = self.0.link.lock().await;
        held.as_ref().map(|l| l.host.clone()).ok_or(Error::Lost)
    }

    /// Whether anything lives in the room.
    pub fn is_inhabited(&self) -> bool {
        let names = resident::names(&self.0.dir).unwrap_or_default();
        names
            .iter()
            .any(|name| resident::connect(&self.0.dir, name).is_ok())
    }

    /// Ends everything that lives in the room or serves it, and the room. The next request makes a
    /// new one.
    pub async fn close(&self) -> Result<()> {
        self.dismiss_all()?;
        if !self.is_inhabited() && resident::connect_at(&self.0.dir, SOCKET).is_err() {
            return Ok(());
        }
        self.ask_raw(protocol::ROOM, protocol::CLOSE).await?;
        let link = self.0.link.lock().await.take();
        if let Some(link) = link {
            link.ended().await;
        }
        Ok(())
    }
}

impl Shared {
    /// A connection to a keeper that is of this very program.
    async fn link(&self) -> Result<Link> {
        if let Ok(found) = self.connect().await {
            match found {
                Some(link) => return Ok(link),
                None => self.dismiss().await?,
            }
        }
        self.start().await?;
        self.connect().await?.ok_or_else(|| {
            Error::Open("a keeper of another version of this program took the room".into())
        })
    }

    /// Nothing when the keeper that is there is of another program.
    async fn connect(&self) -> Result<Option<Link>> {
        let mut link = Link::new(resident::connect_at(&self.dir, SOCKET)?)?;
        let hello = link.greet(&Greeting::default()).await?;
        let program = std::fs::metadata(&self.launch.program).doing("look at this program")?;
        if hello.protocol != PROTOCOL || hello.program != program.into() {
            return Ok(None);
        }
        link.host = hello
            .host
            .ok_or_else(|| Error::Message("the keeper's greeting".into()))?;
        Ok(Some(link))
    }

    /// Makes room for a keeper of our own version. Nobody else in the room notices.
    async fn dismiss(&self) -> Result<()> {
        let link = Link::new(resident::connect_at(&self.dir, SOCKET)?)?;
        // The answer is that it ends.
        let _ = link.greet(&Greeting { step_down: true }).await;
        Ok(())
    }

    async fn start(&self) -> Result<()> {
        let doing = "start the keeper";
        let mut keeper = Command::new(&self.launch.program)
            .args(&self.launch.arguments)
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .doing(doing)?;
        let mut said = String::new();
        if let Some(stdout) = keeper.stdout.take() {
            let mut heard = stdout.take(4096);
            let hear = heard.read_to_string(&mut said);
            let heard = tokio::time::timeout(START, hear).await;
            heard
                .map_err(|_| Error::Open("the keeper does not get ready".into()))?
                .doing(doing)?;
        }
        match said.trim() {
            READY => Ok(()),
            "" => Err(Error::Open(format!(
                "the keeper ended at once; see {}",
                self.dir.join("keeper.log").display()
            ))),
            error => Err(Error::Open(error.to_owned())),
        }
    }
}

/// A connection to the keeper.
struct Link {
    socket: UnixStream,
    host: Host,
}

impl Link {
    fn new(stream: std::os::unix::net::UnixStream) -> Result<Link> {
        let doing = "connect to the keeper";
        resident::peer(&stream)?;
        stream.set_nonblocking(true).doing(doing)?;
        Ok(Link {
            socket: UnixStream::from_std(stream).doing(doing)?,
            host: Host::default(),
        })
    }

    async fn greet(&self, greeting: &Greeting) -> Result<Hello> {
        let unreadable = |e: serde_json::Error| Error::Message(e.to_string());
        let body = serde_json::to_vec(greeting).map_err(unreadable)?;
        let answer = self.call(&body).await?;
        serde_json::from_slice(&answer.body).map_err(unreadable)
    }

    /// Whether the keeper is still there, as far as one can see without asking.
    fn lives(&self) -> bool {
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        let peeked = rustix::net::recv(&self.socket, &mut [0u8; 1][..], flags);
        matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }

    async fn call(&self, body: &[u8]) -> Result<Frame> {
        let called = frame::exchange(&self.socket, body, &[]).await;
        called.map_err(|error| match error.kind() {
            ErrorKind::InvalidData | ErrorKind::InvalidInput => {
                Error::Message("it is too long".into())
            }
            _ => Error::Lost,
        })
    }

    /// Resolves when the keeper is gone.
    async fn ended(&self) {
        let ended = async {
            while self.lives() {
                let _ = self.socket.readable().await;
            }
        };
        let _ = tokio::time::timeout(START, ended).await;
    }
}
