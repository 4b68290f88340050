//! Where the files of instances and images lie. May touch: names of paths only.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use gureum_room::{Doing, Error, Result};

/// `<data>/compute`.
#[derive(Clone, Debug)]
pub(crate) struct Layout(pub(crate) PathBuf);

const LONGEST_ID: usize = 64;

impl Layout {
    pub(crate) fn instances(&self) -> PathBuf {
        self.0.join("instances")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// A datagram here means: some instance ended.
    pub(crate) fn bell(&self) -> (&Path, &'static str) {
        (&self.0, "ended.sock")
    }

    pub(crate) fn instance(&self, id: &str) -> Result<Files> {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
        match !id.is_empty() && id.len() <= LONGEST_ID && id.chars().all(fine) {
            true => Ok(Files(self.instances().join(id))),
            false => Err(Error::failed(format_args!(
                "{id:?} cannot name an instance"
            ))),
        }
    }
}

/// The files of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Files(pub(crate) PathBuf);

impl Files {
    pub(crate) fn spec(&self) -> PathBuf {
        self.0.join("spec")
    }

    /// How it ended; absent while it runs, or when nobody saw it.
    pub(crate) fn ended(&self) -> PathBuf {
        self.0.join("ended")
    }

    /// What [`crate::RootDisk::Directory`] means.
    pub(crate) fn disk(&self) -> PathBuf {
        self.0.join("disk")
    }

    /// Where its root is mounted, in its own mount namespace.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.0.join("console.log")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("supervisor.log")
    }
}

/// Under which name an instance's supervisor lives in the room.
pub(crate) fn resident_name(id: &str) -> String {
    format!("instance-{id}")
}

/// In the environment of a supervisor: the directory of instances.
pub(crate) const COMPUTE: &str = "GUREUM_COMPUTE";

/// Replaces a file as a whole; it is on stable storage before this returns.
pub(crate) fn write_durably(path: &Path, body: &[u8]) -> Result<()> {
    let write = || {
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(body)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        // The name is part of what was promised.
        let directory = path.parent().unwrap_or(Path::new("/"));
        File::open(directory)?.sync_all()
    };
    write().doing(format_args!("write {}", path.display()))
}

pub(crate) fn read_durable(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(body) => Ok(Some(body)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(format_args!("read {}", path.display())),
    }
}
