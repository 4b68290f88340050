//! One request from head to reply: the cloud's own pages, web requests, or an operation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use gureum_dispatch::{Caller, Cx, RequestInfo};
use gureum_kit::Region;
use gureum_kit::names::id;
use gureum_schema::{Body, Protocol, Result, ServiceSpec, Timestamp};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};

use super::accept::Gate;
use super::auth::Signature;
use super::{Door, form, host, refuse};

/// How a request came.
#[derive(Clone)]
pub(crate) struct Via {
    pub(crate) peer: SocketAddr,
    /// Our end of the connection.
    pub(crate) local: SocketAddr,
    /// Only inside VPCs.
    pub(crate) gate: Option<Arc<dyn Gate>>,
    /// Over TLS.
    pub(crate) secure: bool,
}

impl Via {
    /// Whether a request that came so may be for this service: what a network lets pass to one
    /// address is for that one's service, whatever the request says.
    pub(crate) fn admits(&self, spec: &ServiceSpec) -> bool {
        let gate = self.gate.as_ref();
        gate.is_none_or(|gate| gate.admits(spec.endpoint_prefix))
    }
}

/// A request's head, with what we know of how it came.
pub(crate) struct Visit {
    pub(crate) id: String,
    pub(crate) parts: Parts,
    /// Lower case, no port.
    pub(crate) host: String,
    pub(crate) via: Via,
    pub(crate) now: Timestamp,
}

impl Visit {
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Scheme, host and port as this client writes them.
    fn endpoint(&self, otherwise: &str) -> String {
        let scheme = if self.via.secure { "https" } else { "http" };
        let authority = self
            .header(header::HOST)
            .or_else(|| self.parts.uri.authority().map(|a| a.as_str()))
            .unwrap_or(otherwise);
        [scheme, "://", authority].concat()
    }
}

impl Door {
    /// Answers one request; every failure is an answer too.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Body>,
        via: Via,
    ) -> Response<Body> {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let visit = Visit {
            id: id::request(),
            host: host::of(&parts),
            parts,
            via,
            now: Timestamp(self.cloud.clock().now()),
        };
        let mut reply = match visit.parts.uri.path().strip_prefix("/_gureum/") {
            Some(page) => self.page(&visit, page).await,
            None => match self.web(&visit, body).await {
                Ok(reply) => reply,
                Err(body) => self.api(&visit, body).await,
            },
        };
        name(&visit, &mut reply);
        if visit.parts.method == Method::HEAD {
            *reply.body_mut() = Body::absent(reply.body().length());
        }
        tracing::debug!(
            target: "access",
            request = %visit.id,
            peer = %visit.via.peer,
            method = %visit.parts.method,
            host = %visit.host,
            path = visit.parts.uri.path(),
            status = reply.status().as_u16(),
            micros = started.elapsed().as_micros() as u64,
        );
        reply
    }

    /// Requests that no model describes, where a service claims them; else gives the body back.
    async fn web(&self, visit: &Visit, body: Body) -> Result<Response<Body>, Body> {
        let services = self.cloud.services();
        let claimed = services
            .filter_map(|service| service.web().map(|web| (service, web)))
            .find(|(_, web)| web.claims(&visit.parts, &visit.host))
            .filter(|(service, _)| visit.via.admits(service.spec));
        let Some((service, web)) = claimed else {
            return Err(body);
        };
        let served = async {
            let read = form::read(self, visit, body).await?;
            let region = self.cloud.region().clone();
            let cx = self.cx(visit, read.caller, region, read.signature);
            let mut request = Request::from_parts(visit.parts.clone(), read.body);
            if let Some(fields) = read.fields {
                request.extensions_mut().insert(fields);
            }
            refuse::survive(async { Ok(web.serve(cx, request).await) }).await
        };
        let reply = served
            .await
            .unwrap_or_else(|error| refuse::reply(Protocol::RestXml, service.spec, &error, visit));
        Ok(reply)
    }

    pub(super) fn cx(
        &self,
        visit: &Visit,
        caller: Arc<Caller>,
        region: Region,
        signature: Signature,
    ) -> Cx {
        let text = |name| visit.header(name).map(str::to_owned);
        let info = RequestInfo {
            id: visit.id.clone(),
            source_ip: visit.via.peer.ip().to_canonical(),
            secure: visit.via.secure,
            user_agent: text(header::USER_AGENT).unwrap_or_default(),
            endpoint: visit.endpoint(&self.options.authority),
            origin: text(header::ORIGIN),
            auth_type: signature.auth_type,
            signature_age: signature.age,
            content_sha256: text(CONTENT_SHA256),
        };
        let gate = visit.via.gate.as_ref();
        let endpoint = gate.and_then(|gate| gate.endpoint(info.source_ip));
        self.cloud.cx(caller, region, info).through(endpoint)
    }
}

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const S3_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Every reply says which request it answers; S3's say so in a header of their own.
fn name(visit: &Visit, reply: &mut Response<Body>) {
    let headers = reply.headers_mut();
    if headers.contains_key(REQUEST_ID) || headers.contains_key(S3_REQUEST_ID) {
        return;
    }
    if let Ok(id) = HeaderValue::from_str(&visit.id) {
        headers.insert(REQUEST_ID, id);
    }
}
