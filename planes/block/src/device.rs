//! Loop devices: what makes a file a block device. Through util-linux's `losetup`, which every
//! Linux machine has.
//! May touch: `losetup`, `/sys/block`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{BLOCK, Result};

/// A loop device, `/dev/loopN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loop(PathBuf);

impl Loop {
    /// Puts a device on a file.
    pub(crate) fn attach(file: &Path) -> Result<Self> {
        let sector = BLOCK.to_string();
        let options = [
            "--find",
            "--show",
            "--direct-io=on",
            "--sector-size",
            &sector,
        ];
        let out = losetup(&options, file)?;
        Ok(Self(PathBuf::from(out.trim())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Takes the size of the file over.
    pub(crate) fn resize(&self) -> Result<()> {
        losetup(&["--set-capacity"], &self.0).map(drop)
    }

    /// Removes the device; one in use goes when its last user does. See [`Loop::gone`].
    pub(crate) fn detach(&self) -> Result<()> {
        losetup(&["--detach"], &self.0).map(drop)
    }

    /// Whether no file is behind the device any more.
    pub(crate) fn gone(&self) -> bool {
        let name = self.0.file_name().unwrap_or_default();
        !Path::new("/sys/block")
            .join(name)
            .join("loop/backing_file")
            .exists()
    }
}

fn losetup(options: &[&str], target: &Path) -> Result<String> {
    let out = Command::new("losetup").args(options).arg(target).output()?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        return Err(io::Error::other(said.trim().to_owned()).into());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
