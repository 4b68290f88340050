//! Whom we believe: the host's authorities, our own, and certificates named by their thumbprint.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gureum_kit::Clock;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::Error;

/// The SHA-1 of a certificate's DER form.
pub type Thumbprint = [u8; 20];

/// What may stand at the top of a chain of certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// An authority of the host's, or one of those that [`crate::Outbound::new`] was given.
    #[default]
    Roots,
    /// One of those; or else a certificate with one of these thumbprints, which the other side
    /// must present as part of its chain. Everything below it is verified as always.
    ///
    /// This is how IAM believes OpenID Connect providers:
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_verify-thumbprint.html>
    RootsOr(Vec<Thumbprint>),
}

/// The certificates in a PEM file's text.
///
/// # Errors
/// [`Error::Malformed`] where something in it is no PEM.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Malformed(format!("a certificate is no PEM: {error}")))
}

/// Makes TLS settings. The host's authorities are read when they are first needed.
#[derive(Clone)]
pub(crate) struct Tls(Arc<Inner>);

struct Inner {
    clock: Clock,
    extra: Vec<CertificateDer<'static>>,
    roots: OnceCell<Arc<RootCertStore>>,
    ordinary: OnceCell<Arc<ClientConfig>>,
    provider: Arc<CryptoProvider>,
}

impl Tls {
    pub(crate) fn new(clock: Clock, extra: Vec<CertificateDer<'static>>) -> Self {
        Self(Arc::new(Inner {
            clock,
            extra,
            roots: OnceCell::new(),
            ordinary: OnceCell::new(),
            provider: Arc::new(default_provider()),
        }))
    }

    pub(crate) async fn connector(&self, trust: &Trust) -> Result<TlsConnector, Error> {
        let roots = self.0.roots.get_or_init(|| self.clone().load()).await;
        let config = match trust {
            Trust::Roots => {
                let make = async || self.config(roots, None);
                self.0.ordinary.get_or_try_init(make).await?.clone()
            }
            Trust::RootsOr(prints) => self.config(roots, Some(prints))?,
        };
        Ok(TlsConnector::from(config))
    }

    /// For protocols other than HTTP, which are not negotiated by name; [`Trust::Roots`].
    pub(crate) async fn unnamed(&self) -> Result<TlsConnector, Error> {
        let roots = self.0.roots.get_or_init(|| self.clone().load()).await;
        let mut config = ClientConfig::clone(&*self.config(roots, None)?);
        config.alpn_protocols.clear();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Reads files: some milliseconds, so not on a thread that serves others.
    async fn load(self) -> Arc<RootCertStore> {
        let load = move || {
            let mut roots = RootCertStore::empty();
            let host = rustls_native_certs::load_native_certs();
            for error in host.errors {
                tracing::warn!(%error, "some of the host's certificate authorities cannot be read");
            }
            roots.add_parsable_certificates(host.certs);
            roots.add_parsable_certificates(self.0.extra.iter().cloned());
            Arc::new(roots)
        };
        tokio::task::spawn_blocking(load)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "the host's certificate authorities cannot be read");
                Arc::new(RootCertStore::empty())
            })
    }

    fn config(
        &self,
        roots: &Arc<RootCertStore>,
        prints: Option<&Vec<Thumbprint>>,
    ) -> Result<Arc<ClientConfig>, Error> {
        let provider = &self.0.provider;
        let time = Arc::new(CloudTime(self.0.clock.clone()));
        let builder = ClientConfig::builder_with_details(provider.clone(), time)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Malformed(error.to_string()))?;
        let mut config = match prints {
            None => builder.with_root_certificates(roots.clone()),
            Some(prints) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(ByThumbprint {
                    roots: roots.clone(),
                    prints: prints.clone(),
                    provider: provider.clone(),
                })),
        }
        .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Certificates are valid at the cloud's time.
struct CloudTime(Clock);

impl TimeProvider for CloudTime {
    fn current_time(&self) -> Option<UnixTime> {
        let millis = u64::try_from(self.0.now()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(millis)))
    }
}

impl fmt::Debug for CloudTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CloudTime")
    }
}

/// [`Trust::RootsOr`].
#[derive(Debug)]
struct ByThumbprint {
    roots: Arc<RootCertStore>,
    prints: Vec<Thumbprint>,
    provider: Arc<CryptoProvider>,
}

impl ByThumbprint {
    fn wanted(&self, certificate: &CertificateDer<'_>) -> bool {
        let print = digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate);
        self.prints.iter().any(|wanted| print.as_ref() == wanted)
    }

    /// Whether the chain leads to one of `roots`.
    fn leads_to(
        &self,
        roots: &RootCertStore,
        leaf: &ParsedCertificate<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(leaf, roots, chain, now, algorithms)
    }

    /// Whether the chain leads to a certificate of its own that has a wanted thumbprint.
    fn leads_to_wanted(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        let mut wanted = RootCertStore::empty();
        for certificate in chain.iter().filter(|c| self.wanted(c)) {
            wanted.add(certificate.clone().into_owned())?;
        }
        if !self.wanted(leaf) {
            return self.leads_to(&wanted, &parsed, chain, now);
        }
        // The leaf itself is named, so there is no chain to verify, only whether it is valid now;
        // which is verified before the search for an issuer, who may be nobody, and before the
        // complaint that it calls itself an authority, as `openssl req -x509` lets it.
        match self.leads_to(&wanted, &parsed, chain, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::Other(_),
            )) => Ok(()),
            other => other,
        }
    }
}

impl ServerCertVerifier for ByThumbprint {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        self.leads_to(&self.roots, &parsed, chain, now)
            .or_else(|_| self.leads_to_wanted(leaf, chain, now))?;
        verify_server_name(&parsed, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
