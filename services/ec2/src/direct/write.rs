//! Writing snapshots: begun, filled block by block, completed. Each block that was acknowledged is on
//! stable storage; a snapshot that is not completed in time is given up by `ec2.volumes`.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gureum_block::PIECE;
use gureum_dispatch::{Ask, Cx};
use gureum_kit::{Reader as _, Row as _};
use gureum_model_ebs::types as t;
use gureum_schema::{Body, Error, Result, Struct, Timestamp};
use sha2::{Digest as _, Sha256};

use super::errors::{Why, absent, broken, invalid_because, refused};
use super::read::BLOCK_SIZE;
use crate::machines::{Disks, Keys};
use crate::model::snapshot::{self, Draft, Origin, Progress, SnapshotRow};
use crate::resource::{Find as _, Here, arn};
use crate::sealing::Secrecy;
use crate::sharing::Shared;
use crate::state::Ec2;
use crate::tags;
use crate::volume_types::LARGEST;

/// How long a writer may be silent unless it says something else, in minutes.
const PATIENCE: i32 = 60;
const MINUTE: i64 = 60_000;
/// Blocks of a GiB.
const BLOCKS: i64 = (1 << 30) / PIECE as i64;

pub(super) fn asks(_: &Ec2, cx: &Cx, input: &t::StartSnapshotRequest) -> Result<Vec<Ask>> {
    let snapshot = arn(&snapshot::KIND, &cx.region, cx.account(), "*");
    let tags = input.tags.iter().flatten().map(|tag| {
        let value = tag.value.as_deref().unwrap_or_default();
        (tag.key.as_deref().unwrap_or_default(), value)
    });
    let parent = input
        .parent_snapshot_id
        .as_ref()
        .map(|id| arn(&snapshot::KIND, &cx.region, cx.account(), id).to_string());
    Ok(vec![
        Ask::new("ebs:StartSnapshot", snapshot)
            .request_tags(tags)
            .key("ebs:VolumeSize", input.volume_size)
            .key_opt("ebs:Description", input.description.as_ref())
            .key_opt("ebs:ParentSnapshot", parent),
    ])
}

pub(super) async fn start(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::StartSnapshotRequest,
) -> Result<t::StartSnapshotResponse> {
    if input.parent_snapshot_id.is_some() && input.encrypted.is_some() {
        let message = "ParentSnapshotId and Encrypted cannot be specified together.";
        return Err(invalid_because(Why::Parameter, message));
    }
    ec2.disks_ready().await.map_err(refused)?;
    let parent = match &input.parent_snapshot_id {
        Some(id) => Some(ec2.readable(&cx, id)?),
        None => None,
    };
    let size = size(&input, parent.as_ref())?;
    let tags = tags_of(&input)?;
    let foreign = parent
        .as_ref()
        .is_some_and(|row| row.meta.account != *cx.account());
    let below = parent.as_ref().and_then(|row| row.encryption.as_ref());
    let secrecy = Secrecy {
        encrypted: input.encrypted,
        kms_key: input.kms_key_arn.clone(),
    };
    let sealing = ec2.seal_volume(&cx, &secrecy, below, foreign).await;
    let sealing = sealing.map_err(refused)?;
    let patience = i64::from(input.timeout.unwrap_or(PATIENCE)) * MINUTE;
    let request = ("StartSnapshot", &input as &dyn Struct);
    let ids = ec2
        .write_once(&cx, None, input.client_token.as_deref(), request, |w| {
            sealing.as_ref().map_or(Ok(()), |it| it.keep(w))?;
            let row = SnapshotRow {
                meta: w.here.new_meta(&snapshot::KIND, tags.clone()),
                of: Origin::Blocks(input.parent_snapshot_id.clone()),
                size,
                description: input.description.clone().unwrap_or_default(),
                encryption: sealing.as_ref().map(|it| it.encryption.clone()),
                progress: Progress::Writing(Draft {
                    patience,
                    until: w.here.now + patience,
                    percent: 0,
                }),
                together: None,
                shared: Shared::default(),
            };
            w.put(&row)?;
            Ok(vec![row.meta.id])
        })
        .await
        .map_err(refused)?;
    let id = ids.first().map_or("", String::as_str);
    let row = ec2.own_snapshot(&cx, id)?;
    let tag = |(key, value): (&String, &String)| t::Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    Ok(t::StartSnapshotResponse {
        description: Some(row.description.clone()),
        owner_id: Some(row.meta.account.to_string()),
        status: Some("pending".into()),
        start_time: Some(Timestamp(row.meta.created)),
        volume_size: Some(row.size.into()),
        block_size: Some(BLOCK_SIZE),
        tags: Some(row.meta.tags.iter().map(tag).collect()),
        parent_snapshot_id: input.parent_snapshot_id,
        kms_key_arn: row.encryption.map(|it| it.kms_key),
        snapshot_id: Some(row.meta.id),
        sse_type: None,
    })
}

/// GiB.
fn size(input: &t::StartSnapshotRequest, parent: Option<&SnapshotRow>) -> Result<i32> {
    let least = parent.map_or(1, |row| row.size);
    let size = i32::try_from(input.volume_size).ok();
    size.filter(|size| (least..=LARGEST).contains(size))
        .ok_or_else(|| {
            let message = format!("The volume size must be between {least} and {LARGEST} GiB.");
            invalid_because(Why::Size, message)
        })
}

fn tags_of(input: &t::StartSnapshotRequest) -> Result<crate::resource::Tags> {
    let given = input.tags.iter().flatten();
    let given = given.map(|tag| gureum_model_ec2::types::Tag {
        key: tag.key.clone(),
        value: tag.value.clone(),
    });
    let spec = gureum_model_ec2::types::TagSpecification {
        resource_type: Some(snapshot::KIND.name.into()),
        tags: Some(given.collect()),
    };
    tags::for_kind(snapshot::KIND.name, &[spec])
        .map_err(|refusal| invalid_because(Why::Tag, Error::from(refusal).message))
}

pub(super) async fn put(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::PutSnapshotBlockRequest,
) -> Result<t::PutSnapshotBlockResponse> {
    let row = ec2.draft(&cx, &input.snapshot_id)?;
    let index = i64::from(input.block_index);
    if !(0..i64::from(row.size) * BLOCKS).contains(&index) {
        let message = format!("The block {index} is outside of the volume.");
        return Err(invalid_because(Why::Block, message));
    }
    let bytes = block(input.block_data, input.data_length, &input.checksum).await?;
    ec2.check_readable(&cx, row.encryption.as_ref())
        .await
        .map_err(refused)?;
    let _alone = ec2.drafting.lock().await;
    // It may have been completed or given up meanwhile.
    let row = ec2.draft(&cx, &input.snapshot_id)?;
    let (disks, keys) = ec2.opened(&cx, &row).await?;
    let written = disks.write_piece(&row.meta.id, index.unsigned_abs(), bytes, keys);
    written.await.map_err(broken)?;
    ec2.note_block(&row, cx.now.0, input.progress).await?;
    Ok(t::PutSnapshotBlockResponse {
        checksum: Some(input.checksum),
        checksum_algorithm: Some(input.checksum_algorithm),
    })
}

/// The bytes of a block, as they were meant.
async fn block(body: Body, length: i32, checksum: &str) -> Result<Bytes> {
    if length != BLOCK_SIZE {
        let message = format!("The data length must be {BLOCK_SIZE}.");
        return Err(invalid_because(Why::Parameter, message));
    }
    let read = body.collect(PIECE as usize).await;
    let bytes = read.map_err(|error: io::Error| match gureum_schema::reason(error) {
        Ok(refused) => refused,
        Err(error) => invalid_because(Why::Block, error.to_string()),
    })?;
    if bytes.len() as u64 != PIECE {
        let message = format!("The block has {} bytes.", bytes.len());
        return Err(invalid_because(Why::Block, message));
    }
    if STANDARD.encode(Sha256::digest(&bytes)) != checksum {
        let message = "The checksum is not that of the block.";
        return Err(invalid_because(Why::Block, message));
    }
    Ok(bytes)
}

pub(super) async fn complete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CompleteSnapshotRequest,
) -> Result<t::CompleteSnapshotResponse> {
    let id = &input.snapshot_id;
    let _alone = ec2.drafting.lock().await;
    let completed = t::CompleteSnapshotResponse {
        status: Some("completed".into()),
    };
    let row = ec2.own_snapshot(&cx, id)?;
    if matches!(
        (&row.of, &row.progress),
        (Origin::Blocks(_), Progress::Completed(_))
    ) {
        return Ok(completed);
    }
    let row = ec2.draft(&cx, id)?;
    let (disks, keys) = ec2.opened(&cx, &row).await?;
    // One that was kept by a call that was cut short has been checked.
    let stored = disks.observe().await.map_err(broken)?;
    if !stored.snapshots.contains(id) {
        let digests = disks.written(id, keys.clone()).await.map_err(broken)?;
        check(&input, &digests)?;
        disks.snapshot(id, id, keys).await.map_err(broken)?;
    }
    let now = ec2.clock.now();
    ec2.turn_draft(&row, |row| row.progress = Progress::Completed(now))
        .await?;
    ec2.volumes.wake();
    Ok(completed)
}

/// Whether what was written is what was meant.
fn check(input: &t::CompleteSnapshotRequest, digests: &[[u8; 32]]) -> Result<()> {
    let count = usize::try_from(input.changed_blocks_count).ok();
    if count != Some(digests.len()) {
        let message = format!("{} blocks were written.", digests.len());
        return Err(invalid_because(Why::Parameter, message));
    }
    let Some(checksum) = &input.checksum else {
        return Ok(());
    };
    // LINEAR is the only way to aggregate them.
    let mut all = Sha256::new();
    digests.iter().for_each(|digest| all.update(digest));
    if STANDARD.encode(all.finalize()) != *checksum {
        let message = "The checksum is not that of the blocks that were written.";
        return Err(invalid_because(Why::Parameter, message));
    }
    Ok(())
}

impl Ec2 {
    fn own_snapshot(&self, cx: &Cx, id: &str) -> Result<SnapshotRow> {
        let found = self.store.read().find::<SnapshotRow>(&Here::of(cx), id);
        found.map_err(refused)?.ok_or_else(|| absent(id))
    }

    /// The caller's snapshot that is being written.
    fn draft(&self, cx: &Cx, id: &str) -> Result<SnapshotRow> {
        let row = self.own_snapshot(cx, id)?;
        match row.draft() {
            Some(draft) if draft.until > cx.now.0 => Ok(row),
            _ => Err(invalid_because(
                Why::Snapshot,
                format!("The snapshot '{id}' cannot be written."),
            )),
        }
    }

    /// The volume that a snapshot is written to, made if it is not there yet, and its keys. The
    /// caller holds `drafting`.
    async fn opened(&self, cx: &Cx, row: &SnapshotRow) -> Result<(Arc<dyn Disks>, Keys)> {
        let disks = self.block_store()?;
        let id = row.meta.id.as_str();
        let parent = match &row.of {
            Origin::Blocks(parent) => parent.as_deref(),
            _ => None,
        };
        let key = row.encryption.as_ref().map(|it| it.data_key.as_str());
        let mut names = match (key, parent) {
            (Some(_), Some(parent)) => disks.snapshot_keys(parent).await.map_err(broken)?,
            _ => BTreeSet::new(),
        };
        names.extend(key.map(str::to_owned));
        let keys = self.unseal(cx.cloud(), names).await?;
        let size = u64::from(row.size.unsigned_abs()) << 30;
        let made = disks.create(id, size, parent, key, keys.clone()).await;
        made.map_err(broken)?;
        Ok((disks, keys))
    }

    /// Puts off giving up, once a minute at most, and keeps what the writer says of its progress.
    async fn note_block(&self, row: &SnapshotRow, now: i64, percent: Option<i32>) -> Result<()> {
        let Some(draft) = row.draft() else {
            return Ok(());
        };
        let until = now + draft.patience;
        let percent = percent.unwrap_or(draft.percent);
        if until - draft.until < MINUTE && percent == draft.percent {
            return Ok(());
        }
        self.turn_draft(row, |row| {
            if let Progress::Writing(draft) = &mut row.progress {
                (draft.until, draft.percent) = (until, percent);
            }
        })
        .await
    }

    /// Changes the row of a snapshot that is still being written.
    async fn turn_draft(
        &self,
        row: &SnapshotRow,
        change: impl Fn(&mut SnapshotRow) + Send + Sync,
    ) -> Result<()> {
        let key = row.key();
        let done = self.store.transact(|tx| {
            let row = tx.get::<SnapshotRow>(&key)?;
            let mut row = row.filter(|row| row.draft().is_some()).ok_or_else(|| {
                crate::errors::Refusal::state("The snapshot is not written any more.")
            })?;
            change(&mut row);
            Ok(tx.put(&row)?)
        });
        let done: crate::errors::Result<()> = done.await;
        done.map_err(refused)
    }
}
