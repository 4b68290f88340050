//! Signatures that endpoints can verify, and the certificate that they verify them with.
//!
//! Source: <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use rsa::signature::{SignatureEncoding as _, Signer as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::errors::{Refusal, Result};

/// The key (PKCS #8, PEM) and its certificate (PEM).
#[derive(Clone, Debug)]
pub struct SigningPem {
    pub key: String,
    pub certificate: String,
}

/// Makes a new key, PKCS #8 in PEM. Takes some tenths of a second.
pub fn new_key() -> std::result::Result<String, String> {
    let failed = |_| "cannot make an RSA key".to_owned();
    let pair =
        aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).map_err(failed)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
    let key = rsa::RsaPrivateKey::from_pkcs8_der(der.as_ref()).map_err(|e| e.to_string())?;
    let pem = key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|e| e.to_string())?;
    Ok(pem.to_string())
}

/// Reads the key, or makes it when it is needed for the first time; may block.
pub type KeySource = Box<dyn Fn() -> std::result::Result<SigningPem, String> + Send + Sync>;

/// Signs messages; loads its key when it signs for the first time.
pub(crate) struct Signer {
    source: std::sync::Arc<KeySource>,
    loaded: OnceCell<Loaded>,
}

struct Loaded {
    v1: SigningKey<Sha1>,
    /// RSA with SHA-256 by a faster library, which signs no SHA-1.
    v2: aws_lc_rs::rsa::KeyPair,
    certificate: String,
    /// Of the certificate's file, which changes with it.
    path: String,
}

impl Signer {
    pub(crate) fn new(source: KeySource) -> Self {
        Self {
            source: std::sync::Arc::new(source),
            loaded: OnceCell::new(),
        }
    }

    async fn loaded(&self) -> Result<&Loaded> {
        let load = || async {
            let source = std::sync::Arc::clone(&self.source);
            let loaded = tokio::task::spawn_blocking(move || Loaded::read(source()?)).await;
            loaded.unwrap_or_else(|panic| Err(panic.to_string()))
        };
        let loaded = self.loaded.get_or_try_init(load).await;
        loaded.map_err(|why| Refusal::Broken(format!("the signing key: {why}")))
    }

    /// The path of the certificate at the front door, `/SimpleNotificationService-….pem`.
    pub(crate) async fn certificate_path(&self) -> Result<String> {
        Ok(self.loaded().await?.path.clone())
    }

    /// The certificate, if this is its path.
    pub(crate) async fn certificate(&self, path: &str) -> Result<Option<String>> {
        let loaded = self.loaded().await?;
        Ok((loaded.path == path).then(|| loaded.certificate.clone()))
    }

    /// The signature in base64: version 1 is SHA-1, version 2 SHA-256, both RSA with PKCS #1.
    pub(crate) async fn sign(&self, version: u8, text: &str) -> Result<String> {
        let loaded = self.loaded().await?;
        let broken = |_| Refusal::Broken("a message could not be signed".into());
        let signature = if version == 2 {
            let mut signature = vec![0; loaded.v2.public_modulus_len()];
            let random = aws_lc_rs::rand::SystemRandom::new();
            let padding = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
            loaded
                .v2
                .sign(padding, &random, text.as_bytes(), &mut signature)
                .map_err(broken)?;
            signature
        } else {
            let signed = loaded.v1.try_sign(text.as_bytes());
            signed
                .map_err(|_| broken(aws_lc_rs::error::Unspecified))?
                .to_vec()
        };
        Ok(STANDARD.encode(signature))
    }
}

impl Loaded {
    fn read(pem: SigningPem) -> std::result::Result<Self, String> {
        let key = rsa::RsaPrivateKey::from_pkcs8_pem(&pem.key).map_err(|e| e.to_string())?;
        let der = key.to_pkcs8_der().map_err(|e| e.to_string())?;
        let v2 = aws_lc_rs::rsa::KeyPair::from_pkcs8(der.as_bytes()).map_err(|e| e.to_string())?;
        let print = hex::encode(&Sha256::digest(&pem.certificate)[..16]);
        Ok(Self {
            v1: SigningKey::new(key),
            v2,
            certificate: pem.certificate,
            path: format!("{PATH}{print}.pem"),
        })
    }
}

/// What the paths of certificates begin with.
pub(crate) const PATH: &str = "/SimpleNotificationService-";
