//! Images that were made from instances, copied or imported.

use gureum_kit::{AccountId, Reader, Region};
use gureum_model_ec2::types as t;
use serde::{Deserialize, Serialize};

use super::snapshot::SnapshotRow;
use super::volume::VolumeRow;
use crate::errors::Result;
use crate::filter::Paths;
use crate::images::{self, KIND};
use crate::names::Names;
use crate::resource::{Described, Find as _, Meta, resource};
use crate::sharing::{Shareable, Shared};
use crate::tags;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ImageRow {
    pub(crate) meta: Meta,
    pub(crate) name: String,
    pub(crate) description: String,
    /// What the plane calls its files; copies share them.
    pub(crate) files: String,
    pub(crate) stage: Stage,
    /// The instance that it was made from.
    pub(crate) instance: Option<String>,
    /// The image that it was copied from, and where that is.
    pub(crate) copied: Option<(Region, String)>,
    /// The disks of its instances, besides the root disk.
    pub(crate) disks: Vec<Disk>,
    /// What it was registered with, if it was.
    #[serde(default)]
    pub(crate) registered: Option<Registered>,
    /// Who else may launch instances with it.
    #[serde(default)]
    pub(crate) shared: Shared,
}

impl Shareable for ImageRow {
    fn shared(&self) -> &Shared {
        &self.shared
    }
}

/// A root file system that is in a snapshot, and what was said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Registered {
    pub(crate) root: Disk,
    pub(crate) ena: bool,
    pub(crate) sriov: bool,
}

/// How far an image is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Its root file system is to be copied out of its snapshot, or its instance's disk: first it goes down, unless it is not to be rebooted.
    Pending {
        reboot: bool,
    },
    Available,
    Failed(String),
    /// It is shown to nobody. What was launched with it keeps its files.
    Deregistered,
}

/// A volume that instances of an image begin with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disk {
    pub(crate) device: String,
    /// None: it is blank.
    pub(crate) snapshot: Option<String>,
    /// GiB.
    pub(crate) size: i32,
    pub(crate) kind: String,
    pub(crate) iops: Option<i32>,
    pub(crate) throughput: Option<i32>,
    pub(crate) encrypted: bool,
    pub(crate) delete_on_termination: bool,
}

resource!(ImageRow, "ec2.image", KIND);

impl ImageRow {
    pub(crate) fn is_shown(&self) -> bool {
        self.stage != Stage::Deregistered
    }

    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Pending { .. })
    }

    /// One that the plane has been given from outside.
    pub(crate) fn imported(
        (region, account): (Region, AccountId),
        id: &str,
        name: String,
        now: i64,
    ) -> Self {
        Self {
            meta: Meta {
                region,
                account,
                id: id.to_owned(),
                created: now,
                tags: crate::resource::Tags::new(),
            },
            name,
            description: String::new(),
            files: id.to_owned(),
            stage: Stage::Available,
            instance: None,
            copied: None,
            disks: Vec::new(),
            registered: None,
            shared: Shared::default(),
        }
    }

    /// All its disks; the root disk, where it is one, is the first.
    pub(crate) fn all_disks(&self) -> impl Iterator<Item = &Disk> {
        let root = self.registered.iter().map(|it| &it.root);
        root.chain(&self.disks)
    }

    /// The snapshots that it needs.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = &String> {
        self.all_disks().filter_map(|disk| disk.snapshot.as_ref())
    }
}

impl ImageRow {
    /// What kind of machine it is for.
    fn machine(&self) -> t::Image {
        let common = images::common();
        match &self.registered {
            None => common,
            Some(registered) => t::Image {
                root_device_name: Some(registered.root.device.clone()),
                root_device_type: Some("ebs".into()),
                ena_support: Some(registered.ena),
                sriov_net_support: registered.sriov.then(|| "simple".into()),
                ..common
            },
        }
    }
}

impl Disk {
    /// The disk that a volume becomes by a snapshot of it.
    pub(crate) fn of(volume: &VolumeRow, snapshot: &SnapshotRow) -> Option<Self> {
        let attachment = volume.attachment.as_ref()?;
        let performance = &volume.performance;
        let chosen = performance.kind != "gp2";
        Some(Self {
            device: attachment.device.clone(),
            snapshot: Some(snapshot.meta.id.clone()),
            size: performance.size,
            kind: performance.kind.clone(),
            iops: performance.iops.filter(|_| chosen),
            throughput: performance.throughput,
            encrypted: volume.encryption.is_some(),
            delete_on_termination: attachment.delete_on_termination,
        })
    }

    pub(crate) fn shape(&self) -> t::BlockDeviceMapping {
        t::BlockDeviceMapping {
            device_name: Some(self.device.clone()),
            ebs: Some(t::EbsBlockDevice {
                delete_on_termination: Some(self.delete_on_termination),
                snapshot_id: self.snapshot.clone(),
                volume_size: Some(self.size),
                volume_type: Some(self.kind.clone()),
                iops: self.iops,
                throughput: self.throughput,
                encrypted: Some(self.encrypted),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

impl Described for ImageRow {
    type Shape = t::Image;
    const FILTERS: Paths = images::FILTERS;

    fn shape(&self, reader: &impl Reader, _: &Names) -> Result<t::Image> {
        let here = self.meta.here();
        let mut waits = false;
        for id in self.snapshots() {
            let snapshot = reader.find::<SnapshotRow>(&here, id)?;
            waits |= snapshot.is_some_and(|it| it.is_pending());
        }
        let (state, why) = match &self.stage {
            Stage::Pending { .. } => ("pending", None),
            Stage::Available if waits => ("pending", None),
            Stage::Available => ("available", None),
            Stage::Failed(why) => ("failed", Some(why.clone())),
            Stage::Deregistered => ("deregistered", None),
        };
        let owner = self.meta.account.to_string();
        let created = gureum_schema::Timestamp(self.meta.created);
        Ok(t::Image {
            image_id: Some(self.meta.id.clone()),
            name: Some(self.name.clone()),
            description: Some(self.description.clone()),
            image_location: Some(format!("{owner}/{}", self.name)),
            owner_id: Some(owner),
            creation_date: Some(created.iso_millis()),
            public: Some(self.shared.everyone),
            state: Some(state.into()),
            state_reason: why.map(|message| t::StateReason {
                code: Some("Server.InternalError".into()),
                message: Some(message),
            }),
            source_instance_id: self.instance.clone(),
            source_image_id: self.copied.as_ref().map(|(_, id)| id.clone()),
            source_image_region: self.copied.as_ref().map(|(region, _)| region.to_string()),
            block_device_mappings: Some(self.all_disks().map(Disk::shape).collect()),
            tags: tags::shapes(&self.meta.tags),
            ..self.machine()
        })
    }
}
