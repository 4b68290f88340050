//! The presigned URLs of Signature Version 2, which S3 still takes: boto3 makes them unless it is
//! told otherwise. Nothing else of that version is understood.
//!
//! Source: "Signing and authenticating REST requests (AWS signature version 2)" in the S3 User
//! Guide.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gureum_schema::Timestamp;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use percent_encoding::percent_decode_str;
use ring::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY};

use super::canonical::Request;
use super::claim::Place;
use super::error::{Mismatch, SigError};

/// The query parameters that are part of what is signed.
const SIGNED: [&str; 35] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// A URL that says it was signed; not yet believed.
pub struct LegacyClaim<'r> {
    request: Request<'r>,
    access_key: Cow<'r, str>,
    signature: Cow<'r, str>,
    /// Seconds since the epoch, as written.
    expires: Cow<'r, str>,
    token: Option<Cow<'r, str>>,
}

impl<'r> LegacyClaim<'r> {
    /// `None` unless the query has an access key, a signature and an end.
    pub fn parse(request: Request<'r>) -> Option<Self> {
        if request.headers.contains_key(AUTHORIZATION) {
            return None;
        }
        let value = |name| value(request.query, name);
        Some(Self {
            access_key: value("AWSAccessKeyId")?,
            signature: value("Signature")?,
            expires: value("Expires")?,
            token: value("x-amz-security-token"),
            request,
        })
    }

    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    pub fn session_token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// `path` is the path-style one: the bucket of a host name is signed as part of it.
    pub fn verify(&self, secret: &str, path: &str, now: Timestamp) -> Result<(), SigError> {
        let end = self.expires.parse::<i64>().ok().map(Timestamp::from_secs);
        let end = end.ok_or(SigError::Malformed {
            place: Place::Query,
            what: "Expires is no number of seconds",
        })?;
        if end <= now {
            return Err(SigError::Expired {
                signed: end,
                expires: 0,
                now,
            });
        }
        let key = hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
        let signature = STANDARD.decode(self.signature.as_bytes());
        let signature = signature.unwrap_or_default();
        let signs = |text: &str| hmac::verify(&key, text.as_bytes(), &signature).is_ok();
        let text = self.string_to_sign(path);
        // A bucket alone is signed as `/bucket/`, though its URL may lack the last slash.
        let bucket = path.strip_prefix('/');
        let bucket = bucket.is_some_and(|name| !name.is_empty() && !name.contains('/'));
        if signs(&text) || bucket && signs(&self.string_to_sign(&format!("{path}/"))) {
            return Ok(());
        }
        Err(SigError::Mismatch(Box::new(Mismatch {
            access_key: self.access_key.to_string(),
            signature: self.signature.chars().take(64).collect(),
            string_to_sign: text,
            canonical_request: String::new(),
        })))
    }

    fn string_to_sign(&self, path: &str) -> String {
        let header = |name| self.request.header(name).unwrap_or_default();
        let mut text = [
            self.request.method,
            header(HeaderName::from_static("content-md5")),
            header(CONTENT_TYPE),
            &self.expires,
            "",
        ]
        .join("\n");
        for (name, value) in self.amz_headers() {
            text.push_str(&format!("{name}:{value}\n"));
        }
        text.push_str(path);
        let mut signed: Vec<_> = pairs(self.request.query)
            .filter(|(name, _)| SIGNED.contains(name))
            .collect();
        signed.sort_unstable();
        for (index, (name, value)) in signed.iter().enumerate() {
            text.push(if index == 0 { '?' } else { '&' });
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(&decoded(value));
            }
        }
        text
    }

    /// Sorted, equal names joined. A token in the query is signed as the header it stands for.
    fn amz_headers(&self) -> Vec<(&str, String)> {
        let mut headers: Vec<(&str, String)> = Vec::new();
        for name in self.request.headers.keys().map(|name| name.as_str()) {
            if name.starts_with("x-amz-") {
                let values = self.request.headers.get_all(name).iter();
                let values: Vec<_> = values
                    .filter_map(|v| v.to_str().ok())
                    .map(str::trim)
                    .collect();
                headers.push((name, values.join(",")));
            }
        }
        if let Some(token) = &self.token {
            headers.push(("x-amz-security-token", token.to_string()));
        }
        headers.sort_unstable();
        headers
    }
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (pair, None),
    })
}

fn value<'r>(query: &'r str, name: &str) -> Option<Cow<'r, str>> {
    let (_, value) = pairs(query).find(|(found, _)| *found == name)?;
    Some(decoded(value?))
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn verify(query: &str, path: &str, now: i64) -> Result<(), SigError> {
        let headers = HeaderMap::new();
        let request = Request {
            method: "GET",
            path: "/photos/puppy.jpg",
            query,
            authority: None,
            headers: &headers,
        };
        let claim = LegacyClaim::parse(request).expect("a claim");
        assert_eq!(claim.access_key(), "AKIAIOSFODNN7EXAMPLE");
        claim.verify(SECRET, path, Timestamp::from_secs(now))
    }

    /// The example of AWS's page.
    #[test]
    fn a_url_is_good_for_one_object_until_its_end() {
        let query = "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE\
            &Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620";
        let path = "/johnsmith/photos/puppy.jpg";
        assert_eq!(verify(query, path, 1_175_139_619), Ok(()));
        let late = verify(query, path, 1_175_139_620);
        assert!(matches!(late, Err(SigError::Expired { .. })));
        let other = verify(query, "/johnsmith/photos/kitten.jpg", 0);
        assert!(matches!(other, Err(SigError::Mismatch(_))));
        let longer = verify(&query.replace("139620", "139621"), path, 0);
        assert!(matches!(longer, Err(SigError::Mismatch(_))));
        let never = verify(&query.replace("1175139620", "x"), path, 0);
        assert!(matches!(never, Err(SigError::Malformed { .. })));
        let more = verify(&format!("{query}&versionId=1"), path, 0);
        assert!(matches!(more, Err(SigError::Mismatch(_))));
    }
}
