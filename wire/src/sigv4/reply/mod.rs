//! How each family of services says that a signature is wrong: code, status, message.

mod common;
mod s3;

use gureum_schema::{Error, Protocol, ServiceSpec, Timestamp};

use super::body::BodyError;
use super::error::SigError;

/// Services that share their error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    S3,
    /// The query protocols, the other XML services, and JSON services that were query once.
    Query,
    /// JSON services, whose codes are others (`UnrecognizedClientException`), with status 400.
    Json,
    /// REST services that speak JSON: the same codes, with status 403.
    RestJson,
}

impl Family {
    pub fn of(service: &ServiceSpec) -> Self {
        match service.protocols.first() {
            _ if service.signing_name == "s3" => Self::S3,
            _ if service.query_compatible => Self::Query,
            Some(Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RpcV2Cbor) => Self::Json,
            Some(Protocol::RestJson1) => Self::RestJson,
            _ => Self::Query,
        }
    }
}

impl SigError {
    /// The answer to the sender.
    pub fn reply(&self, family: Family) -> Error {
        match family {
            Family::S3 => s3::reply(self),
            Family::Query | Family::Json | Family::RestJson => common::reply(self, family),
        }
    }
}

impl BodyError {
    /// The answer to the sender of such a body.
    pub fn reply(&self, family: Family) -> Error {
        match self {
            Self::ContentHash { declared, computed } => SigError::ContentHashMismatch {
                declared: *declared,
                computed: *computed,
            }
            .reply(family),
            Self::ChunkSignature => Error::new("SignatureDoesNotMatch", 403, s3::MISMATCH),
            Self::Incomplete | Self::Length { .. } => Error::new(
                "IncompleteBody",
                400,
                "The request body terminated unexpectedly",
            ),
            Self::Malformed(what) => Error::new(
                "IncompleteBody",
                400,
                format!("The request body's framing is malformed: {what}."),
            ),
            Self::ChunkTooLarge(size) => Error::new(
                "InvalidChunkSizeError",
                403,
                format!("A signed chunk may have at most 16 MiB, not {size} bytes."),
            ),
            Self::Trailer(what) => Error::new(
                "MalformedTrailerError",
                400,
                format!("The request's trailer is malformed: {what}."),
            ),
        }
    }
}

fn end_of(signed: Timestamp, expires: u32) -> Timestamp {
    Timestamp::from_secs(signed.secs() + i64::from(expires))
}
