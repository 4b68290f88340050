//! Signature Version 4: who sent this, and is it what they sent?
//!
//! Pure: nothing here opens, waits or reads a clock. A request is verified in two phases, because
//! the secret lives in a store:
//!
//! 1. [`Claim::parse`] reads what the request says of itself: access key, scope, session token.
//!    `None` is an anonymous request.
//! 2. The caller finds the secret of [`Claim::access_key`] and calls [`Claim::verify`].
//!
//! A [`Verified`] request is only half of it: the signature covers what the sender *said* of the
//! body. [`Payload::guard`] wraps the body so that every byte read through it is checked too.
//!
//! ```text
//! let Some(mut claim) = Claim::parse(Request::of(&parts))? else { return anonymous() };
//! let secret = store.secret(claim.access_key())?;
//! claim.expect_scope(region, service)?;
//! if claim.needs_body() { claim.hash_body(&bytes) }          // services other than S3
//! let verified = claim.verify(&secret, &keys, clock.now(), Policy::of(claim.scope().service()))?;
//! let body = verified.payload.guard(body, &parts.headers)?;
//! ```
//!
//! Presigned URLs of the version before, which S3 still takes, are a [`LegacyClaim`].
//!
//! Source: "AWS Signature Version 4 for API requests" in the IAM User Guide, and "Authenticating
//! Requests (AWS Signature Version 4)" in the S3 API Reference.

mod authorization;
mod body;
mod canonical;
mod chunked;
mod claim;
mod content;
mod date;
mod error;
mod exact;
mod key;
mod legacy;
mod post;
mod presigned;
mod reply;
mod sign;
mod verify;

#[cfg(test)]
mod tests;

pub use body::{BodyError, Payload};
pub use canonical::Request;
pub use chunked::{Chunked, MAX_SIGNED_CHUNK};
pub use claim::{Claim, Place, Scope};
pub use content::ContentHash;
pub use error::{Mechanism, Mismatch, SigError};
pub use key::{KeyCache, SigningKey};
pub use legacy::LegacyClaim;
pub use post::PostClaim;
pub use reply::Family;
pub use sign::Signer;
pub use verify::{Policy, Verified};

/// The only signing algorithm there is here.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// An HMAC-SHA256 or a SHA-256.
type Digest = [u8; 32];

/// Reads 64 lower-case hexadecimal digits; upper case is not what the sender's SDK prints.
fn parse_digest(text: &str) -> Option<Digest> {
    let digit = |byte| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks() else {
        return None;
    };
    let pairs: &[[u8; 2]; 32] = pairs.try_into().ok()?;
    let mut digest = [0; 32];
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(digest)
}

fn sha256(bytes: &[u8]) -> Digest {
    digest_of(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// Narrows what `ring` returns for its 32-byte algorithms.
fn digest_of(bytes: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(bytes);
    digest
}
