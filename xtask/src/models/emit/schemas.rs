//! `schemas.rs`: one static for each shape.

use std::fmt::Write;

use crate::Result;
use crate::models::document::{Reference, Shape};
use crate::models::names;
use crate::models::shapes::{Crate, Use};

pub(super) fn print(crate_: &Crate<'_>) -> Result<String> {
    let mut code = String::new();
    for (used, name) in &crate_.statics {
        let schema = schema(crate_, used)?;
        let _ = writeln!(code, "pub static {name}: Schema = {schema};");
    }
    let vocabulary = [
        "ErrorInfo",
        "Kind",
        "Location",
        "Member",
        "Schema",
        "TimestampFormat",
    ];
    let imports = super::imports(&code, &vocabulary);
    Ok(format!(
        "//! The model's shapes as data.\n\n{imports}\n{code}"
    ))
}

fn schema(crate_: &Crate<'_>, used: &Use) -> Result<String> {
    let name = &used.shape;
    let shape = crate_.shape(name);
    let mut code = match shape.kind.as_str() {
        "structure" if shape.document => format!("Schema::new({name:?}, Kind::Document)"),
        "structure" => structure(crate_, name, shape)?,
        "list" => {
            let item = item(crate_, "member", shape.part("member")?)?;
            format!(
                "Schema::list({name:?}, &{item}, {})",
                shape.traits.flattened
            )
        }
        "map" => {
            let key = item(crate_, "key", shape.part("key")?)?;
            let value = item(crate_, "value", shape.part("value")?)?;
            let flattened = shape.traits.flattened;
            format!("Schema::map({name:?}, &{key}, &{value}, {flattened})")
        }
        _ => format!("Schema::new({name:?}, {})", scalar(shape, used.stream)?),
    };
    code += &limits(name, shape)?;
    Ok(code)
}

fn scalar(shape: &Shape, stream: bool) -> Result<String> {
    Ok(match shape.kind.as_str() {
        "string" | "character" => "Kind::String".to_owned(),
        "boolean" => "Kind::Boolean".to_owned(),
        "integer" => "Kind::Integer".to_owned(),
        "long" => "Kind::Long".to_owned(),
        "float" => "Kind::Float".to_owned(),
        "double" => "Kind::Double".to_owned(),
        "blob" if stream => "Kind::Stream".to_owned(),
        "blob" => "Kind::Blob".to_owned(),
        "timestamp" => match &shape.traits.timestamp_format {
            Some(format) => format!("Kind::Timestamp(Some({}))", timestamp(format)?),
            None => "Kind::Timestamp(None)".to_owned(),
        },
        other => return Err(format!("unknown type {other}")),
    })
}

fn timestamp(format: &str) -> Result<&'static str> {
    match format {
        "iso8601" => Ok("TimestampFormat::Iso8601"),
        "rfc822" => Ok("TimestampFormat::Rfc822"),
        "unixTimestamp" => Ok("TimestampFormat::Epoch"),
        other => Err(format!("unknown timestamp format {other}")),
    }
}

fn limits(name: &str, shape: &Shape) -> Result<String> {
    let mut code = String::new();
    if let Some(min) = shape.min {
        let _ = write!(code, ".min({min:?})");
    }
    if let Some(max) = shape.max {
        let _ = write!(code, ".max({max:?})");
    }
    if let Some(pattern) = &shape.pattern {
        // Models are written for Java; what means something else here is corrected in the overlay.
        regex_lite::Regex::new(&format!("^(?:{pattern})$"))
            .map_err(|problem| format!("the pattern of {name}: {problem}"))?;
        let _ = write!(code, ".pattern({})", super::raw(pattern));
    }
    if !shape.values.is_empty() {
        let values = super::joined(shape.values.iter().map(|value| format!("{value:?}")));
        let _ = write!(code, ".values(&[{values}])");
    }
    if shape.sensitive {
        code += ".sensitive()";
    }
    Ok(code)
}

fn structure(crate_: &Crate<'_>, name: &str, shape: &Shape) -> Result<String> {
    let mut members = Vec::new();
    for (member, reference) in &shape.members.0 {
        let mut code = item(crate_, member, reference)
            .map_err(|problem| format!("{name}.{member}: {problem}"))?;
        if shape.required.contains(member) {
            code += ".required()";
        }
        members.push(code);
    }
    let members = super::joined(members);
    let mut code = format!("Schema::structure({name:?}, &[{members}])");
    if shape.union {
        code += ".union()";
    }
    if let Some(payload) = &shape.payload {
        let index = shape
            .members
            .position(payload)
            .ok_or_else(|| format!("{name} has no member {payload}"))?;
        let _ = write!(code, ".payload({index})");
    }
    if shape.exception {
        let _ = write!(code, ".error(&{})", error(crate_, name, shape));
    }
    Ok(code)
}

/// A member of a structure, or a collection's item, key or value.
fn item(crate_: &Crate<'_>, name: &str, reference: &Reference) -> Result<String> {
    let traits = crate_.traits(reference);
    let mut code = format!("Member::new({name:?}, &{})", crate_.target(reference));
    // With a location, the location's name is a header's or a parameter's, not an element's.
    let body_name = match &reference.location {
        None => traits.location_name.as_deref().unwrap_or(name),
        Some(_) => name,
    };
    let xml_name = traits.xml_name.as_deref().unwrap_or(body_name);
    if body_name != name {
        let _ = write!(code, ".json({body_name:?})");
    }
    if xml_name != name {
        let _ = write!(code, ".xml({xml_name:?})");
    }
    if crate_.speaks("ec2") {
        let plain = names::capitalised(body_name);
        let ec2 = reference.query_name.as_deref().unwrap_or(&plain);
        if ec2 != name {
            let _ = write!(code, ".ec2({ec2:?})");
        }
    }
    if let Some(location) = location(crate_, name, reference)? {
        let _ = write!(code, ".at({location})");
    }
    if reference.idempotency_token {
        code += ".idempotency_token()";
    }
    if reference.xml_attribute {
        code += ".xml_attribute()";
    }
    if traits.flattened {
        code += ".flattened()";
    }
    if let Some(namespace) = &traits.xml_namespace {
        let prefix = namespace.prefix.as_deref().unwrap_or_default();
        let _ = write!(code, ".namespace({prefix:?}, {:?})", namespace.uri);
    }
    if let Some(format) = &reference.traits.timestamp_format {
        let _ = write!(code, ".timestamp({})", timestamp(format)?);
    }
    Ok(code)
}

fn location(crate_: &Crate<'_>, name: &str, reference: &Reference) -> Result<Option<String>> {
    let Some(location) = &reference.location else {
        return Ok(None);
    };
    let place = reference.traits.location_name.as_deref().unwrap_or(name);
    let lower = place.to_ascii_lowercase();
    let is_map = crate_.shape(&reference.shape).kind == "map";
    Ok(Some(match location.as_str() {
        "header" => format!("Location::Header({lower:?})"),
        "headers" => {
            let prefix = reference
                .traits
                .location_name
                .as_deref()
                .unwrap_or_default();
            format!("Location::HeaderPrefix({:?})", prefix.to_ascii_lowercase())
        }
        "querystring" if is_map => "Location::QueryMap".to_owned(),
        "querystring" => format!("Location::Query({place:?})"),
        "uri" => format!("Location::Uri({place:?})"),
        "statusCode" => "Location::Status".to_owned(),
        other => return Err(format!("unknown location {other}")),
    }))
}

fn error(crate_: &Crate<'_>, name: &str, shape: &Shape) -> String {
    let modelled = shape.error.as_ref();
    let model_code = modelled.and_then(|error| error.code.as_deref());
    // In services that moved on from the query protocol, the shape's name is the code, and what
    // the model calls the code is what it was before.
    let (code, query_code) = if crate_.model.metadata.aws_query_compatible.is_some() {
        (name, model_code.filter(|code| *code != name))
    } else {
        (model_code.unwrap_or(name), None)
    };
    let fallback = if shape.fault { 500 } else { 400 };
    let status = modelled
        .and_then(|error| error.http_status_code)
        .unwrap_or(fallback);
    let sender = modelled
        .and_then(|error| error.sender_fault)
        .unwrap_or(status < 500);
    format!(
        "ErrorInfo {{ code: {code:?}, status: {status}, sender: {sender}, \
         query_code: {query_code:?} }}"
    )
}
