//! The answers of S3.

use gureum_schema::Error;

use super::end_of;
use crate::sigv4::claim::Place;
use crate::sigv4::date::AmzDate;
use crate::sigv4::error::{Mechanism, Mismatch, SigError};

pub(super) const MISMATCH: &str = "The request signature we calculated does not match the \
    signature you provided. Check your key and signing method.";

/// The answer of S3.
pub(super) fn reply(error: &SigError) -> Error {
    match error {
        SigError::Unsupported(mechanism) => unsupported(mechanism),
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
        | SigError::WrongService { .. } => malformed(error),
        SigError::MissingDate | SigError::MalformedDate(_) => {
            denied("AWS authentication requires a valid Date or x-amz-date header")
        }
        SigError::HostNotSigned => unsigned_headers("host"),
        SigError::HeadersNotSigned(names) => unsigned_headers(names),
        SigError::MissingContentHash
        | SigError::InvalidContentHash(_)
        | SigError::MissingDecodedLength
        | SigError::ContentHashMismatch { .. } => content(error),
        SigError::Skewed { .. } | SigError::Expired { .. } | SigError::NotYetValid { .. } => {
            timing(error)
        }
        SigError::Mismatch(found) => mismatch(found),
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

/// The body, or what the request says of it.
fn content(error: &SigError) -> Error {
    match error {
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
        SigError::ContentHashMismatch { declared, computed } => Error::new(
            "XAmzContentSHA256Mismatch",
            400,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
        .with("ClientComputedContentSHA256", hex::encode(declared))
        .with("S3ComputedContentSHA256", hex::encode(computed)),
        _ => Error::new(
            "InvalidRequest",
            400,
            "Missing required header for this request: x-amz-content-sha256",
        ),
    }
}

/// Too early or too late.
fn timing(error: &SigError) -> Error {
    match error {
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
        _ => denied("Access Denied"),
    }
}

fn denied(message: &str) -> Error {
    Error::new("AccessDenied", 403, message)
}

fn unsigned_headers(names: &str) -> Error {
    denied("There were headers present in the request which were not signed")
        .with("HeadersNotSigned", names)
}

fn unsupported(mechanism: &Mechanism) -> Error {
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
fn malformed(error: &SigError) -> Error {
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

fn mismatch(found: &Mismatch) -> Error {
    let error = Error::new("SignatureDoesNotMatch", 403, MISMATCH)
        .with("AWSAccessKeyId", found.access_key.as_str())
        .with("StringToSign", found.string_to_sign.as_str())
        .with("SignatureProvided", found.signature.as_str())
        .with("StringToSignBytes", spaced_hex(&found.string_to_sign));
    if found.canonical_request.is_empty() {
        return error;
    }
    error
        .with("CanonicalRequest", found.canonical_request.as_str())
        .with(
            "CanonicalRequestBytes",
            spaced_hex(&found.canonical_request),
        )
}

/// `48 6f 73 74`
fn spaced_hex(text: &str) -> String {
    let digits: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}
