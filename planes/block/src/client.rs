//! The main process's half: volumes by name, attached or not.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use gureum_room::{Duty, Program, Room, resident};

use crate::duty::{Ask, BlockDuty, NAME};
use crate::process::{self, Order, Reply, Request, resident_name};
use crate::{Depot, Error, Key, Limits, Result, Usage};

/// The volumes of a cloud. Cheap to clone.
#[derive(Clone)]
pub struct Block(Arc<Inner>);

/// How a device goes that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// At once, or as soon as its process has seen that nobody uses it.
    Now,
    /// It had been told so before, and is still used.
    InUse,
}

struct Inner {
    room: Room,
    dir: PathBuf,
    depot: Depot,
}

impl Block {
    /// The volumes whose depot is at `dir`.
    pub fn open(room: Room, dir: PathBuf) -> Result<Self> {
        let depot = Depot::open(&dir)?;
        Ok(Self(Arc::new(Inner { room, dir, depot })))
    }

    /// What the keeper must be able to do. `arguments` are those with which the program calls
    /// [`volume_main`].
    pub fn duty(arguments: Vec<OsString>) -> Box<dyn Duty> {
        // Devices are made by a tool of the system, which is found by its path.
        let path = ("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into());
        let program = Program {
            arguments,
            variables: vec![path],
        };
        Box::new(BlockDuty { program })
    }

    /// Volumes and snapshots as they lie on disk: to make, list, read and delete. A volume that is
    /// attached is snapshotted and grown through its process instead.
    pub fn depot(&self) -> &Depot {
        &self.0.depot
    }

    /// Makes a volume a block device, `/dev/loopN`; of one that is attached, tells which it is.
    pub async fn attach(
        &self,
        volume: &str,
        keys: BTreeMap<String, Key>,
        limits: Option<Limits>,
    ) -> Result<PathBuf> {
        let order = |run| Order {
            depot: self.0.dir.clone(),
            volume: volume.to_owned(),
            run,
            keys: keys.clone(),
            limits,
        };
        // One that serves already does not read the order.
        let reply = match self
            .ask(volume, Request::Attach(order(PathBuf::new())))
            .await?
        {
            Some(reply) => reply,
            None => {
                let launch = Ask::Launch(volume.to_owned());
                let (run, _) = self.0.room.ask(NAME, &launch).await?;
                let reply = self.ask(volume, Request::Attach(order(run))).await?;
                reply.ok_or(gureum_room::Error::Lost)?
            }
        };
        match reply {
            Reply::Ready(device) => Ok(device),
            other => Err(unexpected(other)),
        }
    }

    /// Takes a volume's device away; while something uses it, it stays: see [`Block::attached`].
    /// Asked again, tells that.
    pub async fn detach(&self, volume: &str) -> Result<Leaving> {
        self.leave(volume, Request::Detach).await
    }

    /// Takes a volume's device away at once. Whoever uses it still reads and writes nothing any more;
    /// what the volume had received is kept.
    pub async fn abandon(&self, volume: &str) -> Result<()> {
        self.leave(volume, Request::Abandon).await.map(drop)
    }

    async fn leave(&self, volume: &str, request: Request) -> Result<Leaving> {
        match self.ask(volume, request).await {
            Ok(Some(Reply::InUse)) => return Ok(Leaving::InUse),
            Ok(Some(reply)) => return done(reply).map(|()| Leaving::Now),
            // Its process has ended, or was killed: what it may have left is cleared away.
            Ok(None) | Err(Error::Room(gureum_room::Error::Lost)) => {}
            Err(error) => return Err(error),
        }
        let clear = Ask::Clear(volume.to_owned());
        self.0.room.ask::<_, PathBuf>(NAME, &clear).await?;
        Ok(Leaving::Now)
    }

    /// The volumes that have a process.
    pub fn attached(&self) -> Result<Vec<String>> {
        let names = resident::names(self.0.room.dir())?;
        let volumes = names.iter().filter_map(|name| name.strip_prefix("volume-"));
        Ok(volumes
            .filter(|volume| self.lives(volume))
            .map(str::to_owned)
            .collect())
    }

    fn lives(&self, volume: &str) -> bool {
        resident::connect(self.0.room.dir(), &resident_name(volume)).is_ok()
    }

    /// Keeps what a volume holds now, attached or not: see [`Depot::snapshot`].
    pub async fn snapshot(
        &self,
        volume: &str,
        snapshot: &str,
        keys: &BTreeMap<String, Key>,
    ) -> Result<()> {
        if let Some(reply) = self
            .ask(volume, Request::Snapshot(snapshot.to_owned()))
            .await?
        {
            return done(reply);
        }
        let find = |name: &str| keys.get(name).cloned();
        let mut image = self.0.depot.image(volume, &find)?;
        self.0.depot.snapshot(volume, snapshot, &mut image, &find)
    }

    /// Keeps what several volumes hold at one moment, each as a snapshot: no write that came after
    /// another one is in them without it. `pairs` are volumes and names of snapshots. After an error
    /// some of the snapshots may be there.
    pub async fn snapshot_together(
        &self,
        pairs: &[(String, String)],
        keys: &BTreeMap<String, Key>,
    ) -> Result<()> {
        let mut taken = Ok(());
        // One that is no device is written by nobody.
        for (volume, _) in pairs {
            let held = self.ask(volume, Request::Hold).await;
            taken = taken.and(held.and_then(|it| it.map_or(Ok(()), done)));
        }
        if taken.is_ok() {
            for (volume, snapshot) in pairs {
                taken = taken.and(self.snapshot(volume, snapshot, keys).await);
            }
        }
        for (volume, _) in pairs {
            let released = self.ask(volume, Request::Release).await;
            taken = taken.and(released.and_then(|it| it.map_or(Ok(()), done)));
        }
        taken
    }

    /// Makes a volume larger, while it is used, too.
    pub async fn grow(&self, volume: &str, size: u64) -> Result<()> {
        match self.ask(volume, Request::Grow(size)).await? {
            Some(reply) => done(reply),
            None => self.0.depot.grow(volume, size, None),
        }
    }

    /// Other limits for an attached volume; for one that is not, they come with the next attach.
    pub async fn limit(&self, volume: &str, limits: Option<Limits>) -> Result<()> {
        self.ask(volume, Request::Limit(limits))
            .await?
            .map_or(Ok(()), done)
    }

    /// What an attached volume has done since it was attached.
    pub async fn usage(&self, volume: &str) -> Result<Option<Usage>> {
        match self.ask(volume, Request::Usage).await? {
            None => Ok(None),
            Some(Reply::Used(usage)) => Ok(Some(usage)),
            Some(other) => Err(unexpected(other)),
        }
    }

    /// Asks a volume's process; nothing when there is none.
    async fn ask(&self, volume: &str, request: Request) -> Result<Option<Reply>> {
        let (room, volume) = (self.0.room.dir().to_owned(), volume.to_owned());
        let asked = tokio::task::spawn_blocking(move || ask(&room, &volume, &request));
        asked
            .await
            .map_err(|error| Error::Process(error.to_string()))?
    }
}

fn ask(room: &Path, volume: &str, request: &Request) -> Result<Option<Reply>> {
    match process::ask(room, volume, request) {
        Ok(reply) => Ok(Some(reply)),
        Err(gureum_room::Error::Io { source, .. })
            if matches!(
                source.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn done(reply: Reply) -> Result<()> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(unexpected(other)),
    }
}

fn unexpected(reply: Reply) -> Error {
    match reply {
        Reply::Failed(why) => Error::Process(why),
        other => Error::Process(format!("an answer that makes no sense: {other:?}")),
    }
}

/// The main function of a volume's process.
pub fn volume_main() -> ExitCode {
    match process::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("volume: {error}");
            ExitCode::FAILURE
        }
    }
}
