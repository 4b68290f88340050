//! The data directory: its format marker and its lock.
//!
//! `FORMAT` says which programs can read the directory and is checked before anything is touched.
//! `LOCK` is held by the running program (`flock`, so that a killed program holds nothing) and
//! names its process id.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::StoreError;

/// The format that this program writes. Raise it when older programs could not read the result.
const FORMAT: u32 = 2;
const TITLE: &str = "gureum data format ";

/// A locked data directory.
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Checks the format, takes the lock, and makes the directory where it is missing.
    pub(super) fn open(path: &Path) -> Result<DataDir, StoreError> {
        let known = check_format(path)?;
        std::fs::create_dir_all(path)?;
        let lock = lock(path)?;
        if !known {
            if path.join("state").exists() {
                return Err(StoreError::Corrupt(format!(
                    "{} holds data but no FORMAT file",
                    path.display()
                )));
            }
            write_durably(path, "FORMAT", format!("{TITLE}{FORMAT}\n").as_bytes())?;
        }
        Ok(DataDir {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where the engine keeps its files.
    pub(super) fn state(&self) -> PathBuf {
        self.path.join("state")
    }
}

/// Whether there is a format marker; an error if it is one that this program cannot read.
fn check_format(dir: &Path) -> Result<bool, StoreError> {
    let text = match std::fs::read_to_string(dir.join("FORMAT")) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    match text
        .strip_prefix(TITLE)
        .and_then(|rest| rest.trim_end().parse::<u32>().ok())
    {
        Some(FORMAT) => Ok(true),
        Some(found) => Err(StoreError::Format {
            dir: dir.to_owned(),
            found,
            known: FORMAT,
        }),
        None => Err(StoreError::Corrupt(format!(
            "{}/FORMAT is not readable",
            dir.display()
        ))),
    }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("LOCK");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(error.into()),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // A holder that has not written its id yet leaves the file empty.
            let _ = (&file).take(32).read_to_string(&mut text);
            let pid = text.trim();
            let holder = if pid.is_empty() { "unknown" } else { pid }.to_owned();
            return Err(StoreError::Locked {
                dir: dir.to_owned(),
                holder,
            });
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// Writes a file so that after a crash it is there as a whole or not at all.
fn write_durably(dir: &Path, name: &str, content: &[u8]) -> std::io::Result<()> {
    let partial = dir.join(format!("{name}.partial"));
    let mut file = File::create(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&partial, dir.join(name))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder_at_a_time() {
        let dir = tempfile::tempdir().expect("dir");
        let held = DataDir::open(dir.path()).expect("first");
        let refused = DataDir::open(dir.path()).err().expect("second").to_string();
        assert!(
            refused.contains(&std::process::id().to_string()),
            "{refused}"
        );
        drop(held);
        DataDir::open(dir.path()).expect("after");
    }

    #[test]
    fn another_format_is_refused_and_left_alone() {
        for other in [FORMAT - 1, FORMAT + 1] {
            let dir = tempfile::tempdir().expect("dir");
            std::fs::write(dir.path().join("FORMAT"), format!("{TITLE}{other}\n")).expect("write");
            let refused = DataDir::open(dir.path()).err().expect("another");
            assert!(
                matches!(refused, StoreError::Format { found, known: FORMAT, .. } if found == other),
                "{refused}"
            );
            assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 1);
        }
    }

    #[test]
    fn data_without_a_format_is_refused() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::create_dir(dir.path().join("state")).expect("state");
        assert!(matches!(
            DataDir::open(dir.path()),
            Err(StoreError::Corrupt(_))
        ));
    }
}
