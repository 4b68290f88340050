//! The local certificate authority: a certificate for every name that clients ask for, made when
//! they first ask.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Names that a certificate was made for, at most; the oldest guesses of a scanner must not fill
/// the memory.
const CACHED: usize = 1_000;

/// The authority's key and certificate, both PEM.
#[derive(Clone)]
pub struct AuthorityPem {
    pub certificate: String,
    pub key: String,
}

impl AuthorityPem {
    pub fn generate() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = authority_params().self_signed(&key)?;
        Ok(Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// A certificate for somebody's own key (PKCS #8, PEM), to sign documents with.
    pub fn certify(&self, key: &str, name: &str) -> Result<String, rcgen::Error> {
        let issuer = Issuer::new(authority_params(), KeyPair::from_pem(&self.key)?);
        let mut params = CertificateParams::new([name.to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, short(name));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2044, 1, 1);
        let certificate = params.signed_by(&KeyPair::from_pem(key)?, &issuer)?;
        Ok(certificate.pem())
    }
}

/// TLS settings that answer with certificates of this authority. A client that names no host (one
/// that connects to an address) gets a certificate for loopback.
pub fn server_config(
    pem: &AuthorityPem,
) -> Result<Arc<rustls::ServerConfig>, Box<dyn std::error::Error>> {
    let key = KeyPair::from_pem(&pem.key)?;
    let minter = Minter {
        issuer: Issuer::new(authority_params(), key),
        made: Mutex::default(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(minter));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

struct Minter {
    issuer: Issuer<'static, KeyPair>,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Minter {
    fn mint(&self, name: &str) -> Result<Arc<CertifiedKey>, Box<dyn std::error::Error>> {
        let mut names = vec![name.to_owned(), "localhost".into()];
        names.extend(["127.0.0.1".into(), "::1".into()]);
        names.dedup();
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, short(name));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2044, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Arc::new(CertifiedKey::new(chain, any_ecdsa_type(&key)?)))
    }
}

impl ResolvesServerCert for Minter {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello
            .server_name()
            .unwrap_or("localhost")
            .to_ascii_lowercase();
        // A poisoned lock holds a whole map all the same: entries are only ever added.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = made.get(&name) {
            return Some(Arc::clone(key));
        }
        match self.mint(&name) {
            Ok(key) => {
                if made.len() >= CACHED {
                    made.clear();
                }
                made.insert(name, Arc::clone(&key));
                Some(key)
            }
            Err(error) => {
                tracing::warn!(name, %error, "cannot make a certificate");
                None
            }
        }
    }
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Minter")
    }
}

/// The same each time: only the key tells one authority from another.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Gureum local CA");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Gureum");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2044, 1, 1);
    params
}

/// A common name may have 64 characters.
fn short(name: &str) -> &str {
    name.get(..64).unwrap_or(name)
}
