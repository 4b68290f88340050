//! Signing keys, and a bounded cache of them: deriving one costs five HMACs.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use ring::digest::{Context, SHA256};
use ring::hmac::{self, HMAC_SHA256};

use super::claim::Scope;
use super::{Digest, digest_of};

/// A secret narrowed to one day, region and service, ready for use.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    pub fn derive(secret: &str, scope: Scope<'_>) -> Self {
        Self::narrowed(secret, [scope.date(), scope.region(), scope.service()])
    }

    /// For a day (`YYYYMMDD`), a region and a service.
    pub(super) fn narrowed(secret: &str, [day, region, service]: [&str; 3]) -> Self {
        let mut seed = Vec::with_capacity(4 + secret.len());
        seed.extend_from_slice(b"AWS4");
        seed.extend_from_slice(secret.as_bytes());
        let steps = [day, region, service, "aws4_request"];
        let root = hmac::Key::new(HMAC_SHA256, &seed);
        Self(steps.iter().fold(root, |key, step| {
            hmac::Key::new(HMAC_SHA256, hmac::sign(&key, step.as_bytes()).as_ref())
        }))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Digest {
        digest_of(hmac::sign(&self.0, message).as_ref())
    }

    /// In constant time.
    pub(super) fn verify(&self, message: &[u8], signature: &Digest) -> bool {
        hmac::verify(&self.0, message, signature).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<signing key>")
    }
}

/// A digest of scope, access key and secret: a changed secret has another name, so that no stale
/// key can ever be found, and the cache holds no secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyId(Digest);

impl KeyId {
    pub(super) fn of(access_key: &str, secret: &str, scope: Scope<'_>) -> Self {
        let mut hash = Context::new(&SHA256);
        for part in [access_key, secret, scope.as_str()] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Self(digest_of(hash.finish().as_ref()))
    }
}

/// Signing keys that have verified a request lately, in two generations: when the young one is
/// full it becomes the old one, and the former old one is forgotten.
pub struct KeyCache {
    half: usize,
    generations: RwLock<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<KeyId, SigningKey>,
    old: HashMap<KeyId, SigningKey>,
}

impl KeyCache {
    /// Holds at most `capacity` keys, and never fewer than two.
    pub fn new(capacity: usize) -> Self {
        Self {
            half: (capacity / 2).max(1),
            generations: RwLock::default(),
        }
    }

    pub(super) fn find(&self, id: &KeyId) -> Option<SigningKey> {
        let found = {
            let generations = self
                .generations
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(key) = generations.young.get(id) {
                return Some(key.clone());
            }
            generations.old.get(id).cloned()
        };
        if let Some(key) = &found {
            self.keep(*id, key.clone());
        }
        found
    }

    /// Only keys that have verified something are worth a place: strangers cannot flush the cache.
    pub(super) fn keep(&self, id: KeyId, key: SigningKey) {
        let mut generations = self
            .generations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= self.half {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(id, key);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self
            .generations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        generations.young.len() + generations.old.len()
    }
}

/// Room for a thousand keys, about 200 KB.
impl Default for KeyCache {
    fn default() -> Self {
        Self::new(1000)
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<cache of {} signing keys>", 2 * self.half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(day: &str) -> Scope<'_> {
        Scope::parse(day).expect("a scope")
    }

    const TODAY: &str = "20150830/us-east-1/iam/aws4_request";

    #[test]
    fn stays_within_its_bound_and_keeps_what_is_used() {
        let cache = KeyCache::new(10);
        let id = |n: usize| KeyId::of(&n.to_string(), "secret", scope(TODAY));
        let key = SigningKey::derive("secret", scope(TODAY));
        for n in 0..1000 {
            cache.keep(id(n), key.clone());
            assert!(cache.find(&id(0)).is_some(), "used at every turn");
            assert!(cache.len() <= 10);
        }
        assert!(cache.find(&id(500)).is_none());
    }

    #[test]
    fn every_part_of_the_identity_counts() {
        let ids = [
            KeyId::of("a", "bc", scope(TODAY)),
            KeyId::of("ab", "c", scope(TODAY)),
            KeyId::of("a", "bd", scope(TODAY)),
            KeyId::of("a", "bc", scope("20150831/us-east-1/iam/aws4_request")),
        ];
        for (n, id) in ids.iter().enumerate() {
            assert!(ids[..n].iter().all(|other| other != id));
        }
    }
}
