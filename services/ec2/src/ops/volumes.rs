//! Volumes: making, showing, changing, deleting.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::AccountId;
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct};

use crate::describe::{chosen, query};
use crate::errors::{Refusal, Result, refuse_on};
use crate::filter::Paths;
use crate::model::snapshot::{Progress, SnapshotRow};
use crate::model::volume::{self, Modification, Stage, VolumeRow};
use crate::resource::{Find, Here, Resource as _, Tags};
use crate::sealing::{Sealing, Secrecy};
use crate::sharing::FindShared as _;
use crate::state::{Change, Ec2};
use crate::tags;
use crate::volume_types::{Performance, USUAL, Wish};
use crate::zones;

/// How long a volume must be left alone after it was changed, in milliseconds.
const REST: i64 = 6 * 3_600_000;

impl Ec2 {
    /// Volumes need a host that can make devices of them.
    pub(crate) async fn disks_ready(&self) -> Result<()> {
        let planes = self.planes()?;
        let ready = planes.disks.ready().await;
        ready.map_err(|error| Refusal::host("Volumes", error))
    }
}

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateVolumeRequest,
) -> Reply<t::Volume> {
    refuse_on(&[("MultiAttachEnabled", input.multi_attach_enabled)])?;
    ec2.disks_ready().await?;
    let wanted = Wanted::read(&input);
    let sealing = ec2.seal(&cx, &wanted).await?;
    let request = ("CreateVolume", &input as &dyn Struct);
    let token = input.client_token.as_deref();
    let ids = ec2
        .write_once(&cx, input.dry_run, token, request, |w| {
            let tags = tags::on_create(&volume::KIND, &input.tag_specifications)?;
            let zone = zone(w, &input)?;
            let row = make(w, &zone, (&wanted, sealing.as_ref()), tags)?;
            w.put(&row)?;
            Ok(vec![row.meta.id])
        })
        .await?;
    Ok(ec2.shown::<VolumeRow>(&cx, &ids).await?.unwrap_or_default())
}

/// A volume as a request describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) snapshot: Option<String>,
    /// Whose image brings the snapshot; none: the caller must be allowed to use it themselves.
    pub(crate) image_of: Option<AccountId>,
    /// GiB.
    pub(crate) size: Option<i32>,
    pub(crate) kind: Option<String>,
    pub(crate) iops: Option<i32>,
    pub(crate) throughput: Option<i32>,
    pub(crate) secrecy: Secrecy,
}

impl Ec2 {
    /// How a volume that is wanted is to be encrypted.
    pub(crate) async fn seal(&self, cx: &Cx, wanted: &Wanted) -> Result<Option<Sealing>> {
        let (snapshot, here) = self.read(cx).await?;
        let from = wanted.source(&snapshot, &here)?;
        drop(snapshot);
        let foreign = from
            .as_ref()
            .is_some_and(|it| it.meta.account != here.account);
        let encryption = from.as_ref().and_then(|it| it.encryption.as_ref());
        self.seal_volume(cx, &wanted.secrecy, encryption, foreign)
            .await
    }
}

impl Wanted {
    /// The snapshot that the volume begins with.
    fn source(&self, reader: &impl Find, here: &Here) -> Result<Option<SnapshotRow>> {
        let Some(id) = &self.snapshot else {
            return Ok(None);
        };
        match self.image_of {
            None => reader.need_usable(here, id).map(Some),
            Some(account) => {
                let there = Here {
                    account,
                    ..here.clone()
                };
                reader.need(&there, id).map(Some)
            }
        }
    }

    fn read(input: &t::CreateVolumeRequest) -> Self {
        Self {
            snapshot: input.snapshot_id.clone().filter(|id| !id.is_empty()),
            image_of: None,
            size: input.size,
            kind: input.volume_type.clone(),
            iops: input.iops,
            throughput: input.throughput,
            secrecy: Secrecy {
                encrypted: input.encrypted,
                kms_key: input.kms_key_id.clone(),
            },
        }
    }
}

/// The zone that a volume is to be in.
fn zone(w: &Change<'_>, input: &t::CreateVolumeRequest) -> Result<String> {
    let (name, id) = (&input.availability_zone, &input.availability_zone_id);
    if name.is_none() && id.is_none() {
        return Err(Refusal::missing("AvailabilityZone"));
    }
    let zone = zones::find(&w.here.region, name.as_deref(), id.as_deref());
    let zone = zone.ok_or_else(|| {
        let asked = name.as_ref().or(id.as_ref());
        Refusal::new(
            "InvalidZone.NotFound",
            format!(
                "The zone '{}' does not exist.",
                asked.map_or("", String::as_str)
            ),
        )
    })?;
    Ok(zone.name)
}

/// A new volume's row; the reconciler makes the volume.
pub(crate) fn make(
    w: &mut Change<'_>,
    zone: &str,
    (wanted, sealing): (&Wanted, Option<&Sealing>),
    tags: Tags,
) -> Result<VolumeRow> {
    let snapshot = wanted.source(w.tx, w.here)?;
    if let Some(row) = &snapshot {
        completed(row)?;
    }
    let least = snapshot.as_ref().map(|row| row.size);
    let size = wanted.size.or(least);
    let size = size.ok_or_else(|| {
        Refusal::new(
            "MissingParameter",
            "The request must contain the parameter size/snapshot",
        )
    })?;
    if least.is_some_and(|least| size < least) {
        return Err(Refusal::value(format!(
            "The volume size '{size}' is smaller than the snapshot's."
        )));
    }
    let performance = Performance::read(&Wish {
        kind: wanted.kind.as_deref().unwrap_or(USUAL),
        size,
        iops: wanted.iops,
        throughput: wanted.throughput,
    })?;
    sealing.map_or(Ok(()), |sealing| sealing.keep(w))?;
    Ok(VolumeRow {
        meta: w.here.new_meta(&volume::KIND, tags),
        zone: zone.to_owned(),
        snapshot: snapshot.map(|row| row.meta.id),
        performance,
        encryption: sealing.map(|sealing| sealing.encryption.clone()),
        stage: Stage::Creating,
        attachment: None,
        modification: None,
        auto_enable_io: false,
    })
}

/// Refuses a snapshot that cannot be read from.
pub(crate) fn completed(row: &SnapshotRow) -> Result<()> {
    match row.progress {
        Progress::Completed(_) => Ok(()),
        _ => Err(Refusal::state(format!(
            "Snapshot '{}' is not 'completed'",
            row.id()
        ))),
    }
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeVolumesRequest,
) -> Reply<t::DescribeVolumesResult> {
    let page = ec2
        .list::<VolumeRow>(&cx, query!("DescribeVolumes", input, volume_ids))
        .await?;
    Ok(t::DescribeVolumesResult {
        volumes: Some(page.items),
        next_token: page.next,
    })
}

/// It is gone when nothing of it is left on the host.
pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteVolumeRequest,
) -> Reply<t::DeleteVolumeOutput> {
    let id = &input.volume_id;
    ec2.write(&cx, input.dry_run, |w| {
        w.change(id, |row: &mut VolumeRow| {
            if let Some(attachment) = &row.attachment {
                return Err(Refusal::new(
                    "VolumeInUse",
                    format!(
                        "Volume {id} is currently attached to {}",
                        attachment.instance
                    ),
                ));
            }
            match row.stage {
                Stage::Creating => {
                    return Err(Refusal::state(format!(
                        "The volume '{id}' is in the 'creating' state."
                    )));
                }
                Stage::Deleting => return Err(volume::KIND.absent(id)),
                Stage::Ready | Stage::Failed(_) => row.stage = Stage::Deleting,
            }
            Ok(())
        })
    })
    .await?;
    Ok(t::DeleteVolumeOutput {})
}

pub(crate) async fn modify(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyVolumeRequest,
) -> Reply<t::ModifyVolumeResult> {
    refuse_on(&[("MultiAttachEnabled", input.multi_attach_enabled)])?;
    let id = &input.volume_id;
    let modification = ec2
        .write(&cx, input.dry_run, |w| {
            let now = w.here.now;
            w.change(id, |row: &mut VolumeRow| {
                let modification = modification(row, &input, now)?;
                row.modification = Some(modification.clone());
                Ok(modification)
            })
        })
        .await?;
    Ok(t::ModifyVolumeResult {
        volume_modification: Some(modification.shape(id)),
    })
}

fn modification(row: &VolumeRow, input: &t::ModifyVolumeRequest, now: i64) -> Result<Modification> {
    let id = row.id();
    if row.stage != Stage::Ready {
        return Err(Refusal::state(format!(
            "The volume '{id}' is in the '{}' state.",
            row.state()
        )));
    }
    let last = row.modification.as_ref();
    if last.is_some_and(|last| last.started + REST > now) {
        return Err(Refusal::new(
            "VolumeModificationRateExceeded",
            "You've reached the maximum modification rate per volume limit. Wait at least 6 hours between modifications per EBS volume.",
        ));
    }
    let from = row.performance.clone();
    let kind = input.volume_type.as_deref().unwrap_or(&from.kind);
    let size = input.size.unwrap_or(from.size);
    if size < from.size {
        return Err(Refusal::value(format!(
            "New size cannot be smaller than existing size {}",
            from.size
        )));
    }
    // What a type derives from its size is not carried along.
    let same = kind == from.kind && kind != "gp2";
    let to = Performance::read(&Wish {
        kind,
        size,
        iops: input.iops.or(from.iops.filter(|_| same)),
        throughput: input.throughput.or(from.throughput.filter(|_| same)),
    })?;
    Ok(Modification {
        from,
        to,
        started: now,
        ended: None,
    })
}

const MODIFICATION_FILTERS: Paths = &[
    ("modification-state", "ModificationState"),
    ("original-iops", "OriginalIops"),
    ("original-size", "OriginalSize"),
    ("original-volume-type", "OriginalVolumeType"),
    ("start-time", "StartTime"),
    ("target-iops", "TargetIops"),
    ("target-size", "TargetSize"),
    ("target-volume-type", "TargetVolumeType"),
    ("volume-id", "VolumeId"),
];

pub(crate) async fn describe_modifications(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeVolumesModificationsRequest,
) -> Reply<t::DescribeVolumesModificationsResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let rows = chosen::<VolumeRow>(&snapshot, &here, input.volume_ids.as_ref())?;
    let shapes = rows.into_iter().filter_map(|row| {
        let shape = row.modification.as_ref()?.shape(row.id());
        Some(Ok((row.meta.id, shape)))
    });
    let query = query!("DescribeVolumesModifications", input, volume_ids);
    let page = ec2.page(&cx, query, MODIFICATION_FILTERS, shapes)?;
    Ok(t::DescribeVolumesModificationsResult {
        volumes_modifications: Some(page.items),
        next_token: page.next,
    })
}

const STATUS_FILTERS: Paths = &[
    ("availability-zone", "AvailabilityZone"),
    ("availability-zone-id", "AvailabilityZoneId"),
    ("volume-status.details-name", "VolumeStatus.Details.Name"),
    (
        "volume-status.details-status",
        "VolumeStatus.Details.Status",
    ),
    ("volume-status.status", "VolumeStatus.Status"),
];

pub(crate) async fn describe_status(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeVolumeStatusRequest,
) -> Reply<t::DescribeVolumeStatusResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let rows = chosen::<VolumeRow>(&snapshot, &here, input.volume_ids.as_ref())?;
    let shapes = rows.into_iter().map(|row| {
        let shape = status(&row);
        Ok((row.meta.id, shape))
    });
    let query = query!("DescribeVolumeStatus", input, volume_ids);
    let page = ec2.page(&cx, query, STATUS_FILTERS, shapes)?;
    Ok(t::DescribeVolumeStatusResult {
        volume_statuses: Some(page.items),
        next_token: page.next,
    })
}

fn status(row: &VolumeRow) -> t::VolumeStatusItem {
    let (status, enabled) = match row.stage {
        Stage::Ready => ("ok", "passed"),
        Stage::Failed(_) => ("impaired", "failed"),
        Stage::Creating | Stage::Deleting => ("insufficient-data", "insufficient-data"),
    };
    t::VolumeStatusItem {
        actions: Some(Vec::new()),
        events: Some(Vec::new()),
        availability_zone: Some(row.zone.clone()),
        availability_zone_id: zones::id(&row.meta.region, &row.zone),
        volume_id: Some(row.meta.id.clone()),
        volume_status: Some(t::VolumeStatusInfo {
            details: Some(vec![t::VolumeStatusDetails {
                name: Some("io-enabled".into()),
                status: Some(enabled.into()),
            }]),
            status: Some(status.into()),
        }),
        ..Default::default()
    }
}

pub(crate) async fn describe_attribute(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeVolumeAttributeRequest,
) -> Reply<t::DescribeVolumeAttributeResult> {
    let row = ec2
        .write(&cx, input.dry_run, |w| {
            w.need::<VolumeRow>(&input.volume_id)
        })
        .await?;
    let mut out = t::DescribeVolumeAttributeResult {
        volume_id: Some(input.volume_id),
        ..Default::default()
    };
    match input.attribute.as_str() {
        "autoEnableIO" => {
            out.auto_enable_io = Some(t::AttributeBooleanValue {
                value: Some(row.auto_enable_io),
            });
        }
        "productCodes" => out.product_codes = Some(Vec::new()),
        other => Err(Refusal::wrong("attribute", other))?,
    }
    Ok(out)
}

pub(crate) async fn modify_attribute(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyVolumeAttributeRequest,
) -> Reply<t::ModifyVolumeAttributeOutput> {
    let on = input.auto_enable_io.as_ref().and_then(|it| it.value);
    let on = on.ok_or_else(|| Refusal::missing("AutoEnableIO"))?;
    ec2.write(&cx, input.dry_run, |w| {
        w.change(&input.volume_id, |row: &mut VolumeRow| {
            row.auto_enable_io = on;
            Ok(())
        })
    })
    .await?;
    Ok(t::ModifyVolumeAttributeOutput {})
}
