//! `ec2.images`: from rows to images that are kept, and from imports to rows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_dispatch::Cloud;
use gureum_kit::reconcile::RunError;
use gureum_kit::{Outcome, Reader as _, Reconciler, Row, Scan};

use super::IMAGES;
use super::instances::GRACE;
use super::volumes::Tools;
use crate::errors::Result;
use crate::machines::{Kept, PlaneError, Planes};
use crate::model::image::{Disk, ImageRow, Stage};
use crate::model::instance::{InstanceRow, State};
use crate::resource::Find as _;
use crate::state::Ec2;

/// How many disks are copied at once.
const AT_ONCE: usize = 4;

pub(super) struct Images(pub(super) Arc<Ec2>, pub(super) Arc<Cloud>);

type Done<T = ()> = std::result::Result<T, PlaneError>;

#[async_trait]
impl Reconciler for Images {
    fn name(&self) -> &'static str {
        IMAGES
    }

    fn period(&self) -> Duration {
        // How soon what was imported beside the cloud is seen.
        Duration::from_secs(2)
    }

    async fn run(&self) -> std::result::Result<Outcome, RunError> {
        match &self.0.planes {
            Some(planes) => self.0.tend_images(planes, &self.1).await,
            None => Ok(Outcome::Settled),
        }
    }
}

impl Ec2 {
    async fn tend_images(self: &Arc<Self>, planes: &Planes, cloud: &Arc<Cloud>) -> Done<Outcome> {
        let kept = planes.machines.images().await?;
        let rows = self.image_rows()?;
        self.adopt(&kept, &rows).await?;
        if self.copied.len() == 0 {
            // What a copy will lie over has nobody else to speak for it.
            self.sweep_images(planes).await?;
        }
        for row in rows {
            if let Stage::Pending { reboot } = row.stage {
                self.make_beside(planes, cloud, row, reboot);
            }
        }
        Ok(Outcome::Settled)
    }

    /// Copies a disk while other images are looked after; one image of an instance after the other.
    /// A copy that the program's end cuts short is begun anew at the next start.
    fn make_beside(
        self: &Arc<Self>,
        planes: &Planes,
        cloud: &Arc<Cloud>,
        row: ImageRow,
        reboot: bool,
    ) {
        if self.copied.len() >= AT_ONCE {
            return;
        }
        let Some(mark) = self.copied.set(row.instance.as_ref().unwrap_or(&row.files)) else {
            return;
        };
        let (ec2, planes, cloud) = (Arc::clone(self), planes.clone(), Arc::clone(cloud));
        tokio::spawn(async move {
            let made = match &row.registered {
                Some(registered) => ec2.unpack(&planes, &cloud, &row, &registered.root).await,
                None => ec2.capture(&planes, &row, reboot).await,
            };
            if let Err(error) = ec2.made(&row, made).await {
                tracing::warn!(%error, image = row.meta.id, "cannot make the image");
            }
            drop(mark);
            ec2.images.wake();
        });
    }

    fn image_rows(&self) -> Done<Vec<ImageRow>> {
        let snapshot = self.store.read();
        let rows = snapshot.scan(Scan::<ImageRow>::all());
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// Copies an instance's disk. Repeating one that was cut short begins anew.
    async fn capture(&self, planes: &Planes, row: &ImageRow, reboot: bool) -> Done {
        let instance = row.instance.as_deref().unwrap_or_default();
        let found = self
            .store
            .read()
            .find::<InstanceRow>(&row.meta.here(), instance);
        let running = found.is_ok_and(|it| it.is_some_and(|it| it.state == State::Running));
        let machines = &planes.machines;
        let captured = if reboot && running {
            // It starts again when its disk has been copied, as a machine that fell does.
            let _down = self.kept_down.set(instance);
            match machines.stop(instance, GRACE).await {
                Ok(()) => machines.capture(instance, &row.files).await,
                Err(error) => Err(error),
            }
        } else {
            machines.capture(instance, &row.files).await
        };
        self.instances.wake();
        captured
    }

    /// Copies a root file system out of its snapshot. The device for that goes when the row says that
    /// the image is made.
    async fn unpack(
        &self,
        planes: &Planes,
        cloud: &Arc<Cloud>,
        row: &ImageRow,
        root: &Disk,
    ) -> Done {
        let from = root.snapshot.as_deref().unwrap_or_default();
        let size = u64::from(root.size.unsigned_abs()) << 30;
        let node = self.reading(Tools::of(planes, cloud), &row.files, size, from);
        planes.machines.unpack(&node.await?, &row.files).await
    }

    /// Tells how making an image went.
    async fn made(&self, row: &ImageRow, made: Done) -> Done {
        let stage = match &made {
            Ok(()) => Stage::Available,
            Err(error) => Stage::Failed(error.to_string()),
        };
        let key = row.key();
        let turned: Result<()> = self
            .store
            .transact(|tx| {
                if let Some(mut row) = tx.get::<ImageRow>(&key)?
                    && matches!(row.stage, Stage::Pending { .. })
                {
                    row.stage = stage.clone();
                    tx.put(&row)?;
                }
                Ok(())
            })
            .await;
        turned.map_err(gureum_schema::Error::from)?;
        self.volumes.wake();
        made
    }

    /// Gives imports their rows. Files that some row knows are no new import.
    async fn adopt(&self, kept: &[Kept], rows: &[ImageRow]) -> Done {
        for image in kept {
            let Some(import) = &image.import else {
                continue;
            };
            if rows.iter().any(|row| row.files == image.id) {
                continue;
            }
            let owner = (import.region.parse(), import.account.parse());
            let (Ok(region), Ok(account)) = owner else {
                tracing::warn!(image = image.id, "an import of nobody");
                continue;
            };
            let now = self.clock.now();
            let row = ImageRow::imported((region, account), &image.id, import.name.clone(), now);
            let put: Result<()> = self.store.transact(|tx| Ok(tx.put(&row)?)).await;
            put.map_err(gureum_schema::Error::from)?;
        }
        Ok(())
    }

    /// Removes files that nothing needs any more, and rows that have none.
    async fn sweep_images(&self, planes: &Planes) -> Done {
        // Seen before the rows are read: files that are newer find no row, and stay.
        let kept = planes.machines.images().await?;
        let rows = self.image_rows()?;
        let used = self.used_images()?;
        let needed = needed(&kept, &rows, &used);
        for image in &kept {
            let known = rows.iter().any(|row| row.files == image.id);
            let unadopted = image.import.is_some() && !known;
            if !needed.contains(&image.id) && !unadopted {
                planes.machines.remove_image(&image.id).await?;
            }
        }
        for row in rows.iter().filter(|row| !row.is_shown()) {
            let there = kept.iter().any(|image| image.id == row.files);
            let shared = rows.iter().filter(|it| it.files == row.files).count() > 1;
            if used.contains(&row.meta.id) || (there && !shared) {
                continue;
            }
            let key = row.key();
            let forgotten: Result<()> = self
                .store
                .transact(|tx| Ok(tx.delete::<ImageRow>(&key)?))
                .await;
            forgotten.map_err(gureum_schema::Error::from)?;
        }
        Ok(())
    }

    /// The images of all instances that have a disk.
    fn used_images(&self) -> Done<BTreeSet<String>> {
        let mut used = BTreeSet::new();
        for row in self.store.read().scan(Scan::<InstanceRow>::all()) {
            let row = row?;
            if row.state != State::Terminated {
                used.insert(row.image);
            }
        }
        Ok(used)
    }
}

/// The files of images that can be launched or are, and of those below them.
fn needed(kept: &[Kept], rows: &[ImageRow], used: &BTreeSet<String>) -> BTreeSet<String> {
    let wanted = |row: &&ImageRow| row.is_shown() || used.contains(&row.meta.id);
    let mut needed: BTreeSet<String> = rows
        .iter()
        .filter(wanted)
        .map(|row| row.files.clone())
        .collect();
    let mut last: Vec<String> = needed.iter().cloned().collect();
    while let Some(id) = last.pop() {
        let image = kept.iter().find(|image| image.id == id);
        if let Some(below) = image.and_then(|image| image.below.clone())
            && needed.insert(below.clone())
        {
            last.push(below);
        }
    }
    needed
}
