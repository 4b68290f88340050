//! Saying no in the caller's own protocol.

use std::io;

use bytes::Bytes;
use gureum_dispatch::{Invalid, Service};
use gureum_schema::{Body, Error, Protocol, Result, ServiceSpec, Struct};
use http::request::Parts;
use http::{HeaderMap, Response};

use super::pipeline::Visit;
use super::route::{Lost, is_rest};
use crate::protocol::{self, ViolationKind};
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
        let json = parts.headers.contains_key("x-amz-target");
        Self {
            spec: None,
            protocol: if json {
                Protocol::AwsJson11
            } else {
                Protocol::AwsQuery
            },
            error,
        }
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

/// Errors of reading a body, as the client should see them.
pub(crate) fn in_time(read: io::Result<Bytes>) -> Result<Bytes> {
    read.map_err(|error| match gureum_schema::reason(error) {
        Ok(error) => error,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Error::new(
            "RequestTimeout",
            400,
            "Your socket connection to the server was not read from or written to within the timeout period.",
        ),
        Err(error) if error.to_string().contains("larger than") => {
            Error::new("RequestEntityTooLarge", 413, "The request body is too large.")
        }
        Err(_) => Error::new(
            "IncompleteBody",
            400,
            "The request body ended before its announced length.",
        ),
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

/// Decodes and checks against the model; the errors are the service's own.
pub(crate) fn decode(
    service: &Service,
    protocol: Protocol,
    labels: &[(&str, String)],
    request: protocol::Request<'_>,
    input: &mut dyn Struct,
) -> Result<()> {
    let missing = protocol::decode(protocol, labels, request, input).map_err(|error| {
        let message = error.to_string();
        service
            .invalid(&Invalid::Malformed { message })
            .unwrap_or_else(|| error.to_error(protocol))
    })?;
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
        _ => Invalid::Constraint { path, message },
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
