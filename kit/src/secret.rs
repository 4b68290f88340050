//! Secret files: random bytes that are made once and that only their owner may read.
//! May touch: the file that it is told to.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::names::id;

/// What is read of a secret file that a person wrote, at most.
const MAX_TEXT: u64 = 4096;

/// What can be wrong with a secret file.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The operating system refused.
    #[error("the secret file {path} cannot be used: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read it, so it is no secret.
    #[error("the secret file {path} is open to others (mode {mode:03o}); make it 600")]
    Exposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold what was put there.
    #[error("the secret file {path} has {found} bytes, not {expected}")]
    Length {
        /// The file.
        path: String,
        /// Its length.
        found: u64,
        /// The length of the secret.
        expected: u64,
    },
}

/// The `N` bytes of the secret file at `path`; makes it with random ones if there is none. Its
/// directory must exist. Of several processes that make it at once, all get the same bytes.
pub fn read_or_create<const N: usize>(path: &Path) -> Result<[u8; N], SecretError> {
    let shown = || path.display().to_string();
    let failed = |source| SecretError::Io {
        path: shown(),
        source,
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create::<N>(path).map_err(failed)?;
            File::open(path).map_err(failed)?
        }
        Err(error) => return Err(failed(error)),
    };
    let found = private(path, &file)?;
    if found != N as u64 {
        return Err(SecretError::Length {
            path: shown(),
            found,
            expected: N as u64,
        });
    }
    let mut secret = [0; N];
    file.read_exact(&mut secret).map_err(failed)?;
    Ok(secret)
}

/// What a secret file says that a person wrote, without the end of its line.
pub fn read_line(path: &Path) -> Result<String, SecretError> {
    let failed = |source| SecretError::Io {
        path: path.display().to_string(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    private(path, &file)?;
    let mut text = String::new();
    file.take(MAX_TEXT)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// The length of a file that nobody but its owner may use.
fn private(path: &Path, file: &File) -> Result<u64, SecretError> {
    let path = || path.display().to_string();
    let about = file.metadata().map_err(|source| SecretError::Io {
        path: path(),
        source,
    })?;
    let mode = about.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => Ok(about.len()),
        _ => Err(SecretError::Exposed { path: path(), mode }),
    }
}

/// Writes the file under another name and links it into place: it appears whole or not at all,
/// and never replaces one that someone else made first.
fn create<const N: usize>(path: &Path) -> std::io::Result<()> {
    let partial = path.with_added_extension(id::hex_digits(16));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    let linked = file
        .write_all(&id::bytes::<N>())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&partial, path));
    std::fs::remove_file(&partial)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("key");
        let first = read_or_create::<32>(&path).expect("create");
        assert_eq!(read_or_create::<32>(&path).expect("read"), first);
        assert_ne!(first, [0; 32]);
        let mode = std::fs::metadata(&path).expect("stat").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 1);
    }

    #[test]
    fn a_line_is_read_from_a_private_file_only() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("password");
        for (text, line) in [
            ("a b", "a b"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
        ] {
            std::fs::write(&path, text).expect("write");
            let private = std::fs::Permissions::from_mode(0o400);
            std::fs::set_permissions(&path, private).expect("chmod");
            assert_eq!(read_line(&path).expect("read"), line);
            std::fs::remove_file(&path).expect("remove");
        }
        std::fs::write(&path, "a").expect("write");
        let exposed = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&path, exposed).expect("chmod");
        assert!(matches!(
            read_line(&path),
            Err(SecretError::Exposed { mode: 0o644, .. })
        ));
    }

    #[test]
    fn an_exposed_or_cut_file_is_refused() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("key");
        read_or_create::<32>(&path).expect("create");
        let exposed = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&path, exposed).expect("chmod");
        let refused = read_or_create::<32>(&path);
        assert!(matches!(
            refused,
            Err(SecretError::Exposed { mode: 0o640, .. })
        ));
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, private).expect("chmod");
        std::fs::write(&path, "short").expect("cut");
        assert!(matches!(
            read_or_create::<32>(&path),
            Err(SecretError::Length { found: 5, .. })
        ));
    }
}
