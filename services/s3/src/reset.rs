//! What a reset deletes: buckets. What was in them is buried in the background, and meets nobody,
//! because a bucket's id is never used again.

use async_trait::async_trait;
use gureum_kit::reset::{Reset, Whose};
use gureum_kit::{Reader, Row, Scan, StoreError, Tx};
use serde::{Deserialize, Serialize};

use crate::S3;
use crate::model::{Bucket, Config, Current, Past, PastNull, Upload, Version};
use crate::notify::Notice;
use crate::versions;

/// Rows of each kind that one transaction buries.
const BATCH: usize = 500;

/// A bucket that is gone, but whose rows are not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Grave {
    bucket: u64,
}

impl Row for Grave {
    const TABLE: &'static str = "s3.grave";
    type Key = u64;
    fn key(&self) -> u64 {
        self.bucket
    }
}

#[async_trait]
impl Reset for S3 {
    fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
        for bucket in whose.delete::<Bucket>(tx, |row| &row.owner)? {
            tx.put(&Grave { bucket: bucket.id })?;
        }
        whose.delete::<Notice>(tx, |row| &row.owner)?;
        Ok(())
    }
}

impl S3 {
    /// Removes the rows of buckets that are gone, and so makes garbage of their files.
    pub(crate) async fn bury(&self) -> Result<(), StoreError> {
        let view = self.store.read();
        let graves: Vec<Grave> = view.scan(Scan::all()).collect::<Result<_, _>>()?;
        drop(view);
        for Grave { bucket } in graves {
            while !self.store.transact(|tx| bury_some(tx, bucket)).await? {}
        }
        Ok(())
    }
}

/// Whether that was the last of the bucket.
fn bury_some(tx: &mut Tx, bucket: u64) -> Result<bool, StoreError> {
    let current: Vec<Current> = rows(tx, Scan::of((bucket,)))?;
    for Current(version) in &current {
        versions::discard(tx, version)?;
        tx.delete::<Current>((bucket, version.key.as_str()))?;
    }
    let past: Vec<Past> = rows(tx, Scan::of((bucket,)))?;
    for Past(version @ Version { key, seq, .. }) in &past {
        versions::discard(tx, version)?;
        tx.delete::<Past>((bucket, key.as_str(), !seq))?;
        tx.delete::<PastNull>((bucket, key.as_str()))?;
    }
    // An upload may have ten thousand parts.
    let uploads: Vec<Upload> = rows(tx, Scan::of((bucket,)).limit(1))?;
    for upload in &uploads {
        versions::release_parts(tx, &upload.id, |_| false)?;
        tx.delete::<Upload>(upload.key())?;
    }
    let over = current.is_empty() && past.is_empty() && uploads.is_empty();
    if over {
        for config in rows(tx, Scan::<Config>::of((bucket,)))? {
            tx.delete::<Config>(config.key())?;
        }
        tx.delete::<Grave>(bucket)?;
    }
    Ok(over)
}

fn rows<R: Row>(tx: &Tx, scan: Scan<R>) -> Result<Vec<R>, StoreError> {
    tx.scan(scan).take(BATCH).collect()
}
