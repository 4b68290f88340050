//! The room as a duty sees it. May touch: network namespaces, mounts under the room's directory,
//! and processes that it launches.

use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::{Doing, Error, Host, Result, process, resident};

pub(crate) const NETNS: &str = "netns";
pub(crate) const PROGRAM: &str = "program";
const OWN_NETNS: &str = "/proc/self/ns/net";
const LONGEST_NAME: usize = 64;

/// With what this program is run again, as a process of the room.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub arguments: Vec<OsString>,
    /// All of its environment, but for [`resident::ROOM`].
    pub variables: Vec<(OsString, OsString)>,
}

/// The inside of the room, in the keeper.
pub struct Inside {
    dir: PathBuf,
    host: Host,
    home: OwnedFd,
    outside: OwnedFd,
}

impl Inside {
    /// Of a process that has just entered the room.
    pub(crate) fn new(dir: PathBuf, outside: OwnedFd) -> Result<Inside> {
        let home = Inside::here()?;
        let host = Host::probe(&dir);
        Ok(Inside {
            dir,
            host,
            home,
            outside,
        })
    }

    /// The network namespace of this process.
    pub(crate) fn here() -> Result<OwnedFd> {
        let netns = File::open(OWN_NETNS).doing("open this process's network namespace")?;
        Ok(netns.into())
    }

    /// The room's directory, `<data>/room`. It is the same directory inside and outside; what is
    /// mounted below it is seen inside only.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// This program, mounted such that nobody can write to it through any of its processes.
    pub fn program(&self) -> PathBuf {
        self.dir.join(PROGRAM)
    }

    /// Makes a named network namespace, its loopback interface up, unless it exists.
    ///
    /// Names are of letters, digits, `-`, `_` and `.`, at most 64 bytes.
    pub fn make_netns(&self, name: &str) -> Result<()> {
        let path = self.netns_path(name)?;
        if self.netns(name).is_ok() {
            return Ok(());
        }
        let doing = format!("make the network namespace {name}");
        File::create(&path).doing(&doing)?;
        let made = self.away(
            || process::unshare(UnshareFlags::NEWNET).doing(&doing),
            || {
                process::loopback_up().doing(&doing)?;
                mount_bind(OWN_NETNS, &path).doing(&doing)
            },
        );
        if made.is_err() {
            // Without a mount this is a plain file, which names nothing.
            let _ = std::fs::remove_file(&path);
        }
        made
    }

    /// Takes the name away. The namespace ends when the last process and socket in it has.
    pub fn remove_netns(&self, name: &str) -> Result<()> {
        let path = self.netns_path(name)?;
        let doing = format!("remove the network namespace {name}");
        match unmount(&path, UnmountFlags::DETACH) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error).doing(doing),
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).doing(doing),
            _ => Ok(()),
        }
    }

    /// A named network namespace, to move an interface or a process into it.
    pub fn netns(&self, name: &str) -> Result<OwnedFd> {
        let doing = format!("open the network namespace {name}");
        let file = File::open(self.netns_path(name)?).doing(&doing)?;
        let kind = rustix::fs::fstatfs(&file).doing(&doing)?.f_type;
        match kind == libc::NSFS_MAGIC {
            true => Ok(file.into()),
            false => Err(Error::Failed(format!("{name} is no network namespace"))),
        }
    }

    /// The room's own network namespace.
    pub fn home_netns(&self) -> &OwnedFd {
        &self.home
    }

    /// The network namespace from which this keeper was started: the host's, or what is the host
    /// to this cloud. Only root may enter it.
    pub fn outside_netns(&self) -> &OwnedFd {
        &self.outside
    }

    pub fn netns_names(&self) -> Result<Vec<String>> {
        let directory = self.dir.join(NETNS);
        let doing = format!("read {}", directory.display());
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&directory).doing(&doing)? {
            names.extend(entry.doing(&doing)?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    /// Runs something inside a named network namespace. Sockets that it makes stay in there.
    pub fn in_netns<T>(&self, name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let netns = self.netns(name)?;
        self.away(
            || enter(&netns).doing(format_args!("enter the network namespace {name}")),
            run,
        )
    }

    /// Where a named network namespace is mounted, in the room.
    pub fn netns_path(&self, name: &str) -> Result<PathBuf> {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let good = !name.is_empty()
            && name.len() <= LONGEST_NAME
            && !name.starts_with('.')
            && name.chars().all(fine);
        match good {
            true => Ok(self.dir.join(NETNS).join(name)),
            false => Err(Error::Failed(format!("{name:?} cannot name a namespace"))),
        }
    }

    /// Starts a process of this program that lives in the room and outlives the keeper. It finds
    /// its socket by [`resident::settle`] and the room's directory in the environment
    /// ([`resident::ROOM`]); what it writes goes to the end of `log`. Clients may connect to `name`
    /// at once.
    pub fn launch(&self, name: &str, program: &Program, log: &Path) -> Result<()> {
        let doing = format!("launch {name}");
        let listener = resident::listen(&self.dir, name)?;
        let log = File::options().append(true).create(true).open(log);
        let log = log.doing(&doing)?;
        Command::new(self.program())
            .arg0("gureum")
            .args(&program.arguments)
            .env_clear()
            .env(resident::ROOM, &self.dir)
            .envs(program.variables.iter().cloned())
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(log.try_clone().doing(&doing)?)
            .stderr(log)
            .spawn()
            .doing(doing)?;
        // The keeper's loop collects it, should it end first.
        Ok(())
    }

    /// Goes to another network namespace, does something there, and comes back.
    fn away<T>(
        &self,
        leave: impl FnOnce() -> Result<()>,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        leave()?;
        let outcome = run();
        if let Err(error) = enter(&self.home) {
            // In the wrong namespace every later request would do harm. A successor starts afresh.
            eprintln!("keeper: cannot return to the room's network namespace: {error}");
            std::process::exit(1);
        }
        outcome
    }
}

fn enter(netns: &OwnedFd) -> rustix::io::Result<()> {
    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
}
