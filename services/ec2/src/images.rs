//! Images: the one that every host has, the host's own programs with everything else fresh, and
//! finding those that were made or imported.

use gureum_kit::{Region, Scan};
use gureum_model_ec2::types as t;

use crate::errors::{Refusal, Result};
use crate::filter::Paths;
use crate::model::image::{ImageRow, Stage};
use crate::model::instance::InstanceRow;
use crate::resource::{Find, Here, Kind};
use crate::sharing::FindShared as _;

pub(crate) const KIND: Kind = Kind {
    prefix: "ami",
    name: "image",
    label: "image",
    not_found: "InvalidAMIID.NotFound",
    malformed: "InvalidAMIID.Malformed",
    ownerless: true,
};

/// The base image, which has the same id everywhere and for ever.
pub(crate) const BASE: &str = "ami-0000000000000ba5e";
pub(crate) const ROOT_DEVICE: &str = "/dev/xvda";

pub(crate) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

/// The account that AWS's own images belong to.
const OWNER: &str = "137112412989";

/// Whether a device name means the root disk.
pub(crate) fn is_root(device: &str) -> bool {
    device == ROOT_DEVICE || device == "/dev/sda1"
}

/// Refuses what cannot be an image's id.
pub(crate) fn check(id: &str) -> Result<()> {
    KIND.check(id)
}

/// The image with this id, if it is not the base image; refuses one that isn't there or shared.
pub(crate) fn find(reader: &impl Find, here: &Here, id: &str) -> Result<Option<ImageRow>> {
    if id == BASE {
        return Ok(None);
    }
    check(id)?;
    let row = reader.usable::<ImageRow>(here, id)?;
    let row = row.filter(ImageRow::is_shown);
    row.map(Some).ok_or_else(|| absent(id))
}

/// The image of an instance, whosever it is: who has been allowed to launch it keeps it.
pub(crate) fn of_instance(reader: &impl Find, row: &InstanceRow) -> Result<Option<ImageRow>> {
    let here = row.meta.here();
    if row.image == BASE {
        return Ok(None);
    }
    if let Some(own) = reader.find(&here, &row.image)? {
        return Ok(Some(own));
    }
    for image in reader.scan(Scan::<ImageRow>::of((&here.region,))) {
        let image = image?;
        if image.meta.id == row.image {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

/// The same for an image that instances can be launched with.
pub(crate) fn available(reader: &impl Find, here: &Here, id: &str) -> Result<Option<ImageRow>> {
    match find(reader, here, id)? {
        Some(row) if row.stage != Stage::Available => Err(Refusal::new(
            "InvalidAMIID.Unavailable",
            format!("The image ID '{id}' is not available"),
        )),
        found => Ok(found),
    }
}

pub(crate) fn absent(id: &str) -> Refusal {
    Refusal::new(
        KIND.not_found,
        format!("The image id '[{id}]' does not exist"),
    )
}

pub(crate) const FILTERS: Paths = &[
    ("architecture", "Architecture"),
    ("description", "Description"),
    ("hypervisor", "Hypervisor"),
    ("image-id", "ImageId"),
    ("image-type", "ImageType"),
    ("is-public", "Public"),
    ("name", "Name"),
    ("owner-alias", "ImageOwnerAlias"),
    ("owner-id", "OwnerId"),
    (
        "block-device-mapping.device-name",
        "BlockDeviceMappings.DeviceName",
    ),
    (
        "block-device-mapping.snapshot-id",
        "BlockDeviceMappings.Ebs.SnapshotId",
    ),
    ("creation-date", "CreationDate"),
    ("root-device-name", "RootDeviceName"),
    ("source-instance-id", "SourceInstanceId"),
    ("root-device-type", "RootDeviceType"),
    ("state", "State"),
    ("virtualization-type", "VirtualizationType"),
];

/// The base image as listings show it.
pub(crate) fn base(_region: &Region) -> t::Image {
    t::Image {
        image_id: Some(BASE.into()),
        name: Some("gureum-base".into()),
        description: Some(
            "The host's own programs, read-only, with a fresh system around them".into(),
        ),
        image_location: Some("amazon/gureum-base".into()),
        image_owner_alias: Some("amazon".into()),
        owner_id: Some(OWNER.into()),
        creation_date: Some("2026-01-01T00:00:00.000Z".into()),
        public: Some(true),
        state: Some("available".into()),
        block_device_mappings: Some(Vec::new()),
        tags: Some(Vec::new()),
        ..common()
    }
}

/// What is the same of all images.
pub(crate) fn common() -> t::Image {
    t::Image {
        architecture: Some(ARCHITECTURE.into()),
        image_type: Some("machine".into()),
        platform_details: Some("Linux/UNIX".into()),
        usage_operation: Some("RunInstances".into()),
        ena_support: Some(true),
        hypervisor: Some("xen".into()),
        root_device_name: Some(ROOT_DEVICE.into()),
        root_device_type: Some("instance-store".into()),
        virtualization_type: Some("hvm".into()),
        ..Default::default()
    }
}

/// Whether one of `DescribeImages`' owners means the base image's.
pub(crate) fn owned_by(owner: &str) -> bool {
    owner == "amazon" || owner == OWNER
}
