//! Removes content files that no row refers to: garbage as it appears, and at the start what a
//! crash left between writing a file and writing its row.

use std::sync::Arc;

use gureum_blob::BlobId;
use gureum_kit::{Reader, Scan};

use crate::S3;
use crate::errors::Result;
use crate::model::{File, Garbage};

/// Files removed before their rows are.
const BATCH: usize = 256;

/// Time to wait after a failure before trying again, in milliseconds.
const RETRY: i64 = 5_000;

impl S3 {
    /// Keeps the content directory clean for as long as it is polled.
    pub async fn keep_clean(self: Arc<Self>) {
        if let Err(failure) = self.sweep().await {
            tracing::error!(?failure, "the sweep of S3's content files failed");
        }
        let mut watch = self.store.watch::<Garbage>(());
        loop {
            match self.reap().await {
                Ok(()) => watch.changed().await,
                Err(failure) => {
                    tracing::error!(?failure, "S3's garbage could not be removed");
                    self.clock.sleep_until(self.clock.now() + RETRY).await;
                }
            }
        }
    }

    /// Removes files of earlier runs that are not in the ledger.
    pub(crate) async fn sweep(&self) -> Result<()> {
        let view = self.store.read();
        let known = move |id: &BlobId| {
            // A ledger that cannot be read denies nothing.
            view.has::<File>(id.as_bytes().as_slice()).unwrap_or(true)
        };
        let swept = self.blobs.sweep(known).await?;
        if swept.files > 0 {
            tracing::info!(
                swept.files,
                swept.bytes,
                "removed content that came to nothing"
            );
        }
        Ok(())
    }

    /// Removes all garbage that there is.
    pub(crate) async fn reap(&self) -> Result<()> {
        loop {
            let view = self.store.read();
            let batch: Vec<Garbage> = view
                .scan(Scan::all().limit(BATCH))
                .collect::<std::result::Result<_, _>>()?;
            drop(view);
            if batch.is_empty() {
                return Ok(());
            }
            self.leases.drained().await;
            for garbage in &batch {
                self.blobs.delete(garbage.id).await?;
            }
            self.store
                .transact(|tx| -> Result<()> {
                    for garbage in &batch {
                        tx.delete::<Garbage>(garbage.id.as_bytes().as_slice())?;
                    }
                    Ok(())
                })
                .await?;
        }
    }
}
