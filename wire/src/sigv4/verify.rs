//! The second phase: recompute the signature and compare.

use std::time::Duration;

use gureum_schema::Timestamp;

use super::body::Payload;
use super::canonical::{PathRule, canonical_request, hex_of, string_to_sign};
use super::chunked::Chunked;
use super::claim::{Claim, Place};
use super::content::ContentHash;
use super::error::{Mismatch, SigError};
use super::key::{KeyCache, KeyId, SigningKey};

/// What a service tolerates.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How far the sender's clock may be off.
    pub max_skew: Duration,
}

impl Policy {
    /// 15 minutes in S3, 5 minutes elsewhere.
    pub fn of(service: &str) -> Self {
        let minutes = if service == "s3" { 15 } else { 5 };
        Self {
            max_skew: Duration::from_secs(minutes * 60),
        }
    }
}

/// The sender holds the secret, and sent these headers, this path and this query.
#[derive(Debug)]
pub struct Verified {
    /// What the body must satisfy still: [`Payload::guard`].
    pub payload: Payload,
}

impl Claim<'_> {
    /// Verifies the claim against the secret of its access key.
    pub fn verify(
        &self,
        secret: &str,
        keys: &KeyCache,
        now: Timestamp,
        policy: Policy,
    ) -> Result<Verified, SigError> {
        self.verify_with(
            secret,
            keys,
            now,
            policy,
            PathRule::of(self.scope().service()),
        )
    }

    pub(super) fn verify_with(
        &self,
        secret: &str,
        keys: &KeyCache,
        now: Timestamp,
        policy: Policy,
        rule: PathRule,
    ) -> Result<Verified, SigError> {
        self.check_time(now, policy)?;
        let content = self.content.ok_or(SigError::MissingContentHash)?;
        let id = KeyId::of(self.access_key(), secret, self.scope());
        let cached = keys.find(&id);
        let new = cached.is_none();
        let key = cached.unwrap_or_else(|| SigningKey::derive(secret, self.scope()));
        self.check_signature(&key, content, rule)?;
        if new {
            keys.keep(id, key.clone());
        }
        Ok(Verified {
            payload: self.payload(content, key),
        })
    }

    /// Is the claim meant for this region and this signing name?
    pub fn expect_scope(&self, region: &str, service: &str) -> Result<(), SigError> {
        let scope = self.scope();
        if scope.service() != service {
            return Err(SigError::WrongService {
                place: self.place,
                found: scope.service().to_owned(),
                expected: service.to_owned(),
            });
        }
        if scope.region() != region {
            return Err(SigError::WrongRegion {
                place: self.place,
                found: scope.region().to_owned(),
                expected: region.to_owned(),
            });
        }
        Ok(())
    }

    fn check_signature(
        &self,
        key: &SigningKey,
        content: ContentHash,
        rule: PathRule,
    ) -> Result<(), SigError> {
        let mut buffer = [0; 64];
        let content = content.text(&mut buffer);
        let spell = |without: &[&str]| {
            let canonical =
                canonical_request(&self.request, rule, &self.signed_headers, content, without);
            let text = string_to_sign(&self.date, self.scope().as_str(), &canonical);
            (canonical, text)
        };
        let without: &[&str] = match self.place {
            Place::Query => &["X-Amz-Signature", "X-Amz-Security-Token"],
            Place::Header | Place::Form => &[],
        };
        let (canonical, text) = spell(&without[..without.len().min(1)]);
        if key.verify(text.as_bytes(), &self.signature) {
            return Ok(());
        }
        // Some services (IoT among them) have the token appended to a URL that is signed already.
        // It adds nothing to the proof: the token must belong to the access key in any case.
        let appended = self.place == Place::Query && self.session_token().is_some();
        if appended && !self.is_s3() && key.verify(spell(without).1.as_bytes(), &self.signature) {
            return Ok(());
        }
        Err(SigError::Mismatch(Box::new(Mismatch {
            access_key: self.access_key().to_owned(),
            signature: hex_of(&self.signature, &mut [0; 64]).to_owned(),
            string_to_sign: text,
            canonical_request: String::from_utf8_lossy(&canonical).into_owned(),
        })))
    }

    fn check_time(&self, now: Timestamp, policy: Policy) -> Result<(), SigError> {
        let max_skew = i64::try_from(policy.max_skew.as_millis()).unwrap_or(i64::MAX);
        let signed = self.date.moment();
        let age = now.0.saturating_sub(signed.0);
        let Some(expires) = self.expires else {
            return match age.unsigned_abs() > max_skew.unsigned_abs() {
                true => Err(SigError::Skewed {
                    signed,
                    now,
                    max_skew: policy.max_skew,
                }),
                false => Ok(()),
            };
        };
        if age < -max_skew {
            return Err(SigError::NotYetValid { signed, now });
        }
        if age > i64::from(expires) * 1000 {
            return Err(SigError::Expired {
                signed,
                expires,
                now,
            });
        }
        Ok(())
    }

    fn payload(&self, content: ContentHash, key: SigningKey) -> Payload {
        match content {
            ContentHash::Exact(digest) => Payload::Exact(digest),
            ContentHash::Unsigned => Payload::Unsigned,
            ContentHash::Chunked { signed: false, .. } => Payload::Chunked(Chunked::unsigned()),
            ContentHash::Chunked {
                signed: true,
                trailer,
            } => {
                let scope = self.scope().as_str().to_owned();
                Payload::Chunked(Chunked::signed(
                    key,
                    self.date,
                    scope,
                    self.signature,
                    trailer,
                ))
            }
        }
    }
}
