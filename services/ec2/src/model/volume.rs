//! Volumes: what they are, and what they are attached to.

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::errors::Result;
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, resource};
use crate::sealing::Encryption;
use crate::volume_types::Performance;
use crate::{tags, zones};

pub(crate) const KIND: Kind = Kind {
    prefix: "vol",
    name: "volume",
    label: "volume",
    not_found: "InvalidVolume.NotFound",
    malformed: "InvalidVolumeID.Malformed",
    ownerless: false,
};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct VolumeRow {
    pub(crate) meta: Meta,
    pub(crate) zone: String,
    /// The snapshot that it began with.
    pub(crate) snapshot: Option<String>,
    pub(crate) performance: Performance,
    pub(crate) encryption: Option<Encryption>,
    pub(crate) stage: Stage,
    pub(crate) attachment: Option<Attachment>,
    /// The last change of its size or speed.
    pub(crate) modification: Option<Modification>,
    pub(crate) auto_enable_io: bool,
}

/// How far a volume is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Creating,
    Ready,
    Deleting,
    /// It could not be made, and why.
    Failed(String),
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) instance: String,
    /// `/dev/sdf`
    pub(crate) device: String,
    pub(crate) at: i64,
    pub(crate) delete_on_termination: bool,
    pub(crate) state: Bond,
    /// It is detached whoever uses it.
    pub(crate) forced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Bond {
    Attaching,
    Attached,
    Detaching,
}

impl Bond {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Bond::Attaching => "attaching",
            Bond::Attached => "attached",
            Bond::Detaching => "detaching",
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Modification {
    pub(crate) from: Performance,
    pub(crate) to: Performance,
    pub(crate) started: i64,
    /// When the volume had become what was asked for.
    pub(crate) ended: Option<i64>,
}

resource!(VolumeRow, "ec2.volume", KIND);

impl VolumeRow {
    /// Bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.performance.bytes()
    }

    pub(crate) fn state(&self) -> &'static str {
        match (&self.stage, &self.attachment) {
            (Stage::Creating, _) => "creating",
            (Stage::Deleting, _) => "deleting",
            (Stage::Failed(_), _) => "error",
            (Stage::Ready, Some(_)) => "in-use",
            (Stage::Ready, None) => "available",
        }
    }

    /// The attachment as replies show it; `state` where it is no more what the row says.
    pub(crate) fn attachment_shape(&self, state: Option<&str>) -> Option<t::VolumeAttachment> {
        let attachment = self.attachment.as_ref()?;
        Some(t::VolumeAttachment {
            volume_id: Some(self.meta.id.clone()),
            instance_id: Some(attachment.instance.clone()),
            device: Some(attachment.device.clone()),
            state: Some(state.unwrap_or(attachment.state.name()).into()),
            attach_time: Some(Timestamp(attachment.at)),
            delete_on_termination: Some(attachment.delete_on_termination),
            ..Default::default()
        })
    }

    /// The volume as its instance shows it.
    pub(crate) fn mapping(&self) -> Option<t::InstanceBlockDeviceMapping> {
        let attachment = self.attachment.as_ref()?;
        Some(t::InstanceBlockDeviceMapping {
            device_name: Some(attachment.device.clone()),
            ebs: Some(t::EbsInstanceBlockDevice {
                attach_time: Some(Timestamp(attachment.at)),
                delete_on_termination: Some(attachment.delete_on_termination),
                status: Some(attachment.state.name().into()),
                volume_id: Some(self.meta.id.clone()),
                ..Default::default()
            }),
        })
    }
}

impl Modification {
    pub(crate) fn shape(&self, volume: &str) -> t::VolumeModification {
        let state = self.ended.map_or("modifying", |_| "completed");
        t::VolumeModification {
            volume_id: Some(volume.to_owned()),
            modification_state: Some(state.into()),
            target_size: Some(self.to.size),
            target_iops: self.to.iops,
            target_volume_type: Some(self.to.kind.clone()),
            target_throughput: self.to.throughput,
            target_multi_attach_enabled: Some(false),
            original_size: Some(self.from.size),
            original_iops: self.from.iops,
            original_volume_type: Some(self.from.kind.clone()),
            original_throughput: self.from.throughput,
            original_multi_attach_enabled: Some(false),
            progress: Some(if self.ended.is_some() { 100 } else { 0 }),
            start_time: Some(Timestamp(self.started)),
            end_time: self.ended.map(Timestamp),
            ..Default::default()
        }
    }
}

impl Described for VolumeRow {
    type Shape = t::Volume;
    const FILTERS: Paths = &[
        ("attachment.attach-time", "Attachments.AttachTime"),
        (
            "attachment.delete-on-termination",
            "Attachments.DeleteOnTermination",
        ),
        ("attachment.device", "Attachments.Device"),
        ("attachment.instance-id", "Attachments.InstanceId"),
        ("attachment.status", "Attachments.State"),
        ("availability-zone", "AvailabilityZone"),
        ("availability-zone-id", "AvailabilityZoneId"),
        ("create-time", "CreateTime"),
        ("encrypted", "Encrypted"),
        ("fast-restored", "FastRestored"),
        ("multi-attach-enabled", "MultiAttachEnabled"),
        ("size", "Size"),
        ("snapshot-id", "SnapshotId"),
        ("status", "State"),
        ("volume-id", "VolumeId"),
        ("volume-type", "VolumeType"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::Volume> {
        let performance = &self.performance;
        Ok(t::Volume {
            availability_zone: Some(self.zone.clone()),
            availability_zone_id: zones::id(&self.meta.region, &self.zone),
            iops: performance.iops,
            throughput: performance.throughput,
            tags: tags::shapes(&self.meta.tags),
            volume_type: Some(performance.kind.clone()),
            fast_restored: Some(false),
            multi_attach_enabled: Some(false),
            volume_id: Some(self.meta.id.clone()),
            size: Some(performance.size),
            snapshot_id: Some(self.snapshot.clone().unwrap_or_default()),
            state: Some(self.state().into()),
            create_time: Some(Timestamp(self.meta.created)),
            attachments: Some(self.attachment_shape(None).into_iter().collect()),
            encrypted: Some(self.encryption.is_some()),
            kms_key_id: self.encryption.as_ref().map(|it| it.kms_key.clone()),
            ..Default::default()
        })
    }
}
