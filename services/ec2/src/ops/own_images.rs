//! Making images of instances, copying, changing and deregistering them.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct};

use super::{shares, snapshots};
use crate::errors::{Refusal, Result};
use crate::images::{self, KIND};
use crate::model::image::{Disk, ImageRow, Registered, Stage};
use crate::model::instance::{InstanceRow, State};
use crate::model::snapshot::{self, Origin, Progress, SnapshotRow};
use crate::model::volume;
use crate::reconcile::volumes::attached;
use crate::resource::{Find as _, Here, Resource as _, Tags};
use crate::sharing::Shared;
use crate::state::{Change, Ec2};
use crate::tags;

/// Writes what is wanted; the reconciler copies the disk. Volumes of the instance come along as
/// snapshots.
pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateImageRequest,
) -> Reply<t::CreateImageResult> {
    check_name(&input.name)?;
    let specs = input.tag_specifications.as_deref().unwrap_or_default();
    tags::of_kinds(&[KIND.name, snapshot::KIND.name], specs)?;
    let own = tags::for_kind(KIND.name, specs)?;
    let of_snapshots = tags::for_kind(snapshot::KIND.name, specs)?;
    let image = ec2
        .write(&cx, input.dry_run, |w| {
            let instance = w.need::<InstanceRow>(&input.instance_id)?;
            if !matches!(instance.state, State::Running | State::Stopped) {
                return Err(Refusal::new(
                    "IncorrectInstanceState",
                    format!(
                        "The instance '{}' is not in the 'running' or 'stopped' state.",
                        instance.id()
                    ),
                ));
            }
            free_name(w, &input.name)?;
            let meta = w.here.new_meta(&KIND, own.clone());
            let disks = disks(w, &instance, &meta.id, &of_snapshots)?;
            let row = ImageRow {
                name: input.name.clone(),
                description: input.description.clone().unwrap_or_default(),
                files: meta.id.clone(),
                stage: Stage::Pending {
                    reboot: input.no_reboot != Some(true),
                },
                instance: Some(instance.meta.id),
                copied: None,
                disks,
                registered: None,
                shared: Shared::default(),
                meta,
            };
            w.put(&row)?;
            Ok(row.meta.id)
        })
        .await?;
    ec2.images.wake();
    Ok(t::CreateImageResult {
        image_id: Some(image),
    })
}

/// Snapshots of an instance's volumes, as disks of an image.
fn disks(
    w: &mut Change<'_>,
    instance: &InstanceRow,
    image: &str,
    tags: &Tags,
) -> Result<Vec<Disk>> {
    let mut disks = Vec::new();
    for volume in attached(w.tx, w.here, instance.id())? {
        if volume.stage != volume::Stage::Ready {
            continue;
        }
        let row = SnapshotRow {
            description: format!("Created by CreateImage({}) for {image}", instance.id()),
            together: Some(image.to_owned()),
            ..SnapshotRow::of(&volume, w.here.new_meta(&snapshot::KIND, tags.clone()))
        };
        disks.extend(Disk::of(&volume, &row));
        w.put(&row)?;
    }
    Ok(disks)
}

/// Three to 128 characters, of those that AWS allows.
pub(super) fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || " ()[]./-'@_".contains(c);
    if (3..=128).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(Refusal::new(
        "InvalidAMIName.Malformed",
        "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'",
    ))
}

pub(super) fn free_name(w: &Change<'_>, name: &str) -> Result<()> {
    let rows = w.all::<ImageRow>()?;
    let taken = rows.iter().find(|row| row.is_shown() && row.name == name);
    taken.map_or(Ok(()), |row| {
        Err(Refusal::new(
            "InvalidAMIName.Duplicate",
            format!("AMI name {name} is already in use by AMI {}", row.id()),
        ))
    })
}

/// Copies within the cloud, from any of its regions; the files are shared.
pub(crate) async fn copy(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CopyImageRequest,
) -> Reply<t::CopyImageResult> {
    check_name(&input.name)?;
    let region = input.source_region.parse();
    let region = region.map_err(|_| Refusal::wrong("sourceRegion", &input.source_region))?;
    let there = Here {
        region,
        ..Here::of(&cx)
    };
    let own = tags::on_create(&KIND, &input.tag_specifications)?;
    let token = input.client_token.as_deref();
    let request = ("CopyImage", &input as &dyn Struct);
    let ids = ec2
        .write_once(&cx, input.dry_run, token, request, |w| {
            let source = images::available(&*w.tx, &there, &input.source_image_id)?;
            let source = source.ok_or_else(|| {
                Refusal::NotImplemented("Copying the base image, which is in every region,".into())
            })?;
            free_name(w, &input.name)?;
            let mut tags = own.clone();
            if input.copy_image_tags == Some(true) {
                for (key, value) in &source.meta.tags {
                    tags.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            let meta = w.here.new_meta(&KIND, tags);
            let from = source.meta.here();
            let disks = source.disks.iter();
            let disks = disks.map(|disk| copy_of(w, &from, disk, &meta.id));
            let disks = disks.collect::<Result<_>>()?;
            let registered = match &source.registered {
                None => None,
                Some(registered) => Some(Registered {
                    root: copy_of(w, &from, &registered.root, &meta.id)?,
                    ..registered.clone()
                }),
            };
            let row = ImageRow {
                name: input.name.clone(),
                description: input.description.clone().unwrap_or_default(),
                instance: None,
                copied: Some((source.meta.region.clone(), source.meta.id.clone())),
                disks,
                registered,
                shared: Shared::default(),
                meta,
                ..source
            };
            w.put(&row)?;
            Ok(vec![row.meta.id])
        })
        .await?;
    Ok(t::CopyImageResult {
        image_id: ids.into_iter().next(),
    })
}

/// A disk with a copy of its snapshot.
fn copy_of(w: &mut Change<'_>, there: &Here, disk: &Disk, image: &str) -> Result<Disk> {
    let Some(snapshot) = &disk.snapshot else {
        return Ok(disk.clone());
    };
    let source = w.tx.need::<SnapshotRow>(there, snapshot)?;
    if source.encryption.is_some() {
        return Err(Refusal::NotImplemented(
            "Copying an image with encrypted disks".into(),
        ));
    }
    let row = SnapshotRow {
        meta: w.here.new_meta(&snapshot::KIND, Tags::new()),
        of: Origin::Snapshot(source.meta.id),
        description: format!("Copied for {image}"),
        progress: Progress::Pending,
        together: None,
        shared: Shared::default(),
        ..source
    };
    w.put(&row)?;
    Ok(Disk {
        snapshot: Some(row.meta.id),
        ..disk.clone()
    })
}

/// Its files go when nothing runs on them any more; its snapshots stay, unless they are to go too.
pub(crate) async fn deregister(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeregisterImageRequest,
) -> Reply<t::DeregisterImageResult> {
    let with_snapshots = input.delete_associated_snapshots == Some(true);
    let gone = ec2
        .write(&cx, input.dry_run, |w| {
            let mut row = own(w, &input.image_id)?;
            row.stage = Stage::Deregistered;
            let snapshots: Vec<String> = row.snapshots().cloned().collect();
            (row.disks, row.registered) = (Vec::new(), None);
            w.put(&row)?;
            let mut gone = Vec::new();
            for id in snapshots.into_iter().filter(|_| with_snapshots) {
                let Some(snapshot) = w.tx.find::<SnapshotRow>(w.here, &id)? else {
                    continue;
                };
                let code = match snapshots::user(w, &snapshot)? {
                    Some(_) => "skipped",
                    None => {
                        w.delete(&snapshot)?;
                        "success"
                    }
                };
                gone.push((id, code));
            }
            Ok(gone)
        })
        .await?;
    ec2.images.wake();
    let deleted = |(id, code): (String, &str)| t::DeleteSnapshotReturnCode {
        snapshot_id: Some(id),
        return_code: Some(code.into()),
    };
    Ok(t::DeregisterImageResult {
        return_: Some(true),
        delete_snapshot_results: with_snapshots.then(|| gone.into_iter().map(deleted).collect()),
    })
}

/// An image of the caller's; the base image is nobody's to change.
pub(crate) fn own(w: &Change<'_>, id: &str) -> Result<ImageRow> {
    let row = images::find(&*w.tx, w.here, id)?;
    let row = row.filter(|row| row.meta.account == w.here.account);
    row.ok_or_else(|| Refusal::new("AuthFailure", format!("Not authorized for image {id}")))
}

pub(crate) async fn modify_attribute(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyImageAttributeRequest,
) -> Reply<t::ModifyImageAttributeOutput> {
    if shares::of_launch(&input) {
        return shares::modify_image(ec2, cx, input).await;
    }
    let named = match input.attribute.as_deref() {
        Some("description") => input.value.clone(),
        None => None,
        Some(other) => Err(Refusal::NotImplemented(format!(
            "Changing the attribute {other} of images"
        )))?,
    };
    let described = input.description.as_ref().and_then(|it| it.value.clone());
    let description = described.or(named);
    let description = description.ok_or_else(|| Refusal::missing("Description"))?;
    ec2.write(&cx, input.dry_run, |w| {
        let mut row = own(w, &input.image_id)?;
        row.description.clone_from(&description);
        w.put(&row)
    })
    .await?;
    Ok(t::ModifyImageAttributeOutput {})
}

pub(crate) async fn describe_attribute(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeImageAttributeRequest,
) -> Reply<t::ImageAttribute> {
    let row = ec2
        .write(&cx, input.dry_run, |w| own(w, &input.image_id))
        .await?;
    let mut out = t::ImageAttribute {
        image_id: Some(row.meta.id.clone()),
        ..Default::default()
    };
    match input.attribute.as_str() {
        "description" => {
            out.description = Some(t::AttributeValue {
                value: Some(row.description),
            });
        }
        "blockDeviceMapping" => {
            out.block_device_mappings = Some(row.all_disks().map(Disk::shape).collect());
        }
        "launchPermission" => out.launch_permissions = Some(shares::launches(&row.shared)),
        "productCodes" => out.product_codes = Some(Vec::new()),
        other => Err(Refusal::wrong("attribute", other))?,
    }
    Ok(out)
}
