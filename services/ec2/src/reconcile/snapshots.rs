//! From rows to snapshots: each by itself, or several as of one moment. Part of `ec2.volumes`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gureum_dispatch::Cloud;
use gureum_kit::{Reader as _, Row as _};

use super::tally::{self, Tally};
use super::volumes::{Done, Tools, fail};
use crate::errors::Result;
use crate::machines::Keys;
use crate::model::snapshot::{Origin, Progress, SnapshotRow};
use crate::resource::Resource as _;
use crate::state::Ec2;

impl Ec2 {
    /// Takes those of these snapshots that are to be taken. Repeating what was cut short is safe.
    pub(super) async fn take_snapshots(
        &self,
        tools: Tools<'_>,
        rows: &[SnapshotRow],
        tally: &mut Tally,
    ) {
        for set in sets(rows) {
            let taken = self.take_set(tools, &set).await;
            tally.note(set[0].id(), taken.map(|()| tally::Progress::Moved));
        }
    }

    /// Gives up snapshots that nobody writes to any more.
    pub(super) async fn give_up(&self, rows: &[SnapshotRow], tally: &mut Tally) {
        let now = self.clock.now();
        let late = |row: &&SnapshotRow| row.draft().is_some_and(|draft| draft.until <= now);
        for row in rows.iter().filter(late) {
            let given_up = self.store.transact(|tx| {
                let row = tx.get::<SnapshotRow>(row.key())?;
                // A block that was written meanwhile has put it off.
                if let Some(mut row) = row.filter(|row| late(&row)) {
                    let why = "Nothing was written to it for too long, or it was not completed.";
                    row.progress = Progress::Failed(why.into());
                    tx.put(&row)?;
                }
                Ok(())
            });
            let given_up: Result<()> = given_up.await;
            let done = given_up.map(|()| tally::Progress::Moved).map_err(fail);
            tally.note(row.id(), done.map_err(Into::into));
        }
    }

    /// Takes snapshots at once: what is written to their volumes after the answer is not in them.
    pub(crate) async fn take_now(&self, cloud: &Arc<Cloud>, rows: &[SnapshotRow]) {
        let Some(planes) = &self.planes else { return };
        let _alone = self.handling.lock().await;
        // Only what nobody has taken or deleted meanwhile.
        let reader = self.store.read();
        let found = rows.iter().map(|row| reader.get::<SnapshotRow>(row.key()));
        let Ok(found) = found.collect::<std::result::Result<Vec<_>, _>>() else {
            return;
        };
        drop(reader);
        let rows: Vec<SnapshotRow> = found.into_iter().flatten().collect();
        for set in sets(&rows) {
            if let Err(error) = self.take_set(Tools::of(planes, cloud), &set).await {
                tracing::warn!(%error, snapshot = set[0].meta.id, "cannot take the snapshot");
            }
        }
    }

    /// Takes one snapshot, or all of a set, and tells it in one transaction.
    async fn take_set(&self, tools: Tools<'_>, set: &[&SnapshotRow]) -> Done {
        let taken = match set {
            [only] if only.together.is_none() => self.keep_content(tools, only).await,
            set => self.keep_together(tools, set).await,
        };
        let progress = match &taken {
            Ok(()) => Progress::Completed(self.clock.now()),
            Err(error) => Progress::Failed(error.to_string()),
        };
        let done = self.store.transact(|tx| {
            for row in set {
                if let Some(mut row) = tx.get::<SnapshotRow>(row.key())? {
                    row.progress = progress.clone();
                    tx.put(&row)?;
                }
            }
            Ok(())
        });
        let done: Result<()> = done.await;
        done.map_err(fail)?;
        taken
    }

    async fn keep_content(&self, tools: Tools<'_>, row: &SnapshotRow) -> Done {
        let Tools { disks, cloud } = tools;
        let id = row.meta.id.as_str();
        match &row.of {
            Origin::Volume(volume) => {
                let encrypted = row.encryption.is_some();
                let keys = self.keys(tools, volume, encrypted).await?;
                disks.snapshot(volume, id, keys).await
            }
            // Whoever writes it keeps it.
            Origin::Blocks(_) => Ok(()),
            Origin::Snapshot(from) => {
                let key = row.encryption.as_ref().map(|it| it.data_key.as_str());
                let mut names = BTreeSet::new();
                if let Some(key) = key {
                    names = disks.snapshot_keys(from).await?;
                    names.insert(key.to_owned());
                }
                let keys = self.unseal(cloud, names).await?;
                disks.copy_snapshot(from, id, key, keys).await
            }
        }
    }

    async fn keep_together(&self, tools: Tools<'_>, set: &[&SnapshotRow]) -> Done {
        let (mut pairs, mut keys) = (Vec::new(), Keys::new());
        for row in set {
            // Only volumes are snapshotted together.
            if let Origin::Volume(volume) = &row.of {
                let encrypted = row.encryption.is_some();
                keys.extend(self.keys(tools, volume, encrypted).await?);
                pairs.push((volume.clone(), row.meta.id.clone()));
            }
        }
        tools.disks.snapshot_together(&pairs, keys).await
    }
}

/// Pending snapshots, those that belong together in one set. No set is empty.
fn sets(rows: &[SnapshotRow]) -> Vec<Vec<&SnapshotRow>> {
    let mut sets: BTreeMap<&str, Vec<&SnapshotRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.is_pending()) {
        let set = row.together.as_deref().unwrap_or(row.id());
        sets.entry(set).or_default().push(row);
    }
    sets.into_values().collect()
}
