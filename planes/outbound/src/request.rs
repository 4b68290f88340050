//! Calls and answers, and what an address says.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;

use crate::{Error, Trust};

/// One call. [`Request::get`] and [`Request::post`] fill in what most calls want.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// `https://host:port/path?query` or `http://…`. A user and password before the host become
    /// an `Authorization` header, unless there is one.
    pub url: String,
    /// `Host` and `Content-Length` are added.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How long everything may take, from resolving the name to the answer's last byte.
    pub deadline: Duration,
    /// The most bytes of an answer's body.
    pub limit: usize,
    /// How many redirects are followed; the answer to the last call is the answer.
    pub redirects: u32,
    pub trust: Trust,
}

impl Request {
    /// A GET of at most 10 s and 1 MiB, without redirects.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            url: url.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            deadline: Duration::from_secs(10),
            limit: 1 << 20,
            redirects: 0,
            trust: Trust::Roots,
        }
    }

    /// The same with a body.
    pub fn post(url: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            method: Method::POST,
            body: body.into(),
            ..Self::get(url)
        }
    }

    /// What the next call is after this answer (RFC 9110, 15.4): other than GET and HEAD become
    /// GET, unless the answer asks to keep them.
    pub(crate) fn redirected(&mut self, status: StatusCode) {
        let keeps = matches!(
            status,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        if !keeps && self.method != Method::HEAD && self.method != Method::GET {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.headers.remove(header::CONTENT_TYPE);
            self.headers.remove(header::CONTENT_ENCODING);
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Response {
    /// Where the answer sends us, if it does.
    pub(crate) fn redirect(&self, from: &Uri) -> Result<Option<Uri>, Error> {
        if !matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let Some(location) = self.headers.get(header::LOCATION) else {
            return Ok(None);
        };
        let bad = || Error::Malformed("it redirects to nowhere".into());
        let location = location.to_str().map_err(|_| bad())?;
        Ok(Some(resolve(from, location).ok_or_else(bad)?))
    }
}

/// A reference as redirects use them: absolute, from the scheme, from the root, or beside the path
/// (RFC 3986, 5.3, without dot segments).
fn resolve(from: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next()?;
    if location.contains("://") {
        return Some(Target::read(location).ok()?.uri);
    }
    let scheme = from.scheme_str()?;
    if let Some(rest) = location.strip_prefix("//") {
        return Some(Target::read(&format!("{scheme}://{rest}")).ok()?.uri);
    }
    let path = match location.as_bytes().first() {
        Some(b'/') => location.to_owned(),
        Some(b'?') => format!("{}{location}", from.path()),
        _ => format!("{}/{location}", from.path().rsplit_once('/')?.0),
    };
    let mut parts = from.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Where a call goes.
pub(crate) struct Target {
    /// With scheme, authority and path; without a user.
    pub(crate) uri: Uri,
    /// `Basic …`, where the address names a user.
    pub(crate) login: Option<HeaderValue>,
}

impl Target {
    pub(crate) fn read(url: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::Url(why.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad("it is no URL"))?;
        let mut parts = uri.into_parts();
        let scheme = parts.scheme.as_ref();
        if scheme != Some(&Scheme::HTTP) && scheme != Some(&Scheme::HTTPS) {
            return Err(bad("it begins with neither http:// nor https://"));
        }
        let authority = parts.authority.ok_or_else(|| bad("it names no host"))?;
        let (user, host) = match authority.as_str().rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority.as_str()),
        };
        let host: Authority = host.parse().map_err(|_| bad("it names no host"))?;
        // `http` takes any digits for a port.
        let port_given = !host.as_str().ends_with(']') && host.as_str().contains(':');
        if host.host().is_empty() || (host.port_u16().is_none() && port_given) {
            return Err(bad("its host or port is none"));
        }
        let login = user.map(basic);
        parts.authority = Some(host);
        parts
            .path_and_query
            .get_or_insert(PathAndQuery::from_static("/"));
        let uri = Uri::from_parts(parts).map_err(|_| bad("it is no URL"))?;
        Ok(Self { uri, login })
    }

    /// The next target of a redirected call. Secrets stay with the host that they are meant for.
    pub(crate) fn moved(self, to: Uri, headers: &mut HeaderMap) -> Self {
        let origin = |uri: &Uri| (uri.scheme().cloned(), uri.authority().cloned());
        if origin(&self.uri) == origin(&to) {
            return Self { uri: to, ..self };
        }
        for secret in [header::AUTHORIZATION, header::COOKIE, header::HOST] {
            headers.remove(secret);
        }
        Self {
            uri: to,
            login: None,
        }
    }
}

/// RFC 7617.
fn basic(user: &str) -> HeaderValue {
    let user: Vec<u8> = match user.split_once(':') {
        Some(_) => percent_decode_str(user).collect(),
        None => percent_decode_str(user).chain([b':']).collect(),
    };
    let text = format!("Basic {}", BASE64.encode(user));
    // Base64 is ASCII without controls, which is all that a value may be.
    let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_or_refused() {
        for (url, uri, login) in [
            ("http://a", "http://a/", None),
            ("https://a:8443/b?c=d#e", "https://a:8443/b?c=d", None),
            ("http://a?x=1", "http://a/?x=1", None),
            ("http://[::1]:80/x", "http://[::1]:80/x", None),
            ("http://[::1]/x", "http://[::1]/x", None),
            (
                "http://me:p%40ss@a/",
                "http://a/",
                Some("Basic bWU6cEBzcw=="),
            ),
            ("http://me@a/", "http://a/", Some("Basic bWU6")),
        ] {
            let target = Target::read(url).expect(url);
            assert_eq!(target.uri.to_string(), uri);
            let found = target.login.as_ref().map(|v| v.to_str().expect("ASCII"));
            assert_eq!(found, login, "{url}");
        }
        for url in [
            "",
            "a",
            "/a",
            "ftp://a",
            "http://",
            "http://a:99999/",
            "http://a b",
            "http://:80/",
            "http://a:/",
            "file:///etc",
        ] {
            assert!(matches!(Target::read(url), Err(Error::Url(_))), "{url}");
        }
    }

    #[test]
    fn a_redirect_is_resolved_against_where_it_came_from() {
        let from: Uri = "https://a:1/b/c?d".parse().expect("uri");
        for (location, wanted) in [
            ("http://x/y", "http://x/y"),
            ("//x/y", "https://x/y"),
            ("/y?z#f", "https://a:1/y?z"),
            ("y", "https://a:1/b/y"),
            ("?y", "https://a:1/b/c?y"),
        ] {
            assert_eq!(
                resolve(&from, location).expect(location).to_string(),
                wanted
            );
        }
        for location in ["ftp://x", "http://"] {
            assert_eq!(resolve(&from, location), None, "{location}");
        }
    }
}
