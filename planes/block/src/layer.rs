//! A layer: the blocks that were written to a volume between two snapshots.
//!
//! On disk it is a directory with `data` (sparse; block `n` lies at `n * 4096`), `map` (one bit per
//! block: is it here?) and `layer.json` (under which key it is sealed). A bit reaches the disk after
//! its block, so a crash forgets blocks that nobody was promised, and never shows one that is not
//! there.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cipher::{Cipher, Key};
use crate::map::Map;
use crate::{BLOCK, Error, Result, files};

/// What `layer.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The name of the key that seals this layer; none: it lies in the clear.
    pub(crate) key: Option<String>,
}

pub(crate) struct Layer {
    data: File,
    map_file: File,
    map: Map,
    cipher: Option<Cipher>,
    unsynced: bool,
}

impl Layer {
    /// Makes an empty layer at `path`, on stable storage.
    pub(crate) fn create(path: &Path, about: &About) -> Result<()> {
        fs::create_dir_all(path)?;
        for name in ["data", "map"] {
            private(true).open(path.join(name))?.sync_all()?;
        }
        files::write_json(&path.join("layer.json"), about)?;
        files::sync_dir(path)
    }

    /// Opens the layer at `path` of a volume of `size` bytes.
    pub(crate) fn open(path: &Path, size: u64, keys: &dyn Fn(&str) -> Option<Key>) -> Result<Self> {
        let about: About = files::read_json(&path.join("layer.json"))?;
        let cipher = match about.key {
            None => None,
            Some(name) => Some(Cipher::new(&keys(&name).ok_or(Error::Key(name))?)),
        };
        let map_file = private(false).open(path.join("map"))?;
        Ok(Self {
            data: private(false).open(path.join("data"))?,
            map: Map::load(&map_file, size / BLOCK as u64)?,
            map_file,
            cipher,
            unsynced: false,
        })
    }

    pub(crate) fn map(&self) -> &Map {
        &self.map
    }

    pub(crate) fn grow(&mut self, size: u64) {
        self.map.grow(size / BLOCK as u64);
    }

    /// Reads whole blocks, all of which this layer holds.
    pub(crate) fn read(&self, first: u64, into: &mut [u8]) -> Result<()> {
        self.data.read_exact_at(into, first * BLOCK as u64)?;
        if let Some(cipher) = &self.cipher {
            cipher.open(into, first);
        }
        Ok(())
    }

    /// Writes whole blocks; `blocks` is left sealed where this layer is.
    pub(crate) fn write(&mut self, first: u64, blocks: &mut [u8]) -> Result<()> {
        if let Some(cipher) = &self.cipher {
            cipher.seal(blocks, first);
        }
        self.data.write_all_at(blocks, first * BLOCK as u64)?;
        for block in first..first + (blocks.len() / BLOCK) as u64 {
            self.map.add(block);
        }
        self.unsynced = true;
        Ok(())
    }

    /// Forgets blocks and gives their space back to the host.
    pub(crate) fn forget(&mut self, first: u64, count: u64) -> Result<()> {
        for block in first..first + count {
            self.map.remove(block);
        }
        // The bits must be gone before the bytes are: a crash between must not show zeros as data.
        self.map.store(&self.map_file)?;
        let punch = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(
            &self.data,
            punch,
            first * BLOCK as u64,
            count * BLOCK as u64,
        ) {
            // A host file system without holes keeps the space; nothing else depends on it.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(std::io::Error::from(error).into()),
        }
    }

    /// Waits until everything written so far is on stable storage.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.unsynced {
            self.data.sync_data()?;
            self.unsynced = false;
        }
        self.map.store(&self.map_file)?;
        Ok(())
    }
}

fn private(create: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).mode(0o600);
    options
}
