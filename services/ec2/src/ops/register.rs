//! Images of root file systems that are in snapshots.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use super::own_images::{check_name, free_name};
use super::volume_attachments::check;
use super::volumes::completed;
use crate::errors::{Refusal, Result, refuse};
use crate::images::{self, ARCHITECTURE, KIND};
use crate::model::image::{Disk, ImageRow, Registered, Stage};
use crate::model::snapshot::SnapshotRow;
use crate::sharing::Shared;
use crate::state::{Change, Ec2};
use crate::tags;
use crate::volume_types::{Performance, USUAL, Wish};

/// What the root disk is called where nothing is said.
const ROOT_DEVICE: &str = "/dev/sda1";

/// Writes what is wanted; the reconciler copies the file system out of its snapshot.
pub(crate) async fn register(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::RegisterImageRequest,
) -> Reply<t::RegisterImageResult> {
    check_name(&input.name)?;
    check_machine(&input)?;
    ec2.disks_ready().await?;
    let root_device = input.root_device_name.as_deref().unwrap_or(ROOT_DEVICE);
    let image = ec2
        .write(&cx, input.dry_run, |w| {
            free_name(w, &input.name)?;
            let mut disks = disks(w, input.block_device_mappings.as_deref())?;
            let root = disks.iter().position(|disk| disk.device == root_device);
            let root = root.map(|at| disks.remove(at));
            let root = root.filter(|it| it.snapshot.is_some()).ok_or_else(|| {
                Refusal::new(
                    "InvalidBlockDeviceMapping",
                    "No root snapshot specified in device mapping.",
                )
            })?;
            if root.encrypted {
                let what = "An image of an encrypted root disk";
                return Err(Refusal::NotImplemented(what.into()));
            }
            let tags = tags::on_create(&KIND, &input.tag_specifications)?;
            let meta = w.here.new_meta(&KIND, tags);
            let row = ImageRow {
                name: input.name.clone(),
                description: input.description.clone().unwrap_or_default(),
                files: meta.id.clone(),
                stage: Stage::Pending { reboot: false },
                instance: None,
                copied: None,
                disks,
                registered: Some(Registered {
                    root,
                    ena: input.ena_support == Some(true),
                    sriov: input.sriov_net_support.is_some(),
                }),
                shared: Shared::default(),
                meta,
            };
            w.put(&row)?;
            Ok(row.meta.id)
        })
        .await?;
    ec2.images.wake();
    Ok(t::RegisterImageResult {
        image_id: Some(image),
    })
}

/// Refuses machines that no host here is. Where nothing is said, this host's kind is meant.
fn check_machine(input: &t::RegisterImageRequest) -> Result<()> {
    if let Some(other) = input.architecture.as_deref()
        && other != ARCHITECTURE
    {
        let what = format!("An image for {other} on this host ({ARCHITECTURE})");
        return Err(Refusal::NotImplemented(what));
    }
    match input.virtualization_type.as_deref() {
        None | Some("hvm") => {}
        Some("paravirtual") => {
            let what = "An image for paravirtual machines";
            return Err(Refusal::NotImplemented(what.into()));
        }
        Some(other) => return Err(Refusal::wrong("virtualizationType", other)),
    }
    match input.sriov_net_support.as_deref() {
        None | Some("simple") => {}
        Some(other) => return Err(Refusal::wrong("sriovNetSupport", other)),
    }
    match input.root_device_name.as_deref() {
        Some(device) if !images::is_root(device) => {
            let what = format!("The root device name {device}");
            Err(Refusal::NotImplemented(what))
        }
        _ => Ok(()),
    }
}

fn disks(w: &Change<'_>, mappings: Option<&[t::BlockDeviceMapping]>) -> Result<Vec<Disk>> {
    let mut disks: Vec<Disk> = Vec::new();
    for mapping in mappings.unwrap_or_default() {
        if mapping.no_device.is_some() {
            continue;
        }
        let device = mapping.device_name.as_deref().unwrap_or_default();
        check(device)?;
        if disks.iter().any(|disk| disk.device == device) {
            return Err(Refusal::new(
                "InvalidBlockDeviceMapping",
                format!("The device '{device}' is used in more than one block-device mapping"),
            ));
        }
        refuse(&[(
            "BlockDeviceMappings.VirtualName",
            mapping.virtual_name.is_some(),
        )])?;
        let ebs = mapping.ebs.as_ref();
        disks.push(disk(
            w,
            device,
            ebs.ok_or_else(|| Refusal::missing("ebs"))?,
        )?);
    }
    Ok(disks)
}

fn disk(w: &Change<'_>, device: &str, ebs: &t::EbsBlockDevice) -> Result<Disk> {
    refuse(&[
        (
            "BlockDeviceMappings.Ebs.OutpostArn",
            ebs.outpost_arn.is_some(),
        ),
        ("BlockDeviceMappings.Ebs.KmsKeyId", ebs.kms_key_id.is_some()),
    ])?;
    let snapshot = match ebs.snapshot_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => Some(w.need::<SnapshotRow>(id)?),
        None => None,
    };
    if let Some(row) = &snapshot {
        completed(row)?;
        if ebs.encrypted.is_some() {
            return Err(Refusal::new(
                "InvalidBlockDeviceMapping",
                format!(
                    "the encrypted flag cannot be specified since device {device} has a snapshot specified."
                ),
            ));
        }
    }
    let least = snapshot.as_ref().map(|row| row.size);
    let size = ebs.volume_size.or(least);
    let size = size.ok_or_else(|| Refusal::missing("size/snapshot"))?;
    if least.is_some_and(|least| size < least) {
        return Err(Refusal::new(
            "InvalidBlockDeviceMapping",
            format!("Volume of size {size}GB is smaller than the snapshot of {device}"),
        ));
    }
    let performance = Performance::read(&Wish {
        kind: ebs.volume_type.as_deref().unwrap_or(USUAL),
        size,
        iops: ebs.iops,
        throughput: ebs.throughput,
    })?;
    let sealed = snapshot.as_ref().is_some_and(|it| it.encryption.is_some());
    Ok(Disk {
        device: device.to_owned(),
        snapshot: snapshot.map(|row| row.meta.id),
        size,
        kind: performance.kind,
        iops: ebs.iops,
        throughput: ebs.throughput,
        encrypted: sealed || ebs.encrypted == Some(true),
        delete_on_termination: ebs.delete_on_termination.unwrap_or(true),
    })
}
