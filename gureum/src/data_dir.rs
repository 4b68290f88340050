//! The data directory: what lies where, and who may read it.
//!
//! ```text
//! DIR/root-credentials.json   0600   the root access key
//! DIR/lock                           held by the process whose cloud this is
//! DIR/run.json                       where the running cloud listens; gone after a clean stop
//! DIR/ca/                            the local certificate authority
//! DIR/secrets/              0600   keys that encrypt what is at rest
//! DIR/store/                         every row
//! DIR/blobs/                         the content of large objects
//! DIR/mail/                          what the cloud has sent by e-mail, as a maildir
//! DIR/room/                          the machine room, where instances run
//! DIR/compute/                       disks and consoles of instances, images
//! ```

use std::fs::{self, File};
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gureum_kit::names::id;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockType, fcntl_getlk};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::failure::{Context, Failure};

pub(crate) struct DataDir(PathBuf);

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RootCredentials {
    pub(crate) account_id: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

/// How the other commands find the cloud that runs on this directory.
#[derive(Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    pub(crate) endpoint: String,
    pub(crate) region: String,
}

/// The right to run a cloud on the directory, or to delete it. The kernel takes it back when its
/// process ends, however it ends.
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not used")] File);

impl DataDir {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Creates the directory for its owner alone.
    pub(crate) fn create(path: PathBuf) -> Result<Self, Failure> {
        let dir = Self(path);
        for folder in [dir.0.clone(), dir.secrets()] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .or_fail(format_args!("data_dir: cannot create {}", folder.display()))?;
        }
        Ok(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.0.join("blobs")
    }

    pub(crate) fn mail(&self) -> PathBuf {
        self.0.join("mail")
    }

    /// Where the machine room lives.
    pub(crate) fn room(&self) -> PathBuf {
        self.0.join("room")
    }

    /// Disks and consoles of instances.
    pub(crate) fn compute(&self) -> PathBuf {
        self.0.join("compute")
    }

    /// Volumes and snapshots.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.0.join("volumes")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.0.join("secrets")
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.0.join("ca")
    }

    pub(crate) fn ca_bundle(&self) -> PathBuf {
        self.ca().join("ca.pem")
    }

    /// The root key: the configured one, else the stored one, else a new one. Stored either way,
    /// so that the other commands can sign.
    pub(crate) fn root_credentials(&self, config: &Config) -> Result<RootCredentials, Failure> {
        let stored: Option<RootCredentials> = self.read_json(&self.credentials_file())?;
        let credentials = match (&config.root_key, stored) {
            (Some((id, secret)), _) => RootCredentials {
                account_id: config.account.to_string(),
                access_key_id: id.clone(),
                secret_access_key: secret.clone(),
            },
            (None, Some(stored)) if stored.account_id == config.account.to_string() => {
                return Ok(stored);
            }
            (None, _) => RootCredentials {
                account_id: config.account.to_string(),
                access_key_id: id::unique(id::Kind::AccessKey),
                secret_access_key: id::secret(),
            },
        };
        self.write_json(&self.credentials_file(), &credentials)?;
        Ok(credentials)
    }

    pub(crate) fn read_credentials(&self) -> Result<RootCredentials, Failure> {
        self.read_json(&self.credentials_file())?
            .ok_or_else(|| self.nothing_here())
    }

    /// Takes the lock, unless a process has it.
    pub(crate) fn lock(&self) -> Result<Lock, Failure> {
        let doing = format!("cannot lock {}", self.0.display());
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.lock_file())
            .or_fail(&doing)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(file)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Err(self.taken()),
            Err(error) => Err(error).or_fail(&doing),
        }
    }

    /// The process that holds the lock. Its id comes from the kernel, so it is never stale.
    pub(crate) fn holder(&self) -> Result<Option<i32>, Failure> {
        let doing = format!("cannot see who holds {}", self.0.display());
        let file = match File::open(self.lock_file()) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(None),
            Err(error) => return Err(error).or_fail(doing),
        };
        let held = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).or_fail(doing)?;
        Ok(held.and_then(|lock| lock.pid).map(|pid| pid.as_raw_pid()))
    }

    /// The cloud that runs on this directory and is ready.
    pub(crate) fn running(&self) -> Result<Option<Running>, Failure> {
        let Some(holder) = self.holder()? else {
            return Ok(None);
        };
        // Before it is ready, what stands here is from a cloud that was killed.
        let running: Option<Running> = self.read_json(&self.0.join("run.json"))?;
        Ok(running.filter(|running| running.pid == holder))
    }

    fn taken(&self) -> Failure {
        let whose = match (self.running(), self.holder()) {
            (Ok(Some(running)), _) => format!(" (pid {}, {})", running.pid, running.endpoint),
            (_, Ok(Some(pid))) => format!(" (pid {pid})"),
            _ => String::new(),
        };
        Failure::new(format!(
            "A cloud runs on {} already{whose}.",
            self.0.display()
        ))
        .hint("Use it, stop it with `gureum down`, or choose another --data-dir.")
    }

    pub(crate) fn set_running(&self, running: &Running) -> Result<(), Failure> {
        self.write_json(&self.0.join("run.json"), running)
    }

    pub(crate) fn clear_running(&self) {
        // Left behind, it names a process that no longer holds the lock.
        let _ = fs::remove_file(self.0.join("run.json"));
    }

    pub(crate) fn nothing_here(&self) -> Failure {
        Failure::new(format!("No cloud runs on {}.", self.0.display()))
            .hint("Start one with `gureum up`, or name its directory with --data-dir.")
    }

    fn lock_file(&self) -> PathBuf {
        self.0.join("lock")
    }

    fn credentials_file(&self) -> PathBuf {
        self.0.join("root-credentials.json")
    }

    fn read_json<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, Failure> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == NotFound => return Ok(None),
            Err(e) => return Err(Failure::new(format!("cannot read {}: {e}", path.display()))),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .or_fail(format_args!("{} is damaged", path.display()))
    }

    /// Replaces a file as a whole, readable by its owner alone.
    fn write_json<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), Failure> {
        let doing = format!("cannot write {}", path.display());
        let text = serde_json::to_vec_pretty(value).or_fail(&doing)?;
        let fresh = path.with_extension("new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .or_fail(&doing)?;
        file.write_all(&text).or_fail(&doing)?;
        file.sync_all().or_fail(&doing)?;
        fs::rename(&fresh, path).or_fail(&doing)
    }
}
