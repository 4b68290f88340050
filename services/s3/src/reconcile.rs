//! Removes content files that no row refers to: garbage as it appears, and after a start what a
//! crash left between writing a file and writing its row.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gureum_blob::BlobId;
use gureum_dispatch::Cloud;
use gureum_kit::reconcile::{Outcome, Reconciler, RunError};
use gureum_kit::{Reader, Scan, StoreError};
use tokio::sync::Mutex;

use crate::S3;
use crate::access_log::Scribe;
use crate::leases::Moment;
use crate::lifecycle::Ender;
use crate::model::{File, Garbage};
use crate::notify::Courier;

/// Files that are removed before their rows are.
const BATCH: usize = 256;

/// Garbage does no harm but take room.
const PERIOD: Duration = Duration::from_secs(1);

/// How soon to look again whether readers have let go.
const READERS: Duration = Duration::from_millis(200);

/// The reconciler of the content directory.
pub(crate) struct Reaper {
    s3: Arc<S3>,
    swept: AtomicBool,
    /// Garbage whose readers have yet to end, and when it was known to be garbage.
    waiting: Mutex<Option<(Moment, Vec<Garbage>)>>,
}

impl S3 {
    /// The service's background work.
    pub fn reconcilers(self: &Arc<Self>, cloud: &Arc<Cloud>) -> Vec<Arc<dyn Reconciler>> {
        let s3 = || Arc::clone(self);
        vec![
            Arc::new(Reaper::new(s3())),
            Arc::new(Ender::new(s3())),
            Arc::new(Courier::new(s3(), Arc::clone(cloud))),
            Arc::new(Scribe::new(s3(), Arc::clone(cloud))),
        ]
    }
}

impl Reaper {
    pub(crate) fn new(s3: Arc<S3>) -> Self {
        Self {
            s3,
            swept: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    /// Removes files of earlier runs that are not in the ledger.
    async fn sweep(&self) -> Result<(), RunError> {
        let view = self.s3.store.read();
        let known = move |id: &BlobId| {
            // A ledger that cannot be read denies nothing.
            view.has::<File>(id.as_bytes().as_slice()).unwrap_or(true)
        };
        let swept = self.s3.blobs.sweep(known).await?;
        if swept.files > 0 {
            tracing::info!(
                swept.files,
                swept.bytes,
                "removed content that came to nothing"
            );
        }
        Ok(())
    }

    fn collect(&self) -> Result<(Moment, Vec<Garbage>), StoreError> {
        let view = self.s3.store.read();
        let rows = view.scan(Scan::<Garbage>::all().limit(BATCH));
        let garbage = rows.collect::<Result<_, _>>()?;
        Ok((self.s3.leases.now(), garbage))
    }

    async fn remove(&self, garbage: &[Garbage]) -> Result<(), RunError> {
        for Garbage { id } in garbage {
            self.s3.blobs.delete(*id).await?;
        }
        let forget = self.s3.store.transact(|tx| -> Result<(), StoreError> {
            for Garbage { id } in garbage {
                tx.delete::<Garbage>(id.as_bytes().as_slice())?;
            }
            Ok(())
        });
        Ok(forget.await?)
    }
}

#[async_trait]
impl Reconciler for Reaper {
    fn name(&self) -> &'static str {
        "s3.content"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        if !self.swept.load(Ordering::Relaxed) {
            self.sweep().await?;
            self.swept.store(true, Ordering::Relaxed);
        }
        self.s3.bury().await?;
        let mut waiting = self.waiting.lock().await;
        loop {
            let (moment, garbage) = match waiting.take() {
                Some(batch) => batch,
                None => self.collect()?,
            };
            if garbage.is_empty() {
                return Ok(Outcome::Settled);
            }
            if !self.s3.leases.ended(moment) {
                *waiting = Some((moment, garbage));
                return Ok(Outcome::Again(READERS));
            }
            self.remove(&garbage).await?;
        }
    }
}
