//! Volumes behind EC2: the block plane, and the devices of instances, as EC2 asks for them.

use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use gureum_block::{Block, Changed, Depot, Error, Leaving, Limits, Source};
use gureum_compute::Device;
use gureum_ec2::machines::{Disks, Keys, PlaneError, Stored};
use gureum_room::Privilege;
use sha2::{Digest as _, Sha256};

use crate::machines::Host;

/// What the names of volumes begin with that are nobody's: instance stores, what images are made of,
/// snapshots in the making.
const TEMPORARY: [&str; 3] = ["i-", "ami-", "snap-"];
/// What volumes need of the host.
const DEVICES: [&str; 2] = ["/dev/fuse", "/dev/loop-control"];

/// A node of the host as a device of an instance.
pub(crate) fn device(name: &str, node: &Path) -> std::io::Result<Device> {
    let about = std::fs::metadata(node)?;
    if !about.file_type().is_block_device() {
        return Err(std::io::Error::other("not a block device"));
    }
    Ok(Device {
        name: name.to_owned(),
        major: rustix::fs::major(about.rdev()),
        minor: rustix::fs::minor(about.rdev()),
    })
}

impl Host {
    /// Does something to the depot that may wait for the host's disk.
    async fn stored<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Depot) -> gureum_block::Result<T> + Send + 'static,
    ) -> Result<T, PlaneError> {
        let block: Block = self.block.clone();
        let done = tokio::task::spawn_blocking(move || work(block.depot()));
        Ok(done.await??)
    }
}

/// What is there already was made by a run that was cut short.
fn once(done: gureum_block::Result<()>) -> gureum_block::Result<()> {
    match done {
        Err(Error::Exists(_)) => Ok(()),
        done => done,
    }
}

#[async_trait]
impl Disks for Host {
    async fn ready(&self) -> Result<(), PlaneError> {
        if self.room.host().await?.privilege != Privilege::Root {
            return Err("only root makes block devices".into());
        }
        match DEVICES.iter().find(|device| !Path::new(device).exists()) {
            Some(missing) => Err(format!("it has no {missing}").into()),
            None => Ok(()),
        }
    }

    async fn observe(&self) -> Result<Stored, PlaneError> {
        let block = self.block.clone();
        let inhabited = self.room.is_inhabited();
        self.stored(move |depot| {
            let volumes = depot.volumes()?;
            let mine = |names: &[String], prefix: &str| -> BTreeSet<String> {
                let mine = |name: &&String| name.starts_with(prefix);
                names.iter().filter(mine).cloned().collect()
            };
            let devices = if inhabited {
                block.attached()?
            } else {
                Vec::new()
            };
            Ok(Stored {
                volumes: mine(&volumes, "vol-"),
                snapshots: mine(&depot.snapshots()?, "snap-"),
                stores: TEMPORARY
                    .iter()
                    .flat_map(|prefix| mine(&volumes, prefix))
                    .collect(),
                devices: devices.into_iter().collect(),
            })
        })
        .await
    }

    async fn create(
        &self,
        volume: &str,
        size: u64,
        from: Option<&str>,
        key: Option<&str>,
        keys: Keys,
    ) -> Result<(), PlaneError> {
        let (volume, from) = (volume.to_owned(), from.map(str::to_owned));
        let key = key.map(str::to_owned);
        self.stored(move |depot| {
            let source = from.as_deref().map_or(Source::Blank, Source::Snapshot);
            let find = |name: &str| keys.get(name).cloned();
            once(depot.create(&volume, size, source, key.as_deref(), &find))
        })
        .await
    }

    async fn volume_keys(&self, volume: &str) -> Result<BTreeSet<String>, PlaneError> {
        let volume = volume.to_owned();
        self.stored(move |depot| depot.volume_keys(&volume)).await
    }

    async fn snapshot_keys(&self, snapshot: &str) -> Result<BTreeSet<String>, PlaneError> {
        let snapshot = snapshot.to_owned();
        self.stored(move |depot| depot.snapshot_keys(&snapshot))
            .await
    }

    async fn delete(&self, volume: &str) -> Result<(), PlaneError> {
        let volume = volume.to_owned();
        self.stored(move |depot| {
            depot.delete(&volume)?;
            depot.sweep().map(drop)
        })
        .await
    }

    async fn attach(
        &self,
        volume: &str,
        keys: Keys,
        limits: Limits,
    ) -> Result<PathBuf, PlaneError> {
        let device = self.block.attach(volume, keys, Some(limits));
        Ok(device.await?)
    }

    async fn detach(&self, volume: &str) -> Result<Leaving, PlaneError> {
        Ok(self.block.detach(volume).await?)
    }

    async fn abandon(&self, volume: &str) -> Result<(), PlaneError> {
        Ok(self.block.abandon(volume).await?)
    }

    async fn grow(&self, volume: &str, size: u64) -> Result<(), PlaneError> {
        Ok(self.block.grow(volume, size).await?)
    }

    async fn limit(&self, volume: &str, limits: Limits) -> Result<(), PlaneError> {
        Ok(self.block.limit(volume, Some(limits)).await?)
    }

    async fn snapshot(&self, volume: &str, snapshot: &str, keys: Keys) -> Result<(), PlaneError> {
        // The error of an attached volume's process is no more than a sentence, so look first.
        if self.observe().await?.snapshots.contains(snapshot) {
            return Ok(());
        }
        Ok(once(self.block.snapshot(volume, snapshot, &keys).await)?)
    }

    async fn snapshot_together(
        &self,
        pairs: &[(String, String)],
        keys: Keys,
    ) -> Result<(), PlaneError> {
        let snapshots: Vec<String> = pairs.iter().map(|(_, to)| to.clone()).collect();
        self.stored(move |depot| {
            snapshots
                .iter()
                .try_for_each(|it| depot.delete_snapshot(it))
        })
        .await?;
        Ok(self.block.snapshot_together(pairs, &keys).await?)
    }

    async fn copy_snapshot(
        &self,
        from: &str,
        to: &str,
        key: Option<&str>,
        keys: Keys,
    ) -> Result<(), PlaneError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        let key = key.map(str::to_owned);
        self.stored(move |depot| {
            let find = |name: &str| keys.get(name).cloned();
            once(depot.copy_snapshot(&from, &to, key.as_deref(), &find))
        })
        .await
    }

    async fn delete_snapshot(&self, snapshot: &str) -> Result<(), PlaneError> {
        let snapshot = snapshot.to_owned();
        self.stored(move |depot| {
            depot.delete_snapshot(&snapshot)?;
            depot.sweep().map(drop)
        })
        .await
    }

    async fn pieces(&self, snapshot: &str, keys: Keys) -> Result<Vec<u64>, PlaneError> {
        let snapshot = snapshot.to_owned();
        self.stored(move |depot| depot.pieces(&snapshot, &|name| keys.get(name).cloned()))
            .await
    }

    async fn changed(
        &self,
        first: &str,
        second: &str,
        keys: Keys,
    ) -> Result<Option<Vec<Changed>>, PlaneError> {
        let (first, second) = (first.to_owned(), second.to_owned());
        self.stored(move |depot| depot.changed(&first, &second, &|name| keys.get(name).cloned()))
            .await
    }

    async fn read_piece(
        &self,
        snapshot: &str,
        piece: u64,
        keys: Keys,
    ) -> Result<Vec<u8>, PlaneError> {
        let snapshot = snapshot.to_owned();
        self.stored(move |depot| {
            depot.read_piece(&snapshot, piece, &|name| keys.get(name).cloned())
        })
        .await
    }

    async fn write_piece(
        &self,
        volume: &str,
        piece: u64,
        bytes: Bytes,
        keys: Keys,
    ) -> Result<(), PlaneError> {
        let volume = volume.to_owned();
        self.stored(move |depot| {
            depot.write_piece(&volume, piece, &bytes, &|name| keys.get(name).cloned())
        })
        .await
    }

    async fn written(&self, volume: &str, keys: Keys) -> Result<Vec<[u8; 32]>, PlaneError> {
        let volume = volume.to_owned();
        self.stored(move |depot| {
            let find = |name: &str| keys.get(name).cloned();
            depot.written(&volume, &find, |bytes| Sha256::digest(bytes).into())
        })
        .await
    }

    async fn plug(&self, machine: &str, name: &str, node: &Path) -> Result<(), PlaneError> {
        Ok(self.compute.plug(machine, &device(name, node)?).await?)
    }

    async fn unplug(&self, machine: &str, name: &str) -> Result<(), PlaneError> {
        Ok(self.compute.unplug(machine, name).await?)
    }
}
