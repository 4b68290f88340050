//! What global tables keep in the store.

use bytes::Bytes;
use gureum_kit::{Region, Row};
use serde::{Deserialize, Serialize};

use crate::model::{Table, TableKey};

/// When and where an item got its value; the greater one wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Version {
    /// Milliseconds since the epoch, or later where an item changes more often.
    pub(crate) at: i64,
    pub(crate) region: Region,
}

/// The version of an item of a global table, of one that is deleted too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Versioned {
    /// See [`Table::versions`].
    pub(crate) space: u64,
    pub(crate) partition: Bytes,
    pub(crate) sort: Bytes,
    pub(crate) version: Version,
    pub(crate) gone: bool,
    /// When it was written in this region.
    pub(crate) written: i64,
}

impl Row for Versioned {
    const TABLE: &'static str = "dynamodb.version";
    /// Space, partition, sort.
    type Key = (u64, Vec<u8>, Vec<u8>);

    fn key(&self) -> Self::Key {
        (self.space, self.partition.to_vec(), self.sort.to_vec())
    }
}

/// An item that was deleted: its version is remembered until no older change can arrive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    pub(crate) space: u64,
    pub(crate) at: i64,
    pub(crate) partition: Bytes,
    pub(crate) sort: Bytes,
}

impl Row for Tombstone {
    const TABLE: &'static str = "dynamodb.tombstone";
    /// Space, and the number that the commit gives.
    type Key = (u64, u64);

    /// Only for the type: tombstones are appended, and the commit makes their key.
    fn key(&self) -> (u64, u64) {
        (self.space, 0)
    }
}

/// How far a region has followed the stream of another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) stream: u64,
    pub(crate) target: Region,
    /// The last record that was looked at.
    pub(crate) after: u64,
}

impl Row for Route {
    const TABLE: &'static str = "dynamodb.route";
    type Key = (u64, Region);

    fn key(&self) -> Self::Key {
        (self.stream, self.target.clone())
    }
}

/// What a stream record says of a change of a global table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) version: Version,
    /// It came from another region.
    pub(crate) replicated: bool,
}

impl Table {
    /// This table's key in another region.
    pub(crate) fn key_in(&self, region: &Region) -> TableKey {
        (region.clone(), self.account, self.name.clone())
    }

    /// Whether it is in a global table of either version.
    pub(crate) fn is_global(&self) -> bool {
        self.is_current() || self.legacy.is_some()
    }

    /// Whether it is in one of version 2019.11.21, whose tables share settings.
    pub(crate) fn is_current(&self) -> bool {
        !self.replicas.is_empty() && self.legacy.is_none()
    }

    /// The space of its items' versions.
    pub(crate) fn versions(&self) -> u64 {
        self.legacy.unwrap_or(self.id)
    }
}
