//! Listing and reading the blocks of snapshots.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gureum_block::PIECE;
use gureum_dispatch::Cx;
use gureum_model_ebs::types as t;
use gureum_schema::{Result, Timestamp};
use sha2::{Digest as _, Sha256};

use super::errors::{Why, absent, broken, invalid_because, refused};
use super::token;
use crate::machines::{Disks, Keys};
use crate::model::snapshot::{Progress, SnapshotRow};
use crate::resource::Here;
use crate::sharing::FindShared as _;
use crate::state::Ec2;

/// Bytes of a block.
pub(super) const BLOCK_SIZE: i32 = PIECE as i32;
/// Blocks of a page.
const MOST: usize = 10_000;

impl Ec2 {
    /// A snapshot that the caller may read, and that is complete.
    pub(super) fn readable(&self, cx: &Cx, id: &str) -> Result<SnapshotRow> {
        let found = self.store.read().usable::<SnapshotRow>(&Here::of(cx), id);
        let row = found.map_err(refused)?.ok_or_else(|| absent(id))?;
        match row.progress {
            Progress::Completed(_) => Ok(row),
            _ => Err(invalid_because(
                Why::Snapshot,
                format!("The snapshot '{id}' is not in the 'completed' state."),
            )),
        }
    }

    pub(super) fn block_store(&self) -> Result<Arc<dyn Disks>> {
        let planes = self.planes().map_err(refused)?;
        Ok(Arc::clone(&planes.disks))
    }

    /// What a snapshot's layers are opened with.
    async fn keys_of(&self, cx: &Cx, disks: &dyn Disks, row: &SnapshotRow) -> Result<Keys> {
        if row.encryption.is_none() {
            return Ok(Keys::new());
        }
        let names = disks.snapshot_keys(&row.meta.id).await.map_err(broken)?;
        self.unseal(cx.cloud(), names).await
    }
}

pub(super) async fn list(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ListSnapshotBlocksRequest,
) -> Result<t::ListSnapshotBlocksResponse> {
    let row = ec2.readable(&cx, &input.snapshot_id)?;
    let id = &row.meta.id;
    let listing = Listing::new(&ec2, &cx, format!("ebs:ListSnapshotBlocks {id}"));
    let asked = (input.next_token.as_deref(), input.starting_block_index);
    let from = listing.from(asked)?;
    let disks = ec2.block_store()?;
    let keys = ec2.keys_of(&cx, &*disks, &row).await?;
    let pieces = disks.pieces(id, keys).await.map_err(broken)?;
    let (page, next) = cut(&pieces, |piece| *piece, from, most(input.max_results));
    let block = |piece: &u64| t::Block {
        block_index: index(*piece),
        block_token: Some(listing.token(id, *piece)),
    };
    Ok(t::ListSnapshotBlocksResponse {
        blocks: Some(page.iter().map(block).collect()),
        expiry_time: Some(Timestamp(listing.until)),
        volume_size: Some(row.size.into()),
        block_size: Some(BLOCK_SIZE),
        next_token: next.map(|next| listing.page(next)),
    })
}

pub(super) async fn list_changed(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ListChangedBlocksRequest,
) -> Result<t::ListChangedBlocksResponse> {
    let Some(first) = &input.first_snapshot_id else {
        let message = "FirstSnapshotId must be specified with SecondSnapshotId.";
        return Err(invalid_because(Why::Parameter, message));
    };
    let first = ec2.readable(&cx, first)?;
    let second = ec2.readable(&cx, &input.second_snapshot_id)?;
    let (old, new) = (&first.meta.id, &second.meta.id);
    let listing = Listing::new(&ec2, &cx, format!("ebs:ListChangedBlocks {old} {new}"));
    let asked = (input.next_token.as_deref(), input.starting_block_index);
    let from = listing.from(asked)?;
    let disks = ec2.block_store()?;
    let mut keys = ec2.keys_of(&cx, &*disks, &first).await?;
    keys.extend(ec2.keys_of(&cx, &*disks, &second).await?);
    let changed = disks.changed(old, new, keys).await.map_err(broken)?;
    let changed = changed.ok_or_else(|| {
        invalid_because(
            Why::Unrelated,
            format!("The snapshots '{old}' and '{new}' are not of the same volume."),
        )
    })?;
    let (page, next) = cut(&changed, |it| it.piece, from, most(input.max_results));
    let block = |it: &gureum_block::Changed| t::ChangedBlock {
        block_index: index(it.piece),
        first_block_token: it.in_first.then(|| listing.token(old, it.piece)),
        second_block_token: it.in_second.then(|| listing.token(new, it.piece)),
    };
    Ok(t::ListChangedBlocksResponse {
        changed_blocks: Some(page.iter().map(block).collect()),
        expiry_time: Some(Timestamp(listing.until)),
        volume_size: Some(second.size.into()),
        block_size: Some(BLOCK_SIZE),
        next_token: next.map(|next| listing.page(next)),
    })
}

pub(super) async fn get(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::GetSnapshotBlockRequest,
) -> Result<t::GetSnapshotBlockResponse> {
    let row = ec2.readable(&cx, &input.snapshot_id)?;
    let piece = u64::try_from(input.block_index).unwrap_or(u64::MAX);
    let id = row.meta.id.as_str();
    if !token::opens(&ec2.tokens, &input.block_token, (id, piece), cx.now.0) {
        return Err(invalid_because(
            Why::BlockToken,
            "The block token is not valid for this block, or has expired.",
        ));
    }
    // Whoever reads it must be able to use its key, now.
    ec2.check_readable(&cx, row.encryption.as_ref())
        .await
        .map_err(refused)?;
    let disks = ec2.block_store()?;
    let keys = ec2.keys_of(&cx, &*disks, &row).await?;
    let bytes = disks.read_piece(id, piece, keys).await.map_err(broken)?;
    Ok(t::GetSnapshotBlockResponse {
        data_length: Some(BLOCK_SIZE),
        checksum: Some(STANDARD.encode(Sha256::digest(&bytes))),
        checksum_algorithm: Some("SHA256".into()),
        block_data: Bytes::from(bytes).into(),
    })
}

/// One listing, from page to page.
struct Listing<'a> {
    ec2: &'a Ec2,
    /// What must stay the same.
    scope: String,
    /// When the tokens of its blocks expire.
    until: i64,
}

impl<'a> Listing<'a> {
    fn new(ec2: &'a Ec2, cx: &Cx, what: String) -> Self {
        Self {
            ec2,
            scope: format!("{what} {} {}", cx.region, cx.account()),
            until: cx.now.0.saturating_add(token::GOOD_FOR),
        }
    }

    /// The block that a page begins with: a token's, or else the one that was asked for.
    fn from(&self, (token, start): (Option<&str>, Option<i32>)) -> Result<u64> {
        let Some(token) = token else {
            return Ok(start.and_then(|it| u64::try_from(it).ok()).unwrap_or(0));
        };
        let from = token::page(&self.ec2.tokens, &self.scope, token);
        from.ok_or_else(|| invalid_because(Why::PageToken, "The page token is not valid."))
    }

    fn token(&self, snapshot: &str, piece: u64) -> String {
        token::of_block(&self.ec2.tokens, snapshot, piece, self.until)
    }

    fn page(&self, from: u64) -> String {
        token::of_page(&self.ec2.tokens, &self.scope, from)
    }
}

fn most(asked: Option<i32>) -> usize {
    let asked = asked.and_then(|it| usize::try_from(it).ok());
    asked.unwrap_or(MOST).min(MOST)
}

/// At most 64 TiB of pieces are less than two to the 31.
fn index(piece: u64) -> Option<i32> {
    i32::try_from(piece).ok()
}

/// The page of an ordered listing that begins at `from`, and where the next one does.
fn cut<T>(all: &[T], at: impl Fn(&T) -> u64, from: u64, most: usize) -> (&[T], Option<u64>) {
    let rest = &all[all.partition_point(|it| at(it) < from)..];
    match rest.get(most) {
        Some(next) => (&rest[..most], Some(at(next))),
        None => (rest, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let all = [1, 4, 5, 9];
        let cut = |from, most| cut(&all, |it| *it, from, most);
        assert_eq!(cut(0, 2), (&all[..2], Some(5)));
        assert_eq!(cut(5, 2), (&all[2..], None));
        assert_eq!(cut(2, 9), (&all[1..], None));
        assert_eq!(cut(10, 1), (&all[4..], None));
    }
}
