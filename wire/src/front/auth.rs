//! Who is at the door: from a signature to a caller.

use std::sync::Arc;

use gureum_dispatch::{Caller, Credential};
use gureum_kit::AccountId;
use gureum_schema::{Error, Result, Timestamp};
use http::request::Parts;

use super::{AuthMode, Door};
use crate::sigv4::{Claim, Family, LegacyClaim, Payload, Place, Policy, PostClaim, SigError};

/// A caller, and what the signature says of the body that is still to come.
pub(crate) struct Proof {
    pub(crate) caller: Arc<Caller>,
    pub(crate) payload: Payload,
    pub(crate) signature: Signature,
}

/// What policies may ask of a signature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    /// `s3:authType`
    pub(crate) auth_type: &'static str,
    /// `s3:signatureAge`, in milliseconds.
    pub(crate) age: i64,
}

impl Signature {
    pub(crate) const NONE: Self = Self {
        auth_type: "Anonymous",
        age: 0,
    };

    fn of(claim: &Claim<'_>, now: Timestamp) -> Self {
        Self {
            auth_type: match claim.place() {
                Place::Header => "REST-HEADER",
                Place::Query => "REST-QUERY-STRING",
                Place::Form => "POST",
            },
            age: now.0.saturating_sub(claim.signed_at().0),
        }
    }
}

impl Door {
    /// Proves a claim. `body` is the whole body where it has been read already.
    pub(crate) fn prove(
        &self,
        claim: Option<Claim<'_>>,
        parts: &Parts,
        body: Option<&[u8]>,
        family: Family,
        now: Timestamp,
    ) -> Result<Proof> {
        let Some(mut claim) = claim else {
            let payload = Payload::anonymous(&parts.headers);
            return Ok(Proof {
                caller: Arc::new(Caller::anonymous()),
                payload: payload.map_err(|error| error.reply(family))?,
                signature: Signature::NONE,
            });
        };
        let signature = Signature::of(&claim, now);
        if let AuthMode::Relaxed { account } = &self.options.auth {
            return Ok(Proof {
                caller: Arc::new(relaxed(claim.access_key(), *account)),
                payload: claim.unverified_payload(),
                signature,
            });
        }
        let credential = self.credential(claim.access_key(), claim.session_token(), now, family)?;
        if claim.needs_body() {
            claim.hash_body(body.unwrap_or_default());
        }
        let policy = Policy::of(claim.scope().service());
        let verified = claim
            .verify(&credential.secret, &self.keys, now, policy)
            .map_err(|error| error.reply(family))?;
        Ok(Proof {
            caller: credential.caller,
            payload: verified.payload,
            signature,
        })
    }

    /// Proves a presigned URL of the older kind; `path` is the path-style one.
    pub(crate) fn prove_legacy(
        &self,
        claim: &LegacyClaim<'_>,
        path: &str,
        parts: &Parts,
        now: Timestamp,
    ) -> Result<Proof> {
        let caller = match &self.options.auth {
            AuthMode::Relaxed { account } => Arc::new(relaxed(claim.access_key(), *account)),
            AuthMode::Strict => {
                let token = claim.session_token();
                let credential = self.credential(claim.access_key(), token, now, Family::S3)?;
                let verified = claim.verify(&credential.secret, path, now);
                verified.map_err(|error| error.reply(Family::S3))?;
                credential.caller
            }
        };
        let payload = Payload::anonymous(&parts.headers);
        Ok(Proof {
            caller,
            payload: payload.map_err(|error| error.reply(Family::S3))?,
            signature: Signature {
                auth_type: "REST-QUERY-STRING",
                // The URL says when it ends, not when it was made.
                age: 0,
            },
        })
    }

    /// Proves the signature in a browser's form.
    pub(crate) fn prove_form(
        &self,
        claim: &PostClaim<'_>,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Caller>> {
        if let AuthMode::Relaxed { account } = &self.options.auth {
            return Ok(Arc::new(relaxed(claim.access_key(), *account)));
        }
        let credential = self.credential(claim.access_key(), token, now, Family::S3)?;
        claim
            .verify(&credential.secret, &self.keys)
            .map_err(|error| error.reply(Family::S3))?;
        Ok(credential.caller)
    }

    /// The credential behind an access key, fit for use now.
    fn credential(
        &self,
        access_key: &str,
        token: Option<&str>,
        now: Timestamp,
        family: Family,
    ) -> Result<Credential> {
        let fail = |error: SigError| -> Error { error.reply(family) };
        let unknown = || fail(SigError::UnknownAccessKey(access_key.to_owned()));
        let found = self.cloud.identities().credential(access_key)?;
        let credential = found.filter(|c| c.active).ok_or_else(unknown)?;
        if credential.session_token.as_deref() != token {
            return Err(fail(SigError::InvalidToken));
        }
        match credential.expires {
            Some(end) if end <= now => Err(fail(SigError::ExpiredToken)),
            _ => Ok(credential),
        }
    }
}

/// With `--auth relaxed` everybody is root: of the account that the access key spells, or of ours.
fn relaxed(access_key: &str, account: AccountId) -> Caller {
    let mut caller = Caller::root(access_key.parse().unwrap_or(account));
    caller.access_key = Some(access_key.to_owned());
    caller
}
