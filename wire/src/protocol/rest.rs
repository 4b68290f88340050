//! Requests of restJson and restXml: labels, query string, headers, and the payload that is the
//! whole body.

use std::collections::BTreeSet;

use gureum_schema::{
    Body, Kind, Location, MapSlot, Member, Protocol, Schema, Slot, Struct, TimestampFormat,
};
use http::HeaderMap;

use super::walk::{Path, Seen};
use super::{DecodeError, DecodeErrorKind, Missing, Part, Payload, Request, json, text, xml};

pub(crate) fn streams(schema: &Schema) -> bool {
    payload(schema).is_some_and(|(_, member)| matches!(member.target.kind, Kind::Stream))
}

pub(crate) fn payload(schema: &Schema) -> Option<(usize, &'static Member)> {
    match schema.kind {
        Kind::Structure {
            members,
            payload: Some(index),
            ..
        } => Some((index, &members[index])),
        _ => None,
    }
}

pub(crate) fn read(
    protocol: Protocol,
    labels: &[(&str, String)],
    request: Request<'_>,
    into: &mut dyn Struct,
    seen: &mut Seen,
    missing: &mut Missing,
) -> Result<(), DecodeError> {
    let query = text::form(request.query).collect::<Result<Vec<_>, _>>()?;
    let members = into.schema().members();
    for (index, member) in members.iter().enumerate() {
        let path = Path::ROOT;
        let path = path.member(member);
        let found = match member.location {
            Location::Uri(label) => read_label(labels, label, into, index, &path),
            Location::Query(name) => read_query(&query, name, into, index, &path),
            Location::QueryMap => read_query_map(&query, into, index, &path),
            Location::Header(name) => read_header(request.headers, name, into, index, &path),
            Location::HeaderPrefix(prefix) => {
                read_prefix(request.headers, prefix, into, index, &path)
            }
            Location::Body | Location::Status => Ok(false),
        };
        if found.map_err(DecodeError::outside_body)? {
            seen.insert(index);
        }
    }
    read_body(protocol, request.body, into, seen, missing)
}

fn read_label(
    labels: &[(&str, String)],
    label: &str,
    into: &mut dyn Struct,
    index: usize,
    path: &Path<'_>,
) -> Result<bool, DecodeError> {
    let Some((_, value)) = labels.iter().find(|(name, _)| *name == label) else {
        return Ok(false);
    };
    text::read(value, into.field_mut(index).slot(), path)?;
    Ok(true)
}

fn read_query(
    query: &[(String, String)],
    name: &str,
    into: &mut dyn Struct,
    index: usize,
    path: &Path<'_>,
) -> Result<bool, DecodeError> {
    let mut values = query
        .iter()
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value);
    let Some(first) = values.next() else {
        return Ok(false);
    };
    match into.field_mut(index).slot() {
        Slot::List(list) => {
            for (number, value) in std::iter::once(first).chain(values).enumerate() {
                text::read(value, list.push().slot(), &path.item(number))?;
            }
        }
        slot => {
            if values.next().is_some() {
                return Err(path.duplicate());
            }
            text::read(first, slot, path)?;
        }
    }
    Ok(true)
}

/// A map of all query parameters, also of those that have members of their own, as Smithy's
/// `httpQueryParams` wants it; of several values with one name a plain map keeps the first.
fn read_query_map(
    query: &[(String, String)],
    into: &mut dyn Struct,
    index: usize,
    path: &Path<'_>,
) -> Result<bool, DecodeError> {
    let names: BTreeSet<&str> = query.iter().map(|(name, _)| name.as_str()).collect();
    for name in &names {
        let Slot::Map(map) = into.field_mut(index).slot() else {
            return Ok(false);
        };
        read_query_entry(query, name, map, path)?;
    }
    Ok(!names.is_empty())
}

fn read_query_entry(
    query: &[(String, String)],
    name: &str,
    map: &mut dyn MapSlot,
    path: &Path<'_>,
) -> Result<(), DecodeError> {
    let path = path.key(name);
    let mut values = query
        .iter()
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value);
    match map.insert(name.to_owned()).slot() {
        Slot::List(list) => values.enumerate().try_for_each(|(index, value)| {
            text::read(value, list.push().slot(), &path.item(index))
        }),
        slot => text::read(values.next().map_or("", String::as_str), slot, &path),
    }
}

fn read_header(
    headers: &HeaderMap,
    name: &str,
    into: &mut dyn Struct,
    index: usize,
    path: &Path<'_>,
) -> Result<bool, DecodeError> {
    // Most members are not in a request, and parsing a name to look it up takes longer than
    // comparing it with the few that are. The models have names in lower case, as maps have them.
    let Some(name) = headers.keys().find(|key| key.as_str() == name) else {
        return Ok(false);
    };
    let mut values = headers
        .get_all(name)
        .iter()
        .map(|v| text::utf8(v.as_bytes()));
    let Some(first) = values.next().transpose()? else {
        return Ok(false);
    };
    let member = &into.schema().members()[index];
    match into.field_mut(index).slot() {
        Slot::List(list) => {
            let Kind::List { item, .. } = member.target.kind else {
                return Ok(false);
            };
            let mut number = 0;
            for value in std::iter::once(Ok(first)).chain(values) {
                for part in split_header(value?, item) {
                    text::read(&part, list.push().slot(), &path.item(number))?;
                    number += 1;
                }
            }
            return Ok(true);
        }
        slot => text::read(first.trim(), slot, path)?,
    }
    Ok(true)
}

/// The items of a header that is a list. Strings may be quoted, and RFC 822 dates hold a comma.
fn split_header(value: &str, item: &Member) -> Vec<String> {
    if matches!(item.target.kind, Kind::Timestamp(_))
        && text::time_format(item, TimestampFormat::Rfc822) == TimestampFormat::Rfc822
    {
        let parts: Vec<&str> = value.split(',').collect();
        return parts
            .chunks(2)
            .map(|pair| pair.join(",").trim().to_owned())
            .collect();
    }
    let mut items = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        let (item, tail) = match rest.strip_prefix('"') {
            Some(quoted) => split_quoted(quoted),
            None => {
                let (item, tail) = rest.split_once(',').unwrap_or((rest, ""));
                (item.trim().to_owned(), tail)
            }
        };
        items.push(item);
        rest = tail.trim_start();
    }
    items
}

/// Reads up to the closing quote, and takes the comma after it.
fn split_quoted(text: &str) -> (String, &str) {
    let mut item = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => item.extend(chars.next().map(|(_, c)| c)),
            '"' => {
                let tail = text[at + 1..].trim_start();
                return (item, tail.strip_prefix(',').unwrap_or(tail));
            }
            c => item.push(c),
        }
    }
    (item, "")
}

fn read_prefix(
    headers: &HeaderMap,
    prefix: &str,
    into: &mut dyn Struct,
    index: usize,
    path: &Path<'_>,
) -> Result<bool, DecodeError> {
    let mut any = false;
    for name in headers.keys() {
        let Some(key) = name.as_str().strip_prefix(prefix) else {
            continue;
        };
        let path = path.key(key);
        let values: Result<Vec<&str>, _> = headers
            .get_all(name)
            .iter()
            .map(|v| text::utf8(v.as_bytes()))
            .collect();
        let Slot::Map(map) = into.field_mut(index).slot() else {
            return Ok(false);
        };
        text::read(&values?.join(","), map.insert(key.to_owned()).slot(), &path)?;
        any = true;
    }
    Ok(any)
}

fn read_body(
    protocol: Protocol,
    body: Payload,
    into: &mut dyn Struct,
    seen: &mut Seen,
    missing: &mut Missing,
) -> Result<(), DecodeError> {
    let Some((index, member)) = payload(into.schema()) else {
        let body = super::whole(&body)?;
        return match protocol {
            Protocol::RestXml if has_body(into.schema()) => {
                xml::read(body, into, Part::Body, &Path::ROOT, seen, missing)
            }
            Protocol::RestJson1 if has_body(into.schema()) => {
                json::read(body, into, Part::Body, seen, missing)
            }
            _ => Ok(()),
        };
    };
    let path = Path::ROOT;
    let path = path.member(member);
    match (&member.target.kind, body) {
        (Kind::Stream, body) => {
            if let Slot::Body(to) = into.field_mut(index).slot() {
                *to = match body {
                    Payload::Stream(stream) => stream,
                    Payload::Whole(bytes) => Body::from(bytes),
                };
            }
        }
        (_, Payload::Stream(_)) => {
            let message = "The operation takes no streamed body";
            return Err(path.error(DecodeErrorKind::Malformed, message));
        }
        (_, Payload::Whole(bytes)) if bytes.is_empty() => return Ok(()),
        (Kind::Blob, Payload::Whole(bytes)) => {
            if let Slot::Blob(to) = into.field_mut(index).slot() {
                *to = bytes;
            }
        }
        (Kind::String, Payload::Whole(bytes)) => {
            if let Slot::Str(to) = into.field_mut(index).slot() {
                text::utf8(&bytes)?.clone_into(to);
            }
        }
        (_, Payload::Whole(bytes)) => {
            return read_tree(protocol, &bytes, index, into, seen, missing);
        }
    }
    seen.insert(index);
    Ok(())
}

/// A payload that is a structure (or, in JSON, any value).
fn read_tree(
    protocol: Protocol,
    body: &[u8],
    index: usize,
    into: &mut dyn Struct,
    seen: &mut Seen,
    missing: &mut Missing,
) -> Result<(), DecodeError> {
    let member = &into.schema().members()[index];
    let path = Path::ROOT;
    let path = path.member(member);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    if protocol == Protocol::RestJson1 {
        if json::read_value(body, member, into.field_mut(index), &path, missing)? {
            seen.insert(index);
        }
        return Ok(());
    }
    let Slot::Struct(inner) = into.field_mut(index).slot() else {
        return Err(path.wrong_type("An XML body", "the payload"));
    };
    let schema = inner.schema();
    let mut inner_seen = Seen::default();
    xml::read(body, inner, Part::All, &path, &mut inner_seen, missing)?;
    inner_seen.close(schema, &path, missing)?;
    seen.insert(index);
    Ok(())
}

fn has_body(schema: &Schema) -> bool {
    schema
        .members()
        .iter()
        .any(|member| Part::Body.holds(member))
}
