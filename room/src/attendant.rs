//! Processes that serve the room from outside, where the host's own sockets are. As residents do, each
//! listens under a name, at `<room>/outside/NAME`; but there is no way into the room through them.
//! They end when it closes. May touch: these processes.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::process::Pid;

use crate::namespaces::HOLDER;
use crate::{Doing, Result, Room, resident};

const OUTSIDE: &str = "outside";

/// A process that does nothing but live in the room, to follow into its namespaces. It has its id
/// as long as this is there.
pub struct Holder {
    pid: Pid,
    _connection: UnixStream,
}

impl Room {
    /// The directory in which attendants listen.
    pub fn attendants(&self) -> Result<PathBuf> {
        let directory = self.dir().join(OUTSIDE);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(error).doing("make a directory for what serves the room")
            }
            _ => Ok(directory),
        }
    }

    /// Whether anybody listens under this name.
    pub fn is_attended(&self, name: &str) -> bool {
        resident::connect_at(&self.dir().join(OUTSIDE), name).is_ok()
    }

    /// Ends who listens under this name.
    pub fn dismiss(&self, name: &str) -> Result<()> {
        resident::end(&self.dir().join(OUTSIDE), name)
    }

    pub(crate) fn dismiss_all(&self) -> Result<()> {
        let names = resident::names_in(&self.dir().join(OUTSIDE))?;
        names.iter().try_for_each(|name| self.dismiss(name))
    }

    /// Whom to follow into the room's namespaces.
    pub fn holder(&self) -> Result<Holder> {
        let connection = resident::connect(self.dir(), HOLDER)?;
        Ok(Holder {
            pid: resident::peer(&connection)?,
            _connection: connection,
        })
    }
}

impl Holder {
    /// As this process counts.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }
}
