//! Snapshots: taking, copying, showing, deleting.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Reader as _, Scan};
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use super::volumes::completed;
use crate::describe::query;
use crate::errors::{Refusal, Result};
use crate::model::image::ImageRow;
use crate::model::instance::InstanceRow;
use crate::model::snapshot::{self, Origin, Progress, SnapshotRow};
use crate::model::volume::{Stage, VolumeRow};
use crate::reconcile::volumes::attached;
use crate::resource::{Described as _, Find, Here, Resource as _};
use crate::sealing::Secrecy;
use crate::sharing::{ALL, FindShared as _, Shareable as _, Shared};
use crate::state::{Change, Ec2};
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
                description: input.description.clone().unwrap_or_default(),
                ..SnapshotRow::of(&volume, w.here.new_meta(&snapshot::KIND, tags))
            };
            w.put(&row)?;
            Ok(row)
        })
        .await?;
    let shape = row.shape(&ec2.store.read(), &ec2.names)?;
    ec2.take_now(cx.cloud(), &[row]).await;
    Ok(shape)
}

/// All volumes of an instance, as of one moment. Its root disk is no volume, so none is left out when
/// that is not wanted.
pub(crate) async fn create_all(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateSnapshotsRequest,
) -> Reply<t::CreateSnapshotsResult> {
    let copy_tags = match input.copy_tags_from_source.as_deref() {
        None => false,
        Some("volume") => true,
        Some(other) => Err(Refusal::wrong("CopyTagsFromSource", other))?,
    };
    let rows = ec2
        .write(&cx, input.dry_run, |w| {
            let own = tags::on_create(&snapshot::KIND, &input.tag_specifications)?;
            let mut rows: Vec<SnapshotRow> = Vec::new();
            for volume in chosen_volumes(w, &input.instance_specification)? {
                let mut tags = own.clone();
                for (key, value) in volume.meta.tags.iter().filter(|_| copy_tags) {
                    tags.entry(key.clone()).or_insert_with(|| value.clone());
                }
                tags::count(&tags)?;
                let mut row = SnapshotRow {
                    description: input.description.clone().unwrap_or_default(),
                    ..SnapshotRow::of(&volume, w.here.new_meta(&snapshot::KIND, tags))
                };
                let first = rows.first().map_or(&row.meta.id, |first| &first.meta.id);
                row.together = Some(first.clone());
                w.put(&row)?;
                rows.push(row);
            }
            Ok(rows)
        })
        .await?;
    let shapes = rows.iter().map(SnapshotRow::info).collect();
    ec2.take_now(cx.cloud(), &rows).await;
    Ok(t::CreateSnapshotsResult {
        snapshots: Some(shapes),
    })
}

/// The volumes of an instance, without those that are excluded.
fn chosen_volumes(w: &Change<'_>, of: &t::InstanceSpecification) -> Result<Vec<VolumeRow>> {
    let instance = w.need::<InstanceRow>(&of.instance_id)?;
    let mut volumes = attached(w.tx, w.here, instance.id())?;
    volumes.retain(|row| row.stage == Stage::Ready);
    let excluded = of.exclude_data_volume_ids.as_deref().unwrap_or_default();
    if let Some(id) = excluded
        .iter()
        .find(|id| !volumes.iter().any(|row| row.id() == *id))
    {
        return Err(Refusal::value(format!(
            "The volume '{id}' is not attached to the instance '{}'.",
            instance.id()
        )));
    }
    volumes.retain(|row| !excluded.iter().any(|id| row.id() == id));
    if volumes.is_empty() {
        return Err(Refusal::value(format!(
            "The instance '{}' has no volumes to take snapshots of.",
            instance.id()
        )));
    }
    Ok(volumes)
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
        .need_usable::<SnapshotRow>(&there, &input.source_snapshot_id)?;
    ec2.check_readable(&cx, source.encryption.as_ref()).await?;
    let must = source.encryption.is_some();
    let sealing = ec2.seal_anew(&cx, &asked, must).await?;
    let row = ec2
        .write(&cx, input.dry_run, |w| {
            let source =
                w.tx.need_usable::<SnapshotRow>(&there, &input.source_snapshot_id)?;
            completed(&source)?;
            let tags = tags::on_create(&snapshot::KIND, &input.tag_specifications)?;
            let row = SnapshotRow {
                meta: w.here.new_meta(&snapshot::KIND, tags),
                of: Origin::Snapshot(source.meta.id),
                size: source.size,
                description: input.description.clone().unwrap_or_default(),
                encryption: sealing.as_ref().map(|it| it.encryption.clone()),
                progress: Progress::Pending,
                together: None,
                shared: Shared::default(),
            };
            sealing.as_ref().map_or(Ok(()), |it| it.keep(w))?;
            w.put(&row)?;
            Ok(row)
        })
        .await?;
    // What is sealed anew is read and written as a whole, which takes its time.
    if sealing.is_none() {
        ec2.take_now(cx.cloud(), std::slice::from_ref(&row)).await;
    }
    Ok(t::CopySnapshotResult {
        tags: tags::shapes(&row.meta.tags),
        snapshot_id: Some(row.meta.id),
    })
}

/// Those of the caller, and what others share with them.
pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeSnapshotsRequest,
) -> Reply<t::DescribeSnapshotsResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let mut rows = usable(&snapshot, &here, input.snapshot_ids.as_ref())?;
    let owners = input.owner_ids.as_deref().unwrap_or_default();
    let users = input.restorable_by_user_ids.as_deref().unwrap_or_default();
    let me = &here.account;
    let restores = |row: &SnapshotRow, user: &String| {
        let owns = user != ALL && row.is_of(std::slice::from_ref(user), me);
        owns || row.shared.names(user, me)
    };
    rows.retain(|row| {
        let restorable = users.is_empty() || users.iter().any(|user| restores(row, user));
        row.is_of(owners, me) && restorable
    });
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

/// All snapshots that the caller may use, or those with these ids, in the order of their ids.
fn usable(reader: &impl Find, here: &Here, ids: Option<&Vec<String>>) -> Result<Vec<SnapshotRow>> {
    let mut rows = reader.all::<SnapshotRow>(here)?;
    rows.extend(reader.of_others::<SnapshotRow>(here)?);
    if let Some(ids) = ids.filter(|ids| !ids.is_empty()) {
        for id in ids {
            snapshot::KIND.check(id)?;
        }
        let absent = ids
            .iter()
            .filter(|id| !rows.iter().any(|row| row.id() == *id));
        let absent: Vec<&str> = absent.map(String::as_str).collect();
        if !absent.is_empty() {
            return Err(snapshot::KIND.all_absent(&absent));
        }
        rows.retain(|row| ids.iter().any(|id| row.id() == id));
    }
    rows.sort_by(|a, b| a.meta.id.cmp(&b.meta.id));
    Ok(rows)
}

/// Volumes and copies that were made from it keep what they have.
pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteSnapshotRequest,
) -> Reply<t::DeleteSnapshotOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let row = w.need::<SnapshotRow>(&input.snapshot_id)?;
        match user(w, &row)? {
            Some(user) => Err(Refusal::new(
                "InvalidSnapshot.InUse",
                format!("The snapshot {} is currently in use by {user}", row.id()),
            )),
            None => w.delete(&row),
        }
    })
    .await?;
    Ok(t::DeleteSnapshotOutput {})
}

/// What would miss a snapshot if it were gone: an image, or what is still to be made of it, whosever
/// that is.
pub(super) fn user(w: &Change<'_>, row: &SnapshotRow) -> Result<Option<String>> {
    let id = &row.meta.id;
    for image in w.all::<ImageRow>()? {
        if image.snapshots().any(|it| it == id) {
            return Ok(Some(image.meta.id));
        }
    }
    for volume in w.tx.scan(Scan::<VolumeRow>::all()) {
        let volume = volume?;
        if volume.stage == Stage::Creating && volume.snapshot.as_ref() == Some(id) {
            return Ok(Some(volume.meta.id));
        }
    }
    for copy in w.tx.scan(Scan::<SnapshotRow>::all()) {
        let copy = copy?;
        let begins = match &copy.of {
            Origin::Snapshot(from) => copy.is_pending() && from == id,
            Origin::Blocks(parent) => copy.draft().is_some() && parent.as_ref() == Some(id),
            Origin::Volume(_) => false,
        };
        if begins {
            return Ok(Some(copy.meta.id));
        }
    }
    Ok(None)
}
