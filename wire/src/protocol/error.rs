//! Errors on the wire: what a request that cannot be read becomes, and how each protocol prints
//! an error.

use std::fmt;

use gureum_schema::{
    Body, Error, ErrorInfo, Fault, Kind, Member, Protocol, Schema, ServiceSpec, Struct, View,
};
use http::{HeaderName, HeaderValue, Response};

use super::xml_print::Xml;
use super::{Part, cbor, finish, is_dynamodb, is_s3, json_print, media_type, rest_print, summed};

/// Why a request could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    pub kind: DecodeErrorKind,
    /// The member at fault, as in `entries.1.member.id`; empty for the whole request.
    pub path: String,
    /// Says what is wrong without repeating the value, which may be a secret.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// Not a document of the protocol at all.
    Malformed,
    /// Text that is not UTF-8.
    Encoding,
    WrongType,
    /// A number too large or too small for its type.
    OutOfRange,
    /// A scalar or structure that is given twice.
    Duplicate,
    /// A union with no member or several.
    Union,
    /// Nested deeper than [`super::MAX_DEPTH`].
    TooDeep,
    /// A label, header or query parameter of a REST protocol that does not read as its type.
    Parameter,
}

impl DecodeError {
    pub(crate) fn outside_body(mut self) -> Self {
        self.kind = DecodeErrorKind::Parameter;
        self
    }

    /// The error that AWS's own services answer with in this protocol. A service that has a code
    /// of its own for some of these builds its own.
    pub fn to_error(&self, protocol: Protocol) -> Error {
        use DecodeErrorKind::{Duplicate, Encoding, Malformed, Parameter, TooDeep};
        let code = match protocol {
            Protocol::AwsJson10
            | Protocol::AwsJson11
            | Protocol::RestJson1
            | Protocol::RpcV2Cbor => "SerializationException",
            Protocol::AwsQuery | Protocol::Ec2Query => match self.kind {
                Malformed | Encoding | TooDeep | Duplicate => "MalformedQueryString",
                _ if protocol == Protocol::Ec2Query => "InvalidParameterValue",
                _ => "MalformedInput",
            },
            Protocol::RestXml => match self.kind {
                Parameter => "InvalidArgument",
                _ => "MalformedXML",
            },
        };
        Error::new(code, 400, self.to_string())
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            // A map's key in the path can be as long as the request.
            path => write!(f, "{} (at {path:.200})", self.message),
        }
    }
}

impl std::error::Error for DecodeError {}

/// The response for an error. `resource` is what an S3 error names as its `Resource`.
pub fn encode_error(
    protocol: Protocol,
    service: &ServiceSpec,
    error: &Error,
    request_id: &str,
    resource: Option<&str>,
) -> Response<Body> {
    let printer = Printer {
        protocol,
        service,
        error,
        known: find(service, error),
        request_id,
    };
    let body = match protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RestJson1 => printer.json(),
        Protocol::RpcV2Cbor => printer.cbor(),
        Protocol::AwsQuery => printer.query().into_bytes(),
        Protocol::Ec2Query => printer.ec2().into_bytes(),
        Protocol::RestXml if is_s3(service) => printer.s3(resource).into_bytes(),
        Protocol::RestXml => printer.query().into_bytes(),
    };
    let mut response = summed(service, error.status, media_type(protocol), body);
    printer.headers(&mut response);
    finish(protocol, service, request_id, &mut response);
    response
}

/// The modelled error that goes by this code: the shape's name, its code, or its former one.
fn find(service: &ServiceSpec, error: &Error) -> Option<(&'static Schema, &'static ErrorInfo)> {
    let own = error.detail.as_ref().map(|detail| detail.schema());
    let modelled = service
        .operations
        .iter()
        .flat_map(|op| op.errors.iter().copied());
    own.into_iter().chain(modelled).find_map(|schema| {
        let Kind::Structure {
            error: Some(info), ..
        } = schema.kind
        else {
            return None;
        };
        let is_it = [Some(schema.name), Some(info.code), info.query_code]
            .contains(&Some(error.code.as_ref()));
        is_it.then_some((schema, info))
    })
}

struct Printer<'a> {
    protocol: Protocol,
    service: &'a ServiceSpec,
    error: &'a Error,
    known: Option<(&'static Schema, &'static ErrorInfo)>,
    request_id: &'a str,
}

impl Printer<'_> {
    /// What JSON and CBOR clients match on: the shape's name.
    fn shape(&self) -> &str {
        self.known
            .map_or(self.error.code.as_ref(), |(schema, _)| schema.name)
    }

    /// What XML clients match on, and JSON clients of services that were XML before.
    fn code(&self) -> &str {
        match self.known {
            Some((_, info)) => info.query_code.unwrap_or(info.code),
            None => self.error.code.as_ref(),
        }
    }

    fn fault(&self) -> &'static str {
        match self.error.fault() {
            Fault::Sender => "Sender",
            Fault::Receiver => "Receiver",
        }
    }

    /// What the shape calls its message; JSON services disagree on the capital.
    fn message_name(&self) -> &'static str {
        let members = self.known.map_or(&[][..], |(schema, _)| schema.members());
        let found = members.iter().find(|m| is_message(m.json));
        found.map_or("message", |member| member.json)
    }

    /// The message once, whoever holds it.
    fn message(&self) -> &str {
        if self.error.message.is_empty()
            && let Some(detail) = self.detail()
            && let Some(text) = message_of(detail)
        {
            return text;
        }
        &self.error.message
    }

    fn detail(&self) -> Option<&dyn Struct> {
        self.error.detail.as_deref()
    }

    /// REST protocols carry some members of an error in headers.
    fn is_body(&self, member: &Member) -> bool {
        match self.protocol {
            Protocol::RestJson1 | Protocol::RestXml => Part::Body.prints(member),
            _ => true,
        }
    }

    fn extra(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let extra = self
            .error
            .extra
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        extra.filter(|(name, _)| !is_message(name))
    }

    fn json(&self) -> Vec<u8> {
        let mut object = json_print::Object::new();
        if is_dynamodb(self.service) {
            let name = format!("com.amazonaws.dynamodb.v20120810#{}", self.shape());
            object.string("__type", &name);
        } else {
            object.string("__type", self.shape());
        }
        if !self.message().is_empty() {
            object.string(self.message_name(), self.message());
        }
        for (name, value) in self.extra() {
            object.string(name, value);
        }
        if let Some(detail) = self.detail() {
            object.members(detail, |member| {
                self.is_body(member) && !is_message(member.json)
            });
        }
        object.finish()
    }

    fn cbor(&self) -> Vec<u8> {
        let mut map = cbor::Map::new();
        map.string("__type", self.shape());
        if !self.message().is_empty() {
            map.string(self.message_name(), self.message());
        }
        for (name, value) in self.extra() {
            map.string(name, value);
        }
        if let Some(detail) = self.detail() {
            map.members(detail, |member| !is_message(member.json));
        }
        map.finish()
    }

    fn query(&self) -> String {
        let mut xml = Xml::new(self.service);
        xml.open_root("ErrorResponse", self.service.xml_namespace);
        xml.open("Error");
        xml.leaf("Type", self.fault());
        self.code_and_members(&mut xml);
        xml.close("Error");
        xml.leaf("RequestId", self.request_id);
        xml.close("ErrorResponse");
        xml.finish()
    }

    fn ec2(&self) -> String {
        let mut xml = Xml::new(self.service);
        xml.open("Response");
        xml.open("Errors");
        xml.open("Error");
        self.code_and_members(&mut xml);
        xml.close("Error");
        xml.close("Errors");
        xml.leaf("RequestID", self.request_id);
        xml.close("Response");
        xml.finish()
    }

    fn s3(&self, resource: Option<&str>) -> String {
        let mut xml = Xml::new(self.service);
        xml.open("Error");
        self.code_and_members(&mut xml);
        let has_resource = self.extra().any(|(name, _)| name == "Resource");
        if let (Some(resource), false) = (resource, has_resource) {
            xml.leaf("Resource", resource);
        }
        xml.leaf("RequestId", self.request_id);
        xml.leaf("HostId", self.request_id);
        xml.close("Error");
        xml.finish()
    }

    fn code_and_members(&self, xml: &mut Xml) {
        xml.leaf("Code", self.code());
        if !self.message().is_empty() {
            xml.leaf("Message", self.message());
        }
        for (name, value) in self.extra() {
            xml.leaf(name, value);
        }
        if let Some(detail) = self.detail() {
            xml.members(detail, |member| {
                self.is_body(member) && !is_message(member.xml)
            });
        }
    }

    fn headers(&self, response: &mut Response<Body>) {
        let protocol = self.protocol;
        let headers = response.headers_mut();
        if let Some(detail) = self.detail()
            && matches!(protocol, Protocol::RestJson1 | Protocol::RestXml)
        {
            let _ = rest_print::print_headers(detail, headers);
        }
        let mut put = |name: &str, value: &str| {
            // A header that cannot be sent is only a hint lost; the body says the same.
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            ) {
                headers.insert(name, value);
            }
        };
        for (name, value) in &self.error.headers {
            put(name, value);
        }
        let is_json = matches!(
            protocol,
            Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RestJson1
        );
        if is_json {
            put("x-amzn-errortype", self.shape());
        }
        if self.service.query_compatible && (is_json || protocol == Protocol::RpcV2Cbor) {
            put(
                "x-amzn-query-error",
                &format!("{};{}", self.code(), self.fault()),
            );
        }
    }
}

fn is_message(name: &str) -> bool {
    name.eq_ignore_ascii_case("message")
}

fn message_of(detail: &dyn Struct) -> Option<&str> {
    let index = detail
        .schema()
        .members()
        .iter()
        .position(|m| is_message(m.json))?;
    match detail.field(index).view() {
        View::Str(text) => Some(text),
        _ => None,
    }
}
