//! What can go wrong with the machine room, in terms a caller can act on.

use std::fmt::Display;
use std::io;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system said no.
    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },
    /// What a duty, or another process of the room, answered instead of doing what was asked.
    #[error("{0}")]
    Failed(String),
    /// The keeper, or whoever was asked, ended before it answered: the request was done, or not, or
    /// in part. The next request starts a new keeper.
    #[error("the process of the machine room that was asked ended before it answered")]
    Lost,
    /// There is no keeper, and none could be started.
    #[error("the machine room cannot be opened: {0}")]
    Open(String),
    /// A message that the two sides do not understand alike.
    #[error("a message of the machine room cannot be read: {0}")]
    Message(String),
}

impl Error {
    pub fn failed(message: impl Display) -> Error {
        Error::Failed(message.to_string())
    }

    /// The operating system's reason, where it was the one who refused.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Error::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

/// Says what was being done when the operating system refused.
pub trait Doing<T> {
    fn doing(self, what: impl Display) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl Display) -> Result<T> {
        self.map_err(|error| Error::Io {
            doing: what.to_string(),
            source: error.into(),
        })
    }
}
