//! The answers of all services but S3.

use gureum_schema::{Error, Timestamp};

use super::{Family, end_of};
use crate::sigv4::claim::Place;
use crate::sigv4::date::AmzDate;
use crate::sigv4::error::{Mechanism, SigError};

const MISMATCH: &str = "The request signature we calculated does not match the signature you \
    provided. Check your AWS Secret Access Key and signing method. Consult the service \
    documentation for details.";

/// Everything but S3.
pub(super) fn reply(error: &SigError, family: Family) -> Error {
    let (code, status) = code(error, family);
    match error {
        SigError::Unsupported(Mechanism::SigV4A) => {
            Error::not_implemented("Signing with AWS4-ECDSA-P256-SHA256")
        }
        SigError::Unsupported(Mechanism::EventStream) => {
            Error::not_implemented("A signed event stream")
        }
        _ => Error::new(code, status, message(error)),
    }
}

fn code(error: &SigError, family: Family) -> (&'static str, u16) {
    let json = matches!(family, Family::Json | Family::RestJson);
    let either = |query, other| if json { other } else { query };
    // awsJson has 400 for all that is wrong with a request.
    let forbidden = if family == Family::Json { 400 } else { 403 };
    match error {
        SigError::BothMechanisms
        | SigError::Unsupported(_)
        | SigError::Incomplete { .. }
        | SigError::Malformed { .. }
        | SigError::MalformedCredential { .. }
        | SigError::MissingDate
        | SigError::MalformedDate(_)
        | SigError::MissingContentHash
        | SigError::InvalidContentHash(_)
        | SigError::MissingDecodedLength => (
            either("IncompleteSignature", "IncompleteSignatureException"),
            400,
        ),
        SigError::HostNotSigned
        | SigError::HeadersNotSigned(_)
        | SigError::DayMismatch { .. }
        | SigError::WrongRegion { .. }
        | SigError::WrongService { .. }
        | SigError::Skewed { .. }
        | SigError::Expired { .. }
        | SigError::NotYetValid { .. }
        | SigError::Mismatch(_)
        | SigError::ContentHashMismatch { .. } => (
            either("SignatureDoesNotMatch", "InvalidSignatureException"),
            forbidden,
        ),
        SigError::Missing => {
            let code = either(
                "MissingAuthenticationToken",
                "MissingAuthenticationTokenException",
            );
            (code, forbidden)
        }
        SigError::UnknownAccessKey(_) | SigError::InvalidToken => (
            either("InvalidClientTokenId", "UnrecognizedClientException"),
            forbidden,
        ),
        SigError::ExpiredToken => (either("ExpiredToken", "ExpiredTokenException"), forbidden),
    }
}

fn message(error: &SigError) -> String {
    match error {
        SigError::Unsupported(Mechanism::SigV2) => {
            "Signature Version 2 is not supported. Please use AWS4-HMAC-SHA256.".to_owned()
        }
        SigError::Unsupported(Mechanism::Other(scheme)) => {
            format!("Unsupported AWS 'algorithm': '{scheme}'.")
        }
        SigError::Incomplete { place, missing } => missing_parts(*place, missing),
        SigError::MissingDate => "Authorization header requires existence of either a \
            'X-Amz-Date' or a 'Date' header."
            .to_owned(),
        SigError::MalformedDate(text) => {
            format!("Date must be in ISO-8601 'basic format'. Got '{text}'.")
        }
        SigError::MalformedCredential { text, .. } => format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/aws4_request, got '{text}'"
        ),
        SigError::HostNotSigned => {
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned()
        }
        SigError::DayMismatch {
            credential,
            request,
            ..
        } => format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{credential}' != '{}', from '{request}'.",
            request.get(..8).unwrap_or(request),
        ),
        SigError::WrongRegion { found, .. } => {
            format!("Credential should be scoped to a valid region, not '{found}'. ")
        }
        SigError::WrongService { expected, .. } => {
            format!("Credential should be scoped to correct service: '{expected}'. ")
        }
        SigError::Skewed { .. } | SigError::Expired { .. } | SigError::NotYetValid { .. } => {
            timing(error)
        }
        SigError::Mismatch(found) => format!(
            "{MISMATCH}\n\nThe Canonical String for this request should have been\n'{}'\n\n\
             The String-to-Sign should have been\n'{}'\n",
            found.canonical_request, found.string_to_sign,
        ),
        // The signature was right for another body, which is to say: wrong for this one.
        SigError::ContentHashMismatch { .. } => MISMATCH.to_owned(),
        SigError::Missing => "Request is missing Authentication Token".to_owned(),
        SigError::UnknownAccessKey(_) | SigError::InvalidToken => {
            "The security token included in the request is invalid.".to_owned()
        }
        SigError::ExpiredToken => {
            "The security token included in the request is expired".to_owned()
        }
        _ => sentence(&error.to_string()),
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

/// Too early or too late, and by which clock.
fn timing(error: &SigError) -> String {
    let text = |moment: Timestamp| AmzDate::of(moment).as_str().to_owned();
    match error {
        SigError::Skewed {
            signed,
            now,
            max_skew,
        } => {
            let seconds = i64::try_from(max_skew.as_secs()).unwrap_or(i64::MAX);
            let minutes = seconds / 60;
            let limit = |by| text(Timestamp::from_secs(now.secs().saturating_add(by)));
            let (signed_at, here) = (text(*signed), text(*now));
            if signed < now {
                let limit = limit(-seconds);
                return format!(
                    "Signature expired: {signed_at} is now earlier than {limit} ({here} - \
                     {minutes} min.)"
                );
            }
            let limit = limit(seconds);
            format!(
                "Signature not yet current: {signed_at} is still later than {limit} ({here} + \
                 {minutes} min.)"
            )
        }
        SigError::Expired {
            signed,
            expires,
            now,
        } => format!(
            "Signature expired: {} is now earlier than {}",
            text(end_of(*signed, *expires)),
            text(*now),
        ),
        SigError::NotYetValid { signed, now } => format!(
            "Signature not yet current: {} is still later than {}",
            text(*signed),
            text(*now),
        ),
        _ => error.to_string(),
    }
}

/// A log line made presentable.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}
