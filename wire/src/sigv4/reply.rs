//! How each family of services says that a signature is wrong: code, status, message.

use gureum_schema::{Error, Protocol, ServiceSpec, Timestamp};

use super::body::BodyError;
use super::claim::Place;
use super::date::AmzDate;
use super::error::{Mechanism, Mismatch, SigError};

/// Services that share their error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    S3,
    /// The query protocols, the other XML services, and JSON services that were query once.
    Query,
    /// JSON and CBOR services, whose codes end otherwise (`UnrecognizedClientException`).
    Json,
}

impl Family {
    pub fn of(service: &ServiceSpec) -> Self {
        match service.protocols.first() {
            _ if service.signing_name == "s3" => Self::S3,
            _ if service.query_compatible => Self::Query,
            Some(
                Protocol::AwsJson10
                | Protocol::AwsJson11
                | Protocol::RestJson1
                | Protocol::RpcV2Cbor,
            ) => Self::Json,
            _ => Self::Query,
        }
    }
}

impl SigError {
    /// The answer to the sender.
    pub fn reply(&self, family: Family) -> Error {
        match family {
            Family::S3 => s3(self),
            Family::Query | Family::Json => common(self, family == Family::Json),
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
            Self::ChunkSignature => Error::new("SignatureDoesNotMatch", 403, MISMATCH_S3),
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

const MISMATCH_S3: &str = "The request signature we calculated does not match the signature you \
    provided. Check your key and signing method.";
const MISMATCH: &str = "The request signature we calculated does not match the signature you \
    provided. Check your AWS Secret Access Key and signing method. Consult the service \
    documentation for details.";
const BAD_TOKEN: &str = "The security token included in the request is invalid.";
const OLD_TOKEN: &str = "The security token included in the request is expired";

fn s3(error: &SigError) -> Error {
    match error {
        SigError::Unsupported(mechanism) => s3_unsupported(mechanism),
        SigError::BothMechanisms => Error::new(
            "InvalidArgument",
            400,
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature \
             query string parameter or the Authorization header should be specified",
        )
        .with("ArgumentName", "Authorization"),
        SigError::Incomplete { .. }
        | SigError::Malformed { .. }
        | SigError::MalformedCredential { .. }
        | SigError::DayMismatch { .. }
        | SigError::WrongRegion { .. }
        | SigError::WrongService { .. } => s3_malformed(error),
        SigError::MissingDate | SigError::MalformedDate(_) => {
            denied("AWS authentication requires a valid Date or x-amz-date header")
        }
        SigError::HostNotSigned => unsigned_headers("host"),
        SigError::HeadersNotSigned(names) => unsigned_headers(names),
        SigError::MissingContentHash => Error::new(
            "InvalidRequest",
            400,
            "Missing required header for this request: x-amz-content-sha256",
        ),
        SigError::InvalidContentHash(text) => Error::new(
            "InvalidArgument",
            400,
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
             STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a \
             valid sha256 value.",
        )
        .with("ArgumentName", "x-amz-content-sha256")
        .with("ArgumentValue", text.as_str()),
        SigError::MissingDecodedLength => Error::new(
            "MissingContentLength",
            411,
            "You must provide the Content-Length HTTP header.",
        ),
        SigError::Skewed {
            signed,
            now,
            max_skew,
        } => Error::new(
            "RequestTimeTooSkewed",
            403,
            "The difference between the request time and the current time is too large.",
        )
        .with("RequestTime", AmzDate::of(*signed).as_str())
        .with("ServerTime", now.to_string())
        .with(
            "MaxAllowedSkewMilliseconds",
            max_skew.as_millis().to_string(),
        ),
        SigError::Expired {
            signed,
            expires,
            now,
        } => denied("Request has expired")
            .with("X-Amz-Expires", expires.to_string())
            .with("Expires", end_of(*signed, *expires).to_string())
            .with("ServerTime", now.to_string()),
        SigError::NotYetValid { now, .. } => {
            denied("Request is not valid yet").with("ServerTime", now.to_string())
        }
        SigError::Mismatch(mismatch) => s3_mismatch(mismatch),
        SigError::ContentHashMismatch { declared, computed } => hash_mismatch(declared, computed),
        SigError::Missing => denied("Access Denied"),
        SigError::UnknownAccessKey(key) => Error::new(
            "InvalidAccessKeyId",
            403,
            "The AWS Access Key Id you provided does not exist in our records.",
        )
        .with("AWSAccessKeyId", key.as_str()),
        SigError::InvalidToken => Error::new(
            "InvalidToken",
            400,
            "The provided token is malformed or otherwise invalid.",
        ),
        SigError::ExpiredToken => {
            Error::new("ExpiredToken", 400, "The provided token has expired.")
        }
    }
}

fn denied(message: &str) -> Error {
    Error::new("AccessDenied", 403, message)
}

fn unsigned_headers(names: &str) -> Error {
    denied("There were headers present in the request which were not signed")
        .with("HeadersNotSigned", names)
}

fn hash_mismatch(declared: &[u8; 32], computed: &[u8; 32]) -> Error {
    Error::new(
        "XAmzContentSHA256Mismatch",
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
    .with("ClientComputedContentSHA256", hex::encode(declared))
    .with("S3ComputedContentSHA256", hex::encode(computed))
}

fn s3_unsupported(mechanism: &Mechanism) -> Error {
    match mechanism {
        Mechanism::SigV2 => Error::new(
            "InvalidRequest",
            400,
            "The authorization mechanism you have provided is not supported. Please use \
             AWS4-HMAC-SHA256.",
        ),
        Mechanism::SigV4A => Error::not_implemented("Signing with AWS4-ECDSA-P256-SHA256"),
        Mechanism::EventStream => Error::not_implemented("A signed event stream"),
        Mechanism::Other(scheme) => {
            Error::new("InvalidArgument", 400, "Unsupported Authorization Type")
                .with("ArgumentName", "Authorization")
                .with("ArgumentValue", scheme.as_str())
        }
    }
}

/// One code for the header, one for the query, one for the form; the sentences are the same.
fn s3_malformed(error: &SigError) -> Error {
    let (place, what) = match error {
        SigError::Incomplete { place, missing } => {
            (place, format!("these are missing: {}", missing.join(", ")))
        }
        SigError::Malformed { place, what } => (place, (*what).to_owned()),
        SigError::MalformedCredential { place, .. } => (
            place,
            "the Credential is mal-formed; expecting \
             \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
                .to_owned(),
        ),
        SigError::DayMismatch {
            place,
            credential,
            request,
        } => (
            place,
            format!(
                "Invalid credential date \"{credential}\". This date is not the same as \
                 X-Amz-Date: \"{}\".",
                request.get(..8).unwrap_or(request),
            ),
        ),
        SigError::WrongRegion {
            place,
            found,
            expected,
        } => (
            place,
            format!("the region '{found}' is wrong; expecting '{expected}'"),
        ),
        SigError::WrongService {
            place,
            found,
            expected,
        } => (
            place,
            format!("incorrect service \"{found}\". This endpoint belongs to \"{expected}\"."),
        ),
        _ => (&Place::Header, error.to_string()),
    };
    let reply = match place {
        Place::Header => Error::new(
            "AuthorizationHeaderMalformed",
            400,
            format!("The authorization header is malformed; {what}"),
        ),
        Place::Query => Error::new(
            "AuthorizationQueryParametersError",
            400,
            match error {
                SigError::Malformed { .. } => what,
                SigError::Incomplete { .. } => "Query-string authentication version 4 requires \
                    the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, \
                    X-Amz-SignedHeaders, and X-Amz-Expires parameters."
                    .to_owned(),
                _ => format!("Error parsing the X-Amz-Credential parameter; {what}"),
            },
        ),
        Place::Form => Error::new(
            "InvalidArgument",
            400,
            format!("The form is malformed; {what}"),
        ),
    };
    match error {
        SigError::WrongRegion { expected, .. } => reply.with("Region", expected.as_str()),
        _ => reply,
    }
}

fn s3_mismatch(mismatch: &Mismatch) -> Error {
    let error = Error::new("SignatureDoesNotMatch", 403, MISMATCH_S3)
        .with("AWSAccessKeyId", mismatch.access_key.as_str())
        .with("StringToSign", mismatch.string_to_sign.as_str())
        .with("SignatureProvided", mismatch.signature.as_str())
        .with("StringToSignBytes", spaced_hex(&mismatch.string_to_sign));
    if mismatch.canonical_request.is_empty() {
        return error;
    }
    error
        .with("CanonicalRequest", mismatch.canonical_request.as_str())
        .with(
            "CanonicalRequestBytes",
            spaced_hex(&mismatch.canonical_request),
        )
}

/// `48 6f 73 74`
fn spaced_hex(text: &str) -> String {
    let digits: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

/// Everything but S3. `json` services have longer code names.
fn common(error: &SigError, json: bool) -> Error {
    let incomplete = |message: String| {
        let code = ["IncompleteSignature", "IncompleteSignatureException"][usize::from(json)];
        Error::new(code, 400, message)
    };
    let mismatch = |message: String| {
        let code = ["SignatureDoesNotMatch", "InvalidSignatureException"][usize::from(json)];
        Error::new(code, 403, message)
    };
    match error {
        SigError::Unsupported(Mechanism::SigV4A | Mechanism::EventStream) => {
            Error::not_implemented("This way of signing")
        }
        SigError::Unsupported(Mechanism::SigV2) => incomplete(
            "Signature Version 2 is not supported. Please use AWS4-HMAC-SHA256.".to_owned(),
        ),
        SigError::Unsupported(Mechanism::Other(scheme)) => {
            incomplete(format!("Unsupported AWS 'algorithm': '{scheme}'."))
        }
        SigError::Incomplete { place, missing } => incomplete(missing_parts(*place, missing)),
        SigError::MissingDate => incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
                .to_owned(),
        ),
        SigError::MalformedDate(text) => incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{text}'."
        )),
        SigError::BothMechanisms
        | SigError::Malformed { .. }
        | SigError::MissingContentHash
        | SigError::InvalidContentHash(_)
        | SigError::MissingDecodedLength => incomplete(sentence(&error.to_string())),
        SigError::MalformedCredential { text, .. } => incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/aws4_request, got '{text}'"
        )),
        SigError::HostNotSigned => mismatch(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        ),
        SigError::HeadersNotSigned(names) => {
            mismatch(format!("These headers must be signed: {names}."))
        }
        SigError::DayMismatch {
            credential,
            request,
            ..
        } => mismatch(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{credential}' != '{}', from '{request}'.",
            request.get(..8).unwrap_or(request),
        )),
        SigError::WrongRegion { found, .. } => mismatch(format!(
            "Credential should be scoped to a valid region, not '{found}'. "
        )),
        SigError::WrongService { expected, .. } => mismatch(format!(
            "Credential should be scoped to correct service: '{expected}'. "
        )),
        SigError::Skewed {
            signed,
            now,
            max_skew,
        } => mismatch(skewed(*signed, *now, max_skew.as_secs())),
        SigError::Expired {
            signed,
            expires,
            now,
        } => mismatch(format!(
            "Signature expired: {} is now earlier than {}",
            AmzDate::of(end_of(*signed, *expires)).as_str(),
            AmzDate::of(*now).as_str(),
        )),
        SigError::NotYetValid { signed, now } => mismatch(format!(
            "Signature not yet current: {} is still later than {}",
            AmzDate::of(*signed).as_str(),
            AmzDate::of(*now).as_str(),
        )),
        SigError::Mismatch(found) => mismatch(format!(
            "{MISMATCH}\n\nThe Canonical String for this request should have been\n'{}'\n\n\
             The String-to-Sign should have been\n'{}'\n",
            found.canonical_request, found.string_to_sign,
        )),
        // The signature was right for another body, which is to say: wrong for this one.
        SigError::ContentHashMismatch { .. } => mismatch(MISMATCH.to_owned()),
        SigError::Missing if json => Error::new(
            "MissingAuthenticationTokenException",
            400,
            "Missing Authentication Token",
        ),
        SigError::Missing => Error::new(
            "MissingAuthenticationToken",
            403,
            "Request is missing Authentication Token",
        ),
        SigError::UnknownAccessKey(_) | SigError::InvalidToken if json => {
            Error::new("UnrecognizedClientException", 400, BAD_TOKEN)
        }
        SigError::UnknownAccessKey(_) | SigError::InvalidToken => {
            Error::new("InvalidClientTokenId", 403, BAD_TOKEN)
        }
        SigError::ExpiredToken if json => Error::new("ExpiredTokenException", 400, OLD_TOKEN),
        SigError::ExpiredToken => Error::new("ExpiredToken", 403, OLD_TOKEN),
    }
}

/// One sentence for each part that is missing.
fn missing_parts(place: Place, missing: &[&str]) -> String {
    let of = match place {
        Place::Header => "Authorization header",
        Place::Query => "AWS query-string",
        Place::Form => "AWS form",
    };
    let sentences: Vec<String> = missing
        .iter()
        .map(|part| format!("{of} requires '{part}' parameter."))
        .collect();
    sentences.join(" ")
}

fn skewed(signed: Timestamp, now: Timestamp, max_skew: u64) -> String {
    let (sent, here) = (AmzDate::of(signed), AmzDate::of(now));
    let minutes = max_skew / 60;
    let skew = i64::try_from(max_skew).unwrap_or(i64::MAX);
    let shifted = |by: i64| AmzDate::of(Timestamp::from_secs(now.secs().saturating_add(by)));
    if signed < now {
        return format!(
            "Signature expired: {} is now earlier than {} ({} - {minutes} min.)",
            sent.as_str(),
            shifted(-skew).as_str(),
            here.as_str(),
        );
    }
    format!(
        "Signature not yet current: {} is still later than {} ({} + {minutes} min.)",
        sent.as_str(),
        shifted(skew).as_str(),
        here.as_str(),
    )
}

fn end_of(signed: Timestamp, expires: u32) -> Timestamp {
    Timestamp::from_secs(signed.secs() + i64::from(expires))
}

/// A log line made presentable.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}
