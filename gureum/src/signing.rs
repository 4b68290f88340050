//! The key that SNS signs messages with, and its certificate, issued by the local authority. Both
//! are made when they are first needed, and kept in one file among the secrets.

use std::fs;
use std::path::{Path, PathBuf};

use gureum_sns::{KeySource, SigningPem, new_key};
use gureum_wire::front::tls::AuthorityPem;

use crate::ca;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Reads the key from `file`, or makes it.
pub(crate) fn source(file: PathBuf, authority: AuthorityPem, domain: &str) -> KeySource {
    let name = format!("sns.{domain}");
    Box::new(move || {
        match read(&file) {
            Ok(Some(pem)) => Ok(pem),
            Ok(None) => make(&file, &authority, &name),
            Err(error) => Err(error.to_string()),
        }
        .map_err(|why| format!("{}: {why}", file.display()))
    })
}

fn read(file: &Path) -> std::io::Result<Option<SigningPem>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let at = text.find(CERTIFICATE);
    let at = at.ok_or_else(|| std::io::Error::other("it holds no certificate"))?;
    let (key, certificate) = text.split_at(at);
    Ok(Some(SigningPem {
        key: key.to_owned(),
        certificate: certificate.to_owned(),
    }))
}

fn make(file: &Path, authority: &AuthorityPem, name: &str) -> Result<SigningPem, String> {
    let key = new_key()?;
    let certificate = authority.certify(&key, name).map_err(|e| e.to_string())?;
    ca::write(file, &format!("{key}{certificate}"), 0o600).map_err(|e| e.to_string())?;
    Ok(SigningPem { key, certificate })
}
