//! Snapshots: taking, copying, showing, deleting.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::describe::{chosen, query};
use crate::errors::Refusal;
use crate::model::image::ImageRow;
use crate::model::snapshot::{self, Origin, Progress, SnapshotRow};
use crate::model::volume::{Stage, VolumeRow};
use crate::resource::{Described as _, Find as _, Here, Resource as _};
use crate::sealing::Secrecy;
use crate::state::Ec2;
use crate::tags;

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateSnapshotRequest,
) -> Reply<t::Snapshot> {
    let row = ec2
        .write(&cx, input.dry_run, |w| {
            let volume = w.need::<VolumeRow>(&input.volume_id)?;
            if volume.stage != Stage::Ready {
                return Err(Refusal::state(format!(
                    "The volume '{}' is in the '{}' state.",
                    input.volume_id,
                    volume.state()
                )));
            }
            let tags = tags::on_create(&snapshot::KIND, &input.tag_specifications)?;
            let row = SnapshotRow {
                meta: w.here.new_meta(&snapshot::KIND, tags),
                of: Origin::Volume(input.volume_id.clone()),
                size: volume.performance.size,
                description: input.description.clone().unwrap_or_default(),
                encryption: volume.encryption,
                progress: Progress::Pending,
            };
            w.put(&row)?;
            Ok(row)
        })
        .await?;
    let shape = row.shape(&ec2.store.read(), &ec2.names)?;
    ec2.take_now(cx.cloud(), &row).await;
    Ok(shape)
}

/// Copies within the cloud, from any of its regions.
pub(crate) async fn copy(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CopySnapshotRequest,
) -> Reply<t::CopySnapshotResult> {
    let region = input.source_region.parse();
    let region = region.map_err(|_| Refusal::wrong("sourceRegion", &input.source_region))?;
    let there = Here {
        region,
        ..Here::of(&cx)
    };
    let asked = Secrecy {
        encrypted: input.encrypted,
        kms_key: input.kms_key_id.clone(),
    };
    let source = ec2
        .store
        .read()
        .need::<SnapshotRow>(&there, &input.source_snapshot_id)?;
    ec2.check_sealed(&cx, source.encryption.as_ref()).await?;
    let must = source.encryption.is_some();
    let sealing = ec2.seal_anew(&cx, &asked, must).await?;
    let row = ec2
        .write(&cx, input.dry_run, |w| {
            let source =
                w.tx.need::<SnapshotRow>(&there, &input.source_snapshot_id)?;
            if !matches!(source.progress, Progress::Completed(_)) {
                return Err(Refusal::state(format!(
                    "Snapshot '{}' is not 'completed'",
                    input.source_snapshot_id
                )));
            }
            let tags = tags::on_create(&snapshot::KIND, &input.tag_specifications)?;
            let row = SnapshotRow {
                meta: w.here.new_meta(&snapshot::KIND, tags),
                of: Origin::Snapshot(source.meta.id),
                size: source.size,
                description: input.description.clone().unwrap_or_default(),
                encryption: sealing.as_ref().map(|it| it.encryption.clone()),
                progress: Progress::Pending,
            };
            sealing.as_ref().map_or(Ok(()), |it| it.keep(w))?;
            w.put(&row)?;
            Ok(row)
        })
        .await?;
    // What is sealed anew is read and written as a whole, which takes its time.
    if sealing.is_none() {
        ec2.take_now(cx.cloud(), &row).await;
    }
    Ok(t::CopySnapshotResult {
        tags: tags::shapes(&row.meta.tags),
        snapshot_id: Some(row.meta.id),
    })
}

/// Snapshots are their owners'; nobody shares any.
pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeSnapshotsRequest,
) -> Reply<t::DescribeSnapshotsResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let mut rows = chosen::<SnapshotRow>(&snapshot, &here, input.snapshot_ids.as_ref())?;
    let mine = |owner: &String| owner == "self" || here.account == *owner.as_str();
    let wanted = |owners: &Option<Vec<String>>| match owners {
        Some(owners) if !owners.is_empty() => owners.iter().any(mine),
        _ => true,
    };
    if !wanted(&input.owner_ids) || !wanted(&input.restorable_by_user_ids) {
        rows.clear();
    }
    let shapes = rows.iter().map(|row| {
        let shape = row.shape(&snapshot, &ec2.names)?;
        Ok((row.meta.id.clone(), shape))
    });
    let query = query!("DescribeSnapshots", input, snapshot_ids);
    let page = ec2.page(&cx, query, SnapshotRow::FILTERS, shapes)?;
    Ok(t::DescribeSnapshotsResult {
        snapshots: Some(page.items),
        next_token: page.next,
    })
}

/// Volumes and copies that were made from it keep what they have.
pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteSnapshotRequest,
) -> Reply<t::DeleteSnapshotOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let row = w.need::<SnapshotRow>(&input.snapshot_id)?;
        let begun = |volume: &VolumeRow| {
            volume.stage == Stage::Creating && volume.snapshot.as_ref() == Some(&row.meta.id)
        };
        let named = |image: &ImageRow| {
            let mut disks = image.disks.iter();
            disks.any(|disk| disk.snapshot == row.meta.id)
        };
        if let Some(image) = w.all::<ImageRow>()?.iter().find(|image| named(image)) {
            return Err(Refusal::new(
                "InvalidSnapshot.InUse",
                format!(
                    "The snapshot {} is currently in use by {}",
                    input.snapshot_id,
                    image.id()
                ),
            ));
        }
        if w.all::<VolumeRow>()?.iter().any(begun) {
            return Err(Refusal::new(
                "InvalidSnapshot.InUse",
                format!("The snapshot {} is currently in use", input.snapshot_id),
            ));
        }
        w.delete(&row)
    })
    .await?;
    Ok(t::DeleteSnapshotOutput {})
}
