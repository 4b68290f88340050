//! What lies in the directory: counting it, and removing what a crash left behind.

use crate::turns::blocking;
use crate::{BlobId, Blobs, Result};
use std::fs::DirEntry;
use std::io;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files removed, and their bytes on disk.
    pub files: u64,
    pub bytes: u64,
}

/// What the content files occupy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub files: u64,
    /// File bytes, tags and footers included.
    pub bytes: u64,
    /// Bytes that the file system still offers.
    pub available: u64,
}

impl Blobs {
    /// Removes files that `live` denies and that an earlier process made: leavings of a crash
    /// between writing content and writing the row that refers to it.
    ///
    /// Files made since this directory was opened are never touched: their rows may be on the way.
    pub async fn sweep<F>(&self, live: F) -> Result<Swept>
    where
        F: Fn(&BlobId) -> bool + Send + 'static,
    {
        let directory = self.0.clone();
        blocking(move || {
            let mut swept = Swept::default();
            each(directory.data(), |id, entry| {
                if id.epoch() >= directory.epoch() || live(&id) {
                    return Ok(());
                }
                swept.bytes += entry.metadata()?.len();
                std::fs::remove_file(entry.path())?;
                swept.files += 1;
                Ok(())
            })?;
            Ok(swept)
        })
        .await
    }

    /// Counts files and bytes by walking the directory, drafts included.
    pub async fn usage(&self) -> Result<Usage> {
        let directory = self.0.clone();
        blocking(move || {
            let room = rustix::fs::statvfs(directory.data()).map_err(io::Error::from)?;
            let available = room.f_bavail.saturating_mul(room.f_frsize);
            let mut usage = Usage {
                available,
                ..Usage::default()
            };
            each(directory.data(), |_, entry| {
                usage.bytes += entry.metadata()?.len();
                usage.files += 1;
                Ok(())
            })?;
            Ok(usage)
        })
        .await
    }
}

/// Visits every content file; one that vanishes meanwhile is passed over, as are other files.
fn each(
    data: &std::path::Path,
    mut visit: impl FnMut(BlobId, &DirEntry) -> io::Result<()>,
) -> Result<()> {
    for shard in std::fs::read_dir(data)? {
        for entry in std::fs::read_dir(shard?.path())? {
            let entry = entry?;
            let Some(id) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            match visit(id, &entry) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
                _ => {}
            }
        }
    }
    Ok(())
}
