//! The commit log: what makes a batch durable before it is in any table.
//!
//! Batches are frames in segments, written one after the other, each durable before the next one
//! begins. When the store is opened, they are read back from the first that no table holds yet. A
//! crash leaves at most the last frame torn, which is then no frame. But where frames follow behind
//! what is none, or one is missing in the chain that they form, acknowledged commits are damaged:
//! then nothing is opened.

mod frame;
mod segment;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::StoreError;
use super::engine::{Commit, Version};
pub(super) use frame::Changes;
use frame::{Frames, Head, SECTOR};
use segment::Segment;
pub(super) use segment::Segments;

/// A segment with more bytes than these is full: the next batch goes into the next one.
const FULL: u64 = 24 << 20;
/// Memory that is kept for making frames.
const BUFFER: usize = 1 << 20;

/// The end of the log, where the commit thread writes.
pub(super) struct Log {
    segments: Arc<Segments>,
    active: Segment,
    file: File,
    /// Where the next frame begins.
    end: u64,
    /// Whether a frame may stand there of which its committers heard that it failed.
    unsure: bool,
    /// The last commit that is durable.
    last: Version,
    buffer: Vec<u8>,
}

/// A segment that takes no more frames, to be released when its memtable has become a table.
pub(super) struct Sealed(Segment);

impl Log {
    /// Opens the log and replays what is younger than `stored`, the last commit that tables hold:
    /// each batch goes to `apply`, with its last commit, and `seal` is called behind each segment but
    /// the last.
    pub(super) fn open(
        dir: &Path,
        stored: Version,
        mut apply: impl FnMut(Version, Changes<'_>) -> Result<(), StoreError>,
        mut seal: impl FnMut(Sealed),
    ) -> Result<Log, StoreError> {
        let (segments, found) = Segments::open(dir)?;
        let mut last = stored;
        let mut active = None;
        for segment in found {
            let end = replay(dir, &segment, &mut last, &mut |version, changes| {
                // What follows belongs to another memtable.
                if let Some((before, _)) = active.take() {
                    seal(Sealed(before));
                }
                apply(version, changes)
            })?;
            if end == 0 {
                segments.keep(segment);
            } else if let Some((before, _)) = active.replace((segment, end)) {
                seal(Sealed(before));
            }
        }
        let segments = Arc::new(segments);
        let (active, file, end) = match active {
            Some((segment, end)) => {
                let file = File::options().write(true).open(segment.path(dir))?;
                (segment, file, end)
            }
            None => {
                let (segment, file) = segments.take()?;
                (segment, file, 0)
            }
        };
        Ok(Log {
            segments,
            active,
            file,
            end,
            unsure: false,
            last,
            buffer: Vec::new(),
        })
    }

    /// The last commit that is durable.
    pub(super) fn last(&self) -> Version {
        self.last
    }

    pub(super) fn segments(&self) -> Arc<Segments> {
        self.segments.clone()
    }

    /// Makes a batch durable. After an error nothing of it is, nor will be.
    pub(super) fn append(&mut self, commits: &[Arc<Commit>]) -> Result<(), StoreError> {
        self.erase()?;
        let head = frame::encode(&mut self.buffer, self.active.nonce, self.last, commits)?;
        self.unsure = true;
        let written = self.file.write_all_at(&self.buffer, self.end);
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            // Another try follows before the next batch, if the disk fails this one too.
            let _ = self.erase();
            return Err(error.into());
        }
        self.unsure = false;
        self.end += self.buffer.len() as u64;
        self.last = head.version;
        if self.buffer.capacity() > BUFFER {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Makes sure that what failed is no frame, however much of it has come to the disk.
    fn erase(&mut self) -> Result<(), StoreError> {
        if self.unsure {
            self.file.write_all_at(&[0; SECTOR], self.end)?;
            self.file.sync_data()?;
            self.unsure = false;
        }
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.end >= FULL
    }

    /// Ends the active segment and begins another one.
    pub(super) fn seal(&mut self) -> Result<Sealed, StoreError> {
        let (segment, file) = self.segments.take()?;
        self.file = file;
        self.end = 0;
        Ok(Sealed(std::mem::replace(&mut self.active, segment)))
    }
}

impl Segments {
    /// Takes back a segment whose content tables hold durably.
    pub(super) fn reuse(&self, sealed: &Sealed) {
        if let Err(error) = self.release(&sealed.0) {
            // It stays until the next start, which finds all its commits in tables.
            tracing::warn!(%error, "a segment of the store's log could not be used again");
        }
    }
}

/// Applies what a segment holds beyond `last`, and returns where its last whole frame ends.
fn replay(
    dir: &Path,
    segment: &Segment,
    last: &mut Version,
    apply: &mut impl FnMut(Version, Changes<'_>) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let path = segment.path(dir);
    let damaged = |what: String| StoreError::Corrupt(format!("{} {what}", path.display()));
    let mut frames = Frames::of(File::open(&path)?, segment.nonce)?;
    while let Some((head, changes)) = frames.next()? {
        if head.version <= *last {
            continue;
        }
        if head.previous > *last {
            let (found, needed) = (*last, head.previous);
            return Err(damaged(format!(
                "goes on from commit {needed}, but only {found} was found before it; restore a backup"
            )));
        }
        apply(head.version, changes)?;
        *last = head.version;
    }
    let end = frames.at;
    if let Some(later) = later_frame(&path, segment.nonce, end)? {
        return Err(damaged(format!(
            "is damaged at byte {end}, and commit {} follows; restore a backup",
            later.version
        )));
    }
    Ok(end)
}

/// A head of the same segment behind the sector at `end`: it was written only when what stood
/// there was durable.
fn later_frame(path: &Path, nonce: u64, end: u64) -> Result<Option<Head>, StoreError> {
    const CHUNK: usize = 1 << 20;
    let file = File::open(path)?;
    let mut chunk = vec![0; CHUNK];
    let mut at = end + SECTOR as u64;
    loop {
        let mut filled = 0;
        while filled < CHUNK {
            match file.read_at(&mut chunk[filled..], at + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        let mut sectors = chunk[..filled].chunks(SECTOR);
        if let Some(head) = sectors.find_map(|sector| Head::decode(sector, nonce)) {
            return Ok(Some(head));
        }
        if filled < CHUNK {
            return Ok(None);
        }
        at += CHUNK as u64;
    }
}
