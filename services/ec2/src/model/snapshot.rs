//! Snapshots of volumes.

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use super::volume::VolumeRow;
use crate::errors::Result;
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, resource};
use crate::sealing::Encryption;
use crate::sharing::{Shareable, Shared};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "snap",
    name: "snapshot",
    label: "snapshot",
    not_found: "InvalidSnapshot.NotFound",
    malformed: "InvalidSnapshotID.Malformed",
    ownerless: true,
};

/// What is said of a copy's volume, which is none of the copier's.
const NO_VOLUME: &str = "vol-ffffffff";

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotRow {
    pub(crate) meta: Meta,
    pub(crate) of: Origin,
    /// GiB.
    pub(crate) size: i32,
    pub(crate) description: String,
    pub(crate) encryption: Option<Encryption>,
    pub(crate) progress: Progress,
    /// What it shares its moment with: those that are taken together name the same.
    #[serde(default)]
    pub(crate) together: Option<String>,
    /// Who else may make volumes of it.
    #[serde(default)]
    pub(crate) shared: Shared,
}

impl Shareable for SnapshotRow {
    fn shared(&self) -> &Shared {
        &self.shared
    }
}

/// What a snapshot is taken of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Origin {
    Volume(String),
    Snapshot(String),
    /// Of blocks that are written one by one, over this snapshot if there is one.
    Blocks(Option<String>),
}

/// A snapshot that is being written. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Draft {
    /// How long nothing may be written.
    pub(crate) patience: i64,
    /// When it is given up, unless something is written.
    pub(crate) until: i64,
    /// How far its writer says to be.
    pub(crate) percent: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    Pending,
    /// Its blocks are being written.
    Writing(Draft),
    /// When.
    Completed(i64),
    /// Why.
    Failed(String),
}

resource!(SnapshotRow, "ec2.snapshot", KIND);

impl SnapshotRow {
    /// Whether it is to be taken.
    pub(crate) fn is_pending(&self) -> bool {
        self.progress == Progress::Pending
    }

    /// How it is being written, if it is.
    pub(crate) fn draft(&self) -> Option<&Draft> {
        match &self.progress {
            Progress::Writing(draft) => Some(draft),
            _ => None,
        }
    }

    fn percent(&self) -> i32 {
        match &self.progress {
            Progress::Completed(_) => 100,
            Progress::Writing(draft) => draft.percent,
            Progress::Pending | Progress::Failed(_) => 0,
        }
    }
}

impl SnapshotRow {
    /// A snapshot of a volume that is still to be taken.
    pub(crate) fn of(volume: &VolumeRow, meta: Meta) -> Self {
        Self {
            meta,
            of: Origin::Volume(volume.meta.id.clone()),
            size: volume.performance.size,
            description: String::new(),
            encryption: volume.encryption.clone(),
            progress: Progress::Pending,
            together: None,
            shared: Shared::default(),
        }
    }

    /// The volume that it is told to be of.
    fn volume(&self) -> String {
        match &self.of {
            Origin::Volume(id) => id.clone(),
            Origin::Snapshot(_) | Origin::Blocks(_) => NO_VOLUME.to_owned(),
        }
    }

    /// As one of several that are begun together.
    pub(crate) fn info(&self) -> t::SnapshotInfo {
        t::SnapshotInfo {
            description: Some(self.description.clone()),
            tags: tags::shapes(&self.meta.tags),
            encrypted: Some(self.encryption.is_some()),
            volume_id: Some(self.volume()),
            state: Some("pending".into()),
            volume_size: Some(self.size),
            start_time: Some(Timestamp(self.meta.created)),
            progress: Some("0%".into()),
            owner_id: Some(self.meta.account.to_string()),
            snapshot_id: Some(self.meta.id.clone()),
            ..Default::default()
        }
    }
}

impl Described for SnapshotRow {
    type Shape = t::Snapshot;
    const FILTERS: Paths = &[
        ("description", "Description"),
        ("encrypted", "Encrypted"),
        ("owner-id", "OwnerId"),
        ("progress", "Progress"),
        ("snapshot-id", "SnapshotId"),
        ("start-time", "StartTime"),
        ("status", "State"),
        ("storage-tier", "StorageTier"),
        ("volume-id", "VolumeId"),
        ("volume-size", "VolumeSize"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::Snapshot> {
        let (state, message, completed) = match &self.progress {
            Progress::Pending | Progress::Writing(_) => ("pending", None, None),
            Progress::Completed(at) => ("completed", None, Some(Timestamp(*at))),
            Progress::Failed(why) => ("error", Some(why.clone()), None),
        };
        Ok(t::Snapshot {
            tags: tags::shapes(&self.meta.tags),
            storage_tier: Some("standard".into()),
            completion_time: completed,
            snapshot_id: Some(self.meta.id.clone()),
            volume_id: Some(self.volume()),
            state: Some(state.into()),
            state_message: message,
            start_time: Some(Timestamp(self.meta.created)),
            progress: Some(format!("{}%", self.percent())),
            owner_id: Some(self.meta.account.to_string()),
            description: Some(self.description.clone()),
            volume_size: Some(self.size),
            encrypted: Some(self.encryption.is_some()),
            kms_key_id: self.encryption.as_ref().map(|it| it.kms_key.clone()),
            ..Default::default()
        })
    }
}
