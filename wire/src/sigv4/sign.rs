//! The other end: signs requests, for Gureum as a client of itself and for tests.

use gureum_schema::Timestamp;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::canonical::{
    PathRule, Request, canonical_request, hex_of, push_encoded, string_to_sign,
};
use super::content::ContentHash;
use super::date::AmzDate;
use super::key::SigningKey;
use super::{ALGORITHM, sha256};

/// Headers that change on the way, or that the signature cannot cover.
const NEVER_SIGNED: [&str; 6] = [
    "authorization",
    "connection",
    "expect",
    "transfer-encoding",
    "user-agent",
    "x-amzn-trace-id",
];

/// Credentials, and what they are used for.
#[derive(Clone)]
pub struct Signer<'s> {
    pub access_key: &'s str,
    pub secret: &'s str,
    pub session_token: Option<&'s str>,
    pub region: &'s str,
    /// The signing name, `iam`.
    pub service: &'s str,
}

impl Signer<'_> {
    /// The headers to add to the request: date, content hash, token, and the signature of all
    /// headers that it has. `headers` must hold `Host` already, unless there is an authority.
    pub fn sign(
        &self,
        request: Request<'_>,
        content: ContentHash,
        now: Timestamp,
    ) -> Result<HeaderMap, http::header::InvalidHeaderValue> {
        let date = AmzDate::of(now);
        let mut buffer = [0; 64];
        let content = content.text(&mut buffer);
        let mut added = HeaderMap::new();
        added.insert("x-amz-date", HeaderValue::from_str(date.as_str())?);
        added.insert("x-amz-content-sha256", HeaderValue::from_str(content)?);
        if let Some(token) = self.session_token {
            added.insert("x-amz-security-token", HeaderValue::from_str(token)?);
        }
        let mut headers = request.headers.clone();
        headers.extend(added.clone());
        let request = Request {
            headers: &headers,
            ..request
        };
        let names = signed_headers(&headers);
        let (scope, signature) = self.signature(&request, &date, &names, content);
        let value = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key
        );
        added.insert(AUTHORIZATION, HeaderValue::from_str(&value)?);
        Ok(added)
    }

    /// The whole query of a presigned URL, good for `expires` seconds. All headers of the request
    /// are signed: whoever uses the URL must send them.
    pub fn presign(&self, request: Request<'_>, expires: u32, now: Timestamp) -> String {
        let date = AmzDate::of(now);
        let names = signed_headers(request.headers);
        let scope = self.scope(&date);
        let mut query = request.query.as_bytes().to_vec();
        let credential = format!("{}/{scope}", self.access_key);
        let expires = expires.to_string();
        for (name, value) in [
            ("X-Amz-Algorithm", Some(ALGORITHM)),
            ("X-Amz-Credential", Some(credential.as_str())),
            ("X-Amz-Date", Some(date.as_str())),
            ("X-Amz-Expires", Some(expires.as_str())),
            ("X-Amz-Security-Token", self.session_token),
            ("X-Amz-SignedHeaders", Some(names.as_str())),
        ] {
            if let Some(value) = value {
                push_parameter(&mut query, name, value);
            }
        }
        let mut text = String::from_utf8_lossy(&query).into_owned();
        let mut buffer = [0; 64];
        let content = match self.service {
            "s3" => ContentHash::Unsigned,
            _ => ContentHash::Exact(sha256(b"")),
        };
        let request = Request {
            query: &text,
            ..request
        };
        let content = content.text(&mut buffer);
        let (_, signature) = self.signature(&request, &date, &names, content);
        text.push_str("&X-Amz-Signature=");
        text.push_str(&signature);
        text
    }

    fn signature(
        &self,
        request: &Request<'_>,
        date: &AmzDate,
        names: &str,
        content: &str,
    ) -> (String, String) {
        let scope = self.scope(date);
        let rule = PathRule::of(self.service);
        let canonical = canonical_request(request, rule, names, content, &[]);
        let text = string_to_sign(date, &scope, &canonical);
        let key = SigningKey::narrowed(self.secret, [date.day(), self.region, self.service]);
        let signature = hex_of(&key.sign(text.as_bytes()), &mut [0; 64]).to_owned();
        (scope, signature)
    }

    fn scope(&self, date: &AmzDate) -> String {
        format!(
            "{}/{}/{}/aws4_request",
            date.day(),
            self.region,
            self.service
        )
    }
}

/// Sorted, `;` between them; `host` is always one of them.
fn signed_headers(headers: &HeaderMap) -> String {
    let mut names: Vec<&str> = headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| !NEVER_SIGNED.contains(name))
        .collect();
    if !headers.contains_key(HOST) {
        names.push(HOST.as_str());
    }
    names.sort_unstable();
    names.join(";")
}

fn push_parameter(query: &mut Vec<u8>, name: &str, value: &str) {
    if !query.is_empty() {
        query.push(b'&');
    }
    query.extend_from_slice(name.as_bytes());
    query.push(b'=');
    value.bytes().for_each(|byte| push_encoded(query, byte));
}
