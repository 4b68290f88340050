//! Schemas and operations out of a vector file's `shapes`. They live as long as the test does.

use std::cell::RefCell;
use std::collections::HashMap;

use gureum_schema::{
    ErrorInfo, Http, Kind, Location, Member, NO_LIMITS, OperationSpec, Schema, TimestampFormat,
};
use serde_json::{Map, Value};

/// Recursive shapes are unrolled this far; the vectors nest less deeply.
const DEPTH: usize = 12;

pub(crate) struct Shapes<'a> {
    shapes: &'a Value,
    known: RefCell<HashMap<(String, usize), &'static Schema>>,
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn text(of: &Value, key: &str) -> Option<&'static str> {
    of.get(key)?.as_str().map(|text| &**leak(text.to_owned()))
}

fn truth(of: &Value, key: &str) -> bool {
    of.get(key)
        .is_some_and(|value| value.as_bool().unwrap_or(true))
}

impl<'a> Shapes<'a> {
    pub(crate) fn new(shapes: &'a Value) -> Self {
        Self {
            shapes,
            known: RefCell::default(),
        }
    }

    pub(crate) fn operation(&self, case: &Value) -> &'static OperationSpec {
        let given = &case["given"];
        let http = &given["http"];
        let schema = |side: &str| Some(self.schema(given.get(side)?["shape"].as_str()?));
        let errors = given["errors"].as_array().into_iter().flatten();
        let errors = errors
            .filter_map(|e| Some(self.schema(e["shape"].as_str()?)))
            .collect();
        let empty = leak(Schema::structure("Empty", &[]));
        let input = schema("input").unwrap_or(empty);
        let output = schema("output").unwrap_or(empty);
        leak(OperationSpec {
            http: Http {
                method: text(http, "method").expect("a method"),
                uri: text(http, "requestUri").expect("a URI"),
                status: http["responseCode"].as_u64().unwrap_or(200) as u16,
            },
            result_wrapper: result_wrapper(case),
            output_root: given
                .get("output")
                .and_then(|output| self.root(output["shape"].as_str()?)),
            errors: Vec::leak(errors),
            ..OperationSpec::new(text(given, "name").expect("a name"), "", "").io(input, output)
        })
    }

    /// The root element's name, where the output or its payload gives one.
    fn root(&self, output: &str) -> Option<&'static str> {
        let shape = &self.shapes[output];
        let payload = shape["payload"].as_str();
        if payload.is_some_and(|p| shape["members"][p]["locationName"].as_str().unwrap_or(p) != p) {
            return None;
        }
        let name = payload.and_then(|payload| shape["members"][payload]["shape"].as_str());
        text(
            name.map_or(shape, |name| &self.shapes[name]),
            "locationName",
        )
    }

    pub(crate) fn schema(&self, name: &str) -> &'static Schema {
        self.at(name, &Value::Null, DEPTH)
    }

    fn at(&self, name: &str, reference: &Value, depth: usize) -> &'static Schema {
        let streaming = truth(reference, "streaming");
        let key = (format!("{name} {streaming}"), depth);
        if let Some(schema) = self.known.borrow().get(&key) {
            return schema;
        }
        let shape = &self.shapes[name];
        let kind = self.kind(name, shape, streaming || truth(shape, "streaming"), depth);
        let schema = leak(Schema {
            limits: NO_LIMITS,
            ..Schema::new(leak(name.to_owned()), kind)
        });
        self.known.borrow_mut().insert(key, schema);
        schema
    }

    fn kind(&self, name: &str, shape: &Value, streaming: bool, depth: usize) -> Kind {
        match shape["type"].as_str().expect("a type") {
            "structure" if truth(shape, "document") => Kind::Document,
            "structure" => self.structure(name, shape, depth),
            "list" => Kind::List {
                item: leak(self.member("member", &shape["member"], depth)),
                flattened: truth(shape, "flattened"),
            },
            "map" => Kind::Map {
                key: leak(self.member("key", &shape["key"], depth)),
                value: leak(self.member("value", &shape["value"], depth)),
                flattened: truth(shape, "flattened"),
            },
            "boolean" => Kind::Boolean,
            "integer" | "short" | "byte" => Kind::Integer,
            "long" => Kind::Long,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "blob" if streaming => Kind::Stream,
            "blob" => Kind::Blob,
            "timestamp" => Kind::Timestamp(format(shape)),
            _ => Kind::String,
        }
    }

    fn structure(&self, name: &str, shape: &Value, depth: usize) -> Kind {
        let empty = Map::new();
        let members = shape["members"].as_object().unwrap_or(&empty);
        let members = if depth == 0 { &empty } else { members };
        let list: Vec<Member> = members
            .iter()
            .map(|(name, reference)| {
                let mut member = self.member(leak(name.clone()), reference, depth);
                let required = shape["required"].as_array();
                member.required = required.is_some_and(|r| r.iter().any(|r| r == name.as_str()));
                member
            })
            .collect();
        let payload = text(shape, "payload");
        Kind::Structure {
            payload: payload.and_then(|payload| list.iter().position(|m| m.name == payload)),
            members: Vec::leak(list),
            union: truth(shape, "union"),
            error: truth(shape, "exception").then(|| error_info(name, shape)),
        }
    }

    fn member(&self, name: &'static str, reference: &Value, depth: usize) -> Member {
        let shape_name = reference["shape"].as_str().expect("a shape");
        let shape = &self.shapes[shape_name];
        let target = self.at(shape_name, reference, depth.saturating_sub(1));
        let wire_name = text(reference, "locationName");
        let wire = wire_name.unwrap_or(name);
        let namespace = reference
            .get("xmlNamespace")
            .or_else(|| shape.get("xmlNamespace"));
        let capital = |name: &str| {
            let (first, rest) = name.split_at(name.len().min(1));
            &**leak(first.to_uppercase() + rest)
        };
        Member {
            json: wire,
            xml: wire,
            ec2: text(reference, "queryName")
                .or(wire_name.map(capital))
                .unwrap_or(name),
            location: location(reference, wire),
            xml_attribute: truth(reference, "xmlAttribute"),
            flattened: truth(reference, "flattened"),
            namespace: namespace.and_then(|n| match n {
                Value::String(uri) => Some(("", &**leak(uri.clone()))),
                n => Some((text(n, "prefix").unwrap_or(""), text(n, "uri")?)),
            }),
            timestamp: format(reference),
            ..Member::new(name, target)
        }
    }
}

/// Some vectors do not say that there is a wrapper, but have it all the same.
fn result_wrapper(case: &Value) -> Option<&'static str> {
    let given = &case["given"];
    let name = format!("{}Result", given["name"].as_str()?);
    let body = case["response"]["body"].as_str()?;
    body.contains(&name).then(|| &**leak(name))
}

fn error_info(name: &str, shape: &Value) -> &'static ErrorInfo {
    let info = &shape["error"];
    leak(ErrorInfo {
        code: leak(name.to_owned()),
        status: info["httpStatusCode"].as_u64().unwrap_or(400) as u16,
        sender: !truth(shape, "fault"),
        query_code: text(info, "code"),
    })
}

fn location(reference: &Value, wire: &'static str) -> Location {
    match reference["location"].as_str() {
        Some("header") => Location::Header(leak(wire.to_ascii_lowercase())),
        Some("headers") => {
            let prefix = reference["locationName"].as_str().unwrap_or("");
            Location::HeaderPrefix(leak(prefix.to_ascii_lowercase()))
        }
        Some("querystring") if reference.get("locationName").is_some() => Location::Query(wire),
        Some("querystring") => Location::QueryMap,
        Some("uri") => Location::Uri(wire),
        Some("statusCode") => Location::Status,
        _ => Location::Body,
    }
}

fn format(of: &Value) -> Option<TimestampFormat> {
    match of["timestampFormat"].as_str()? {
        "unixTimestamp" => Some(TimestampFormat::Epoch),
        "rfc822" => Some(TimestampFormat::Rfc822),
        _ => Some(TimestampFormat::Iso8601),
    }
}
