//! The local certificate authority's files: made once, the key for its owner alone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use gureum_wire::front::tls::AuthorityPem;

use crate::data_dir::DataDir;
use crate::failure::{Context, Failure};

/// Reads the authority, or makes one. The key is written last: where it stands, all is there.
pub(crate) fn open(dir: &DataDir) -> Result<AuthorityPem, Failure> {
    let folder = dir.ca();
    let key_file = folder.join("ca.key");
    let doing = format!(
        "cannot open the certificate authority in {}",
        folder.display()
    );
    match fs::read_to_string(&key_file) {
        Ok(key) => {
            let certificate = fs::read_to_string(dir.ca_bundle()).or_fail(&doing)?;
            return Ok(AuthorityPem { certificate, key });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).or_fail(&doing),
    }
    let made = AuthorityPem::generate().or_fail(&doing)?;
    fs::create_dir_all(&folder).or_fail(&doing)?;
    write(&dir.ca_bundle(), &made.certificate, 0o644).or_fail(&doing)?;
    write(&key_file, &made.key, 0o600).or_fail(&doing)?;
    Ok(made)
}

/// Replaces a file as a whole.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
