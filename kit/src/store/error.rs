//! What can go wrong in the store.

use std::path::PathBuf;
use std::sync::Arc;

/// An error of the store. Cheap to clone, because all transactions of one commit group share the
/// fate of that group.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is too little space to begin with: nothing was written. Removing something still works.
    #[error("the disk that holds the store is nearly full: {0}")]
    NoRoom(String),
    /// The disk was full in the middle: nothing is half written, and what is wholly there shows when
    /// the store is read. Writes work again when there is space.
    #[error("the disk that holds the store is full: {0}")]
    Full(String),
    /// The operating system failed a read or a write.
    #[error("the store's disk failed: {0}")]
    Io(Arc<std::io::Error>),
    /// Bytes on the disk are not what was written.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// Another process has this directory open.
    #[error("{} is in use by process {holder}; stop it, or choose another data directory", .dir.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The process id of the holder, or `unknown`.
        holder: String,
    },
    /// The directory was written by a newer program, or by one from before the first release; it is
    /// left untouched.
    #[error("{} has data format {found}, this program knows {known}; use the program that made it, or another directory", .dir.display())]
    Format {
        /// The data directory.
        dir: PathBuf,
        /// The format found there.
        found: u32,
        /// The format that this program reads.
        known: u32,
    },
    /// A row was written in a version that its type cannot read.
    #[error("a row of table {table} has version {found}, this program knows {known}")]
    Version {
        /// The table.
        table: &'static str,
        /// The row's version.
        found: u16,
        /// The version of the type in this program.
        known: u16,
    },
    /// A row could not be encoded or decoded.
    #[error("a row of table {table} could not be read or written: {reason}")]
    Codec {
        /// The table.
        table: &'static str,
        /// What the codec says.
        reason: String,
    },
    /// Other transactions kept changing what this one had read.
    #[error("gave up after {attempts} attempts, each overtaken by other writers; try again")]
    Conflict {
        /// How often the transaction was run.
        attempts: u32,
    },
    /// A key or a transaction is larger than the store takes in one piece.
    #[error("{size} is over the store's limit of {limit} (bytes, or events of one transaction)")]
    TooLarge {
        /// The size of the key, or of all keys and values that the transaction writes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The store is shutting down, or a failure closed it for good.
    #[error("the store is closed: {0}")]
    Closed(String),
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> StoreError {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => StoreError::Full(error.to_string()),
            _ => StoreError::Io(Arc::new(error)),
        }
    }
}
