//! Static websites.
//!
//! Source: "Website endpoints" and "Configuring a webpage redirect" in the S3 User Guide.

use gureum_dispatch::{Cx, WebReply};
use gureum_model_s3::op;
use gureum_model_s3::types::{GetObjectOutput, GetObjectRequest, HeadObjectRequest};
use gureum_schema::{Body, Error, Timestamp, TimestampFormat};
use http::Method;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{pages, place};
use crate::S3;
use crate::config::website::{Rule, Website};
use crate::errors::{Code, Result};

/// What of a key stands for itself in a URL's path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// One request to a website.
struct Visit<'a> {
    cx: Cx,
    request: &'a Parts,
    bucket: &'a str,
    /// The key that the path stands for, before anything is added to it.
    key: String,
    head: bool,
}

pub(super) async fn serve(
    s3: &S3,
    cx: &Cx,
    request: &Parts,
    bucket: &str,
    region: &str,
) -> WebReply {
    let head = request.method == Method::HEAD;
    let (visit, website) = match enter(s3, cx, request, bucket, region) {
        Ok(entered) => entered,
        Err(failure) => return pages::html(cx, &failure.into(), None, head),
    };
    match website {
        Website::Elsewhere { host, protocol } => {
            let query = request.uri.query().map(|query| format!("?{query}"));
            let path = format!("{}{}", request.uri.path(), query.unwrap_or_default());
            let scheme = protocol.as_deref().unwrap_or(visit.scheme());
            pages::redirect(cx, 301, &format!("{scheme}://{host}{path}"))
        }
        Website::Pages {
            index,
            error,
            rules,
        } => visit.answer(&index, error.as_deref(), &rules).await,
    }
}

fn enter<'a>(
    s3: &S3,
    cx: &Cx,
    request: &'a Parts,
    name: &'a str,
    region: &str,
) -> Result<(Visit<'a>, Website)> {
    let head = request.method == Method::HEAD;
    if !head && request.method != Method::GET {
        return Err(Code::MethodNotAllowed
            .with("Method", &request.method)
            .with("ResourceType", "OBJECT"));
    }
    let bucket = s3.bucket(name)?;
    if bucket.region != region {
        return Err(Code::IncorrectEndpoint.with("BucketName", name));
    }
    let rules = s3.rules.get(&s3.store, &bucket)?;
    let website = rules.website.clone();
    let website =
        website.ok_or_else(|| Code::NoSuchWebsiteConfiguration.with("BucketName", name))?;
    let key = place::key(request.uri.path()).ok_or(Code::InvalidURI)?;
    let visit = Visit {
        cx: cx.in_region(bucket.region),
        request,
        bucket: name,
        key,
        head,
    };
    Ok((visit, website))
}

impl Visit<'_> {
    fn scheme(&self) -> &'static str {
        if self.cx.request.secure {
            "https"
        } else {
            "http"
        }
    }

    async fn answer(&self, index: &str, error_page: Option<&str>, rules: &[Rule]) -> WebReply {
        if let Some(rule) = rules.iter().find(|rule| rule.fits(&self.key, None)) {
            return self.follow(rule);
        }
        let folder = self.key.is_empty() || self.key.ends_with('/');
        let key = if folder {
            format!("{}{index}", self.key)
        } else {
            self.key.clone()
        };
        let error = match self.fetch(&key, true).await {
            Ok(found) => return self.show(200, found),
            Err(error) if error.status == 304 => {
                return pages::reply(&self.cx, 304, error.headers, Body::empty());
            }
            Err(error) => error,
        };
        if !folder && matches!(error.status, 403 | 404) {
            let inside = format!("{}/{index}", self.key);
            if self.exists(&inside).await {
                let path = utf8_percent_encode(&self.key, PATH);
                return pages::redirect(&self.cx, 302, &format!("/{path}/"));
            }
        }
        let status = Some(error.status);
        if let Some(rule) = rules.iter().find(|rule| rule.fits(&self.key, status)) {
            return self.follow(rule);
        }
        match error_page.filter(|_| (400..500).contains(&error.status)) {
            None => pages::html(&self.cx, &error, None, self.head),
            Some(page) => match self.fetch(page, false).await {
                Ok(found) => self.show(error.status, found),
                Err(further) => pages::html(&self.cx, &error, Some(&further), self.head),
            },
        }
    }

    fn follow(&self, rule: &Rule) -> WebReply {
        let host = rule.host.as_deref().unwrap_or_else(|| {
            let endpoint = self.cx.request.endpoint.as_str();
            endpoint
                .split_once("://")
                .map_or(endpoint, |(_, host)| host)
        });
        let scheme = rule.protocol.as_deref().unwrap_or(self.scheme());
        let target = rule.target(&self.key);
        let path = utf8_percent_encode(&target, PATH);
        let location = format!("{scheme}://{host}/{path}");
        pages::redirect(&self.cx, rule.code.unwrap_or(301), &location)
    }

    /// Gets an object as anybody may. Conditions and ranges are for what was asked for, not for an
    /// error page.
    async fn fetch(&self, key: &str, asked_for: bool) -> Result<GetObjectOutput, Error> {
        let header = |name: &str| {
            let value = self.request.headers.get(name).filter(|_| asked_for);
            value
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let time = |name: &str| header(name).and_then(|text| Timestamp::parse(&text));
        let input = GetObjectRequest {
            bucket: self.bucket.to_owned(),
            key: key.to_owned(),
            range: header("range"),
            if_match: header("if-match"),
            if_none_match: header("if-none-match"),
            if_modified_since: time("if-modified-since"),
            if_unmodified_since: time("if-unmodified-since"),
            ..Default::default()
        };
        self.cx.call::<op::GetObject>(input).await
    }

    async fn exists(&self, key: &str) -> bool {
        let input = HeadObjectRequest {
            bucket: self.bucket.to_owned(),
            key: key.to_owned(),
            ..Default::default()
        };
        self.cx.call::<op::HeadObject>(input).await.is_ok()
    }

    fn show(&self, status: u16, found: GetObjectOutput) -> WebReply {
        if let Some(location) = &found.website_redirect_location {
            return pages::redirect(&self.cx, 301, location);
        }
        let partial = found.content_range.is_some() && status == 200;
        let length = found
            .content_length
            .and_then(|length| u64::try_from(length).ok());
        let body = if self.head {
            Body::absent(length)
        } else {
            found.body
        };
        let headers = [
            ("content-type", found.content_type),
            ("content-length", length.map(|length| length.to_string())),
            ("content-range", found.content_range),
            ("accept-ranges", found.accept_ranges),
            ("cache-control", found.cache_control),
            ("content-disposition", found.content_disposition),
            ("content-encoding", found.content_encoding),
            ("content-language", found.content_language),
            ("expires", found.expires),
            ("etag", found.e_tag),
            ("x-amz-version-id", found.version_id),
            (
                "last-modified",
                found
                    .last_modified
                    .map(|at| at.format(TimestampFormat::Rfc822)),
            ),
        ];
        let headers = headers
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)));
        let status = if partial { 206 } else { status };
        let mut reply = pages::reply(&self.cx, status, headers, body);
        for (name, value) in found.metadata.unwrap_or_default() {
            pages::set(&mut reply, &format!("x-amz-meta-{name}"), &value);
        }
        reply
    }
}
