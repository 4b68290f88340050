//! Small files that are replaced as a whole, and directories whose entries must last.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Replaces the file at `path`; afterwards the old content or the new one is there, whatever happens.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let new = path.with_extension("new");
    let bytes = serde_json::to_vec(value).map_err(std::io::Error::from)?;
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Missing(path.display().to_string()),
        _ => error.into(),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Damaged {
        path: path.to_owned(),
        what: error.to_string(),
    })
}

/// Makes the entries of a directory last.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    Ok(File::open(path)?.sync_all()?)
}
