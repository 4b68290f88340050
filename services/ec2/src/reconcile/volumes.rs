//! `ec2.volumes`: from rows to volumes, snapshots and devices of instances.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_kit::reconcile::RunError;
use gureum_kit::{Outcome, Reader, Reconciler, Row, Scan, Tx};

use super::VOLUMES;
use crate::errors::Result;
use crate::machines::{Disks, PlaneError, Planes, Stored};
use crate::model::instance::{InstanceRow, State};
use crate::model::snapshot::{Origin, Progress, SnapshotRow};
use crate::model::volume::{Attachment, Bond, Stage, VolumeRow};
use crate::resource::{Find, Here, Resource};
use crate::state::Ec2;

/// How soon what is on its way is looked at again.
const SOON: Duration = Duration::from_millis(200);

pub(super) struct Volumes(pub(super) Arc<Ec2>);

type Done<T = ()> = std::result::Result<T, PlaneError>;

#[async_trait]
impl Reconciler for Volumes {
    fn name(&self) -> &'static str {
        VOLUMES
    }

    fn period(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn run(&self) -> std::result::Result<Outcome, RunError> {
        match &self.0.planes {
            Some(planes) => self.0.tend_volumes(planes).await,
            None => Ok(Outcome::Settled),
        }
    }
}

/// The next thing to do about a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Make,
    /// Only the row is behind.
    Made,
    Change,
    /// Make it a device of its instance.
    Plug,
    /// The instance is down; the device comes when it boots.
    Attached,
    Unplug,
    /// Whoever uses it.
    Tear,
    Detached,
    Delete,
    Forget,
}

/// What was seen of a volume.
#[derive(Clone, Copy, Debug)]
struct Seen {
    exists: bool,
    /// It is a device.
    device: bool,
    /// Its instance runs.
    running: bool,
}

fn step(row: &VolumeRow, seen: Seen) -> Step {
    match (&row.stage, &row.attachment) {
        (Stage::Creating, _) if seen.exists => Step::Made,
        (Stage::Creating, _) => Step::Make,
        (Stage::Failed(_), _) => Step::Nothing,
        (Stage::Deleting, _) if seen.device => Step::Unplug,
        (Stage::Deleting, _) if seen.exists => Step::Delete,
        (Stage::Deleting, _) => Step::Forget,
        (Stage::Ready, attachment) => {
            let modification = row.modification.as_ref();
            if modification.is_some_and(|it| it.ended.is_none()) {
                return Step::Change;
            }
            let forced = attachment.as_ref().is_some_and(|it| it.forced);
            match attachment.as_ref().map(|it| it.state) {
                None if seen.device => Step::Unplug,
                None => Step::Nothing,
                Some(Bond::Detaching) if seen.device && forced => Step::Tear,
                Some(Bond::Detaching) if seen.device => Step::Unplug,
                Some(Bond::Detaching) => Step::Detached,
                Some(Bond::Attaching) if seen.running => Step::Plug,
                Some(Bond::Attaching) => Step::Attached,
                // Its process was killed: the instance gets a new device.
                Some(Bond::Attached) if seen.running && !seen.device => Step::Plug,
                Some(Bond::Attached) => Step::Nothing,
            }
        }
    }
}

fn rows<R: Resource>(reader: &impl Reader) -> Result<Vec<R>> {
    let rows = reader.scan(Scan::<R>::all());
    Ok(rows.collect::<std::result::Result<_, _>>()?)
}

impl Ec2 {
    /// Does the next step of every volume and snapshot. One run at a time, and none while a handler
    /// takes a snapshot: a volume's content has one owner.
    async fn tend_volumes(&self, planes: &Planes) -> Done<Outcome> {
        let _alone = self.handling.lock().await;
        let disks = &*planes.disks;
        // What is stored was seen before the rows were read: a row that is newer finds no volume,
        // never a volume no row.
        let stored = disks.observe().await?;
        let snapshot = self.store.read();
        let volumes = rows::<VolumeRow>(&snapshot).map_err(fail)?;
        let snapshots = rows::<SnapshotRow>(&snapshot).map_err(fail)?;
        let running = running(&snapshot).map_err(fail)?;
        drop(snapshot);
        let (mut busy, mut failed) = (false, None);
        for row in &snapshots {
            busy |= row.progress == Progress::Pending;
            failed = self.take_snapshot(disks, row).await.err().or(failed);
        }
        for row in &volumes {
            let instance = row.attachment.as_ref().map(|it| &it.instance);
            let seen = Seen {
                exists: stored.volumes.contains(&row.meta.id),
                device: stored.devices.contains(&row.meta.id),
                running: instance.is_some_and(|id| running.contains(id)),
            };
            let step = step(row, seen);
            busy |= step != Step::Nothing;
            let done = self.advance(disks, row, step, seen).await;
            failed = done.err().or(failed);
        }
        clear(disks, &stored, &volumes, &snapshots).await?;
        match failed {
            Some(error) => Err(error),
            None if busy => Ok(Outcome::Again(SOON)),
            None => Ok(Outcome::Settled),
        }
    }

    async fn advance(&self, disks: &dyn Disks, row: &VolumeRow, step: Step, seen: Seen) -> Done {
        let id = row.meta.id.as_str();
        let now = self.clock.now();
        match step {
            Step::Nothing => {}
            Step::Make => match disks.create(id, row.bytes(), row.snapshot.as_deref()).await {
                Ok(()) => {
                    self.turn_volume(row, |row| row.stage = Stage::Ready)
                        .await?
                }
                Err(error) => {
                    let stage = Stage::Failed(error.to_string());
                    self.turn_volume(row, |row| row.stage = stage.clone())
                        .await?;
                    return Err(error);
                }
            },
            Step::Made => {
                self.turn_volume(row, |row| row.stage = Stage::Ready)
                    .await?
            }
            Step::Change => self.modify(disks, row, now).await?,
            Step::Plug => {
                if let Some(attachment) = &row.attachment {
                    let device = disks.attach(id, row.performance.limits()).await?;
                    let name = node(&attachment.device);
                    disks.plug(&attachment.instance, name, &device).await?;
                }
                self.bond(row, Some(Bond::Attached)).await?;
            }
            Step::Attached => self.bond(row, Some(Bond::Attached)).await?,
            Step::Unplug | Step::Tear => {
                if let Some(attachment) = row.attachment.as_ref().filter(|_| seen.running) {
                    let name = node(&attachment.device);
                    disks.unplug(&attachment.instance, name).await?;
                }
                match step {
                    Step::Tear => disks.abandon(id).await?,
                    _ => disks.detach(id).await?,
                }
            }
            Step::Detached => self.bond(row, None).await?,
            Step::Delete => disks.delete(id).await?,
            Step::Forget => {
                let key = row.key();
                let done = self.store.transact(|tx| Ok(tx.delete::<VolumeRow>(&key)?));
                let done: Result<()> = done.await;
                done.map_err(fail)?;
            }
        }
        Ok(())
    }

    /// Makes a volume as large and as fast as it is to be.
    async fn modify(&self, disks: &dyn Disks, row: &VolumeRow, now: i64) -> Done {
        let Some(modification) = &row.modification else {
            return Ok(());
        };
        let to = &modification.to;
        disks.grow(&row.meta.id, to.bytes()).await?;
        disks.limit(&row.meta.id, to.limits()).await?;
        self.turn_volume(row, |row| {
            if let Some(modification) = &mut row.modification {
                modification.ended = Some(now);
                row.performance = modification.to.clone();
            }
        })
        .await
    }

    /// Moves an attachment on, unless it has been asked for something else meanwhile.
    async fn bond(&self, row: &VolumeRow, to: Option<Bond>) -> Done {
        let from = row.attachment.as_ref().map(|it| it.state);
        self.turn_volume(row, |row| {
            if row.attachment.as_ref().map(|it| it.state) != from {
                return;
            }
            match (to, &mut row.attachment) {
                (Some(to), Some(attachment)) => attachment.state = to,
                _ => row.attachment = None,
            }
        })
        .await
    }

    /// Changes a volume's row that is still in the stage that was planned from.
    async fn turn_volume(
        &self,
        row: &VolumeRow,
        change: impl Fn(&mut VolumeRow) + Send + Sync,
    ) -> Done {
        let (key, stage) = (row.key(), &row.stage);
        let done = self.store.transact(|tx| {
            if let Some(mut row) = tx.get::<VolumeRow>(&key)?
                && row.stage == *stage
            {
                change(&mut row);
                tx.put(&row)?;
            }
            Ok(())
        });
        let done: Result<()> = done.await;
        Ok(done.map_err(fail)?)
    }

    /// Takes a snapshot that is to be taken. Repeating one that was cut short changes nothing.
    async fn take_snapshot(&self, disks: &dyn Disks, row: &SnapshotRow) -> Done {
        if row.progress != Progress::Pending {
            return Ok(());
        }
        let id = row.meta.id.as_str();
        let taken = match &row.of {
            Origin::Volume(volume) => disks.snapshot(volume, id).await,
            Origin::Snapshot(from) => disks.copy_snapshot(from, id).await,
        };
        let progress = match &taken {
            Ok(()) => Progress::Completed(self.clock.now()),
            Err(error) => Progress::Failed(error.to_string()),
        };
        let key = row.key();
        let done = self.store.transact(|tx| {
            if let Some(mut row) = tx.get::<SnapshotRow>(&key)? {
                row.progress = progress.clone();
                tx.put(&row)?;
            }
            Ok(())
        });
        let done: Result<()> = done.await;
        done.map_err(fail)?;
        taken
    }

    /// Takes a snapshot at once: what is written to the volume after the answer is not in it.
    pub(crate) async fn take_now(&self, row: &SnapshotRow) {
        let Some(planes) = &self.planes else { return };
        let _alone = self.handling.lock().await;
        // Only what nobody has taken or deleted meanwhile.
        let Ok(Some(row)) = self
            .store
            .read()
            .find::<SnapshotRow>(&row.meta.here(), row.id())
        else {
            return;
        };
        if let Err(error) = self.take_snapshot(&*planes.disks, &row).await {
            tracing::warn!(%error, snapshot = row.meta.id, "cannot take the snapshot");
        }
    }

    /// The devices that an instance is to boot with. One that cannot be had now comes later.
    pub(crate) async fn devices(
        &self,
        planes: &Planes,
        row: &InstanceRow,
    ) -> Vec<(String, PathBuf)> {
        let _alone = self.handling.lock().await;
        let attached = attached(&self.store.read(), &row.meta.here(), row.id());
        let mut devices = Vec::new();
        for volume in attached.unwrap_or_default() {
            let Some(attachment) = &volume.attachment else {
                continue;
            };
            if volume.stage != Stage::Ready || attachment.state == Bond::Detaching {
                continue;
            }
            let limits = volume.performance.limits();
            match planes.disks.attach(volume.id(), limits).await {
                Ok(device) => devices.push((node(&attachment.device).to_owned(), device)),
                Err(error) => {
                    tracing::warn!(%error, volume = volume.id(), "cannot attach the volume");
                }
            }
        }
        devices
    }
}

/// Removes what no row knows any more.
async fn clear(
    disks: &dyn Disks,
    stored: &Stored,
    volumes: &[VolumeRow],
    snapshots: &[SnapshotRow],
) -> Done {
    let known: BTreeSet<&str> = volumes.iter().map(Resource::id).collect();
    let kept: BTreeSet<&str> = snapshots.iter().map(Resource::id).collect();
    let gone = stored
        .volumes
        .iter()
        .filter(|id| !known.contains(id.as_str()));
    let dropped = stored
        .snapshots
        .iter()
        .filter(|id| !kept.contains(id.as_str()));
    for id in gone {
        if stored.devices.contains(id) {
            disks.detach(id).await?;
        } else {
            disks.delete(id).await?;
        }
    }
    for id in dropped {
        disks.delete_snapshot(id).await?;
    }
    Ok(())
}

/// The volumes of an instance.
pub(crate) fn attached(
    reader: &impl Reader,
    here: &Here,
    instance: &str,
) -> Result<Vec<VolumeRow>> {
    let mut rows = reader.all::<VolumeRow>(here)?;
    rows.retain(|row| {
        let attachment = row.attachment.as_ref();
        attachment.is_some_and(|it| it.instance == instance)
    });
    Ok(rows)
}

/// A terminated instance keeps no volume.
pub(crate) fn let_go(tx: &mut Tx, row: &InstanceRow) -> Result<()> {
    for mut volume in attached(tx, &row.meta.here(), row.id())? {
        match &mut volume.attachment {
            Some(Attachment {
                delete_on_termination: true,
                ..
            }) => {
                volume.stage = Stage::Deleting;
                volume.attachment = None;
            }
            Some(attachment) => attachment.state = Bond::Detaching,
            None => {}
        }
        tx.put(&volume)?;
    }
    Ok(())
}

/// Instances that run, so that a device can come or go.
fn running(reader: &impl Reader) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for row in rows::<InstanceRow>(reader)? {
        if row.state == State::Running {
            ids.insert(row.meta.id);
        }
    }
    Ok(ids)
}

/// The name in `/dev`.
fn node(device: &str) -> &str {
    device.trim_start_matches("/dev/")
}

fn fail(refusal: crate::errors::Refusal) -> gureum_schema::Error {
    refusal.into()
}
