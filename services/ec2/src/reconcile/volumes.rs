//! `ec2.volumes`: from rows to volumes, snapshots and devices of instances.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_block::{Leaving, Limits};
use gureum_dispatch::Cloud;
use gureum_kit::reconcile::RunError;
use gureum_kit::{Outcome, Reader, Reconciler, Row, Scan, Tx};

use super::VOLUMES;
use super::leftovers::{Known, clear, unnamed_keys};
use super::tally::{Progress, Tally};
use crate::errors::Result;
use crate::machines::{Disks, Keys, PlaneError, Planes};
use crate::model::image::ImageRow;
use crate::model::instance::{InstanceRow, State};
use crate::model::snapshot::SnapshotRow;
use crate::model::volume::{Bond, Stage, VolumeRow};
use crate::resource::{Find, Here, Resource};
use crate::state::Ec2;

pub(super) struct Volumes(pub(super) Arc<Ec2>, pub(super) Arc<Cloud>);

/// Names in an instance's `/dev`, and nodes on the host.
pub(crate) type Devices = Vec<(String, PathBuf)>;

/// Instance stores are as fast as the host lets them be, within what is sane for one instance.
const STORE_LIMITS: Limits = Limits {
    operations: 100_000,
    bytes: 1 << 30,
};

pub(super) type Done<T = ()> = std::result::Result<T, PlaneError>;

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
            Some(planes) => self.0.tend_volumes(Tools::of(planes, &self.1)).await,
            None => Ok(Outcome::Settled),
        }
    }
}

/// What volumes are made true with.
#[derive(Clone, Copy)]
pub(crate) struct Tools<'a> {
    pub(super) disks: &'a dyn Disks,
    /// Opens their keys.
    pub(super) cloud: &'a Arc<Cloud>,
}

impl<'a> Tools<'a> {
    pub(crate) fn of(planes: &'a Planes, cloud: &'a Arc<Cloud>) -> Self {
        Self {
            disks: &*planes.disks,
            cloud,
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
#[derive(Clone, Copy, Debug, Default)]
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
    async fn tend_volumes(&self, tools: Tools<'_>) -> Done<Outcome> {
        let _alone = self.handling.lock().await;
        let disks = tools.disks;
        // What is stored was seen before the rows were read: a row that is newer finds no volume,
        // never a volume no row.
        let stored = disks.observe().await?;
        let snapshot = self.store.read();
        let volumes = rows::<VolumeRow>(&snapshot).map_err(fail)?;
        let snapshots = rows::<SnapshotRow>(&snapshot).map_err(fail)?;
        let (running, stores) = alive(&snapshot).map_err(fail)?;
        let keys = unnamed_keys(&snapshot, &volumes, &snapshots).map_err(fail)?;
        drop(snapshot);
        let mut tally = Tally::default();
        self.take_snapshots(tools, &snapshots, &mut tally).await;
        self.give_up(&snapshots, &mut tally).await;
        for row in &volumes {
            let instance = row.attachment.as_ref().map(|it| &it.instance);
            let seen = Seen {
                exists: stored.volumes.contains(&row.meta.id),
                device: stored.devices.contains(&row.meta.id),
                running: instance.is_some_and(|id| running.contains(id)),
            };
            let step = step(row, seen);
            tally.note(row.id(), self.advance(tools, row, step, seen).await);
        }
        let known = Known {
            volumes: volumes.iter().map(Resource::id).collect(),
            snapshots: snapshots.iter().map(Resource::id).collect(),
            stores: &stores,
        };
        clear(disks, &stored, &known, &mut tally).await;
        if tally.is_idle() {
            self.forget_keys(disks, &stored, keys).await?;
        }
        tally.outcome()
    }

    async fn advance(
        &self,
        tools: Tools<'_>,
        row: &VolumeRow,
        step: Step,
        seen: Seen,
    ) -> Done<Progress> {
        let disks = tools.disks;
        let id = row.meta.id.as_str();
        let now = self.clock.now();
        match step {
            Step::Nothing => return Ok(Progress::Idle),
            Step::Make => match self.make_volume(tools, row).await {
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
                    let device = self.attach(tools, row).await?;
                    let at = name(&attachment.device);
                    disks.plug(&attachment.instance, at, &device).await?;
                }
                self.bond(row, Some(Bond::Attached)).await?;
            }
            Step::Attached => self.bond(row, Some(Bond::Attached)).await?,
            Step::Unplug | Step::Tear => {
                if let Some(attachment) = row.attachment.as_ref().filter(|_| seen.running) {
                    let at = name(&attachment.device);
                    disks.unplug(&attachment.instance, at).await?;
                }
                if step == Step::Tear {
                    disks.abandon(id).await?;
                } else if disks.detach(id).await? == Leaving::InUse {
                    return Ok(Progress::Waits);
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
        Ok(Progress::Moved)
    }

    async fn make_volume(&self, tools: Tools<'_>, row: &VolumeRow) -> Done {
        let Tools { disks, cloud } = tools;
        let (size, from) = (row.bytes(), row.snapshot.as_deref());
        let key = row.encryption.as_ref().map(|it| it.data_key.as_str());
        let mut names = match (key, from) {
            (Some(_), Some(from)) => disks.snapshot_keys(from).await?,
            _ => BTreeSet::new(),
        };
        names.extend(key.map(str::to_owned));
        let keys = self.unseal(cloud, names).await?;
        disks.create(row.id(), size, from, key, keys).await
    }

    /// Makes a volume a device of the host.
    async fn attach(&self, tools: Tools<'_>, row: &VolumeRow) -> Done<PathBuf> {
        let encrypted = row.encryption.is_some();
        let keys = self.keys(tools, row.id(), encrypted).await?;
        let limits = row.performance.limits();
        tools.disks.attach(row.id(), keys, limits).await
    }

    /// The keys of a volume.
    pub(super) async fn keys(&self, tools: Tools<'_>, volume: &str, encrypted: bool) -> Done<Keys> {
        if !encrypted {
            return Ok(Keys::new());
        }
        let names = tools.disks.volume_keys(volume).await?;
        Ok(self.unseal(tools.cloud, names).await?)
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

    /// The devices that an instance boots with: names in its `/dev`, and their nodes on the host.
    /// Volumes that it is launched with are made now, if they are not there yet.
    pub(crate) async fn devices(&self, tools: Tools<'_>, row: &InstanceRow) -> Done<Devices> {
        let here = row.meta.here();
        let own = attached(&self.store.read(), &here, row.id()).map_err(fail)?;
        // Whoever has no disks does not wait for those of others.
        if own.is_empty() && row.store().is_none() {
            return Ok(Devices::new());
        }
        let _alone = self.handling.lock().await;
        let disks = tools.disks;
        let mut devices = Vec::new();
        if let Some((size, device)) = row.store() {
            let store = row.store_name();
            disks.create(&store, size, None, None, Keys::new()).await?;
            let node = disks.attach(&store, Keys::new(), STORE_LIMITS).await?;
            devices.push((name(device).to_owned(), node));
        }
        let volumes = attached(&self.store.read(), &here, row.id());
        for volume in volumes.map_err(fail)? {
            let Some(attachment) = &volume.attachment else {
                continue;
            };
            if attachment.state == Bond::Detaching {
                continue;
            }
            if volume.stage == Stage::Creating {
                let unseen = Seen::default();
                self.advance(tools, &volume, Step::Make, unseen).await?;
            }
            let node = self.attach(tools, &volume).await?;
            devices.push((name(&attachment.device).to_owned(), node));
        }
        Ok(devices)
    }

    /// A device of the host with what is in a snapshot that lies in the clear; it stays as long as an
    /// image is made of it.
    pub(super) async fn reading(
        &self,
        tools: Tools<'_>,
        name: &str,
        size: u64,
        from: &str,
    ) -> Done<PathBuf> {
        let _alone = self.handling.lock().await;
        let (disks, none) = (tools.disks, Keys::new());
        disks
            .create(name, size, Some(from), None, none.clone())
            .await?;
        disks.attach(name, none, STORE_LIMITS).await
    }

    /// The volumes that an instance has booted with are attached.
    pub(crate) async fn settle_devices(&self, row: &InstanceRow, devices: &Devices) -> Done {
        let volumes = attached(&self.store.read(), &row.meta.here(), row.id());
        for volume in volumes.map_err(fail)? {
            let Some(attachment) = &volume.attachment else {
                continue;
            };
            let booted = devices.iter().any(|(at, _)| at == name(&attachment.device));
            if booted && attachment.state == Bond::Attaching {
                self.bond(&volume, Some(Bond::Attached)).await?;
            }
        }
        Ok(())
    }
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
        let unborn = volume.stage != Stage::Ready;
        match &mut volume.attachment {
            Some(attachment) if attachment.delete_on_termination || unborn => {
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

/// Instances that run, so that a device can come or go, and the stores that are needed: of all that
/// are up, what images are being made of, and snapshots that are being written.
fn alive(reader: &impl Reader) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut running, mut stores) = (BTreeSet::new(), BTreeSet::new());
    for row in rows::<InstanceRow>(reader)? {
        if row.state.is_up() && row.store().is_some() {
            stores.insert(row.store_name());
        }
        if row.state == State::Running {
            running.insert(row.meta.id);
        }
    }
    let unpacked = rows::<ImageRow>(reader)?.into_iter();
    let unpacked = unpacked.filter(|row| row.registered.is_some() && row.is_pending());
    stores.extend(unpacked.map(|row| row.files));
    let written = rows::<SnapshotRow>(reader)?.into_iter();
    let written = written.filter(|row| row.draft().is_some());
    stores.extend(written.map(|row| row.meta.id));
    Ok((running, stores))
}

/// The name in `/dev`.
fn name(device: &str) -> &str {
    device.trim_start_matches("/dev/")
}

pub(super) fn fail(refusal: crate::errors::Refusal) -> gureum_schema::Error {
    refusal.into()
}
