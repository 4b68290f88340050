//! What can be wrong with a signature. How each service says it is in [`super::reply`].

use std::time::Duration;

use gureum_schema::Timestamp;
use thiserror::Error;

use super::claim::Place;

/// Ways of signing that are recognised and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The signatures before 2012, HMAC-SHA1.
    SigV2,
    /// `AWS4-ECDSA-P256-SHA256`, which signs for several regions.
    SigV4A,
    /// Signed event streams.
    EventStream,
    /// Any other scheme, by its name.
    Other(String),
}

impl Mechanism {
    pub(super) fn other(name: &str) -> Self {
        Self::Other(name.chars().take(64).collect())
    }
}

/// Both ends' ideas of what was signed, for the sender to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    pub access_key: String,
    /// The signature that was sent.
    pub signature: String,
    pub string_to_sign: String,
    /// Empty for a form, which has none.
    pub canonical_request: String,
}

/// Why a request is not accepted. [`SigError::reply`] makes an answer of it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SigError {
    #[error("the request is signed both in its header and in its query")]
    BothMechanisms,
    #[error("{0:?} is not a signature that is understood here")]
    Unsupported(Mechanism),
    #[error("the signature lacks {missing:?}")]
    Incomplete {
        place: Place,
        missing: Vec<&'static str>,
    },
    #[error("the signature is malformed: {what}")]
    Malformed { place: Place, what: &'static str },
    #[error("{text:?} is no credential")]
    MalformedCredential { place: Place, text: String },
    #[error("signed for day {credential} but sent at {request}")]
    DayMismatch {
        place: Place,
        credential: String,
        request: String,
    },
    #[error("signed for region {found}, not {expected}")]
    WrongRegion {
        place: Place,
        found: String,
        expected: String,
    },
    #[error("signed for service {found}, not {expected}")]
    WrongService {
        place: Place,
        found: String,
        expected: String,
    },
    #[error("the request has no date")]
    MissingDate,
    #[error("{0:?} is no date")]
    MalformedDate(String),
    #[error("the host is not signed")]
    HostNotSigned,
    /// Their names, comma-separated.
    #[error("headers are not signed: {0}")]
    HeadersNotSigned(String),
    #[error("x-amz-content-sha256 is missing")]
    MissingContentHash,
    #[error("{0:?} is no content hash")]
    InvalidContentHash(String),
    #[error("x-amz-decoded-content-length is missing or no number")]
    MissingDecodedLength,
    #[error("signed at {signed}, which is too far from {now}")]
    Skewed {
        signed: Timestamp,
        now: Timestamp,
        max_skew: Duration,
    },
    #[error("presigned at {signed} for {expires} s, and now it is {now}")]
    Expired {
        signed: Timestamp,
        expires: u32,
        now: Timestamp,
    },
    #[error("presigned at {signed}, and now it is only {now}")]
    NotYetValid { signed: Timestamp, now: Timestamp },
    #[error("the signature does not match")]
    Mismatch(Box<Mismatch>),
    #[error("the body is not the one that was signed")]
    ContentHashMismatch {
        declared: [u8; 32],
        computed: [u8; 32],
    },

    // Raised by the caller, who has the accounts; here so that all answers are in one place.
    #[error("a signature is required")]
    Missing,
    #[error("there is no access key {0}")]
    UnknownAccessKey(String),
    #[error("the session token is invalid")]
    InvalidToken,
    #[error("the session token has expired")]
    ExpiredToken,
}
