//! Saying no in the caller's own protocol.

use std::io;
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt;
use gureum_dispatch::{Invalid, Service};
use gureum_schema::{Body, Error, Protocol, Result, ServiceSpec, Struct};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Response};

use super::coding::Packed;
use super::pipeline::Visit;
use super::route::{Lost, is_rest};
use crate::protocol::{self, DecodeError, DecodeErrorKind, ViolationKind};
use crate::sigv4::{BodyError, Family, Payload};

/// An error with the dialect to say it in.
pub(crate) struct Refusal {
    spec: Option<&'static ServiceSpec>,
    protocol: Protocol,
    error: Error,
}

impl Refusal {
    pub(crate) fn of(spec: &'static ServiceSpec, protocol: Protocol, error: Error) -> Self {
        Self {
            spec: Some(spec),
            protocol,
            error,
        }
    }

    /// Before it is known which service this is for.
    pub(crate) fn bare(error: Error) -> Self {
        Self {
            spec: None,
            protocol: Protocol::AwsQuery,
            error,
        }
    }

    /// The request is for a service that this cloud does not have, or for none at all.
    pub(crate) fn no_service(parts: &Parts, scope: Option<&str>) -> Self {
        let error = match scope {
            Some(scope) => Error::not_implemented(format!("The service {scope}")),
            None => Error::new(
                "MissingAuthenticationToken",
                403,
                "Nothing in the request says which service it is for. AWS clients are pointed here by `eval \"$(gureum env)\"`.",
            ),
        };
        Self {
            spec: None,
            protocol: guess(parts, scope),
            error,
        }
    }
}

/// The protocol of a request to a service whose model is not here.
fn guess(parts: &Parts, scope: Option<&str>) -> Protocol {
    let has = |name| parts.headers.contains_key(name);
    let kind = parts.headers.get(CONTENT_TYPE);
    let form = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form"));
    match scope {
        _ if has("smithy-protocol") => Protocol::RpcV2Cbor,
        _ if has("x-amz-target") => Protocol::AwsJson11,
        _ if form => Protocol::AwsQuery,
        Some("s3" | "cloudfront" | "route53") => Protocol::RestXml,
        Some(_) => Protocol::RestJson1,
        None => Protocol::AwsQuery,
    }
}

impl Lost {
    pub(crate) fn error(self, parts: &Parts, service: &Service) -> Error {
        let json = parts.headers.contains_key("x-amz-target");
        match self {
            Self::UnknownOperation(name) if json => Error::new(
                "UnknownOperationException",
                400,
                format!("{} has no operation {name}.", service.spec.service_id),
            ),
            Self::UnknownOperation(name) => Error::new(
                "InvalidAction",
                400,
                format!("The action {name} is not valid for this web service."),
            ),
            Self::Unreadable(error) => error,
            Self::NoOperation => Error::new(
                "MissingAction",
                400,
                "The request names no action: neither Action nor X-Amz-Target is there.",
            ),
            Self::NoRoute if is_rest(service.spec.protocols) && service.spec.name == "s3" => {
                Error::new(
                    "MethodNotAllowed",
                    405,
                    "The specified method is not allowed against this resource.",
                )
            }
            Self::NoRoute => Error::new(
                "UnknownOperationException",
                404,
                format!("{} has no operation at this path.", service.spec.service_id),
            ),
        }
    }
}

/// What a service without anonymous access says to a request without a signature.
pub(crate) fn unsigned(spec: &ServiceSpec) -> Error {
    let json = matches!(
        spec.protocols.first(),
        Some(Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RestJson1 | Protocol::RpcV2Cbor)
    );
    let code = if json {
        "MissingAuthenticationTokenException"
    } else {
        "MissingAuthenticationToken"
    };
    Error::new(
        code,
        if json { 400 } else { 403 },
        "Request is missing Authentication Token",
    )
}

/// The whole body, or what is wrong with it. A body that is announced to be too large is not read.
pub(crate) async fn whole(body: Body, limit: usize) -> Result<Bytes> {
    body.collect(limit)
        .await
        .map_err(|error| match gureum_schema::reason(error) {
            Ok(error) => error,
            Err(error) => match error.kind() {
                io::ErrorKind::TimedOut => Error::new(
                    "RequestTimeout",
                    400,
                    "The client sent nothing more of the request body for too long.",
                ),
                io::ErrorKind::FileTooLarge => Error::new(
                    "RequestEntityTooLarge",
                    413,
                    format!("The request body is larger than {limit} bytes."),
                ),
                _ => Error::new(
                    "IncompleteBody",
                    400,
                    "The request body ended before its announced length.",
                ),
            },
        })
}

/// A panic fails the request that it happened in, not the others on its connection.
pub(crate) async fn survive<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    // What was being changed is in transactions, which a panic leaves undone.
    let worked = AssertUnwindSafe(work).catch_unwind().await;
    worked.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        tracing::error!(panic = text.unwrap_or("?"), "a handler panicked");
        Err(Error::internal("An internal error occurred."))
    })
}

/// Wraps the body in what its signature demands, and words the failures for this service.
pub(crate) fn guard(
    payload: Payload,
    body: Body,
    headers: &HeaderMap,
    family: Family,
) -> Result<Body> {
    let guarded = payload.guard(body, headers);
    let body = guarded.map_err(|error| error.reply(family))?;
    Ok(body.map_err(move |error| match BodyError::of(&error) {
        Some(reason) => io::Error::new(error.kind(), reason.reply(family)),
        None => error,
    }))
}

/// The service's own word for what cannot be read, or its protocol's.
fn unreadable(service: &Service, protocol: Protocol, error: &DecodeError) -> Error {
    let message = error.to_string();
    service
        .invalid(&Invalid::Malformed { message })
        .unwrap_or_else(|| error.to_error(protocol))
}

/// What a body that cannot be unpacked is answered.
pub(crate) fn packed(service: &Service, protocol: Protocol, packed: Packed) -> Error {
    match packed {
        Packed::TooLarge(_) => packed.error(),
        Packed::Broken(message) => {
            let (kind, path) = (DecodeErrorKind::Malformed, String::new());
            let error = DecodeError {
                kind,
                path,
                message,
            };
            unreadable(service, protocol, &error)
        }
    }
}

/// Decodes and checks against the model; the errors are the service's own.
pub(crate) fn decode(
    service: &Service,
    protocol: Protocol,
    labels: &[(&str, String)],
    request: protocol::Request<'_>,
    input: &mut dyn Struct,
) -> Result<()> {
    let missing = protocol::decode(protocol, labels, request, input)
        .map_err(|error| unreadable(service, protocol, &error))?;
    let Err(violations) = protocol::validate(input, &missing) else {
        return Ok(());
    };
    let message = violations.to_string();
    let Some(first) = violations.iter().next() else {
        return Ok(());
    };
    let path = first.path.clone();
    let invalid = match first.kind {
        ViolationKind::Missing => Invalid::Missing { path, message },
        kind => Invalid::Constraint {
            path,
            message,
            choice: first.value.clone().filter(|_| kind == ViolationKind::Enum),
        },
    };
    Err(service.invalid(&invalid).unwrap_or_else(|| {
        let code = match protocol {
            Protocol::RestXml => "InvalidArgument",
            Protocol::AwsQuery | Protocol::Ec2Query => "ValidationError",
            _ => "ValidationException",
        };
        violations.to_error(code)
    }))
}

/// An error in the protocol of the service.
pub(crate) fn reply(
    protocol: Protocol,
    spec: &ServiceSpec,
    error: &Error,
    visit: &Visit,
) -> Response<Body> {
    if error.status >= 500 && error.code != "NotImplemented" {
        tracing::error!(request = %visit.id, %error, "a request failed");
    }
    let resource = Some(visit.parts.uri.path());
    protocol::encode_error(protocol, spec, error, &visit.id, resource)
}

pub(crate) fn answer(refusal: &Refusal, visit: &Visit) -> Response<Body> {
    let spec = refusal.spec.unwrap_or(&NOBODY);
    reply(refusal.protocol, spec, &refusal.error, visit)
}

/// Stands in for the service of a request that is for none.
static NOBODY: ServiceSpec = ServiceSpec {
    name: "",
    service_id: "",
    signing_name: "",
    endpoint_prefix: "",
    api_version: "",
    protocols: &[Protocol::AwsQuery],
    target_prefix: None,
    xml_namespace: None,
    query_compatible: false,
    global: false,
    operations: &[],
};
