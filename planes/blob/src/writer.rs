//! Writes one content file: seals and writes a batch of blocks while the next one fills.

use crate::blobs::{Blobs, Directory, sync_dir};
use crate::layout::{BLOCK, Footer, STORED_BLOCK, TAG, block_offset, file_size};
use crate::seal::Seal;
use crate::turns::{Turns, blocking};
use crate::{BlobId, Key, Result};
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;

/// Stored bytes handed to the disk at once: eight blocks, half a megabyte.
const BATCH: usize = 8 * STORED_BLOCK;
/// Stored bytes after which a flush starts. Flushing on the way, beside the writing, keeps the
/// disk busy while content still arrives, and leaves little to wait for at the end.
const FLUSH_EVERY: usize = 16 * BATCH;

/// Content that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub id: BlobId,
    /// Content bytes.
    pub len: u64,
}

/// A file being written. Dropped before [`commit`](Self::commit) returns, it leaves nothing.
pub struct Writer {
    id: BlobId,
    len: u64,
    /// Blocks in their stored form; the room for their tags is still zero.
    batch: Vec<u8>,
    draft: Turns<Draft>,
    unflushed: usize,
    flush: Turns<Arc<File>>,
}

impl Writer {
    pub(crate) async fn start(blobs: &Blobs, key: Option<Key>) -> Result<Self> {
        let directory = blobs.0.clone();
        let draft = blocking(move || Draft::create(directory, key.as_ref())).await?;
        Ok(Self {
            id: draft.id,
            len: 0,
            batch: Vec::new(),
            unflushed: 0,
            flush: Turns::Idle(draft.file.clone()),
            draft: Turns::Idle(draft),
        })
    }

    /// Content bytes taken so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes more content. Waits when the disk lags behind.
    ///
    /// Once a call was cancelled, how much of its bytes was taken is unknown: drop the writer.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            // Only now is it certain that the full batch does not hold the last block.
            if self.batch.len() == BATCH {
                self.hand_over(false).await?;
            }
            let room = BLOCK - self.batch.len() % STORED_BLOCK;
            let (taken, left) = rest.split_at(room.min(rest.len()));
            self.batch.extend_from_slice(taken);
            if taken.len() == room {
                self.batch.extend_from_slice(&[0; TAG]);
            }
            self.len += taken.len() as u64;
            rest = left;
        }
        Ok(())
    }

    /// Makes the content durable: its blocks, its footer and its directory entry.
    pub async fn commit(mut self) -> Result<Stored> {
        if self.batch.is_empty() || !self.batch.len().is_multiple_of(STORED_BLOCK) {
            self.batch.extend_from_slice(&[0; TAG]);
        }
        self.hand_over(true).await?;
        // A flush that failed must fail the commit: its error is reported only once.
        self.flush.idle().await?;
        let len = self.len;
        self.draft.start(move |draft| draft.finish(len)).await?;
        self.draft.idle().await?.kept = true;
        Ok(Stored { id: self.id, len })
    }

    /// Lets the disk have the batch. A flush that starts here covers every batch before it.
    async fn hand_over(&mut self, last: bool) -> Result<()> {
        let spare = std::mem::take(&mut self.draft.idle().await?.spare);
        if self.unflushed >= FLUSH_EVERY {
            self.flush.start(|file| Ok(file.sync_data()?)).await?;
            self.unflushed = 0;
        }
        let batch = std::mem::replace(&mut self.batch, spare);
        self.unflushed += batch.len();
        self.draft
            .start(move |draft| draft.append(batch, last))
            .await
    }
}

/// The file under construction. It removes itself when dropped, unless it was kept: also when the
/// task that wanted it went away while a step ran.
struct Draft {
    directory: Arc<Directory>,
    id: BlobId,
    file: Arc<File>,
    seal: Seal,
    blocks: u64,
    spare: Vec<u8>,
    kept: bool,
}

impl Draft {
    fn create(directory: Arc<Directory>, key: Option<&Key>) -> Result<Self> {
        let id = BlobId::random(directory.epoch());
        let seal = Seal::new(*id.as_bytes(), key)?;
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(directory.path(id))?;
        let (file, spare) = (Arc::new(file), Vec::new());
        Ok(Self {
            directory,
            id,
            file,
            seal,
            blocks: 0,
            spare,
            kept: false,
        })
    }

    fn append(&mut self, mut batch: Vec<u8>, last: bool) -> Result<()> {
        let offset = block_offset(self.blocks);
        let count = batch.len().div_ceil(STORED_BLOCK) as u64;
        for (index, stored) in (self.blocks..).zip(batch.chunks_mut(STORED_BLOCK)) {
            let last = last && index + 1 == self.blocks + count;
            self.seal.seal(index, last, stored)?;
        }
        self.file.write_all_at(&batch, offset)?;
        self.blocks += count;
        batch.clear();
        self.spare = batch;
        Ok(())
    }

    fn finish(&mut self, len: u64) -> Result<()> {
        let (id, form) = (self.id, self.seal.form());
        let mut footer = Footer {
            form,
            id,
            len,
            key_tag: [0; TAG],
        };
        footer.key_tag = self.seal.key_tag(&footer.signed())?;
        let bytes = footer.encode();
        // The footer ends the file, whose size the content's length determines.
        let size = file_size(len).unwrap_or(u64::MAX);
        self.file
            .write_all_at(&bytes, size.saturating_sub(bytes.len() as u64))?;
        self.file.sync_data()?;
        sync_dir(&self.directory.shard(id))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now, the next start's sweep removes.
            let _ = std::fs::remove_file(self.directory.path(self.id));
        }
    }
}
