//! What remains to be checked while the body is read.

use std::io;
use std::sync::{Arc, OnceLock};

use gureum_schema::Body;
use http::HeaderMap;
use thiserror::Error;

use super::chunked::{self, Chunked};
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
    /// Wraps the body so that what is read of it has been verified, and is free of framing.
    ///
    /// Read it to its end: there the last check is made, and there the trailers are known.
    /// A failure is an [`io::Error`] out of which [`BodyError::of`] takes the reason.
    pub fn guard(self, body: Body, headers: &HeaderMap) -> Result<(Body, Trailers), SigError> {
        match self {
            // Most handlers never touch a body that is empty: no time like the present.
            Self::Exact(declared) if body.length() == Some(0) => match sha256(b"") {
                computed if computed == declared => Ok((body, Trailers::default())),
                computed => Err(SigError::ContentHashMismatch { declared, computed }),
            },
            Self::Exact(declared) => Ok((exact::verify(body, declared), Trailers::default())),
            Self::Unsigned => Ok((body, Trailers::default())),
            Self::Chunked(chunked) => {
                let length = chunked::decoded_length(headers)?;
                let announced = chunked::announced_trailers(headers);
                Ok(chunked::decode(body, chunked, length, announced))
            }
        }
    }
}

/// The trailing headers of a chunked body, once it has been read to its end.
#[derive(Clone, Debug, Default)]
pub struct Trailers(pub(super) Arc<OnceLock<Vec<(String, String)>>>);

impl Trailers {
    /// `None` before the body's end, and for a trailer that was not sent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let trailers = self.0.get()?;
        let found = trailers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }

    /// All of them, with lower-case names; empty before the body's end.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let trailers = self.0.get().map(Vec::as_slice).unwrap_or_default();
        trailers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
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
