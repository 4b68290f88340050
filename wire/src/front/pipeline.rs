//! One request from head to reply.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use gureum_dispatch::{Caller, Cx, RequestInfo, Service};
use gureum_kit::Region;
use gureum_kit::names::id;
use gureum_schema::{Body, Error, Protocol, Result, ServiceSpec, Timestamp};
use http::request::Parts;
use http::{Method, Request, Response, header};

use super::auth::Proof;
use super::host::{self, Host};
use super::refuse::{self, Refusal};
use super::route::{Routes, Target};
use super::{Door, form};
use crate::protocol;
use crate::sigv4::{Claim, Family, Request as Signed};

/// No operation that is held in memory has a larger body (the model's own limits are far below).
const WHOLE_BODY: usize = 32 << 20;

/// A request's head, with what we know of how it came.
pub(crate) struct Visit {
    pub(crate) id: String,
    pub(crate) parts: Parts,
    /// Lower case, no port.
    pub(crate) host: String,
    pub(crate) peer: SocketAddr,
    pub(crate) secure: bool,
    pub(crate) now: Timestamp,
}

impl Door {
    /// Answers one request; every failure is an answer too.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Body>,
        peer: SocketAddr,
        secure: bool,
    ) -> Response<Body> {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let visit = Visit {
            id: id::request(),
            host: host::of(&parts),
            parts,
            peer,
            secure,
            now: Timestamp(self.cloud.clock().now()),
        };
        let mut reply = match visit.parts.uri.path().strip_prefix("/_gureum/") {
            Some(page) => self.page(&visit, page).await,
            None => match self.web(&visit, body).await {
                Ok(reply) => reply,
                Err(body) => self.api(&visit, body).await,
            },
        };
        if visit.parts.method == Method::HEAD {
            *reply.body_mut() = Body::absent(reply.body().length());
        }
        tracing::debug!(
            target: "access",
            request = %visit.id,
            %peer,
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
            .find(|(_, web)| web.claims(&visit.parts, &visit.host));
        let Some((service, web)) = claimed else {
            return Err(body);
        };
        let read = match form::read(self, visit, body).await {
            Ok(read) => read,
            Err(error) => {
                let spec = service.spec;
                return Ok(refuse::reply(Protocol::RestXml, spec, &error, visit));
            }
        };
        let cx = self.cx(
            visit,
            read.caller,
            self.cloud.region().clone(),
            read.auth_type,
            None,
        );
        let mut request = Request::from_parts(visit.parts.clone(), read.body);
        if let Some(fields) = read.fields {
            request.extensions_mut().insert(fields);
        }
        Ok(web.serve(cx, request).await)
    }

    async fn api(&self, visit: &Visit, body: Body) -> Response<Body> {
        match self.operation(visit, body).await {
            Ok(reply) => reply,
            Err(refusal) => refuse::answer(&refusal, visit),
        }
    }

    async fn operation(&self, visit: &Visit, body: Body) -> Result<Response<Body>, Refusal> {
        let parts = &visit.parts;
        let host = host::read(&visit.host, &self.options.domain);
        let claim = Claim::parse(Signed::of(parts));
        let scope = claim.as_ref().ok().and_then(Option::as_ref);
        let scope = scope.map(|claim| claim.scope().service());

        let (query, body) = Query::read(parts, body).await?;
        let version = query.value("Version");
        let found = self.routes.service(parts, host, scope, version);
        let service = Arc::clone(found.ok_or_else(|| Refusal::no_service(parts, scope))?);
        let protocol = Routes::protocol(&service, parts);
        let in_protocol = |error| Refusal::of(service.spec, protocol, error);

        let family = Family::of(service.spec);
        let claim = claim.map_err(|error| in_protocol(error.reply(family)))?;
        let path = path_style(host, parts.uri.path(), service.spec);
        let target = self
            .routes
            .operation(&service, protocol, parts, &path, query.value("Action"))
            .map_err(|lost| in_protocol(lost.error(parts, &service)))?;
        let reply = self.run(visit, claim, &path, target, body).await;
        reply.map_err(in_protocol)
    }

    /// Read, verify, decode, call, encode.
    async fn run(
        &self,
        visit: &Visit,
        claim: Option<Claim<'_>>,
        path: &str,
        target: Target,
        body: Body,
    ) -> Result<Response<Body>> {
        let Target {
            service,
            protocol,
            op: spec,
            labels,
        } = target;
        let op = service.op(spec.name).ok_or_else(|| {
            Error::not_implemented(format!("{}:{}", service.spec.name, spec.name))
        })?;
        let family = Family::of(service.spec);
        // The scope decides the rules of verification, so it must name this service.
        if let Some(claim) = &claim {
            let scope = claim.expect_scope(claim.scope().region(), service.spec.signing_name);
            scope.map_err(|error| error.reply(family))?;
        }
        let region = match &claim {
            Some(claim) => claim.scope().region().parse().map_err(|_| {
                Error::new(
                    "InvalidRegion",
                    400,
                    "The credential scope names no region.",
                )
            })?,
            None => self.cloud.region().clone(),
        };

        let streams = protocol::streams_input(spec);
        let needs_body = claim.as_ref().is_some_and(Claim::needs_body);
        let (body, whole) = if needs_body {
            let whole = refuse::in_time(body.collect(WHOLE_BODY).await)?;
            (Body::from(whole.clone()), Some(whole))
        } else {
            (body, None)
        };
        let proof = self.prove(claim, &visit.parts, whole.as_deref(), family, visit.now)?;
        let Proof {
            caller,
            payload,
            auth_type,
        } = proof;
        if caller.is_anonymous() && !service.admits_anonymous() {
            return Err(refuse::unsigned(service.spec));
        }
        if let Some(access_key) = &caller.access_key {
            let identities = self.cloud.identities();
            identities.used(
                access_key,
                service.spec.signing_name,
                region.as_str(),
                visit.now,
            );
        }
        let body = refuse::guard(payload, body, &visit.parts.headers, family)?;
        let body = if streams {
            protocol::Payload::Stream(body)
        } else {
            protocol::Payload::Whole(refuse::in_time(body.collect(WHOLE_BODY).await)?)
        };

        let mut input = op.new_input();
        let request = protocol::Request {
            method: &visit.parts.method,
            path,
            query: visit.parts.uri.query().unwrap_or_default(),
            headers: &visit.parts.headers,
            body,
        };
        refuse::decode(&service, protocol, &labels, request, &mut *input)?;

        let cx = self.cx(
            visit,
            caller,
            region,
            auth_type,
            content_sha256(&visit.parts),
        );
        let mut out = self.cloud.call(cx.clone(), &service, op, input).await?;
        let mut reply = protocol::encode(protocol, service.spec, spec, &mut *out, &visit.id);
        decorate(&service, &cx, visit, &mut reply);
        Ok(reply)
    }

    fn cx(
        &self,
        visit: &Visit,
        caller: Arc<Caller>,
        region: Region,
        auth_type: &'static str,
        content_sha256: Option<String>,
    ) -> Cx {
        let text = |name| {
            let value = visit.parts.headers.get(name);
            value.and_then(|v: &http::HeaderValue| v.to_str().ok())
        };
        let scheme = if visit.secure { "https" } else { "http" };
        let authority = text(header::HOST)
            .or_else(|| {
                visit
                    .parts
                    .uri
                    .authority()
                    .map(http::uri::Authority::as_str)
            })
            .unwrap_or(&self.options.authority);
        let info = RequestInfo {
            id: visit.id.clone(),
            source_ip: visit.peer.ip().to_canonical(),
            secure: visit.secure,
            user_agent: text(header::USER_AGENT).unwrap_or_default().to_owned(),
            endpoint: format!("{scheme}://{authority}"),
            origin: text(header::ORIGIN).map(str::to_owned),
            auth_type,
            signature_age: 0,
            content_sha256,
        };
        self.cloud.cx(caller, region, info)
    }
}

fn decorate(service: &Service, cx: &Cx, visit: &Visit, reply: &mut Response<Body>) {
    if let Some(web) = service.web() {
        web.decorate(cx, &visit.parts, reply.headers_mut());
    }
}

fn content_sha256(parts: &Parts) -> Option<String> {
    let value = parts.headers.get("x-amz-content-sha256")?;
    Some(value.to_str().ok()?.to_owned())
}

/// The path as if the bucket stood in it, where it stands in the host name.
fn path_style(host: Host<'_>, path: &str, spec: &ServiceSpec) -> String {
    match host {
        Host::Bucket(bucket) if spec.name == "s3" => format!("/{bucket}{path}"),
        _ => path.to_owned(),
    }
}

/// The parameters of a query-protocol request, from its URL and its form.
struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the form when there is one; the body is given back whole.
    async fn read(parts: &Parts, body: Body) -> Result<(Self, Body), Refusal> {
        let mut pairs = Vec::new();
        let mut keep = |text: &[u8]| {
            let wanted =
                |(name, _): &(Cow<'_, str>, Cow<'_, str>)| matches!(&**name, "Action" | "Version");
            let found = form_urlencoded::parse(text).filter(wanted).take(8);
            pairs.extend(found.map(|(name, value)| (name.into_owned(), value.into_owned())));
        };
        keep(parts.uri.query().unwrap_or_default().as_bytes());
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let is_form = parts.method == Method::POST
            && content_type.is_some_and(|v| v.as_bytes().starts_with(b"application/x-www-form"));
        if !is_form {
            return Ok((Self(pairs), body));
        }
        let whole: Bytes =
            refuse::in_time(body.collect(WHOLE_BODY).await).map_err(Refusal::bare)?;
        keep(&whole);
        Ok((Self(pairs), Body::from(whole)))
    }

    fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(n, _)| n == name)?;
        Some(value)
    }
}
