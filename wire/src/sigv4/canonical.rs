//! The canonical request: the one spelling of a request that both ends hash.

use std::ops::Range;

use http::HeaderMap;
use http::header::{HOST, HeaderName};
use percent_encoding::percent_decode_str;

use super::date::AmzDate;
use super::{ALGORITHM, Digest, sha256};

/// What of a request is signed, as it came over the wire: nothing decoded, nothing tidied.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    pub method: &'r str,
    /// The path, still percent-encoded.
    pub path: &'r str,
    /// The query without its `?`, still percent-encoded.
    pub query: &'r str,
    /// HTTP/2's `:authority`, which stands in for a missing `Host` header.
    pub authority: Option<&'r str>,
    pub headers: &'r HeaderMap,
}

impl<'r> Request<'r> {
    pub fn of(parts: &'r http::request::Parts) -> Self {
        Self {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            authority: parts.uri.authority().map(|authority| authority.as_str()),
            headers: &parts.headers,
        }
    }

    /// The header's only value, where it is text.
    pub(super) fn header(&self, name: HeaderName) -> Option<&'r str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }
}

/// How the path is spelt in the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathRule {
    /// Resolve `.` and `..`, collapse `//`. In S3 these are parts of a key.
    pub(super) normalize: bool,
    /// Encode the encoded path once more: `%20` becomes `%2520`.
    pub(super) encode_twice: bool,
}

impl PathRule {
    /// S3 differs from all other services.
    pub(super) fn of(service: &str) -> Self {
        let common = service != "s3";
        Self {
            normalize: common,
            encode_twice: common,
        }
    }
}

/// The canonical request. `without` names query parameters that were added after signing.
pub(super) fn canonical_request(
    request: &Request<'_>,
    rule: PathRule,
    signed_headers: &str,
    content_hash: &str,
    without: &[&str],
) -> Vec<u8> {
    let size = 256 + request.path.len() + 2 * request.query.len() + 64 * request.headers.len();
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    push_path(&mut out, request.path, rule);
    out.push(b'\n');
    push_query(&mut out, request.query, without);
    out.push(b'\n');
    for name in signed_headers.split(';') {
        push_header(&mut out, request, name);
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(content_hash.as_bytes());
    out
}

/// What the signature is an HMAC of; `scope` is `date/region/service/aws4_request`.
pub(super) fn string_to_sign(date: &AmzDate, scope: &str, canonical_request: &[u8]) -> String {
    let hash: Digest = sha256(canonical_request);
    let mut text = String::with_capacity(100 + scope.len() + 64);
    for line in [ALGORITHM, date.as_str(), scope] {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(hex_of(&hash, &mut [0; 64]));
    text
}

/// Hexadecimal without an allocation.
pub(super) fn hex_of<'b>(digest: &Digest, buffer: &'b mut [u8; 64]) -> &'b str {
    // The buffer is exactly twice the digest, and hexadecimal is ASCII.
    let _ = hex::encode_to_slice(digest, buffer);
    std::str::from_utf8(buffer).unwrap_or_default()
}

fn push_path(out: &mut Vec<u8>, path: &str, rule: PathRule) {
    let push_segment = |out: &mut Vec<u8>, segment: &str| {
        if rule.encode_twice {
            segment.bytes().for_each(|byte| push_encoded(out, byte));
        } else {
            push_reencoded(out, segment, b'+');
        }
    };
    if !rule.normalize {
        if !path.starts_with('/') {
            out.push(b'/');
        }
        for (index, segment) in path.split('/').enumerate() {
            if index > 0 {
                out.push(b'/');
            }
            push_segment(out, segment);
        }
        return;
    }
    let mut segments: Vec<&str> = Vec::with_capacity(8);
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push(b'/');
        push_segment(out, segment);
    }
    if segments.is_empty() || path.ends_with('/') {
        out.push(b'/');
    }
}

/// Sorted by name, then value, after encoding. A `+` is a space, as in every form.
fn push_query(out: &mut Vec<u8>, query: &str, without: &[&str]) {
    if query.is_empty() {
        return;
    }
    let mut text = Vec::with_capacity(query.len() + query.len() / 4);
    let mut pairs: Vec<(Range<usize>, Range<usize>)> = Vec::with_capacity(16);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let start = text.len();
        push_reencoded(&mut text, name, b' ');
        let middle = text.len();
        // The names in question hold only characters that encoding leaves alone.
        if without.iter().any(|name| name.as_bytes() == &text[start..]) {
            text.truncate(start);
            continue;
        }
        push_reencoded(&mut text, value, b' ');
        pairs.push((start..middle, middle..text.len()));
    }
    let spelt =
        |pair: &(Range<usize>, Range<usize>)| (&text[pair.0.clone()], &text[pair.1.clone()]);
    pairs.sort_unstable_by(|a, b| spelt(a).cmp(&spelt(b)));
    for (index, pair) in pairs.iter().enumerate() {
        let (name, value) = spelt(pair);
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

/// `name:value,value`, or nothing where the request has no such header.
fn push_header(out: &mut Vec<u8>, request: &Request<'_>, name: &str) {
    let mut values = request.headers.get_all(name).iter().peekable();
    let authority = match values.peek() {
        None if name == HOST.as_str() => request.authority,
        _ => None,
    };
    let values = values
        .map(|value| value.as_bytes())
        .chain(authority.map(str::as_bytes));
    let before = out.len();
    for value in values {
        let first = out.len() == before;
        if first {
            out.extend_from_slice(name.as_bytes());
        }
        out.push(if first { b':' } else { b',' });
        push_collapsed(out, value);
    }
    if out.len() > before {
        out.push(b'\n');
    }
}

/// Trimmed, and every run of blanks within made one space.
fn push_collapsed(out: &mut Vec<u8>, value: &[u8]) {
    let words = value
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

/// Decodes and encodes anew, so that every spelling of the same bytes comes out alike. `plus` is
/// what a bare `+` means. An encoded `/` stays encoded: it is no separator.
fn push_reencoded(out: &mut Vec<u8>, text: &str, plus: u8) {
    let mut rest = text;
    while let Some(at) = rest.find('+') {
        percent_decode_str(&rest[..at]).for_each(|byte| push_encoded(out, byte));
        push_encoded(out, plus);
        rest = &rest[at + 1..];
    }
    percent_decode_str(rest).for_each(|byte| push_encoded(out, byte));
}

/// RFC 3986's unreserved characters as they are, all others as `%XX`.
pub(super) fn push_encoded(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
        _ => out.extend_from_slice(&[
            b'%',
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str, rule: PathRule) -> String {
        let mut out = Vec::new();
        push_path(&mut out, text, rule);
        String::from_utf8(out).expect("ASCII")
    }

    fn query(text: &str) -> String {
        let mut out = Vec::new();
        push_query(&mut out, text, &["X-Amz-Signature"]);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn s3_keeps_the_path_and_encodes_it_once() {
        let rule = PathRule::of("s3");
        assert_eq!(path("/a//./../b%20c", rule), "/a//./../b%20c");
        assert_eq!(path("/%7Euser/(1)/a+b", rule), "/~user/%281%29/a%2Bb");
        assert_eq!(path("/a%2Fb/", rule), "/a%2Fb/");
        assert_eq!(path("/%e1%88%b4", rule), "/%E1%88%B4");
        assert_eq!(path("", rule), "/");
    }

    #[test]
    fn others_resolve_the_path_and_encode_it_twice() {
        let rule = PathRule::of("lambda");
        assert_eq!(path("/a//./../b%20c", rule), "/b%2520c");
        assert_eq!(path("/../..", rule), "/");
        assert_eq!(path("//a/./", rule), "/a/");
        assert_eq!(
            path("/2015-03-31/functions/arn:aws", rule),
            "/2015-03-31/functions/arn%3Aaws"
        );
        assert_eq!(path("", rule), "/");
    }

    #[test]
    fn queries_are_sorted_after_encoding() {
        assert_eq!(query("b=2&a=%7e&a=1&c"), "a=1&a=~&b=2&c=");
        assert_eq!(query("a-=1&a=2&&a%20b=x+y"), "a=2&a%20b=x%20y&a-=1");
        assert_eq!(query("X-Amz-Signature=00&x=1&X%2DAmz-Signature=1"), "x=1");
        assert_eq!(query("k=a=b&%zz=1"), "%25zz=1&k=a%3Db");
    }

    #[test]
    fn headers_are_trimmed_collapsed_and_joined() {
        let mut headers = HeaderMap::new();
        headers.append("a", " x   y\tz ".parse().expect("a value"));
        headers.append("a", "".parse().expect("a value"));
        headers.append("a", "2".parse().expect("a value"));
        let request = Request {
            method: "GET",
            path: "/",
            query: "",
            authority: Some("h:1"),
            headers: &headers,
        };
        let mut out = Vec::new();
        for name in ["a", "absent", "host"] {
            push_header(&mut out, &request, name);
        }
        assert_eq!(String::from_utf8_lossy(&out), "a:x y z,,2\nhost:h:1\n");
    }
}
