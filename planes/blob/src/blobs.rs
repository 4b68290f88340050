//! The directory of content files: opening it, and naming what lies in it.
//!
//! `<dir>/epoch` is locked while a process has the directory open; `<dir>/data/00` to `data/ff`
//! hold the files. The shards are made once, here, so that creating content never has to make a
//! directory durable first.

use crate::turns::blocking;
use crate::{BlobId, Error, Intake, Key, Piece, Reader, Result, Writer};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory of content files, open in this process alone. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Blobs(pub(crate) Arc<Directory>);

#[derive(Debug)]
pub(crate) struct Directory {
    data: PathBuf,
    epoch: u32,
    /// Holds the advisory lock for as long as any clone lives.
    _lock: File,
}

impl Blobs {
    /// Opens the directory, making it when absent. Blocks; meant for start-up.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let data = dir.join("data");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&data)?;
        let lock = lock(dir)?;
        let epoch = advance_epoch(&lock)?;
        for shard in 0..=u8::MAX {
            match DirBuilder::new()
                .mode(0o700)
                .create(data.join(format!("{shard:02x}")))
            {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e.into()),
                _ => {}
            }
        }
        for made in [data.as_path(), dir] {
            sync_dir(made)?;
        }
        if let Some(parent) = dir.canonicalize()?.parent() {
            sync_dir(parent)?;
        }
        Ok(Self(Arc::new(Directory {
            data,
            epoch,
            _lock: lock,
        })))
    }

    /// Starts a new file of checksummed content.
    pub async fn create(&self) -> Result<Writer> {
        Writer::start(self, None).await
    }

    /// Starts a new file of content encrypted with AES-256-GCM.
    pub async fn create_encrypted(&self, key: &Key) -> Result<Writer> {
        Writer::start(self, Some(key.clone())).await
    }

    /// Starts taking in content whose size need not be known: see [`Intake`].
    pub fn intake(&self, key: Option<&Key>) -> Intake {
        Intake::new(self.clone(), key.cloned())
    }

    /// Opens a file for reading, `range` of its content or all of it.
    ///
    /// The footer and the first chunk are verified before this returns, so that damage to small
    /// content is known before any of it is promised to somebody.
    pub async fn open_read(&self, id: BlobId, range: Option<Range<u64>>) -> Result<Reader> {
        Reader::open_file(self, id, None, range).await
    }

    /// As [`open_read`](Self::open_read), for encrypted content; another key is [`Error::Key`].
    pub async fn open_read_encrypted(
        &self,
        id: BlobId,
        key: &Key,
        range: Option<Range<u64>>,
    ) -> Result<Reader> {
        Reader::open_file(self, id, Some(key.clone()), range).await
    }

    /// Reads pieces one after another as one content, of which `range` counts the bytes.
    pub async fn open_pieces(
        &self,
        pieces: &[Piece],
        key: Option<&Key>,
        range: Option<Range<u64>>,
    ) -> Result<Reader> {
        Reader::open_pieces(self, pieces, key.cloned(), range).await
    }

    /// Removes a file; one that does not exist is no error. Readers at work finish undisturbed.
    ///
    /// Not flushed: should a crash bring the file back, no row refers to it and the next
    /// [`sweep`](Self::sweep) removes it.
    pub async fn delete(&self, id: BlobId) -> Result<()> {
        let path = self.0.path(id);
        blocking(move || remove(&path)).await
    }

    /// Removes the files among the pieces, as [`delete`](Self::delete) does.
    pub async fn delete_pieces(&self, pieces: &[Piece]) -> Result<()> {
        let paths: Vec<PathBuf> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::File(id, _) => Some(self.0.path(*id)),
                Piece::Inline(_) => None,
            })
            .collect();
        if paths.is_empty() {
            return Ok(());
        }
        blocking(move || paths.iter().try_for_each(|path| remove(path))).await
    }
}

impl Directory {
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn shard(&self, id: BlobId) -> PathBuf {
        self.data.join(format!("{:02x}", id.shard()))
    }

    pub(crate) fn path(&self, id: BlobId) -> PathBuf {
        self.shard(id).join(id.to_string())
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// Flushes a directory's entries to stable storage.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    Ok(File::open(dir)?.sync_all()?)
}

fn lock(dir: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let file = options.open(dir.join("epoch"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(dir.to_owned())),
        Err(TryLockError::Error(e)) => Err(e.into()),
    }
}

/// Counts this opening of the directory, durably. Four bytes never tear across a sector.
fn advance_epoch(file: &File) -> Result<u32> {
    let mut count = [0; 4];
    match file.read_exact_at(&mut count, 0) {
        Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => return Err(e.into()),
        _ => {}
    }
    let epoch = u32::from_be_bytes(count).saturating_add(1);
    file.write_all_at(&epoch.to_be_bytes(), 0)?;
    file.sync_all()?;
    Ok(epoch)
}
