//! The codecs: one non-generic decoder and encoder per protocol, walking schema and struct
//! together. Pure: bytes in, structs out, and back. Nothing here panics on any input.
//!
//! A request goes through [`uri::Router`] (the REST protocols), [`decode`] and [`validate`]; the
//! answer through [`encode`] or [`encode_error`].

mod cbor;
mod error;
mod json;
mod json_print;
mod query;
mod rest;
mod rest_print;
mod text;
pub mod uri;
mod validate;
mod walk;
mod xml;
mod xml_print;

use gureum_schema::{
    Body, Bytes, Error, Location, Member, OperationSpec, Protocol, ServiceSpec, Slot, Struct,
};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

pub use error::{DecodeError, DecodeErrorKind, encode_error};
pub use validate::{Violation, ViolationKind, Violations, understands_pattern, validate};
pub use walk::MAX_DEPTH;

use walk::{Path, Seen};

/// A request as the front door has received it, signature already checked.
pub struct Request<'a> {
    pub method: &'a Method,
    /// Raw, percent-encoded.
    pub path: &'a str,
    /// Raw, without the question mark.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: Payload,
}

pub enum Payload {
    Whole(Bytes),
    /// Only for operations whose payload member is a stream; see [`streams_input`].
    Stream(Body),
}

/// The required members that a request left out, which plain struct fields cannot tell.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Missing(Vec<String>);

impl Missing {
    /// More than these are not worth telling, and a request could otherwise make any number.
    const MOST: usize = 100;

    fn push(&mut self, path: String) {
        if self.0.len() < Self::MOST {
            self.0.push(path);
        }
    }

    /// Paths as in `entries.1.member.id`.
    pub fn paths(&self) -> &[String] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Which members of a structure stand in the body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All: in protocols without HTTP bindings, and below the top in those with.
    All,
    /// Those without an HTTP binding.
    Body,
}

impl Part {
    fn holds(self, member: &Member) -> bool {
        self == Part::All || member.location == Location::Body
    }

    /// In an answer, what the model binds to the URI can only stand in the body.
    fn prints(self, member: &Member) -> bool {
        use Location::{Body, Query, QueryMap, Uri};
        self == Part::All || matches!(member.location, Body | Query(_) | QueryMap | Uri(_))
    }
}

/// Whether the operation's request body is a stream that [`decode`] passes on unread.
pub fn streams_input(op: &OperationSpec) -> bool {
    op.input.is_some_and(rest::streams)
}

/// Fills `into` from the request and tells which required members were missing.
///
/// `labels` are the URI template's labels, as [`uri::Router::route`] gives them.
pub fn decode(
    protocol: Protocol,
    labels: &[(&str, String)],
    request: Request<'_>,
    into: &mut dyn Struct,
) -> Result<Missing, DecodeError> {
    let mut missing = Missing::default();
    let mut seen = Seen::default();
    let schema = into.schema();
    match protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 => {
            json::read(
                whole(&request.body)?,
                into,
                Part::All,
                &mut seen,
                &mut missing,
            )?;
        }
        Protocol::RpcV2Cbor => cbor::read(whole(&request.body)?, into, &mut seen, &mut missing)?,
        Protocol::AwsQuery | Protocol::Ec2Query => {
            let style = query::Style::of(protocol);
            let body = whole(&request.body)?;
            query::read(style, request.query, body, into, &mut seen, &mut missing)?;
        }
        Protocol::RestJson1 | Protocol::RestXml => {
            rest::read(protocol, labels, request, into, &mut seen, &mut missing)?;
        }
    }
    seen.close(schema, &Path::ROOT, &mut missing)?;
    Ok(missing)
}

fn whole(body: &Payload) -> Result<&[u8], DecodeError> {
    match body {
        Payload::Whole(bytes) => Ok(bytes),
        Payload::Stream(_) => {
            let message = "The operation takes no streamed body";
            Err(Path::ROOT.error(DecodeErrorKind::Malformed, message))
        }
    }
}

/// The response for an operation's output. `out` is taken mutably so that a streamed body can be
/// moved out of it.
pub fn encode(
    protocol: Protocol,
    service: &ServiceSpec,
    op: &OperationSpec,
    out: &mut dyn Struct,
    request_id: &str,
) -> Response<Body> {
    let result = match protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 => {
            let body = json_print::print(out, Part::All);
            Ok(summed(service, 200, media_type(protocol), body))
        }
        Protocol::RpcV2Cbor => Ok(answer(200, media_type(protocol), cbor::print(out))),
        Protocol::AwsQuery => {
            let text = xml_print::query_answer(service, op, out, request_id);
            Ok(answer(200, media_type(protocol), text.into_bytes()))
        }
        Protocol::Ec2Query => {
            let text = xml_print::ec2_answer(service, op, out, request_id);
            Ok(answer(200, media_type(protocol), text.into_bytes()))
        }
        Protocol::RestJson1 | Protocol::RestXml => rest_print::print(protocol, service, op, out),
    };
    match result {
        Ok(mut response) => {
            finish(protocol, service, request_id, &mut response);
            response
        }
        Err(error) => encode_error(protocol, service, &error, request_id, None),
    }
}

/// A response with a whole body.
fn answer(status: u16, media_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(body)));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// DynamoDB's answers carry a checksum of their body, which its clients verify.
fn summed(
    service: &ServiceSpec,
    status: u16,
    media_type: &'static str,
    body: Vec<u8>,
) -> Response<Body> {
    let sum = is_dynamodb(service).then(|| crc32fast::hash(&body));
    let mut response = answer(status, media_type, body);
    if let Some(sum) = sum {
        let name = HeaderName::from_static("x-amz-crc32");
        response.headers_mut().insert(name, HeaderValue::from(sum));
    }
    response
}

fn is_dynamodb(service: &ServiceSpec) -> bool {
    matches!(service.name, "dynamodb" | "dynamodbstreams")
}

fn media_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::AwsJson10 => "application/x-amz-json-1.0",
        Protocol::AwsJson11 => "application/x-amz-json-1.1",
        Protocol::AwsQuery => "text/xml",
        Protocol::Ec2Query => "text/xml;charset=UTF-8",
        Protocol::RestJson1 => "application/json",
        Protocol::RestXml => "application/xml",
        Protocol::RpcV2Cbor => "application/cbor",
    }
}

/// What every response carries, errors too.
fn finish(
    protocol: Protocol,
    service: &ServiceSpec,
    request_id: &str,
    response: &mut Response<Body>,
) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(request_id) {
        if is_s3(service) {
            headers.insert(HeaderName::from_static("x-amz-request-id"), id.clone());
            headers.insert(HeaderName::from_static("x-amz-id-2"), id);
        } else {
            headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
        }
    }
    if protocol == Protocol::RpcV2Cbor {
        let name = HeaderName::from_static("smithy-protocol");
        headers.insert(name, HeaderValue::from_static("rpc-v2-cbor"));
    }
}

fn is_s3(service: &ServiceSpec) -> bool {
    service.name == "s3"
}

/// Takes the streamed body out of a slot, if it is one.
fn take_body(slot: Slot<'_>) -> Option<Body> {
    match slot {
        Slot::Body(body) => Some(std::mem::take(body)),
        _ => None,
    }
}

/// Something of ours cannot be put on the wire.
fn unprintable(what: &str) -> Error {
    Error::internal(format!("The answer's {what} cannot be sent"))
}
