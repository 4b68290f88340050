//! What a request says of itself: the `Authorization` header, or a presigned query. Only parsed,
//! not yet believed.

use std::borrow::Cow;

use gureum_schema::Timestamp;
use http::header::{AUTHORIZATION, DATE, HeaderName};

use super::authorization::Authorization;
use super::body::Payload;
use super::canonical::Request;
use super::chunked::Chunked;
use super::content::ContentHash;
use super::date::AmzDate;
use super::error::SigError;
use super::presigned::{Presigned, parse_expires};
use super::{Digest, parse_digest, sha256};

const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const MOMENT: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// No credential is anywhere near this long.
const MAX_CREDENTIAL: usize = 512;

/// Where the claim stands; S3 has other error codes for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The `Authorization` header.
    Header,
    /// The query of a presigned URL.
    Query,
    /// The fields of a browser's form.
    Form,
}

/// `20150830/us-east-1/iam/aws4_request`: what a signing key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'c> {
    text: &'c str,
    /// Where the service's name begins.
    service: usize,
}

/// What every scope ends with.
const TERMINATOR: &str = "/aws4_request";
/// Bytes of `YYYYMMDD`.
const DAY: usize = 8;

impl<'c> Scope<'c> {
    /// `None` where a part is missing, or the first is no date.
    pub(super) fn parse(text: &'c str) -> Option<Self> {
        let parts = text.strip_suffix(TERMINATOR)?;
        let service = 1 + parts.bytes().rposition(|byte| byte == b'/')?;
        let region = parts.get(DAY..service - 1)?.strip_prefix('/')?;
        let well_formed = parts.bytes().take(DAY).all(|byte| byte.is_ascii_digit())
            && !region.is_empty()
            && !region.contains('/')
            && service < parts.len();
        well_formed.then_some(Self { text, service })
    }

    pub fn as_str(self) -> &'c str {
        self.text
    }

    /// `YYYYMMDD`
    pub fn date(self) -> &'c str {
        &self.text[..DAY]
    }

    pub fn region(self) -> &'c str {
        &self.text[DAY + 1..self.service - 1]
    }

    /// The signing name, `iam`; several services may share one.
    pub fn service(self) -> &'c str {
        &self.text[self.service..self.text.len() - TERMINATOR.len()]
    }
}

/// `AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request`
#[derive(Clone, Debug)]
pub(super) struct Credential<'r> {
    text: Cow<'r, str>,
    /// Where the scope begins, and its service's name in it.
    scope: usize,
    service: usize,
}

impl<'r> Credential<'r> {
    pub(super) fn parse(text: Cow<'r, str>, place: Place) -> Result<Self, SigError> {
        let malformed = || SigError::MalformedCredential {
            place,
            text: text.chars().take(MAX_CREDENTIAL).collect(),
        };
        // The access key comes first and might hold anything: count from the end.
        let mut slashes = text.bytes().enumerate().rev().filter(|(_, b)| *b == b'/');
        let (slash, _) = slashes.nth(3).ok_or_else(malformed)?;
        let well_formed =
            (1..=128).contains(&slash) && text.len() <= MAX_CREDENTIAL && text.is_ascii();
        let scope = Scope::parse(&text[slash + 1..]).filter(|_| well_formed);
        let service = scope.ok_or_else(malformed)?.service;
        Ok(Self {
            scope: slash + 1,
            service,
            text,
        })
    }

    pub(super) fn access_key(&self) -> &str {
        &self.text[..self.scope - 1]
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope {
            text: &self.text[self.scope..],
            service: self.service,
        }
    }

    /// The key's day must be the request's.
    pub(super) fn check_day(&self, date: &AmzDate, place: Place) -> Result<(), SigError> {
        if self.scope().date() == date.day() {
            return Ok(());
        }
        Err(SigError::DayMismatch {
            place,
            credential: self.scope().date().to_owned(),
            request: date.as_str().to_owned(),
        })
    }
}

/// A signed request, not yet verified. It borrows the request.
#[derive(Clone, Debug)]
pub struct Claim<'r> {
    pub(super) request: Request<'r>,
    pub(super) place: Place,
    pub(super) credential: Credential<'r>,
    pub(super) signed_headers: Cow<'r, str>,
    pub(super) signature: Digest,
    pub(super) date: AmzDate,
    /// Seconds that a presigned URL is good for.
    pub(super) expires: Option<u32>,
    token: Option<Cow<'r, str>>,
    pub(super) content: Option<ContentHash>,
}

impl<'r> Claim<'r> {
    /// `None` when the request is anonymous.
    pub fn parse(request: Request<'r>) -> Result<Option<Self>, SigError> {
        let query = Presigned::parse(request.query)?;
        let mut headers = request.headers.get_all(AUTHORIZATION).iter();
        let claim = match (headers.next(), query) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(SigError::BothMechanisms),
            (None, Some(query)) => Self::from_query(request, query)?,
            (Some(value), None) => {
                let value = value.to_str().ok().filter(|_| headers.next().is_none());
                let value = value.ok_or(SigError::Malformed {
                    place: Place::Header,
                    what: "the header is not one line of text",
                })?;
                Self::from_header(request, value)?
            }
        };
        claim.check_signed_headers()?;
        claim.credential.check_day(&claim.date, claim.place)?;
        Ok(Some(claim))
    }

    pub fn access_key(&self) -> &str {
        self.credential.access_key()
    }

    /// The caller judges whether region and service are the right ones: [`Claim::expect_scope`].
    pub fn scope(&self) -> Scope<'_> {
        self.credential.scope()
    }

    pub fn place(&self) -> Place {
        self.place
    }

    /// When the sender says it was signed.
    pub fn signed_at(&self) -> Timestamp {
        self.date.moment()
    }

    /// The token that goes with temporary credentials.
    pub fn session_token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Lower-case names, `;` between them.
    pub fn signed_headers(&self) -> &str {
        &self.signed_headers
    }

    /// Seconds that a presigned URL is good for; `None` with an `Authorization` header.
    pub fn expires(&self) -> Option<u32> {
        self.expires
    }

    /// The whole body is signed, but the request does not name its hash: it must be read, and
    /// given to [`Claim::hash_body`], before the claim can be verified.
    pub fn needs_body(&self) -> bool {
        self.content.is_none() && !self.is_s3()
    }

    pub fn hash_body(&mut self, body: &[u8]) {
        self.content = Some(ContentHash::Exact(sha256(body)));
    }

    /// How the body is framed, for a door that does not check signatures.
    pub fn unverified_payload(&self) -> Payload {
        match self.content {
            Some(ContentHash::Chunked { trailer, .. }) => {
                Payload::Chunked(Chunked::unverified(trailer))
            }
            _ => Payload::Unsigned,
        }
    }

    pub(super) fn is_s3(&self) -> bool {
        self.scope().service() == "s3"
    }

    fn from_header(request: Request<'r>, value: &'r str) -> Result<Self, SigError> {
        let parts = Authorization::parse(value)?;
        let place = Place::Header;
        Ok(Self {
            place,
            credential: Credential::parse(parts.credential.into(), place)?,
            signed_headers: parts.signed_headers.into(),
            signature: parse_signature(parts.signature, place)?,
            date: header_date(&request)?,
            expires: None,
            token: request.header(TOKEN).map(Cow::Borrowed),
            content: header_content(&request)?,
            request,
        })
    }

    fn from_query(request: Request<'r>, query: Presigned<'r>) -> Result<Self, SigError> {
        let place = Place::Query;
        let credential = Credential::parse(query.credential, place)?;
        let content = match (header_content(&request)?, &query.content) {
            (Some(content), _) => Some(content),
            (None, Some(text)) => Some(ContentHash::parse(text)?),
            (None, None) if credential.scope().service() == "s3" => Some(ContentHash::Unsigned),
            (None, None) => None,
        };
        let header_token = || request.header(TOKEN).map(Cow::Borrowed);
        Ok(Self {
            place,
            credential,
            signed_headers: query.signed_headers,
            signature: parse_signature(&query.signature, place)?,
            date: AmzDate::parse(&query.date).ok_or(BAD_QUERY_DATE)?,
            expires: Some(parse_expires(&query.expires)?),
            token: query.token.or_else(header_token),
            content,
            request,
        })
    }

    /// `host` binds a request to its endpoint. S3 also wants every `x-amz-*` header signed.
    fn check_signed_headers(&self) -> Result<(), SigError> {
        let signed = |name: &str| self.signed_headers.split(';').any(|signed| signed == name);
        if !signed("host") {
            return Err(SigError::HostNotSigned);
        }
        if !self.is_s3() {
            return Ok(());
        }
        let unsigned: Vec<&str> = self
            .request
            .headers
            .keys()
            .map(|name| name.as_str())
            .filter(|name| name.starts_with("x-amz-") && !signed(name))
            .collect();
        if unsigned.is_empty() {
            return Ok(());
        }
        Err(SigError::HeadersNotSigned(unsigned.join(", ")))
    }
}

const BAD_QUERY_DATE: SigError = SigError::Malformed {
    place: Place::Query,
    what: "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
};

pub(super) fn parse_signature(text: &str, place: Place) -> Result<Digest, SigError> {
    parse_digest(text).ok_or(SigError::Malformed {
        place,
        what: "the signature is not 64 lower-case hexadecimal digits",
    })
}

/// `x-amz-date`, else `Date` in any format.
fn header_date(request: &Request<'_>) -> Result<AmzDate, SigError> {
    if let Some(text) = request.header(MOMENT) {
        return AmzDate::parse(text).ok_or_else(|| SigError::MalformedDate(text.to_owned()));
    }
    let text = request.header(DATE).ok_or(SigError::MissingDate)?;
    AmzDate::parse(text)
        .or_else(|| Timestamp::parse(text).map(AmzDate::of))
        .ok_or_else(|| SigError::MalformedDate(text.to_owned()))
}

fn header_content(request: &Request<'_>) -> Result<Option<ContentHash>, SigError> {
    request.header(CONTENT).map(ContentHash::parse).transpose()
}
