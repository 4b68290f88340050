//! Bodies compared by what they mean: parsed first, numbers and moments by value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gureum_schema::{Protocol, Timestamp};
use minicbor::data::Type;
use minicbor::decode::Decoder;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Value, json};

/// Takes out what readers must overlook: nulls, and the type that some servers name in a union.
pub(crate) fn strip(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|key, value| !value.is_null() && key != "__type");
            object.values_mut().for_each(strip);
        }
        Value::Array(array) => array.iter_mut().for_each(strip),
        _ => {}
    }
}

/// No body and one without members say the same.
pub(crate) fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// A body as JSON, whatever it was.
pub(crate) fn parse(protocol: Protocol, body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    match protocol {
        Protocol::RpcV2Cbor => cbor(&mut Decoder::new(body)),
        Protocol::AwsQuery | Protocol::Ec2Query | Protocol::RestXml => {
            xml(body).unwrap_or_else(|| json!({ "raw": String::from_utf8_lossy(body) }))
        }
        _ => serde_json::from_slice(body)
            .unwrap_or_else(|_| json!({ "raw": String::from_utf8_lossy(body) })),
    }
}

pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(k, v)| {
                    b.get(k).is_some_and(|w| {
                        if k == "__type" {
                            same_name(v, w)
                        } else {
                            same(v, w)
                        }
                    })
                })
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(v, w)| same(v, w))
        }
        _ => a == b || same_leaf(a, b),
    }
}

/// An error's name, without the namespace before and the URI after it that some services add.
pub(crate) fn same_name(a: &Value, b: &Value) -> bool {
    let bare = |v: &Value| {
        let name = v.as_str()?.rsplit('#').next()?;
        name.split(":http").next().map(str::to_owned)
    };
    bare(a) == bare(b) || same(a, b)
}

fn same_leaf(a: &Value, b: &Value) -> bool {
    let text = |v: &Value| {
        v.as_str()
            .map_or_else(|| v.to_string(), |t| t.trim().to_owned())
    };
    let (a, b) = (text(a), text(b));
    if let (Ok(x), Ok(y)) = (a.parse::<f64>(), b.parse::<f64>()) {
        return x == y || (x.is_nan() && y.is_nan()) || (x as f32) == (y as f32);
    }
    let moments = (Timestamp::parse(&a), Timestamp::parse(&b));
    a == b || matches!(moments, (Some(x), Some(y)) if x == y)
}

fn cbor(source: &mut Decoder<'_>) -> Value {
    let end = |source: &mut Decoder<'_>, left: &mut Option<u64>| match left {
        Some(0) => true,
        Some(n) => {
            *n -= 1;
            false
        }
        None => matches!(source.datatype(), Ok(Type::Break)) && source.skip().is_ok(),
    };
    match source.datatype().expect("a value") {
        Type::Bool => json!(source.bool().expect("a boolean")),
        Type::Null | Type::Undefined => {
            source.skip().expect("a null");
            Value::Null
        }
        Type::F16 => float(f64::from(source.f16().expect("a half"))),
        Type::F32 => float(f64::from(source.f32().expect("a float"))),
        Type::F64 => float(source.f64().expect("a double")),
        Type::String | Type::StringIndef => {
            json!(
                source
                    .str_iter()
                    .expect("text")
                    .map(|p| p.expect("text"))
                    .collect::<String>()
            )
        }
        Type::Bytes | Type::BytesIndef => {
            let parts = source
                .bytes_iter()
                .expect("bytes")
                .map(|p| p.expect("bytes").to_vec());
            json!({ "bytes": STANDARD.encode(parts.collect::<Vec<_>>().concat()) })
        }
        Type::Tag => {
            let tag = source.tag().expect("a tag").as_u64();
            json!({ "tag": tag, "value": cbor(source) })
        }
        Type::Array | Type::ArrayIndef => {
            let mut left = source.array().expect("an array");
            let mut items = Vec::new();
            while !end(source, &mut left) {
                items.push(cbor(source));
            }
            items.into()
        }
        Type::Map | Type::MapIndef => {
            let mut left = source.map().expect("a map");
            let mut entries = serde_json::Map::new();
            while !end(source, &mut left) {
                let key = cbor(source).as_str().expect("a key").to_owned();
                entries.insert(key, cbor(source));
            }
            entries.into()
        }
        _ => json!(i128::from(source.int().expect("an integer")) as f64),
    }
}

fn float(number: f64) -> Value {
    if number.is_finite() {
        json!(number)
    } else {
        json!(number.to_string())
    }
}

/// Elements as objects; children sorted by name, since their order between names says nothing.
fn xml(body: &[u8]) -> Option<Value> {
    let mut source = quick_xml::Reader::from_str(std::str::from_utf8(body).ok()?);
    source.config_mut().expand_empty_elements = true;
    loop {
        match source.read_event().ok()? {
            Event::Start(start) => return element(&mut source, &start),
            Event::Eof => return None,
            _ => {}
        }
    }
}

fn element(source: &mut quick_xml::Reader<&[u8]>, start: &BytesStart<'_>) -> Option<Value> {
    let (mut text, mut children) = (String::new(), Vec::new());
    loop {
        match source.read_event().ok()? {
            Event::Start(start) => children.push(element(source, &start)?),
            Event::End(_) => break,
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(part) => match part.resolve_char_ref().ok()? {
                Some(c) => text.push(c),
                None => text.push_str(&format!("&{};", &*part)),
            },
            Event::Eof => return None,
            _ => {}
        }
    }
    if !children.is_empty() {
        text.clear();
    }
    children.sort_by_key(|child| {
        // The entries of a map have no order either.
        let entry = child["children"].as_array().is_some_and(|c| c.len() == 2);
        (
            child["name"].to_string(),
            if entry {
                child.to_string()
            } else {
                String::new()
            },
        )
    });
    // Namespaces, the declaration aside, belong to the prefix; request ids are ours.
    children.retain(|c| !matches!(c["name"].as_str(), Some("requestId" | "ResponseMetadata")));
    let attributes = start
        .attributes()
        .flatten()
        .filter(|a| !a.key.as_ref().starts_with("xmlns"));
    let attributes: Vec<String> = attributes
        .map(|a| format!("{}={}", a.key.as_ref() as &str, a.value))
        .collect();
    Some(json!({
        "name": start.name().as_ref() as &str,
        "attributes": attributes,
        "text": text.trim(),
        "children": children,
    }))
}
