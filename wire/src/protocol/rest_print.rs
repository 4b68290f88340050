//! Answers of restJson and restXml: status, headers, and the body or its one payload.

use gureum_schema::{
    Body, Bytes, Error, Kind, Location, Member, OperationSpec, Protocol, ServiceSpec, Struct,
    TimestampFormat, View,
};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::{Part, answer, json_print, media_type, rest, take_body, text, unprintable, xml_print};

pub(crate) fn print(
    protocol: Protocol,
    service: &ServiceSpec,
    op: &OperationSpec,
    out: &mut dyn Struct,
) -> Result<Response<Body>, Error> {
    let status = status(op, out);
    let has_content = !matches!(status, 204 | 205 | 304);
    let mut response = match rest::payload(out.schema()) {
        _ if !has_content => bare(status),
        Some((index, member)) => print_payload(protocol, service, op, status, out, index, member),
        None if out.schema().members().iter().any(|m| Part::Body.prints(m)) => match protocol {
            Protocol::RestXml => {
                let body = print_root(service, op, out);
                answer(status, media_type(protocol), body.into_bytes())
            }
            _ => answer(
                status,
                media_type(protocol),
                json_print::print(out, Part::Body),
            ),
        },
        // A JSON client expects an object where the output is quite empty; an XML one nothing.
        None if protocol == Protocol::RestJson1 && out.schema().members().is_empty() => {
            answer(status, media_type(protocol), b"{}".to_vec())
        }
        None => bare(status),
    };
    print_headers(out, response.headers_mut())?;
    // RFC 9110, 15.3.7: what a success says the range of is a part. No model tells.
    if response.status() == StatusCode::OK && response.headers().contains_key(CONTENT_RANGE) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

fn bare(status: u16) -> Response<Body> {
    let mut response = answer(status, "", Vec::new());
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// The status that the model gives, unless a member of the output says another.
fn status(op: &OperationSpec, out: &dyn Struct) -> u16 {
    let members = out.schema().members().iter().enumerate();
    members
        .filter(|(_, member)| member.location == Location::Status)
        .find_map(|(index, _)| match out.field(index).view() {
            View::Int(status) => u16::try_from(status)
                .ok()
                .filter(|s| (100..1000).contains(s)),
            _ => None,
        })
        .unwrap_or(op.http.status)
}

/// The whole output as one XML document.
fn print_root(service: &ServiceSpec, op: &OperationSpec, out: &dyn Struct) -> String {
    let root = op.output_root.unwrap_or(out.schema().name);
    if let Some(text) = unwrapped(root, out) {
        let mut xml = xml_print::Xml::new(service);
        xml.open_root(root, service.xml_namespace);
        xml.text(text);
        xml.close(root);
        return xml.finish();
    }
    let namespace = service.xml_namespace.map(|uri| ("", uri));
    xml_print::document(service, root, namespace, out, Part::Body)
}

/// S3's GetBucketLocation alone answers with its one member as the root, not in it: an output
/// whose root is called like its only member. The member may be absent.
fn unwrapped<'a>(root: &str, out: &'a dyn Struct) -> Option<&'a str> {
    let [member] = out.schema().members() else {
        return None;
    };
    if member.xml != root || !matches!(member.target.kind, Kind::String) {
        return None;
    }
    match out.field(0).view() {
        View::Str(text) => Some(text),
        _ => Some(""),
    }
}

fn print_payload(
    protocol: Protocol,
    service: &ServiceSpec,
    op: &OperationSpec,
    status: u16,
    out: &mut dyn Struct,
    index: usize,
    member: &'static Member,
) -> Response<Body> {
    match out.field(index).view() {
        View::None | View::Null => return bare(status),
        View::Body(_) => return print_stream(status, out, index),
        View::Blob(bytes) => {
            let mut response = answer(status, "application/octet-stream", Vec::new());
            *response.body_mut() = Body::from(Bytes::clone(bytes));
            return response;
        }
        View::Str(text) => {
            let text = text.as_bytes().to_vec();
            return answer(status, "text/plain", text);
        }
        _ => {}
    }
    let view = out.field(index).view();
    match (protocol, &view) {
        (Protocol::RestXml, View::Struct(value)) => {
            let root = op.output_root.unwrap_or(payload_root(member));
            let default = service.xml_namespace.map(|uri| ("", uri));
            let namespace = member.namespace.or(default);
            let body = xml_print::document(service, root, namespace, *value, Part::All);
            answer(status, media_type(protocol), body.into_bytes())
        }
        _ => answer(
            status,
            media_type(protocol),
            json_print::print_value(member, &view),
        ),
    }
}

/// The element's name when the model gives the member one, else the shape's.
fn payload_root(member: &Member) -> &'static str {
    if member.xml == member.name {
        member.target.name
    } else {
        member.xml
    }
}

fn print_stream(status: u16, out: &mut dyn Struct, index: usize) -> Response<Body> {
    let body = take_body(out.field_mut(index).slot()).unwrap_or_default();
    let length = body.length();
    let mut response = answer(status, "application/octet-stream", Vec::new());
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = body;
    response
}

pub(crate) fn print_headers(out: &dyn Struct, headers: &mut HeaderMap) -> Result<(), Error> {
    for (index, member) in out.schema().members().iter().enumerate() {
        let view = out.field(index).view();
        match member.location {
            Location::Header(name) => {
                if let Some(value) = header_text(member, &view) {
                    insert(headers, name, &value)?;
                }
            }
            Location::HeaderPrefix(prefix) => {
                let View::Map(map) = view else { continue };
                let mut result = Ok(());
                map.for_each(&mut |key, field| {
                    if let View::Str(value) = field.view()
                        && result.is_ok()
                    {
                        result = insert(headers, &format!("{prefix}{key}"), value);
                    }
                });
                result?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn insert(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Error> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unprintable("header name"))?;
    let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| unprintable("header"))?;
    headers.insert(name, value);
    Ok(())
}

/// Lists go into one header; strings with a comma or quote in them are quoted.
fn header_text(member: &Member, view: &View<'_>) -> Option<String> {
    let View::List(list) = view else {
        return text::print(view, member, TimestampFormat::Rfc822).map(Into::into);
    };
    let Kind::List { item, .. } = member.target.kind else {
        return None;
    };
    let items: Vec<String> = (0..list.len())
        .filter_map(|index| {
            let view = list.get(index).view();
            let text = text::print(&view, item, TimestampFormat::Rfc822)?;
            Some(match view {
                View::Str(_) if text.contains([',', '"']) => quote(&text),
                _ => text.into_owned(),
            })
        })
        .collect();
    (!items.is_empty()).then(|| items.join(", "))
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
