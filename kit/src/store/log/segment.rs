//! The files of the log. Each belongs to one memtable; when that has become a table, its file is
//! used again under a new name.
//!
//! Writing into a file's own blocks again is twice as fast as appending, for there are no new blocks
//! that the filesystem must note down before the write counts as durable.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::super::StoreError;

/// Files that wait to be used again.
const SPARES: usize = 2;
/// What a file is cut to when it is used again.
const SPARE_BYTES: u64 = 32 << 20;
/// Spares are kept only where they are a small part of the free space.
const ROOMY: u64 = 16 * SPARE_BYTES * SPARES as u64;

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    /// Its place in the order of segments.
    pub(super) number: u64,
    /// Drawn by lot for each life of a file, so that nobody can know it beforehand.
    pub(super) nonce: u64,
}

impl Segment {
    fn name(&self) -> String {
        format!("{:08x}-{:016x}.log", self.number, self.nonce)
    }

    fn parse(name: &str) -> Option<Segment> {
        let (number, nonce) = name.strip_suffix(".log")?.split_once('-')?;
        Some(Segment {
            number: u64::from_str_radix(number, 16).ok()?,
            nonce: u64::from_str_radix(nonce, 16).ok()?,
        })
    }

    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.name())
    }
}

/// The directory of the log: gives out segments and takes them back.
pub(in super::super) struct Segments {
    pub(super) dir: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// The number of the next segment.
    next: u64,
    /// Empty ones, ready to be written.
    spares: Vec<Segment>,
}

impl Segments {
    /// Finds the directory's segments, in their order, or makes it.
    pub(super) fn open(dir: &Path) -> Result<(Segments, Vec<Segment>), StoreError> {
        std::fs::create_dir_all(dir)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            found.extend(entry?.file_name().to_str().and_then(Segment::parse));
        }
        found.sort();
        let state = State {
            next: found.last().map_or(0, |last| last.number + 1),
            spares: Vec::new(),
        };
        let segments = Segments {
            dir: dir.to_owned(),
            state: Mutex::new(state),
        };
        Ok((segments, found))
    }

    /// An empty segment, behind all others in the order.
    pub(super) fn take(&self) -> std::io::Result<(Segment, File)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let segment = match state.spares.first().cloned() {
            Some(spare) => spare,
            None => {
                let segment = state.draw()?;
                File::create_new(segment.path(&self.dir))?;
                segment
            }
        };
        // Before anything in it counts as durable, its name must be.
        File::open(&self.dir)?.sync_all()?;
        let file = File::options().write(true).open(segment.path(&self.dir))?;
        state.spares.retain(|spare| *spare != segment);
        Ok((segment, file))
    }

    /// Keeps a segment in which nothing was written for later.
    pub(super) fn keep(&self, empty: Segment) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.spares.push(empty);
    }

    /// Takes back a segment whose content is in tables by now.
    pub(super) fn release(&self, segment: &Segment) -> std::io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let path = segment.path(&self.dir);
        if state.spares.len() >= SPARES || free(&self.dir)? < ROOMY {
            return std::fs::remove_file(path);
        }
        let file = File::options().write(true).open(&path)?;
        if file.metadata()?.len() > SPARE_BYTES {
            file.set_len(SPARE_BYTES)?;
        }
        let spare = state.draw()?;
        std::fs::rename(path, spare.path(&self.dir))?;
        state.spares.push(spare);
        Ok(())
    }
}

impl State {
    fn draw(&mut self) -> std::io::Result<Segment> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
        let number = self.next;
        self.next += 1;
        Ok(Segment {
            number,
            nonce: u64::from_le_bytes(nonce),
        })
    }
}

/// The free bytes of the disk that a directory lies on.
fn free(dir: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
