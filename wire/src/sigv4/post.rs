//! The signature of a browser's form upload: of its policy document, not of the request.
//!
//! Source: "Authenticating Requests: Browser-Based Uploads Using POST" in the S3 API Reference.

use super::ALGORITHM;
use super::Digest;
use super::canonical::hex_of;
use super::claim::{Credential, Place, Scope, parse_signature};
use super::date::AmzDate;
use super::error::{Mechanism, Mismatch, SigError};
use super::key::{KeyCache, KeyId, SigningKey};
use std::borrow::Cow;

/// The signature fields of a form, not yet verified. When the policy has expired is for S3 to
/// judge: the policy says it, not the signature.
#[derive(Clone, Debug)]
pub struct PostClaim<'f> {
    policy: &'f str,
    credential: Credential<'f>,
    signature: Digest,
}

impl<'f> PostClaim<'f> {
    /// From the fields `policy` (base64, as it came), `x-amz-algorithm`, `x-amz-credential`,
    /// `x-amz-date` and `x-amz-signature`.
    pub fn parse(
        policy: &'f str,
        algorithm: &str,
        credential: &'f str,
        date: &str,
        signature: &str,
    ) -> Result<Self, SigError> {
        let place = Place::Form;
        match algorithm {
            ALGORITHM => {}
            "AWS4-ECDSA-P256-SHA256" => return Err(SigError::Unsupported(Mechanism::SigV4A)),
            other => return Err(SigError::Unsupported(Mechanism::other(other))),
        }
        let credential = Credential::parse(Cow::Borrowed(credential), place)?;
        let date = AmzDate::parse(date).ok_or(SigError::Malformed {
            place,
            what: "x-amz-date is not like 20150830T123600Z",
        })?;
        credential.check_day(&date, place)?;
        Ok(Self {
            policy,
            credential,
            signature: parse_signature(signature, place)?,
        })
    }

    pub fn access_key(&self) -> &str {
        self.credential.access_key()
    }

    pub fn scope(&self) -> Scope<'_> {
        self.credential.scope()
    }

    pub fn verify(&self, secret: &str, keys: &KeyCache) -> Result<(), SigError> {
        let id = KeyId::of(self.access_key(), secret, self.scope());
        let cached = keys.find(&id);
        let new = cached.is_none();
        let key = cached.unwrap_or_else(|| SigningKey::derive(secret, self.scope()));
        if !key.verify(self.policy.as_bytes(), &self.signature) {
            return Err(SigError::Mismatch(Box::new(Mismatch {
                access_key: self.access_key().to_owned(),
                signature: hex_of(&self.signature, &mut [0; 64]).to_owned(),
                string_to_sign: self.policy.to_owned(),
                canonical_request: String::new(),
            })));
        }
        if new {
            keys.keep(id, key);
        }
        Ok(())
    }
}
