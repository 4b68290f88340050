//! Prints structs as JSON bodies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gureum_schema::{Kind, Member, Struct, Timestamp, TimestampFormat, View};

use super::{Part, text};

/// The object of a structure's members that belong to the body.
pub(crate) fn print(value: &dyn Struct, part: Part) -> Vec<u8> {
    let mut object = Object::new();
    object.members(value, |member| part.prints(member));
    object.finish()
}

/// Any value, as the whole body.
pub(crate) fn print_value(member: &Member, view: &View<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value(&mut out, member, view);
    out
}

/// A JSON object in the making.
pub(crate) struct Object {
    out: Vec<u8>,
}

impl Object {
    pub(crate) fn new() -> Self {
        Self { out: vec![b'{'] }
    }

    pub(crate) fn string(&mut self, name: &str, value: &str) {
        key(&mut self.out, name);
        string(&mut self.out, value);
    }

    pub(crate) fn members(&mut self, value: &dyn Struct, keep: impl Fn(&Member) -> bool) {
        members(&mut self.out, value, keep);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

fn members(out: &mut Vec<u8>, of: &dyn Struct, keep: impl Fn(&Member) -> bool) {
    for (index, member) in of.schema().members().iter().enumerate() {
        let view = of.field(index).view();
        if keep(member) && !matches!(view, View::None) {
            key(out, member.json);
            value(out, member, &view);
        }
    }
}

fn value(out: &mut Vec<u8>, member: &Member, view: &View<'_>) {
    match view {
        View::None | View::Null | View::Body(_) => out.extend_from_slice(b"null"),
        View::Bool(v) => raw(out, v),
        View::Int(v) => raw(out, v),
        View::Float(v) => float(out, f64::from(*v), v),
        View::Double(v) => float(out, *v, v),
        View::Str(v) => string(out, v),
        View::Blob(v) => string(out, &STANDARD.encode(v)),
        View::Time(v) => time(out, *v, text::time_format(member, TimestampFormat::Epoch)),
        View::Document(v) => raw(out, v),
        View::Struct(v) => {
            out.push(b'{');
            members(out, *v, |_| true);
            out.push(b'}');
        }
        View::List(list) => {
            let Kind::List { item, .. } = member.target.kind else {
                return raw(out, &());
            };
            out.push(b'[');
            for index in 0..list.len() {
                comma(out, b'[');
                value(out, item, &list.get(index).view());
            }
            out.push(b']');
        }
        View::Map(map) => {
            let Kind::Map { value: entry, .. } = member.target.kind else {
                return raw(out, &());
            };
            out.push(b'{');
            map.for_each(&mut |name, field| {
                key(out, name);
                value(out, entry, &field.view());
            });
            out.push(b'}');
        }
    }
}

fn key(out: &mut Vec<u8>, name: &str) {
    comma(out, b'{');
    string(out, name);
    out.push(b':');
}

/// A comma, unless the collection has just been opened.
fn comma(out: &mut Vec<u8>, open: u8) {
    if out.last() != Some(&open) {
        out.push(b',');
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    raw(out, text);
}

fn raw<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Neither a Vec nor a scalar, string or JSON value can fail here.
    let _ = serde_json::to_writer(out, value);
}

fn float<T: serde::Serialize>(out: &mut Vec<u8>, wide: f64, value: &T) {
    match text::special_name(wide) {
        Some(name) => string(out, name),
        None => raw(out, value),
    }
}

fn time(out: &mut Vec<u8>, moment: Timestamp, format: TimestampFormat) {
    match format {
        TimestampFormat::Epoch => out.extend_from_slice(moment.format(format).as_bytes()),
        _ => string(out, &moment.format(format)),
    }
}
