//! What can go wrong with a network.

use std::io;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan contradicts itself; nothing was changed.
    #[error("network plan {id}: {fault}")]
    Plan { id: String, fault: String },
    /// The kernel refused a step. Applying again carries on where this one stopped.
    #[error("{doing}: {source}")]
    Kernel { doing: String, source: io::Error },
    /// nftables refused a script, and kept what it had.
    #[error("packet filter: {0}")]
    Filter(String),
    /// There is no way to what lies beyond all networks.
    #[error("{0}")]
    Uplink(String),
    /// The keeper refused or failed.
    #[error(transparent)]
    Room(#[from] gureum_room::Error),
}

/// Says what was being done when the kernel refused.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Kernel {
            doing: what(),
            source: source.into(),
        })
    }
}
