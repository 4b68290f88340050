//! What remains to be checked while the body is read.

use std::io;

use gureum_schema::Body;
use http::{HeaderMap, HeaderValue};
use thiserror::Error;

use super::chunked::{self, Chunked};
use super::content::ContentHash;
use super::error::SigError;
use super::{exact, sha256};

/// What a verified signature says of the body.
#[derive(Debug)]
pub enum Payload {
    /// Its SHA-256.
    Exact([u8; 32]),
    /// Nothing.
    Unsigned,
    /// It is in `aws-chunked` framing.
    Chunked(Chunked),
}

impl Payload {
    /// What an unsigned request says of its body: nobody vouches for it, but a wrong hash is still
    /// wrong, and framing is still framing. Clients without credentials send `aws-chunked` bodies
    /// without an `x-amz-content-sha256`.
    pub fn anonymous(headers: &HeaderMap) -> Result<Self, SigError> {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        match text("x-amz-content-sha256")
            .map(ContentHash::parse)
            .transpose()?
        {
            Some(ContentHash::Exact(digest)) => Ok(Self::Exact(digest)),
            Some(ContentHash::Chunked { signed: true, .. }) => Err(SigError::Missing),
            Some(ContentHash::Chunked { signed: false, .. }) => {
                Ok(Self::Chunked(Chunked::unsigned()))
            }
            Some(ContentHash::Unsigned) | None => {
                let codings = text("content-encoding").unwrap_or_default();
                match codings
                    .split(',')
                    .any(|coding| coding.trim() == "aws-chunked")
                {
                    true => Ok(Self::Chunked(Chunked::unsigned())),
                    false => Ok(Self::Unsigned),
                }
            }
        }
    }

    /// Wraps the body so that what is read of it has been verified, and is free of framing.
    ///
    /// Read it to its end: there the last check is made, and there
    /// [`Body::trailers`] are known.
    /// A failure is an [`io::Error`] out of which [`BodyError::of`] takes the reason.
    pub fn guard(self, body: Body, headers: &HeaderMap) -> Result<Body, SigError> {
        match self {
            // Most handlers never touch a body that is empty: no time like the present.
            Self::Exact(declared) if body.length() == Some(0) => match sha256(b"") {
                computed if computed == declared => Ok(body),
                computed => Err(SigError::ContentHashMismatch { declared, computed }),
            },
            Self::Exact(declared) => Ok(exact::verify(body, declared)),
            Self::Unsigned => Ok(body),
            Self::Chunked(chunked) => {
                let length = chunked::decoded_length(headers)?;
                let announced = chunked::announced_trailers(headers);
                Ok(chunked::decode(body, chunked, length, announced))
            }
        }
    }
}

/// Why a guarded body failed. It travels inside an [`io::Error`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    #[error("the body is not the one that was signed")]
    ContentHash {
        declared: [u8; 32],
        computed: [u8; 32],
    },
    #[error("the signature of a chunk, or of the trailer, does not match")]
    ChunkSignature,
    #[error("the body ends too early")]
    Incomplete,
    #[error("the body's framing is malformed: {0}")]
    Malformed(&'static str),
    #[error("a signed chunk of {0} bytes is too large")]
    ChunkTooLarge(u64),
    #[error("the body has {found} bytes, not {declared}")]
    Length { declared: u64, found: u64 },
    #[error("the trailer is malformed: {0}")]
    Trailer(&'static str),
}

impl BodyError {
    /// The reason inside an error of a guarded body, if it is one of these.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        let kind = match error {
            BodyError::Incomplete => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
