//! The query of a presigned URL, taken apart.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::ALGORITHM;
use super::claim::Place;
use super::error::{Mechanism, SigError};

/// A presigned URL lives a week at most.
const MAX_EXPIRES: u32 = 604_800;

/// The decoded `X-Amz-*` parameters of a presigned URL.
pub(super) struct Presigned<'r> {
    pub(super) credential: Cow<'r, str>,
    pub(super) date: Cow<'r, str>,
    pub(super) expires: Cow<'r, str>,
    pub(super) signed_headers: Cow<'r, str>,
    pub(super) signature: Cow<'r, str>,
    pub(super) token: Option<Cow<'r, str>>,
    pub(super) content: Option<Cow<'r, str>>,
}

impl<'r> Presigned<'r> {
    /// `None` when the query does not sign the request.
    pub(super) fn parse(query: &'r str) -> Result<Option<Self>, SigError> {
        let found = Found::in_query(query)?;
        if found.algorithm.is_none() && found.credential.is_none() && found.signature.is_none() {
            return Ok(None);
        }
        found.complete().map(Some)
    }
}

/// Whichever of the parameters there are.
#[derive(Default)]
struct Found<'r> {
    algorithm: Option<Cow<'r, str>>,
    credential: Option<Cow<'r, str>>,
    date: Option<Cow<'r, str>>,
    expires: Option<Cow<'r, str>>,
    signed_headers: Option<Cow<'r, str>>,
    signature: Option<Cow<'r, str>>,
    token: Option<Cow<'r, str>>,
    content: Option<Cow<'r, str>>,
}

impl<'r> Found<'r> {
    fn in_query(query: &'r str) -> Result<Self, SigError> {
        let mut found = Self::default();
        let (mut v2_key, mut v2_signature) = (false, false);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match decode(name).as_ref() {
                "X-Amz-Algorithm" => &mut found.algorithm,
                "X-Amz-Credential" => &mut found.credential,
                "X-Amz-Date" => &mut found.date,
                "X-Amz-Expires" => &mut found.expires,
                "X-Amz-SignedHeaders" => &mut found.signed_headers,
                "X-Amz-Signature" => &mut found.signature,
                "X-Amz-Security-Token" => &mut found.token,
                "X-Amz-Content-Sha256" => &mut found.content,
                "AWSAccessKeyId" => {
                    v2_key = true;
                    continue;
                }
                "Signature" => {
                    v2_signature = true;
                    continue;
                }
                _ => continue,
            };
            if slot.replace(decode(value)).is_some() {
                return Err(SigError::Malformed {
                    place: Place::Query,
                    what: "a parameter of the signature is given twice",
                });
            }
        }
        match v2_key && v2_signature {
            true => Err(SigError::Unsupported(Mechanism::SigV2)),
            false => Ok(found),
        }
    }

    fn complete(self) -> Result<Presigned<'r>, SigError> {
        let missing = self.missing();
        match self.algorithm.as_deref() {
            None | Some(ALGORITHM) => {}
            Some("AWS4-ECDSA-P256-SHA256") => {
                return Err(SigError::Unsupported(Mechanism::SigV4A));
            }
            Some(other) => return Err(SigError::Unsupported(Mechanism::other(other))),
        }
        match self {
            Self {
                algorithm: Some(_),
                credential: Some(credential),
                date: Some(date),
                expires: Some(expires),
                signed_headers: Some(signed_headers),
                signature: Some(signature),
                token,
                content,
            } => Ok(Presigned {
                credential,
                date,
                expires,
                signed_headers,
                signature,
                token,
                content,
            }),
            _ => Err(SigError::Incomplete {
                place: Place::Query,
                missing,
            }),
        }
    }

    fn missing(&self) -> Vec<&'static str> {
        [
            ("X-Amz-Algorithm", &self.algorithm),
            ("X-Amz-Credential", &self.credential),
            ("X-Amz-Signature", &self.signature),
            ("X-Amz-Date", &self.date),
            ("X-Amz-SignedHeaders", &self.signed_headers),
            ("X-Amz-Expires", &self.expires),
        ]
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| *name)
        .collect()
    }
}

fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// The value of `X-Amz-Expires`, in seconds.
pub(super) fn parse_expires(text: &str) -> Result<u32, SigError> {
    let malformed = |what| SigError::Malformed {
        place: Place::Query,
        what,
    };
    let seconds: i64 = text
        .parse()
        .map_err(|_| malformed("X-Amz-Expires should be a number"))?;
    match u32::try_from(seconds) {
        Ok(seconds) if (1..=MAX_EXPIRES).contains(&seconds) => Ok(seconds),
        Ok(0) => Err(malformed("X-Amz-Expires must be at least one second")),
        _ if seconds < 0 => Err(malformed("X-Amz-Expires must be non-negative")),
        _ => Err(malformed(
            "X-Amz-Expires must be less than a week (in seconds); that is, 604800",
        )),
    }
}
