//! `x-amz-content-sha256`: what the sender says of the body.

use super::canonical::hex_of;
use super::error::{Mechanism, SigError};
use super::parse_digest;

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const SIGNED_CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_CHUNKS_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const UNSIGNED_CHUNKS_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// The last line of the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentHash {
    /// The SHA-256 of the whole body.
    Exact([u8; 32]),
    /// Nothing is said.
    Unsigned,
    /// `aws-chunked` framing: either the chunks are signed or there is a trailer, or both.
    Chunked { signed: bool, trailer: bool },
}

impl ContentHash {
    /// Reads the header's value. An anonymous request has one too.
    pub fn parse(text: &str) -> Result<Self, SigError> {
        match text {
            UNSIGNED => Ok(Self::Unsigned),
            SIGNED_CHUNKS => Ok(Self::Chunked {
                signed: true,
                trailer: false,
            }),
            SIGNED_CHUNKS_TRAILER => Ok(Self::Chunked {
                signed: true,
                trailer: true,
            }),
            UNSIGNED_CHUNKS_TRAILER => Ok(Self::Chunked {
                signed: false,
                trailer: true,
            }),
            "STREAMING-AWS4-HMAC-SHA256-EVENTS" => {
                Err(SigError::Unsupported(Mechanism::EventStream))
            }
            text if text.starts_with("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD") => {
                Err(SigError::Unsupported(Mechanism::SigV4A))
            }
            text => parse_digest(text)
                .map(Self::Exact)
                .ok_or_else(|| SigError::InvalidContentHash(text.to_owned())),
        }
    }

    pub(super) fn text<'b>(&self, buffer: &'b mut [u8; 64]) -> &'b str {
        match self {
            Self::Exact(digest) => hex_of(digest, buffer),
            Self::Unsigned => UNSIGNED,
            Self::Chunked {
                signed: false,
                trailer: _,
            } => UNSIGNED_CHUNKS_TRAILER,
            Self::Chunked {
                signed: true,
                trailer: true,
            } => SIGNED_CHUNKS_TRAILER,
            Self::Chunked {
                signed: true,
                trailer: false,
            } => SIGNED_CHUNKS,
        }
    }
}
