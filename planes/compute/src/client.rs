//! The plane as services use it. May touch: the files of instances and images, the sockets of
//! supervisors, and the keeper through [`Room`].

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gureum_room::{Cgroups, Doing, Error, Result, Room, decode, encode, frame, resident};
use tokio::net::{UnixDatagram, UnixStream};

use crate::cgroup::Cgroup;
use crate::duty;
use crate::image;
use crate::layout::{Layout, read_durable, resident_name, write_durably};
use crate::library::{self, Image, Import};
use crate::messages::{Answer, Ask};
use crate::spec::{Device, Ended, Exec, How, Outcome, Seen, Spec, State, Usage};

/// How much of a console is kept and shown.
pub const CONSOLE: u64 = 64 << 10;
/// How long a supervisor may take to answer what it knows.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an instance may take until its first process runs.
const START: Duration = Duration::from_secs(60);
/// What a supervisor may take longer than it was given to end an instance.
const MARGIN: Duration = Duration::from_secs(20);

/// Instances. Cheap to clone.
#[derive(Clone)]
pub struct Compute {
    room: Room,
    layout: Layout,
}

impl Compute {
    /// Those of a directory (`<data>/compute`), which live in a room. Does nothing yet.
    pub fn new(room: Room, dir: PathBuf) -> Compute {
        Compute {
            room,
            layout: Layout(dir),
        }
    }

    /// Starts an instance, or makes sure that it runs; returns when its first process does. What is
    /// on its disk from an earlier start is there again. User data runs once in its life.
    pub async fn start(&self, spec: &Spec) -> Result<()> {
        let files = self.layout.instance(&spec.id)?;
        let (layout, mut kept) = (self.layout.clone(), spec.clone());
        let written = tokio::task::spawn_blocking(move || {
            kept.image = image::ensure(&layout, &kept.image)?;
            std::fs::create_dir_all(&files.0).doing("make an instance's directory")?;
            write_durably(&files.spec(), &encode(&kept)?)
        });
        written.await.map_err(Error::failed)??;
        let launch = duty::Ask::Launch {
            compute: self.layout.0.clone(),
            id: spec.id.clone(),
            netns: spec.netns.clone(),
        };
        let ((), _) = self.room.ask(duty::NAME, &launch).await?;
        let asked = match found(self.supervisor(&spec.id))? {
            Some(supervisor) => self.talk(&supervisor, &Ask::Started, START).await,
            None => Err(Error::Lost),
        };
        match asked {
            Ok(Answer::Done) => Ok(()),
            Ok(other) => Err(unexpected(other)),
            // It could not even begin, and has written down why.
            Err(Error::Lost) => match self.ended(&spec.id)?.how {
                How::Failed(why) => Err(Error::Failed(why)),
                _ => Err(Error::Lost),
            },
            Err(error) => Err(error),
        }
    }

    /// Shuts an instance down in order, and by force after `grace`. Returns when nothing of it runs;
    /// at once when nothing does.
    pub async fn stop(&self, id: &str, grace: Duration) -> Result<()> {
        let Some(supervisor) = found(self.supervisor(id))? else {
            return Ok(());
        };
        let ask = Ask::Stop {
            grace: millis(grace),
        };
        match self.talk(&supervisor, &ask, grace + MARGIN).await {
            Ok(Answer::Done) => {}
            Ok(other) => return Err(unexpected(other)),
            // It ended before it could answer.
            Err(Error::Lost) => {}
            Err(error) => return Err(error),
        }
        let _ = tokio::time::timeout(MARGIN, supervisor.readable()).await;
        Ok(())
    }

    /// Shuts an instance down and boots it again, on the same disk and in the same network
    /// namespace. Returns when it runs again.
    pub async fn reboot(&self, id: &str, grace: Duration) -> Result<()> {
        let supervisor = self.supervisor(id)?;
        let ask = Ask::Reboot {
            grace: millis(grace),
        };
        match self.talk(&supervisor, &ask, grace + MARGIN + START).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Executes a program in a running instance, as root, with these as its standard input, output
    /// and error; returns how it ended. Input that is a terminal controls it. When the future is
    /// dropped, the program and its process group are killed.
    ///
    /// The instance may reopen what it is given here: pass pipes and terminals made for it, never a
    /// file or terminal of the host.
    pub async fn exec(&self, id: &str, exec: Exec, stdio: [OwnedFd; 3]) -> Result<Outcome> {
        let supervisor = self.supervisor(id)?;
        let body = encode(&Ask::Execute(exec))?;
        let fds = stdio.each_ref().map(AsFd::as_fd);
        let answer = frame::exchange(&supervisor, &body, &fds).await;
        match decode(&answer.map_err(|_| Error::Lost)?.body)? {
            Answer::Executed(outcome) => Ok(outcome),
            other => Err(unexpected(other)),
        }
    }

    /// Gives a running instance a block device, which it keeps over reboots; one of that name is
    /// replaced.
    pub async fn plug(&self, id: &str, device: &Device) -> Result<()> {
        self.tell(id, &Ask::Plug(device.clone())).await
    }

    /// Takes a block device from a running instance. Who has it open keeps it.
    pub async fn unplug(&self, id: &str, name: &str) -> Result<()> {
        self.tell(id, &Ask::Unplug(name.to_owned())).await
    }

    /// Keeps what is on an instance's disk as an image, which instances can be started with. The disk
    /// of one that runs is copied file by file, as it is at that moment.
    pub async fn capture(&self, id: &str, image: &str) -> Result<()> {
        let (layout, id, image) = (self.layout.clone(), id.to_owned(), image.to_owned());
        blocking(move || library::capture(&layout, &id, &image)).await
    }

    /// Keeps a root file system as an image: a directory, or an archive that `tar` can read.
    pub fn import(&self, from: &Path, image: &str, about: Import) -> Result<()> {
        library::import(&self.layout, from, image, Some(about))
    }

    /// Keeps the root file system that is on a block device as an image; nothing of the device is
    /// used afterwards.
    pub async fn unpack(&self, device: &Path, image: &str) -> Result<()> {
        let (layout, device, image) = (self.layout.clone(), device.to_owned(), image.to_owned());
        blocking(move || library::unpack_device(&layout, &device, &image)).await
    }

    /// The images that are kept; the base image is none of them.
    pub async fn images(&self) -> Result<Vec<Image>> {
        let layout = self.layout.clone();
        blocking(move || library::list(&layout)).await
    }

    /// Removes an image. Nothing may be above it, and nobody run on it.
    pub async fn remove_image(&self, image: &str) -> Result<()> {
        let (layout, image) = (self.layout.clone(), image.to_owned());
        blocking(move || library::remove(&layout, &image)).await
    }

    async fn tell(&self, id: &str, ask: &Ask) -> Result<()> {
        let supervisor = self.supervisor(id)?;
        match self.talk(&supervisor, ask, PATIENCE).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// All instances that were started here and not removed, running or not.
    pub async fn observe(&self) -> Result<Vec<Seen>> {
        let ids = self.ids()?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let cgroups = self.room.host().await?.cgroups;
        let mut seen = Vec::new();
        for id in ids {
            seen.push(self.look(id, &cgroups).await?);
        }
        Ok(seen)
    }

    /// What the instances have used that have control groups now, by their ids. Asks nobody: cheaper
    /// than [`Compute::observe`].
    pub async fn usages(&self) -> Result<Vec<(String, Usage)>> {
        let ids = self.ids()?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let cgroups = self.room.host().await?.cgroups;
        let mut all = Vec::new();
        for id in ids {
            let usage = Cgroup::of(&cgroups, self.room.dir(), &id)?.usage();
            all.extend(usage.map(|usage| (id, usage)));
        }
        Ok(all)
    }

    /// One instance, if it was started here and not removed.
    pub async fn find(&self, id: &str) -> Result<Option<Seen>> {
        if !self.ids()?.iter().any(|known| known == id) {
            return Ok(None);
        }
        let cgroups = self.room.host().await?.cgroups;
        self.look(id.to_owned(), &cgroups).await.map(Some)
    }

    /// Where an instance's files are.
    pub fn directory(&self, id: &str) -> Result<PathBuf> {
        Ok(self.layout.instance(id)?.0)
    }

    /// The ids of all instances that were started here and not removed.
    pub fn ids(&self) -> Result<Vec<String>> {
        let directory = self.layout.instances();
        let doing = format!("read {}", directory.display());
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.doing(&doing)?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            ids.extend(entry.doing(&doing)?.file_name().into_string());
        }
        ids.sort();
        Ok(ids)
    }

    async fn look(&self, id: String, cgroups: &Cgroups) -> Result<Seen> {
        let state = match found(self.supervisor(&id))? {
            Some(supervisor) => match self.talk(&supervisor, &Ask::State, PATIENCE).await {
                Ok(Answer::State(Some(running))) => State::Running(running),
                Ok(Answer::State(None)) => State::Starting,
                Err(Error::Lost) => State::Ended(self.ended(&id)?),
                _ => State::Unknown,
            },
            None => State::Ended(self.ended(&id)?),
        };
        let usage = match &state {
            State::Ended(_) => None,
            _ => Cgroup::of(cgroups, self.room.dir(), &id)?.usage(),
        };
        Ok(Seen { id, state, usage })
    }

    fn ended(&self, id: &str) -> Result<Ended> {
        let unseen = Ended {
            how: How::Unseen,
            by_itself: true,
            at: 0,
        };
        let file = read_durable(&self.layout.instance(id)?.ended())?;
        file.map_or(Ok(unseen), |body| decode(&body))
    }

    /// Ends an instance by force, and deletes its disk, its network namespace and its other files.
    pub async fn remove(&self, id: &str) -> Result<()> {
        let spec = read_durable(&self.layout.instance(id)?.spec())?;
        let spec: Option<Spec> = spec.map(|body| decode(&body)).transpose()?;
        let remove = duty::Ask::Remove {
            compute: self.layout.0.clone(),
            id: id.to_owned(),
            netns: spec.map(|spec| spec.netns),
        };
        let ((), _) = self.room.ask(duty::NAME, &remove).await?;
        Ok(())
    }

    /// The end of what an instance wrote to its console, at most [`CONSOLE`] bytes, over all its
    /// boots.
    pub async fn console(&self, id: &str) -> Result<Vec<u8>> {
        let path = self.layout.instance(id)?.console();
        let doing = format!("read the console of {id}");
        let mut file = match std::fs::File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            file => file.doing(&doing)?,
        };
        let length = file.metadata().doing(&doing)?.len();
        let from = length.saturating_sub(CONSOLE);
        file.seek(SeekFrom::Start(from)).doing(&doing)?;
        let mut text = Vec::new();
        file.take(CONSOLE).read_to_end(&mut text).doing(doing)?;
        Ok(text)
    }

    /// Hears of instances that end. One process may listen at a time; the last one does.
    pub fn changes(&self) -> Result<Changes> {
        let (directory, name) = self.layout.bell();
        std::fs::create_dir_all(directory).doing("make the directory of instances")?;
        let bell = resident::bell(directory, name)?;
        let doing = "listen for instances that end";
        bell.set_nonblocking(true).doing(doing)?;
        let socket = UnixDatagram::from_std(bell).doing(doing)?;
        Ok(Changes(socket))
    }

    fn supervisor(&self, id: &str) -> Result<UnixStream> {
        let stream = resident::connect(self.room.dir(), &resident_name(id))?;
        let doing = "connect to a supervisor";
        resident::peer(&stream)?;
        stream.set_nonblocking(true).doing(doing)?;
        UnixStream::from_std(stream).doing(doing)
    }

    async fn talk(&self, to: &UnixStream, ask: &Ask, patience: Duration) -> Result<Answer> {
        let body = encode(ask)?;
        let answer = tokio::time::timeout(patience, frame::exchange(to, &body, &[])).await;
        match answer {
            Ok(Ok(answer)) => decode(&answer.body),
            Ok(Err(_)) => Err(Error::Lost),
            Err(_) => Err(Error::failed("a supervisor does not answer")),
        }
    }
}

/// Wakes when some instance ended, or may have: look with [`Compute::observe`]. An instance whose
/// supervisor was killed rings no bell, so look from time to time too.
pub struct Changes(UnixDatagram);

impl Changes {
    pub async fn next(&mut self) {
        let mut nothing = [0];
        if self.0.recv(&mut nothing).await.is_err() {
            std::future::pending::<()>().await;
        }
        // Those that rang meanwhile are heard too.
        while self.0.try_recv(&mut nothing).is_ok() {}
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::failed)?
}

fn unexpected(answer: Answer) -> Error {
    match answer {
        Answer::Failed(why) => Error::Failed(why),
        other => Error::Message(format!("{other:?} was not asked for")),
    }
}

/// None when nobody lives under that name.
fn found(supervisor: Result<UnixStream>) -> Result<Option<UnixStream>> {
    match supervisor {
        Ok(supervisor) => Ok(Some(supervisor)),
        Err(error) => match error.kind() {
            Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
            _ => Err(error),
        },
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
