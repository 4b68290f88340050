//! What no row knows any more: volumes, snapshots and stores to remove, data keys to forget.

use std::collections::BTreeSet;

use gureum_block::Leaving;
use gureum_kit::{Reader, Scan};

use super::tally::{Progress, Tally};
use crate::errors::Result;
use crate::machines::{Disks, PlaneError, Stored};
use crate::model::snapshot::SnapshotRow;
use crate::model::volume::VolumeRow;
use crate::sealing::DataKeyRow;
use crate::state::Ec2;

/// What rows know, by id.
pub(super) struct Known<'a> {
    pub(super) volumes: BTreeSet<&'a str>,
    pub(super) snapshots: BTreeSet<&'a str>,
    /// The stores of instances that are up.
    pub(super) stores: &'a BTreeSet<String>,
}

/// Removes what is stored and not known.
pub(super) async fn clear(
    disks: &dyn Disks,
    stored: &Stored,
    known: &Known<'_>,
    tally: &mut Tally,
) {
    let volumes = stored.volumes.iter();
    let volumes = volumes.filter(|id| !known.volumes.contains(id.as_str()));
    for id in volumes.chain(stored.stores.difference(known.stores)) {
        tally.note(id, remove(disks, stored, id).await);
    }
    let snapshots = stored.snapshots.iter();
    for id in snapshots.filter(|id| !known.snapshots.contains(id.as_str())) {
        let removed = disks.delete_snapshot(id).await;
        tally.note(id, removed.map(|()| Progress::Moved));
    }
}

/// The next step of removing a volume: first the device goes, then what it shows.
async fn remove(disks: &dyn Disks, stored: &Stored, id: &str) -> Result<Progress, PlaneError> {
    if !stored.devices.contains(id) {
        disks.delete(id).await?;
    } else if disks.detach(id).await? == Leaving::InUse {
        return Ok(Progress::Waits);
    }
    Ok(Progress::Moved)
}

/// The data keys that no volume and no snapshot names.
pub(super) fn unnamed_keys(
    reader: &impl Reader,
    volumes: &[VolumeRow],
    snapshots: &[SnapshotRow],
) -> Result<BTreeSet<String>> {
    let of_volumes = volumes.iter().filter_map(|row| row.encryption.as_ref());
    let of_snapshots = snapshots.iter().filter_map(|row| row.encryption.as_ref());
    let encryptions = of_volumes.chain(of_snapshots);
    let named: BTreeSet<&str> = encryptions.map(|it| it.data_key.as_str()).collect();
    let mut keys = BTreeSet::new();
    for row in reader.scan(Scan::<DataKeyRow>::all()) {
        let row = row?;
        if !named.contains(row.name.as_str()) {
            keys.insert(row.name);
        }
    }
    Ok(keys)
}

impl Ec2 {
    /// Forgets those of these data keys that nothing is sealed under any more.
    pub(super) async fn forget_keys(
        &self,
        disks: &dyn Disks,
        stored: &Stored,
        mut unnamed: BTreeSet<String>,
    ) -> Result<(), PlaneError> {
        if unnamed.is_empty() {
            return Ok(());
        }
        // Older layers may be sealed under keys that no row names.
        for volume in &stored.volumes {
            let used = disks.volume_keys(volume).await?;
            unnamed.retain(|key| !used.contains(key));
        }
        for snapshot in &stored.snapshots {
            let used = disks.snapshot_keys(snapshot).await?;
            unnamed.retain(|key| !used.contains(key));
        }
        let done = self.store.transact(|tx| {
            for key in &unnamed {
                tx.delete::<DataKeyRow>((key,))?;
            }
            Ok(())
        });
        let done: Result<()> = done.await;
        Ok(done.map_err(gureum_schema::Error::from)?)
    }
}
