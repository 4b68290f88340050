//! Any struct as canonical JSON and back, without a word of any protocol: blobs as base64 under
//! `bytes`, moments as milliseconds under `millis`, floats that are no number by name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gureum_schema::{Body, Bytes, Field, Slot, Struct, Timestamp, View};
use serde_json::{Map, Value, json};

pub(crate) fn show(value: &dyn Struct) -> Value {
    let mut object = Map::new();
    for (index, member) in value.schema().members().iter().enumerate() {
        let view = value.field(index).view();
        if !matches!(view, View::None) {
            object.insert(member.name.to_owned(), show_view(&view));
        }
    }
    object.into()
}

fn show_view(view: &View<'_>) -> Value {
    match view {
        View::None | View::Null => Value::Null,
        View::Bool(v) => json!(v),
        View::Int(v) => json!(v),
        View::Float(v) => float(f64::from(*v)),
        View::Double(v) => float(*v),
        View::Str(v) => json!(v),
        View::Blob(v) => json!({ "bytes": STANDARD.encode(v) }),
        View::Time(v) => json!({ "millis": v.0 }),
        View::Document(v) => json!({ "document": v }),
        View::Body(v) => json!({ "bytes": STANDARD.encode(drain((*v).clone())) }),
        View::Struct(v) => show(*v),
        View::List(v) => (0..v.len())
            .map(|index| show_view(&v.get(index).view()))
            .collect(),
        View::Map(v) => {
            let mut object = Map::new();
            v.for_each(&mut |key, field| {
                object.insert(key.to_owned(), show_view(&field.view()));
            });
            object.into()
        }
    }
}

/// The bytes of a body that is held in memory.
pub(crate) fn drain(mut body: Body) -> Vec<u8> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut whole = Vec::new();
    while let std::task::Poll::Ready(Some(Ok(chunk))) = body.poll_chunk(&mut cx) {
        whole.extend_from_slice(&chunk);
    }
    whole
}

fn float(number: f64) -> Value {
    if number.is_finite() {
        json!(number)
    } else {
        json!(number.to_string().to_lowercase())
    }
}

/// Fills a struct from an object by the model's member names.
pub(crate) fn fill(into: &mut dyn Struct, from: &Value) {
    for (index, member) in into.schema().members().iter().enumerate() {
        if let Some(value) = from.get(member.name).filter(|value| !value.is_null()) {
            fill_field(into.field_mut(index), value);
        }
    }
}

fn fill_field(field: &mut dyn Field, from: &Value) {
    if let Slot::Document(to) = field.slot() {
        *to = from.get("document").unwrap_or(from).clone();
        return;
    }
    match field.slot() {
        Slot::Bool(to) => *to = from.as_bool().unwrap_or_default(),
        Slot::Int(to) => *to = i32::try_from(from.as_i64().unwrap_or_default()).unwrap_or_default(),
        Slot::Long(to) => *to = from.as_i64().unwrap_or_default(),
        Slot::Float(to) => *to = number(from) as f32,
        Slot::Double(to) => *to = number(from),
        Slot::Str(to) => {
            *to = from
                .as_str()
                .map_or_else(|| from.to_string(), str::to_owned)
        }
        Slot::Blob(to) => *to = Bytes::from(bytes(from)),
        Slot::Body(to) => *to = Body::from(Bytes::from(bytes(from))),
        Slot::Time(to) => *to = moment(from),
        Slot::Document(_) => {}
        Slot::Struct(into) => fill(into, from),
        Slot::List(list) => {
            for value in from.as_array().into_iter().flatten() {
                let item = list.push();
                if !value.is_null() {
                    fill_field(item, value);
                }
            }
        }
        Slot::Map(map) => {
            for (key, value) in from.as_object().into_iter().flatten() {
                let entry = map.insert(key.clone());
                if !value.is_null() {
                    fill_field(entry, value);
                }
            }
        }
    }
}

fn number(from: &Value) -> f64 {
    match from {
        Value::String(name) => name.parse().unwrap_or(f64::NAN),
        from => from.as_f64().unwrap_or_default(),
    }
}

/// Text stands for its own bytes.
fn bytes(from: &Value) -> Vec<u8> {
    match from {
        Value::String(text) => text.clone().into_bytes(),
        from => STANDARD
            .decode(from["bytes"].as_str().unwrap_or_default())
            .unwrap_or_default(),
    }
}

fn moment(from: &Value) -> Timestamp {
    match from {
        Value::Object(object) => Timestamp(object["millis"].as_i64().unwrap_or_default()),
        Value::String(text) => Timestamp::parse(text).unwrap_or_default(),
        from => Timestamp::from_secs_f64(number(from)),
    }
}
