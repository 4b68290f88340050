//! What can go wrong with a volume, in terms a caller can act on.

use std::io;
use std::path::PathBuf;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this plane.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No volume, snapshot or layer has this name.
    #[error("{0} does not exist")]
    Missing(String),
    /// Something of this name exists, and is not what was asked for.
    #[error("{0} exists already")]
    Exists(String),
    /// A name that could leave its directory.
    #[error("{0:?} is no name for a volume or a snapshot")]
    Name(String),
    /// A size that is no multiple of a block, or zero, or smaller than it was.
    #[error("a volume cannot have {0} bytes")]
    Size(u64),
    /// An access past the end.
    #[error("bytes {start}..{end} lie outside a volume of {size} bytes")]
    Range { start: u64, end: u64, size: u64 },
    /// A layer is sealed with a key that was not given.
    #[error("key {0} is needed to open this volume")]
    Key(String),
    /// What is on disk is not what this program writes.
    #[error("{path} is damaged: {what}")]
    Damaged { path: PathBuf, what: String },
    /// The host's disk is full.
    #[error("no space left for volumes")]
    Full,
    /// The process that serves a volume could not do what it was asked.
    #[error("the volume's process: {0}")]
    Process(String),
    #[error(transparent)]
    Room(#[from] gureum_room::Error),
    #[error("volume storage: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full,
            _ => Error::Io(error),
        }
    }
}
