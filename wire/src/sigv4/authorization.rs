//! The `Authorization` header, taken apart.

use super::ALGORITHM;
use super::claim::Place;
use super::error::{Mechanism, SigError};

/// The three parts of an `Authorization` header.
pub(super) struct Authorization<'r> {
    pub(super) credential: &'r str,
    pub(super) signed_headers: &'r str,
    pub(super) signature: &'r str,
}

impl<'r> Authorization<'r> {
    pub(super) fn parse(value: &'r str) -> Result<Self, SigError> {
        let value = value.trim();
        let (algorithm, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
        match algorithm {
            ALGORITHM => {}
            "AWS4-ECDSA-P256-SHA256" => return Err(SigError::Unsupported(Mechanism::SigV4A)),
            "AWS" => return Err(SigError::Unsupported(Mechanism::SigV2)),
            other => return Err(SigError::Unsupported(Mechanism::other(other))),
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in parts(rest) {
            let (name, text) = part.split_once('=').ok_or(UNREADABLE_HEADER)?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(UNREADABLE_HEADER),
            };
            if slot.replace(text).is_some() {
                return Err(UNREADABLE_HEADER);
            }
        }
        match (credential, signed_headers, signature) {
            (Some(credential), Some(signed_headers), Some(signature)) => Ok(Self {
                credential,
                signed_headers,
                signature,
            }),
            parts => Err(SigError::Incomplete {
                place: Place::Header,
                missing: [
                    ("Credential", parts.0),
                    ("Signature", parts.2),
                    ("SignedHeaders", parts.1),
                ]
                .iter()
                .filter(|(_, value)| value.is_none())
                .map(|(name, _)| *name)
                .collect(),
            }),
        }
    }
}

/// None of the values holds a blank or a comma: any mixture of them separates.
fn parts(mut rest: &str) -> impl Iterator<Item = &str> {
    let separates = |byte| matches!(byte, b',' | b' ' | b'\t');
    std::iter::from_fn(move || {
        let begin = rest.bytes().position(|byte| !separates(byte))?;
        let part = &rest[begin..];
        let end = part.bytes().position(separates).unwrap_or(part.len());
        rest = &part[end..];
        Some(&part[..end])
    })
}

const UNREADABLE_HEADER: SigError = SigError::Malformed {
    place: Place::Header,
    what: "expected Credential=…, SignedHeaders=…, Signature=…",
};
