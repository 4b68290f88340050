//! S3 on the plain web: websites, preflights of browsers, and forms they post. None of these is
//! an operation, but all go through operations, so the same policies decide.

mod cors;
mod form;
mod form_policy;
mod pages;
mod place;
mod site;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use gureum_dispatch::{Cx, Web, WebReply, WebRequest};
use gureum_schema::Error;
use http::request::Parts;
use http::{HeaderMap, Method, header};

use crate::S3;
use crate::web::place::Place;

/// S3's part in the front door. `domain` is the one that our own host names end in.
pub(crate) struct Front {
    s3: Arc<S3>,
    domain: String,
}

/// What a web request is for.
enum Purpose {
    Site { bucket: String, region: String },
    Preflight { bucket: String },
    Form { bucket: String },
}

impl Front {
    pub(crate) fn new(s3: Arc<S3>, domain: &str) -> Self {
        Self {
            s3,
            domain: domain.to_owned(),
        }
    }

    fn purpose(&self, request: &Parts, host: &str) -> Option<Purpose> {
        if let Some((bucket, region)) = place::site(host, &self.domain) {
            return Some(Purpose::Site { bucket, region });
        }
        let is_form = request.method == Method::POST && is_form(&request.headers);
        let is_preflight = request.method == Method::OPTIONS;
        if !is_form && !is_preflight {
            return None;
        }
        let Place {
            bucket,
            key,
            by_host,
        } = place::of(host, request.uri.path(), &self.domain)?;
        if is_form {
            let plain = key.is_empty() && request.uri.query().unwrap_or_default().is_empty();
            return plain.then_some(Purpose::Form { bucket });
        }
        // On our own address other services may be meant.
        let ours = by_host || self.s3.bucket(&bucket).is_ok();
        ours.then_some(Purpose::Preflight { bucket })
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| {
        kind.trim()
            .to_ascii_lowercase()
            .starts_with("multipart/form-data")
    })
}

/// The host of a request, lower case, without port.
fn host_of(request: &Parts) -> String {
    let host = request
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri.host()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.to_ascii_lowercase()
}

impl Web for Front {
    fn claims(&self, request: &Parts, host: &str) -> bool {
        self.purpose(request, host).is_some()
    }

    fn serve(
        &self,
        cx: Cx,
        request: WebRequest,
    ) -> Pin<Box<dyn Future<Output = WebReply> + Send + '_>> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let host = host_of(&parts);
            match self.purpose(&parts, &host) {
                Some(Purpose::Site { bucket, region }) => {
                    let mut reply = site::serve(&self.s3, &cx, &parts, &bucket, &region).await;
                    cors::decorate(&self.s3, &bucket, &parts, reply.headers_mut());
                    reply
                }
                Some(Purpose::Preflight { bucket }) => {
                    cors::preflight(&self.s3, &cx, &parts, &bucket)
                }
                Some(Purpose::Form { bucket }) => {
                    let mut reply = form::serve(&self.s3, &cx, &parts, body, &bucket).await;
                    cors::decorate(&self.s3, &bucket, &parts, reply.headers_mut());
                    reply
                }
                None => pages::xml(&cx, &crate::errors::Code::MethodNotAllowed.error().into()),
            }
        })
    }

    fn served(&self, cx: &Cx, request: &Parts, outcome: Result<&WebReply, &Error>) {
        let host = host_of(request);
        if let Some(place) = place::of(&host, request.uri.path(), &self.domain) {
            self.s3
                .log_access(cx, request, (&place.bucket, &place.key), outcome);
        }
    }

    fn decorate(&self, _: &Cx, request: &Parts, reply: &mut HeaderMap) {
        if !request.headers.contains_key(header::ORIGIN) {
            return;
        }
        let host = host_of(request);
        if let Some(Place { bucket, .. }) = place::of(&host, request.uri.path(), &self.domain) {
            cors::decorate(&self.s3, &bucket, request, reply);
        }
    }
}
