//! The depot: the directory of layers, volumes and snapshots, and the changes that it can undergo.
//! May touch: its directory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::image::Image;
use crate::layer::{About, Layer};
use crate::{BLOCK, Error, Key, PIECE, Result, files};

/// Finds a key by the name that a volume was made with.
pub type Keys<'a> = dyn Fn(&str) -> Option<Key> + 'a;

/// What a new volume begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// Zeros.
    Blank,
    /// The content of this snapshot; the volume may be larger.
    Snapshot(&'a str),
}

/// What the file of a volume or a snapshot says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stack {
    /// Bytes.
    size: u64,
    /// Names of layers, bottom first. A volume writes the last one, a snapshot none.
    layers: Vec<String>,
    /// The name of the key under which new layers are sealed.
    key: Option<String>,
}

/// A [`PIECE`] that was written between two snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    pub piece: u64,
    /// Whether the first snapshot holds anything there.
    pub in_first: bool,
    /// The same of the second one.
    pub in_second: bool,
}

/// A directory of volumes. One owner at a time has a volume's [`Image`] open; who that is, is the
/// caller's care.
pub struct Depot {
    dir: PathBuf,
}

impl Depot {
    /// The depot at `dir`; makes it if there is none.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        for part in ["layers", "volumes", "snapshots"] {
            fs::create_dir_all(dir.join(part))?;
        }
        files::sync_dir(&dir)?;
        Ok(Self { dir })
    }

    /// Makes a volume of `size` bytes, sealed under the key of that name. What comes from a snapshot
    /// under another key, or under none, is sealed anew.
    pub fn create(
        &self,
        volume: &str,
        size: u64,
        from: Source<'_>,
        key: Option<&str>,
        keys: &Keys<'_>,
    ) -> Result<()> {
        let path = self.volume(volume)?;
        if path.exists() {
            return Err(Error::Exists(volume.to_owned()));
        }
        let below = match from {
            Source::Blank => None,
            Source::Snapshot(name) => Some(self.read(&self.snapshot_path(name)?, name)?),
        };
        let least = below.as_ref().map_or(BLOCK as u64, |it: &Stack| it.size);
        if size < least || !size.is_multiple_of(BLOCK as u64) {
            return Err(Error::Size(size));
        }
        let _lock = self.lock(FlockOperation::LockShared)?;
        let mut layers = match below {
            None => Vec::new(),
            Some(below) => self.under(below, key, keys)?.layers,
        };
        layers.push(self.new_layer(key)?);
        let key = key.map(str::to_owned);
        files::write_json(&path, &Stack { size, layers, key })
    }

    /// Opens a volume's content.
    pub fn image(&self, volume: &str, keys: &Keys<'_>) -> Result<Image> {
        self.assemble(&self.read(&self.volume(volume)?, volume)?, keys)
    }

    /// Keeps what a volume holds now as a snapshot. `image` is the volume's, and is flushed: its
    /// content is what would be found if the power failed at this moment. Repeating a call that
    /// was cut short is safe; one that ended says [`Error::Exists`].
    pub fn snapshot(
        &self,
        volume: &str,
        snapshot: &str,
        image: &mut Image,
        keys: &Keys<'_>,
    ) -> Result<()> {
        let path = self.snapshot_path(snapshot)?;
        if path.exists() {
            return Err(Error::Exists(snapshot.to_owned()));
        }
        let below: Stack = self.read(&self.volume(volume)?, volume)?;
        image.flush()?;
        let _lock = self.lock(FlockOperation::LockShared)?;
        let mut above = below.clone();
        let fresh = self.new_layer(below.key.as_deref())?;
        let layer = self.layer(&fresh, below.size, keys)?;
        above.layers.push(fresh);
        // First the volume moves on, then the old layers get their second name: between the two
        // there is only a volume with one more layer than it needs.
        files::write_json(&self.volume(volume)?, &above)?;
        image.push(layer);
        files::write_json(&path, &below)
    }

    /// Makes a volume larger.
    pub fn grow(&self, volume: &str, size: u64, image: Option<&mut Image>) -> Result<()> {
        let path = self.volume(volume)?;
        let mut stack: Stack = self.read(&path, volume)?;
        if size < stack.size || !size.is_multiple_of(BLOCK as u64) {
            return Err(Error::Size(size));
        }
        stack.size = size;
        files::write_json(&path, &stack)?;
        if let Some(image) = image {
            image.grow(size);
        }
        Ok(())
    }

    /// A volume's size in bytes.
    pub fn size(&self, volume: &str) -> Result<u64> {
        let stack: Stack = self.read(&self.volume(volume)?, volume)?;
        Ok(stack.size)
    }

    /// A second snapshot with the content of the first, sealed anew where it is to have another key.
    pub fn copy_snapshot(
        &self,
        from: &str,
        to: &str,
        key: Option<&str>,
        keys: &Keys<'_>,
    ) -> Result<()> {
        let path = self.snapshot_path(to)?;
        if path.exists() {
            return Err(Error::Exists(to.to_owned()));
        }
        let _lock = self.lock(FlockOperation::LockShared)?;
        let stack: Stack = self.read(&self.snapshot_path(from)?, from)?;
        files::write_json(&path, &self.under(stack, key, keys)?)
    }

    /// The same content under this key. Unless it is sealed under it already, and entirely, that is
    /// one new layer; until something names it, the caller holds the lock shared.
    fn under(&self, stack: Stack, key: Option<&str>, keys: &Keys<'_>) -> Result<Stack> {
        let Some(key) = key else { return Ok(stack) };
        let same = |layer: &String| {
            let about = self.about(layer)?;
            Ok(about.key.as_deref() == Some(key))
        };
        let same: Vec<bool> = stack.layers.iter().map(same).collect::<Result<_>>()?;
        if same.into_iter().all(|same| same) {
            return Ok(stack);
        }
        let image = self.assemble(&stack, keys)?;
        let name = self.new_layer(Some(key))?;
        image.copy_to(&mut self.layer(&name, stack.size, keys)?)?;
        Ok(Stack {
            size: stack.size,
            layers: vec![name],
            key: Some(key.to_owned()),
        })
    }

    /// The names of the keys that a volume cannot be read and written without.
    pub fn volume_keys(&self, volume: &str) -> Result<BTreeSet<String>> {
        self.keys(&self.read(&self.volume(volume)?, volume)?)
    }

    /// The names of the keys that a snapshot cannot be read without.
    pub fn snapshot_keys(&self, snapshot: &str) -> Result<BTreeSet<String>> {
        self.keys(&self.read(&self.snapshot_path(snapshot)?, snapshot)?)
    }

    fn keys(&self, stack: &Stack) -> Result<BTreeSet<String>> {
        let mut keys: BTreeSet<String> = stack.key.clone().into_iter().collect();
        for layer in &stack.layers {
            keys.extend(self.about(layer)?.key);
        }
        Ok(keys)
    }

    fn about(&self, layer: &str) -> Result<About> {
        files::read_json(&self.dir.join("layers").join(layer).join("layer.json"))
    }

    /// Forgets a volume. Nobody may have it open. One that is not there is no error.
    pub fn delete(&self, volume: &str) -> Result<()> {
        self.forget(&self.volume(volume)?)
    }

    /// Forgets a snapshot; volumes and snapshots that were made from it keep what they have.
    pub fn delete_snapshot(&self, snapshot: &str) -> Result<()> {
        self.forget(&self.snapshot_path(snapshot)?)
    }

    /// The volumes that there are.
    pub fn volumes(&self) -> Result<Vec<String>> {
        names(&self.dir.join("volumes"))
    }

    /// The snapshots that there are.
    pub fn snapshots(&self) -> Result<Vec<String>> {
        names(&self.dir.join("snapshots"))
    }

    /// The numbers of the [`PIECE`]s of a snapshot that were ever written.
    pub fn pieces(&self, snapshot: &str, keys: &Keys<'_>) -> Result<Vec<u64>> {
        let stack: Stack = self.read(&self.snapshot_path(snapshot)?, snapshot)?;
        Ok(self.assemble(&stack, keys)?.touched(0, PIECE))
    }

    /// The [`PIECE`]s that were written between two snapshots of one volume, in order. None where
    /// the two have nothing in common.
    pub fn changed(
        &self,
        first: &str,
        second: &str,
        keys: &Keys<'_>,
    ) -> Result<Option<Vec<Changed>>> {
        let old: Stack = self.read(&self.snapshot_path(first)?, first)?;
        let new: Stack = self.read(&self.snapshot_path(second)?, second)?;
        let common = old.layers.iter().zip(&new.layers);
        let common = common.take_while(|(old, new)| old == new).count();
        if common == 0 {
            return Ok(None);
        }
        let (old, new) = (self.assemble(&old, keys)?, self.assemble(&new, keys)?);
        let mut touched: BTreeSet<u64> = new.touched(common, PIECE).into_iter().collect();
        touched.extend(old.touched(common, PIECE));
        let changed = touched.into_iter().map(|piece| Changed {
            piece,
            in_first: old.holds(piece, PIECE),
            in_second: new.holds(piece, PIECE),
        });
        Ok(Some(changed.collect()))
    }

    /// One [`PIECE`] of a snapshot; the last one is filled up with zeros.
    pub fn read_piece(&self, snapshot: &str, piece: u64, keys: &Keys<'_>) -> Result<Vec<u8>> {
        let stack: Stack = self.read(&self.snapshot_path(snapshot)?, snapshot)?;
        let start = piece.saturating_mul(PIECE);
        let len = stack.size.saturating_sub(start).min(PIECE);
        let mut bytes = vec![0; PIECE as usize];
        self.assemble(&stack, keys)?
            .read(start, &mut bytes[..len as usize])?;
        Ok(bytes)
    }

    /// Writes one [`PIECE`] of a volume that nobody has open; it is on stable storage afterwards.
    pub fn write_piece(
        &self,
        volume: &str,
        piece: u64,
        bytes: &[u8],
        keys: &Keys<'_>,
    ) -> Result<()> {
        let mut image = self.image(volume, keys)?;
        image.write(piece.saturating_mul(PIECE), bytes)?;
        image.flush()
    }

    /// The [`PIECE`]s of a volume that nobody has open that were written since it was made or last
    /// snapshotted, and what they hold now, one after the other.
    pub fn written<T>(
        &self,
        volume: &str,
        keys: &Keys<'_>,
        mut each: impl FnMut(&[u8]) -> T,
    ) -> Result<Vec<T>> {
        let stack: Stack = self.read(&self.volume(volume)?, volume)?;
        let image = self.assemble(&stack, keys)?;
        let mut bytes = vec![0; PIECE as usize];
        let pieces = image.touched(stack.layers.len().saturating_sub(1), PIECE);
        let read = pieces.into_iter().map(|piece| {
            let start = piece * PIECE;
            let part = &mut bytes[..stack.size.saturating_sub(start).min(PIECE) as usize];
            image.read(start, part)?;
            Ok(each(part))
        });
        read.collect()
    }

    /// Removes the layers that no volume and no snapshot names. Returns how many.
    pub fn sweep(&self) -> Result<usize> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        let mut named = BTreeSet::new();
        for part in ["volumes", "snapshots"] {
            for name in names(&self.dir.join(part))? {
                let path = self.dir.join(part).join(format!("{name}.json"));
                named.extend(self.read::<Stack>(&path, &name)?.layers);
            }
        }
        let mut swept = 0;
        for entry in fs::read_dir(self.dir.join("layers"))? {
            let entry = entry?;
            if !entry
                .file_name()
                .to_str()
                .is_some_and(|name| named.contains(name))
            {
                fs::remove_dir_all(entry.path())?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    fn assemble(&self, stack: &Stack, keys: &Keys<'_>) -> Result<Image> {
        let layers = stack
            .layers
            .iter()
            .map(|name| self.layer(name, stack.size, keys));
        Ok(Image::new(stack.size, layers.collect::<Result<_>>()?))
    }

    fn layer(&self, name: &str, size: u64, keys: &Keys<'_>) -> Result<Layer> {
        Layer::open(&self.dir.join("layers").join(name), size, keys)
    }

    /// An empty layer; until something names it, the caller holds the lock shared.
    fn new_layer(&self, key: Option<&str>) -> Result<String> {
        let name = gureum_kit::names::id::hex_digits(16);
        let key = key.map(str::to_owned);
        Layer::create(&self.dir.join("layers").join(&name), &About { key })?;
        files::sync_dir(&self.dir.join("layers"))?;
        Ok(name)
    }

    fn forget(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        files::sync_dir(path.parent().unwrap_or(&self.dir))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, path: &Path, name: &str) -> Result<T> {
        files::read_json(path).map_err(|error| match error {
            Error::Missing(_) => Error::Missing(name.to_owned()),
            other => other,
        })
    }

    /// Shared while a layer has no name yet, exclusive while nameless layers are removed. Between
    /// processes too: who serves a volume is not who sweeps.
    fn lock(&self, how: FlockOperation) -> Result<File> {
        let file = File::open(&self.dir)?;
        flock(&file, how).map_err(std::io::Error::from)?;
        Ok(file)
    }

    fn volume(&self, name: &str) -> Result<PathBuf> {
        Ok(self.dir.join("volumes").join(file_name(name)?))
    }

    fn snapshot_path(&self, name: &str) -> Result<PathBuf> {
        Ok(self.dir.join("snapshots").join(file_name(name)?))
    }
}

fn file_name(name: &str) -> Result<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 100 || !name.chars().all(fits) {
        return Err(Error::Name(name.to_owned()));
    }
    Ok(format!("{name}.json"))
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        names.extend(
            name.to_str()
                .and_then(|n| n.strip_suffix(".json"))
                .map(str::to_owned),
        );
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
