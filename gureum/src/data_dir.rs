//! The data directory: what lies where, and who may read it.
//!
//! ```text
//! DIR/root-credentials.json   0600   the root access key
//! DIR/run.json                       where the running cloud listens; gone after a clean stop
//! DIR/ca/                            the local certificate authority
//! DIR/secrets/              0600   keys that encrypt what is at rest
//! DIR/store/                         every row
//! DIR/blobs/                         the content of large objects
//! ```

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gureum_kit::names::id;
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

    pub(crate) fn running(&self) -> Result<Option<Running>, Failure> {
        let running: Option<Running> = self.read_json(&self.0.join("run.json"))?;
        // A killed cloud leaves its file behind; its process tells the truth.
        Ok(running.filter(|r| alive(r.pid)))
    }

    pub(crate) fn set_running(&self, running: &Running) -> Result<(), Failure> {
        self.write_json(&self.0.join("run.json"), running)
    }

    pub(crate) fn clear_running(&self) {
        // Left behind, it names a process that is gone, which `running` notices.
        let _ = fs::remove_file(self.0.join("run.json"));
    }

    pub(crate) fn nothing_here(&self) -> Failure {
        Failure::new(format!("No cloud runs on {}.", self.0.display()))
            .hint("Start one with `gureum up`, or name its directory with --data-dir.")
    }

    fn credentials_file(&self) -> PathBuf {
        self.0.join("root-credentials.json")
    }

    fn read_json<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, Failure> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
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

pub(crate) fn alive(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid)
        .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}
