//! What can go wrong with content, in terms a caller can act on.

use crate::BlobId;
use std::io;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this plane.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file with this id exists.
    #[error("content {0} does not exist")]
    Missing(BlobId),
    /// Bytes on disk (or in a row: `id` is `None`) are not those that were written.
    #[error("content {} is corrupt at byte {at}: {what}", name(.id))]
    Corrupt {
        id: Option<BlobId>,
        at: u64,
        what: &'static str,
    },
    /// The content is intact, but sealed with another key, with a key where none was given, or
    /// without a key where one was.
    #[error("the key does not fit this content")]
    Key,
    /// The disk, a quota or a file size limit is exhausted. Nothing of the content was kept.
    #[error("no space left for content")]
    Full,
    /// The wanted range does not lie inside the content.
    #[error("range {start}..{end} lies outside content of {len} bytes")]
    Range { start: u64, end: u64, len: u64 },
    /// Content too long for the form asked for.
    #[error("content of {len} bytes exceeds the limit of {limit}")]
    TooLong { len: u64, limit: u64 },
    /// Another process has this directory open.
    #[error("content directory {0} is in use by another process")]
    InUse(std::path::PathBuf),
    /// An earlier step of the same stream failed; the first error said why.
    #[error("the stream failed earlier")]
    Failed,
    #[error("content storage: {0}")]
    Io(#[source] io::Error),
}

fn name(id: &Option<BlobId>) -> String {
    id.map_or_else(|| "of a row".to_owned(), |id| id.to_string())
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Error::Full,
            _ => Error::Io(error),
        }
    }
}
