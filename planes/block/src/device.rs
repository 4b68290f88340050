//! Loop devices: what makes a file a block device. Through util-linux's `losetup`, which every
//! Linux machine has.
//! May touch: `losetup`, `/sys/block`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

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

    /// The devices that are on a file.
    pub(crate) fn all_of(file: &Path) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/sys/block")? {
            let entry = entry?;
            let backing = fs::read_to_string(entry.path().join("loop/backing_file"));
            if backing.is_ok_and(|backing| Path::new(backing.trim_end()) == file) {
                found.push(Self(Path::new("/dev").join(entry.file_name())));
            }
        }
        Ok(found)
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
        match losetup(&["--detach"], &self.0) {
            // It went between our looks.
            Err(_) if self.gone() => Ok(()),
            detached => detached.map(drop),
        }
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
