//! The keys that OpenID Connect providers sign with: fetched when a token needs them, kept for as
//! long as the provider says, and never asked for more often than once in [`PAUSE`].
//!
//! A provider is asked for two documents, the discovery document and the key set that it names
//! (OpenID Connect Discovery 1.0, section 4; RFC 7517).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gureum_kit::Clock;
use gureum_outbound::{Error, Outbound, Request, StatusCode, Thumbprint, Trust};
use gureum_schema::Bytes;
use serde::Deserialize;

use super::jwt::KeySet;
use crate::errors::{Fault, Outcome};
use crate::model::OidcProvider;

/// A provider that doesn't know a token's key, or doesn't answer, is not asked again before this:
/// anybody can send tokens, and they must not become a flood of requests to somebody else.
const PAUSE: i64 = 1_000;
/// For how long keys are kept, where the provider doesn't say.
const LIFETIME: Duration = Duration::from_secs(600);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Providers whose keys are kept; when full it starts over.
const CAPACITY: usize = 1_000;
/// How long a provider may take for one document, and how long the document may be.
const DEADLINE: Duration = Duration::from_secs(5);
const LIMIT: usize = 1 << 20;

/// A document of a provider, and for how long it says that it holds.
pub(crate) struct Document {
    pub(crate) body: Bytes,
    pub(crate) lifetime: Option<Duration>,
}

/// Why there is no document.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// The certificate is neither an authority's nor the one that was named.
    NotTrusted,
    /// What cannot be read, and why.
    Unreadable(String),
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NotTrusted => Self::invalid_identity_token(
                "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint",
            ),
            Trouble::Unreadable(what) => Self::idp_unreachable(what),
        }
    }
}

/// Fetches what stands at an address; unit tests bring their own.
#[async_trait]
pub(crate) trait Fetch: Send + Sync + 'static {
    /// `prints` may stand for the authorities that the cloud knows.
    async fn get(&self, url: &str, prints: &[Thumbprint]) -> Result<Document, Trouble>;
}

#[async_trait]
impl Fetch for Outbound {
    async fn get(&self, url: &str, prints: &[Thumbprint]) -> Result<Document, Trouble> {
        let answer = self
            .send(Request {
                deadline: DEADLINE,
                limit: LIMIT,
                trust: Trust::RootsOr(prints.to_vec()),
                ..Request::get(url)
            })
            .await;
        let answer = answer.map_err(|error| match error {
            Error::NotTrusted { .. } => Trouble::NotTrusted,
            other => unreadable(url, other),
        })?;
        if answer.status != StatusCode::OK {
            return Err(unreadable(
                url,
                format_args!("it answers {}", answer.status),
            ));
        }
        let control = answer.headers.get("cache-control");
        Ok(Document {
            body: answer.body,
            lifetime: control.and_then(|value| lifetime(value.to_str().ok()?)),
        })
    }
}

fn unreadable(url: &str, why: impl std::fmt::Display) -> Trouble {
    Trouble::Unreadable(format!(
        "The identity provider's {url} cannot be read: {why}"
    ))
}

/// How long an answer holds by its `Cache-Control` (RFC 9111, 5.2.2).
fn lifetime(control: &str) -> Option<Duration> {
    let mut directives = control.split(',').map(str::trim);
    if directives
        .clone()
        .any(|it| matches!(it, "no-store" | "no-cache"))
    {
        return Some(Duration::ZERO);
    }
    let age = directives.find_map(|it| it.strip_prefix("max-age="))?;
    Some(Duration::from_secs(age.trim_matches('"').parse().ok()?))
}

/// The scheme, the host, and the thumbprints: who is believed on one set of them is not therefore
/// believed on another.
type Which = (String, String, Vec<String>);

/// The keys of all providers.
pub(crate) struct ProviderKeys {
    fetch: Arc<dyn Fetch>,
    clock: Clock,
    known: Mutex<HashMap<Which, Arc<tokio::sync::Mutex<Option<Fetched>>>>>,
}

/// What the last fetch brought.
struct Fetched {
    at: i64,
    keys: Result<Arc<KeySet>, Trouble>,
    until: i64,
}

impl Fetched {
    /// Whether it will do for a token that is signed with this key.
    fn serves(&self, kid: Option<&str>, now: i64) -> bool {
        let good = match &self.keys {
            Ok(keys) => now < self.until && keys.knows(kid),
            Err(_) => false,
        };
        good || now < self.at + PAUSE
    }
}

impl ProviderKeys {
    pub(crate) fn new(fetch: Arc<dyn Fetch>, clock: Clock) -> Self {
        Self {
            fetch,
            clock,
            known: Mutex::default(),
        }
    }

    /// The keys that a provider signs with today; fetched again where they don't hold this one.
    pub(super) async fn get(
        &self,
        provider: &OidcProvider,
        kid: Option<&str>,
    ) -> Outcome<Arc<KeySet>> {
        let slot = self.slot(provider);
        // Held over the fetch: whoever else needs these keys waits for the same answer.
        let mut fetched = slot.lock().await;
        if let Some(last) = &*fetched
            && last.serves(kid, self.clock.now())
        {
            return Ok(last.keys.clone()?);
        }
        let (keys, lifetime) = match self.fetch(provider).await {
            Ok((keys, lifetime)) => (Ok(Arc::new(keys)), lifetime.min(LONGEST)),
            Err(trouble) => (Err(trouble), Duration::ZERO),
        };
        let at = self.clock.now();
        let last = fetched.insert(Fetched {
            at,
            keys,
            until: at + i64::try_from(lifetime.as_millis()).unwrap_or_default(),
        });
        Ok(last.keys.clone()?)
    }

    fn slot(&self, provider: &OidcProvider) -> Arc<tokio::sync::Mutex<Option<Fetched>>> {
        let which = (
            provider.scheme.clone(),
            provider.host.clone(),
            provider.thumbprints.clone(),
        );
        // A poisoned lock holds a whole map all the same.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CAPACITY && !known.contains_key(&which) {
            known.clear();
        }
        Arc::clone(known.entry(which).or_default())
    }

    async fn fetch(&self, provider: &OidcProvider) -> Result<(KeySet, Duration), Trouble> {
        /// The one member of a discovery document that matters here.
        #[derive(Deserialize)]
        struct Discovery {
            jwks_uri: String,
        }
        let prints: Vec<_> = provider
            .thumbprints
            .iter()
            .filter_map(|p| print(p))
            .collect();
        let issuer = format!("{}://{}", provider.scheme, provider.host);
        let url = format!("{issuer}/.well-known/openid-configuration");
        let (discovery, _) = self.json::<Discovery>(&url, &prints).await?;
        let (keys, lifetime) = self.json(&discovery.jwks_uri, &prints).await?;
        Ok((keys, lifetime.unwrap_or(LIFETIME)))
    }

    async fn json<T: for<'de> Deserialize<'de>>(
        &self,
        url: &str,
        prints: &[Thumbprint],
    ) -> Result<(T, Option<Duration>), Trouble> {
        if !may_be_asked(url) {
            return Err(unreadable(url, "it is no https address"));
        }
        let document = self.fetch.get(url, prints).await?;
        let value = serde_json::from_slice(&document.body)
            .map_err(|_| unreadable(url, "it is not the JSON that it should be"))?;
        Ok((value, document.lifetime))
    }
}

/// AWS asks over HTTPS alone. So do we, except on this very machine, where an issuer for
/// development needs no certificate and nobody stands in between.
pub(crate) fn may_be_asked(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return url.starts_with("https://");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let here = match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    here && !authority.contains('@')
}

/// Forty hexadecimal digits.
fn print(text: &str) -> Option<Thumbprint> {
    let mut print = Thumbprint::default();
    hex::decode_to_slice(text, &mut print).ok()?;
    Some(print)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_as_long_as_it_says() {
        for (control, seconds) in [
            ("max-age=300", Some(300)),
            ("public, max-age=19845, must-revalidate", Some(19_845)),
            ("no-store", Some(0)),
            ("max-age=9, no-cache", Some(0)),
            ("private", None),
            ("max-age=soon", None),
        ] {
            assert_eq!(
                lifetime(control),
                seconds.map(Duration::from_secs),
                "{control}"
            );
        }
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        for url in [
            "https://example.com/x",
            "http://localhost:8080/x",
            "http://127.0.0.1",
            "http://[::1]:1/x",
            "http://a.localhost/",
        ] {
            assert!(may_be_asked(url), "{url}");
        }
        for url in [
            "http://example.com",
            "http://localhost.example.com",
            "http://10.0.0.1/",
            "http://127.0.0.1@example.com/",
            "http://localhost:x@example.com/",
            "file:///etc/passwd",
            "ftp://localhost",
        ] {
            assert!(!may_be_asked(url), "{url}");
        }
    }
}
