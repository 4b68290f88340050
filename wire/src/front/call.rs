//! An operation of a model: route -> read -> verify -> decode -> `Cloud::call` -> encode.

use std::borrow::Cow;
use std::sync::Arc;

use gureum_dispatch::{Caller, Op, Service};
use gureum_kit::Region;
use gureum_schema::{Body, Error, OperationSpec, Result, ServiceSpec};
use http::request::Parts;
use http::{Response, header};

use super::Door;
use super::auth::{Proof, Signature};
use super::coding::Coding;
use super::host::{self, Host};
use super::integrity;
use super::pipeline::Visit;
use super::query::Query;
use super::refuse::{self, Refusal};
use super::route::{Routes, Target};
use crate::protocol;
use crate::sigv4::{Claim, Family, LegacyClaim, Mechanism, Request, SigError};

/// No operation that is held in memory has a larger body (the models' own limits are far below).
const WHOLE_BODY: usize = 32 << 20;

/// What a request says of its sender.
enum Signed<'v> {
    /// With the current signature; `None` is an anonymous request.
    Now(Option<Claim<'v>>),
    /// With a presigned URL of the older kind, which S3 still takes.
    Before(LegacyClaim<'v>),
}

impl<'v> Signed<'v> {
    fn read(parts: &'v Parts) -> Result<Self, SigError> {
        let request = Request::of(parts);
        match LegacyClaim::parse(request) {
            Some(claim) => Ok(Self::Before(claim)),
            None => Claim::parse(request).map(Self::Now),
        }
    }

    fn claim(&self) -> Option<&Claim<'v>> {
        match self {
            Self::Now(claim) => claim.as_ref(),
            Self::Before(_) => None,
        }
    }
}

/// The URL as the protocols shall read it, which is not always as it was sent.
struct Url<'a> {
    path: Cow<'a, str>,
    query: Cow<'a, str>,
}

impl Door {
    pub(super) async fn api(&self, visit: &Visit, body: Body) -> Response<Body> {
        match self.find_and_run(visit, body).await {
            Ok(reply) => reply,
            Err(refusal) => refuse::answer(&refusal, visit),
        }
    }

    /// Finds service, protocol and operation; from there on the answer is in that protocol.
    async fn find_and_run(&self, visit: &Visit, body: Body) -> Result<Response<Body>, Refusal> {
        let parts = &visit.parts;
        let host = host::read(&visit.host, &self.options.domain);
        let signed = Signed::read(parts);
        let scope = signed.as_ref().ok().and_then(Signed::claim);
        let scope = scope.map(|claim| claim.scope().service());

        let (query, body) = Query::read(parts, body).await?;
        let found = self
            .routes
            .service(parts, host, scope, query.value("Version"));
        let service = Arc::clone(found.ok_or_else(|| Refusal::no_service(parts, scope))?);
        let protocol = Routes::protocol(&service, parts);
        let in_protocol = |error| Refusal::of(service.spec, protocol, error);
        if !visit.via.admits(service.spec) {
            return Err(in_protocol(astray(service.spec)));
        }

        let family = Family::of(service.spec);
        let signed = signed.map_err(|error| in_protocol(error.reply(family)))?;
        let url = url(host, visit, service.spec, &query);
        let action = query.value("Action");
        let target = self
            .routes
            .operation(&service, protocol, parts, &url.path, action)
            .map_err(|lost| in_protocol(lost.error(parts, &service)))?;
        let reply = refuse::survive(self.run(visit, signed, &url, target, body)).await;
        let mut reply =
            reply.unwrap_or_else(|error| refuse::reply(protocol, service.spec, &error, visit));
        self.decorate(&service, visit, &mut reply);
        Ok(reply)
    }

    async fn run(
        &self,
        visit: &Visit,
        signed: Signed<'_>,
        url: &Url<'_>,
        target: Target,
        body: Body,
    ) -> Result<Response<Body>> {
        let (service, protocol) = (&target.service, target.protocol);
        let op = implemented(service, target.op)?;
        let coding = coding(visit, service.spec, target.op)?;
        let family = Family::of(service.spec);
        let region = self.region(signed.claim(), service.spec)?;
        let (proof, body) = self.proven(visit, signed, &url.path, body, family).await?;
        if proof.caller.is_anonymous() && !service.admits_anonymous() {
            return Err(refuse::unsigned(service.spec));
        }
        self.note_use(&proof.caller, service.spec, &region, visit);

        let body = refuse::guard(proof.payload, body, &visit.parts.headers, family)?;
        let body = match protocol::streams_input(target.op) {
            true => protocol::Payload::Stream(body),
            false => {
                let whole = refuse::whole(body, WHOLE_BODY).await?;
                integrity::check(visit, service.spec, target.op, &whole)?;
                let plain = coding.unpack(whole, WHOLE_BODY);
                let plain = plain.map_err(|packed| refuse::packed(service, protocol, packed))?;
                protocol::Payload::Whole(plain)
            }
        };
        let mut input = op.new_input();
        let request = protocol::Request {
            method: &visit.parts.method,
            path: &url.path,
            query: &url.query,
            headers: &visit.parts.headers,
            body,
        };
        refuse::decode(service, protocol, &target.labels, request, &mut *input)?;

        let cx = self.cx(visit, proof.caller, region, proof.signature);
        let out = self.cloud.call(cx.clone(), service, op, input).await;
        let reply = out.map(|mut out| {
            protocol::encode(protocol, service.spec, target.op, &mut *out, &visit.id)
        });
        if let Some(web) = service.web() {
            web.served(&cx, &visit.parts, reply.as_ref());
        }
        reply
    }

    /// Proves the claim. Where the signature covers a hash that only the body tells, the body is
    /// read for it.
    async fn proven(
        &self,
        visit: &Visit,
        signed: Signed<'_>,
        path: &str,
        body: Body,
        family: Family,
    ) -> Result<(Proof, Body)> {
        let claim = match signed {
            Signed::Now(claim) => claim,
            Signed::Before(claim) if family == Family::S3 => {
                let proof = self.prove_legacy(&claim, path, &visit.parts, visit.now)?;
                return Ok((proof, body));
            }
            Signed::Before(_) => {
                return Err(SigError::Unsupported(Mechanism::SigV2).reply(family));
            }
        };
        if !claim.as_ref().is_some_and(Claim::needs_body) {
            let proof = self.prove(claim, &visit.parts, None, family, visit.now)?;
            return Ok((proof, body));
        }
        let whole = refuse::whole(body, WHOLE_BODY).await?;
        let proof = self.prove(claim, &visit.parts, Some(&whole), family, visit.now)?;
        Ok((proof, Body::from(whole)))
    }

    /// The region that the request was signed for; ours where it was not signed. The scope also
    /// decides the rules of verification, so it must name this very service.
    fn region(&self, claim: Option<&Claim<'_>>, spec: &ServiceSpec) -> Result<Region> {
        let Some(claim) = claim else {
            return Ok(self.cloud.region().clone());
        };
        let scope = claim.scope();
        claim
            .expect_scope(scope.region(), spec.signing_name)
            .map_err(|error| error.reply(Family::of(spec)))?;
        scope.region().parse().map_err(|_| {
            Error::new(
                "InvalidRegion",
                400,
                format!("The credential scope names no region: {}", scope.region()),
            )
        })
    }

    fn note_use(
        &self,
        caller: &Caller,
        spec: &'static ServiceSpec,
        region: &Region,
        visit: &Visit,
    ) {
        let identities = self.cloud.identities();
        identities.used(caller, spec.signing_name, region.as_str(), visit.now);
    }

    /// Browsers want to read refusals too, so every reply gets its headers for them.
    fn decorate(&self, service: &Service, visit: &Visit, reply: &mut Response<Body>) {
        let (Some(web), true) = (
            service.web(),
            visit.parts.headers.contains_key(header::ORIGIN),
        ) else {
            return;
        };
        let nobody = Arc::new(Caller::anonymous());
        let cx = self.cx(visit, nobody, self.cloud.region().clone(), Signature::NONE);
        web.decorate(&cx, &visit.parts, reply.headers_mut());
    }
}

fn implemented<'s>(service: &'s Service, spec: &OperationSpec) -> Result<&'s Op> {
    let absent = || Error::not_implemented(format!("{}:{}", service.spec.name, spec.name));
    service.op(spec.name).ok_or_else(absent)
}

/// How the body was packed for its way here. In S3 the header is the object's.
/// At the address of another service's endpoint.
fn astray(spec: &ServiceSpec) -> Error {
    let name = spec.endpoint_prefix;
    Error::new(
        "AccessDenied",
        403,
        format!("Requests to {name} do not go through this VPC endpoint."),
    )
}

fn coding(visit: &Visit, service: &ServiceSpec, op: &OperationSpec) -> Result<Coding> {
    if service.name == "s3" || protocol::streams_input(op) {
        return Ok(Coding::Plain);
    }
    Coding::of(&visit.parts.headers)
}

/// Puts the bucket of a host name into the path, and the queue of a path into the query: clients
/// from before `QueueUrl` was a parameter sent their requests to the queue itself.
fn url<'v>(host: Host<'_>, visit: &'v Visit, spec: &ServiceSpec, query: &Query) -> Url<'v> {
    let uri = &visit.parts.uri;
    let mut url = Url {
        path: uri.path().into(),
        query: uri.query().unwrap_or_default().into(),
    };
    match (spec.name, host) {
        ("s3", Host::Bucket(bucket)) => url.path = format!("/{bucket}{}", uri.path()).into(),
        ("sqs", _) if is_for_a_queue(uri.path(), query) => {
            let join = if url.query.is_empty() { "" } else { "&" };
            url.query = format!("{}{join}QueueUrl={}", url.query, escaped(uri.path())).into();
        }
        _ => {}
    }
    url
}

fn is_for_a_queue(path: &str, query: &Query) -> bool {
    path.len() > 1 && query.value("Action").is_some() && query.value("QueueUrl").is_none()
}

/// As the value of a form's field.
fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
