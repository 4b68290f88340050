//! Cross-origin requests of browsers: the preflight, and headers on what follows it.
//!
//! Source: the Fetch standard, "CORS protocol", and "Using CORS" in the S3 User Guide.

use std::sync::Arc;

use gureum_dispatch::{Cx, WebReply};
use gureum_schema::{Body, Error};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::pages;
use crate::S3;
use crate::config::cors::Rule;
use crate::errors::Code;
use crate::rules::Rules;

const VARY: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";

/// Request headers that a preflight may name.
const MAX_HEADERS: usize = 100;

fn header<'a>(request: &'a Parts, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

fn rules(s3: &S3, bucket: &str) -> Option<Arc<Rules>> {
    let bucket = s3.bucket(bucket).ok()?;
    s3.rules.get(&s3.store, &bucket).ok()
}

pub(super) fn preflight(s3: &S3, cx: &Cx, request: &Parts, bucket: &str) -> WebReply {
    let refuse = |code: Code, message: &str| pages::xml(cx, &Error::from(code.says(message)));
    let Some(origin) = header(request, "origin") else {
        let message = "Insufficient information. Origin request header needed.";
        return refuse(Code::BadRequest, message);
    };
    let Some(method) = header(request, "access-control-request-method") else {
        let message = "Invalid Access-Control-Request-Method: null";
        return refuse(Code::BadRequest, message);
    };
    let wanted = header(request, "access-control-request-headers").unwrap_or_default();
    let wanted = wanted
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let wanted: Vec<&str> = wanted.take(MAX_HEADERS).collect();
    let rules = rules(s3, bucket);
    let Some(cors) = rules.as_ref().and_then(|rules| rules.cors.as_ref()) else {
        let message = "CORSResponse: CORS is not enabled for this bucket.";
        return refuse(Code::AccessForbidden, message);
    };
    let Some(rule) = cors.find(origin, method, &wanted) else {
        return refuse(
            Code::AccessForbidden,
            "CORSResponse: This CORS request is not allowed. This is usually because the \
             evalution of Origin, request method / Access-Control-Request-Method or \
             Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
        );
    };
    let mut reply = pages::reply(cx, 200, [], Body::empty());
    allow(rule, origin, reply.headers_mut());
    if !wanted.is_empty() {
        let names = wanted.join(", ").to_ascii_lowercase();
        pages::set(&mut reply, "access-control-allow-headers", &names);
    }
    reply
}

/// Adds what a browser must read before it shows a reply to a page of another origin.
pub(super) fn decorate(s3: &S3, bucket: &str, request: &Parts, reply: &mut HeaderMap) {
    let Some(origin) = header(request, "origin") else {
        return;
    };
    let rules = rules(s3, bucket);
    let Some(cors) = rules.as_ref().and_then(|rules| rules.cors.as_ref()) else {
        return;
    };
    if let Some(rule) = cors.find(origin, request.method.as_str(), &[]) {
        allow(rule, origin, reply);
    }
}

fn allow(rule: &Rule, origin: &str, reply: &mut HeaderMap) {
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            reply.insert(HeaderName::from_static(name), value);
        }
    };
    if rule.any_origin() {
        set("access-control-allow-origin", "*");
    } else {
        set("access-control-allow-origin", origin);
        set("access-control-allow-credentials", "true");
    }
    set("access-control-allow-methods", &rule.methods());
    if !rule.exposed.is_empty() {
        set("access-control-expose-headers", &rule.exposed.join(", "));
    }
    if let Some(age) = rule.max_age {
        set("access-control-max-age", &age.to_string());
    }
    set("vary", VARY);
}
