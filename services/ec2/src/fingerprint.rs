//! Requests with client tokens: what tells one set of parameters from another, and how their
//! results are remembered.

use bytes::Bytes;
use gureum_kit::idempotency;
use gureum_schema::{Field, Struct, View};

/// A fingerprint of a request's parameters, save the token itself and the dry run.
pub(crate) fn of(input: &dyn Struct) -> [u8; 32] {
    let mut out = Vec::new();
    members(input, &mut out);
    idempotency::fingerprint(&out)
}

fn members(value: &dyn Struct, out: &mut Vec<u8>) {
    for (index, member) in value.schema().members().iter().enumerate() {
        if !matches!(member.name, "ClientToken" | "DryRun") {
            field(value.field(index), out);
        }
    }
}

/// Every value is written with its kind and length, so that no two ways to fill a request read the
/// same.
fn field(value: &dyn Field, out: &mut Vec<u8>) {
    let mut text = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    match value.view() {
        View::Bool(flag) => text(b'b', &[u8::from(flag)]),
        View::Int(number) => text(b'i', &number.to_be_bytes()),
        View::Double(number) => text(b'd', &number.to_be_bytes()),
        View::Float(number) => text(b'f', &number.to_be_bytes()),
        View::Str(value) => text(b's', value.as_bytes()),
        View::Blob(value) => text(b'o', value),
        View::Time(time) => text(b't', &time.0.to_be_bytes()),
        View::Struct(inner) => {
            out.push(b'{');
            members(inner, out);
        }
        View::List(list) => {
            out.push(b'[');
            out.extend_from_slice(&(list.len() as u64).to_be_bytes());
            (0..list.len()).for_each(|index| field(list.get(index), out));
        }
        View::Map(map) => {
            out.push(b'm');
            out.extend_from_slice(&(map.len() as u64).to_be_bytes());
            map.for_each(&mut |key, value| {
                out.extend_from_slice(&(key.len() as u64).to_be_bytes());
                out.extend_from_slice(key.as_bytes());
                field(value, out);
            });
        }
        View::None | View::Null | View::Document(_) | View::Body(_) => out.push(b'-'),
    }
}

pub(crate) fn write_ids(ids: &[String]) -> Bytes {
    ids.join(" ").into()
}

pub(crate) fn read_ids(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.split_whitespace().map(str::to_owned).collect()
}
