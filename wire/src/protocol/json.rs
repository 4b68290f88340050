//! JSON bodies, for awsJson and restJson. Reads straight into the structs and prints straight
//! from them; no tree is built in between.

use std::fmt;

use gureum_schema::{Document, Field, Kind, Member, Slot, Struct, View};
use serde::Deserialize as _;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::walk::{Path, Seen};
use super::{DecodeError, DecodeErrorKind, Missing, Part, text};

/// Reads a body that is one JSON object. An empty body is an empty object.
pub(crate) fn read(
    body: &[u8],
    into: &mut dyn Struct,
    part: Part,
    seen: &mut Seen,
    missing: &mut Missing,
) -> Result<(), DecodeError> {
    let body = text::utf8(body)?;
    if body.trim().is_empty() {
        return Ok(());
    }
    let mut cx = Cx {
        missing,
        failure: None,
    };
    let path = Path::ROOT;
    let object = Object {
        into,
        part,
        seen,
        path: &path,
        cx: &mut cx,
    };
    let mut source = serde_json::Deserializer::from_str(body);
    let result = object.deserialize(&mut source).and_then(|()| source.end());
    result.map_err(|e| cx.failure.take().unwrap_or_else(|| malformed(&e)))
}

/// Reads a payload that is one JSON value of whatever kind.
pub(crate) fn read_value(
    body: &[u8],
    member: &'static Member,
    field: &mut dyn Field,
    path: &Path<'_>,
    missing: &mut Missing,
) -> Result<bool, DecodeError> {
    let body = text::utf8(body)?;
    let mut cx = Cx {
        missing,
        failure: None,
    };
    let value = Value {
        member,
        field,
        path,
        cx: &mut cx,
    };
    let mut source = serde_json::Deserializer::from_str(body);
    let result = value
        .deserialize(&mut source)
        .and_then(|present| source.end().map(|()| present));
    result.map_err(|e| cx.failure.take().unwrap_or_else(|| malformed(&e)))
}

fn malformed(error: &serde_json::Error) -> DecodeError {
    Path::ROOT.error(DecodeErrorKind::Malformed, error.to_string())
}

struct Cx<'a> {
    missing: &'a mut Missing,
    /// serde's errors are only text; ours waits here until the reader has unwound.
    failure: Option<DecodeError>,
}

impl Cx<'_> {
    fn fail<E: serde::de::Error>(&mut self, error: DecodeError) -> E {
        let text = E::custom(&error.message);
        self.failure = Some(error);
        text
    }
}

/// A structure: reads the object's members into `into` and notes them in `seen`.
struct Object<'a, 'm> {
    into: &'a mut dyn Struct,
    part: Part,
    seen: &'a mut Seen,
    path: &'a Path<'a>,
    cx: &'a mut Cx<'m>,
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<(), A::Error> {
        let members = self.into.schema().members();
        while let Some(found) = source.next_key_seed(Name {
            members,
            part: self.part,
        })? {
            let Some(index) = found else {
                source.next_value::<IgnoredAny>()?;
                continue;
            };
            let path = self.path.member(&members[index]);
            if self.seen.contains(index) {
                return Err(self.cx.fail(path.duplicate()));
            }
            // Asking a union for a field makes it the active one, which a null must not do.
            let value = Maybe {
                index,
                into: self.into,
                path: &path,
                cx: self.cx,
            };
            if source.next_value_seed(value)? {
                self.seen.insert(index);
            }
        }
        Ok(())
    }
}

/// Finds a member's index by its JSON name, without keeping the name.
struct Name {
    members: &'static [Member],
    part: Part,
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let is_it = |m: &Member| m.json == name && self.part.holds(m);
        Ok(self.members.iter().position(is_it))
    }
}

/// A structure's member, which is only touched when its value is not null.
struct Maybe<'a, 'm> {
    index: usize,
    into: &'a mut dyn Struct,
    path: &'a Path<'a>,
    cx: &'a mut Cx<'m>,
}

impl<'de> DeserializeSeed<'de> for Maybe<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<bool, D::Error> {
        if matches!(self.member().target.kind, Kind::Document) {
            return self.value().deserialize(source);
        }
        source.deserialize_option(self)
    }
}

impl<'a, 'm> Maybe<'a, 'm> {
    fn member(&self) -> &'static Member {
        &self.into.schema().members()[self.index]
    }

    fn value(self) -> Value<'a, 'm> {
        Value {
            member: self.member(),
            field: self.into.field_mut(self.index),
            path: self.path,
            cx: self.cx,
        }
    }
}

impl<'de> Visitor<'de> for Maybe<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, source: D) -> Result<bool, D::Error> {
        self.value().deserialize(source)
    }
}

/// Any value; gives false for null, and leaves the field as it was then.
struct Value<'a, 'm> {
    member: &'static Member,
    field: &'a mut dyn Field,
    path: &'a Path<'a>,
    cx: &'a mut Cx<'m>,
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<bool, D::Error> {
        if let Err(error) = self.path.check_depth() {
            return Err(self.cx.fail(error));
        }
        if matches!(self.member.target.kind, Kind::Document)
            && let Slot::Document(to) = self.field.slot()
        {
            *to = Document::deserialize(source)?;
            return Ok(true);
        }
        source.deserialize_any(self)
    }
}

impl Value<'_, '_> {
    fn integer<E: serde::de::Error>(self, number: i128) -> Result<bool, E> {
        match self.field.slot() {
            Slot::Int(to) => match i32::try_from(number) {
                Ok(number) => *to = number,
                Err(_) => return Err(self.cx.fail(self.path.out_of_range(number, "an Integer"))),
            },
            Slot::Long(to) => match i64::try_from(number) {
                Ok(number) => *to = number,
                Err(_) => return Err(self.cx.fail(self.path.out_of_range(number, "a Long"))),
            },
            Slot::Float(to) => *to = number as f32,
            Slot::Double(to) => *to = number as f64,
            Slot::Time(to) => match text::epoch(number as f64) {
                Some(moment) => *to = moment,
                None => return Err(self.cx.fail(self.path.out_of_range(number, "a Timestamp"))),
            },
            slot => return Err(self.cx.fail(self.path.mismatch("NUMBER_VALUE", &slot))),
        }
        Ok(true)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<bool, E> {
        match self.field.slot() {
            Slot::Bool(to) => *to = value,
            slot => {
                let found = if value { "TRUE_VALUE" } else { "FALSE_VALUE" };
                return Err(self.cx.fail(self.path.mismatch(found, &slot)));
            }
        }
        Ok(true)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<bool, E> {
        self.integer(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<bool, E> {
        self.integer(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<bool, E> {
        match self.field.slot() {
            Slot::Float(to) => {
                *to = value as f32;
                if to.is_infinite() {
                    return Err(self.cx.fail(self.path.out_of_range(value, "a Float")));
                }
            }
            Slot::Double(to) => *to = value,
            Slot::Time(to) => match text::epoch(value) {
                Some(moment) => *to = moment,
                None => return Err(self.cx.fail(self.path.out_of_range(value, "a Timestamp"))),
            },
            Slot::Int(_) | Slot::Long(_) if value.fract() == 0.0 => {
                // Saturates, and a saturated i128 is out of every range that we have.
                return self.integer(value as i128);
            }
            slot => return Err(self.cx.fail(self.path.mismatch("DECIMAL_VALUE", &slot))),
        }
        Ok(true)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<bool, E> {
        let result = match self.field.slot() {
            Slot::Float(to) if text::special_float(value).is_some() => {
                *to = text::special_float(value).unwrap_or_default() as f32;
                Ok(())
            }
            Slot::Double(to) if text::special_float(value).is_some() => {
                *to = text::special_float(value).unwrap_or_default();
                Ok(())
            }
            slot @ (Slot::Str(_) | Slot::Blob(_) | Slot::Time(_)) => {
                text::read(value, slot, self.path)
            }
            slot => Err(self.path.mismatch("STRING_VALUE", &slot)),
        };
        result.map(|()| true).map_err(|e| self.cx.fail(e))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<bool, A::Error> {
        let Slot::List(list) = self.field.slot() else {
            return Err(self.cx.fail(self.path.wrong_type("list", "")));
        };
        let Kind::List { item: member, .. } = self.member.target.kind else {
            return Err(A::Error::custom("the schema and the struct disagree"));
        };
        let mut index = 0;
        loop {
            let path = self.path.item(index);
            let mut item = Lazy::Item(list);
            let seed = Entry {
                member,
                at: &mut item,
                path: &path,
                cx: self.cx,
            };
            if source.next_element_seed(seed)?.is_none() {
                return Ok(true);
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<bool, A::Error> {
        match self.field.slot() {
            Slot::Struct(into) => {
                let schema = into.schema();
                let mut seen = Seen::default();
                let object = Object {
                    into,
                    part: Part::All,
                    seen: &mut seen,
                    path: self.path,
                    cx: self.cx,
                };
                object.visit_map(source)?;
                seen.close(schema, self.path, self.cx.missing)
                    .map_err(|e| self.cx.fail(e))?;
            }
            Slot::Map(map) => {
                let Kind::Map { value: member, .. } = self.member.target.kind else {
                    return Err(A::Error::custom("the schema and the struct disagree"));
                };
                while let Some(key) = source.next_key::<String>()? {
                    let path = self.path.key(&key);
                    let mut entry = Lazy::Entry(map, &key);
                    let seed = Entry {
                        member,
                        at: &mut entry,
                        path: &path,
                        cx: self.cx,
                    };
                    source.next_value_seed(seed)?;
                }
            }
            _ => return Err(self.cx.fail(self.path.wrong_type("structure", ""))),
        }
        Ok(true)
    }
}

/// Where a collection's next item goes; made only when there is one.
enum Lazy<'a> {
    Item(&'a mut dyn gureum_schema::ListSlot),
    Entry(&'a mut dyn gureum_schema::MapSlot, &'a str),
}

struct Entry<'a, 'b, 'm> {
    member: &'static Member,
    at: &'a mut Lazy<'b>,
    path: &'a Path<'a>,
    cx: &'a mut Cx<'m>,
}

impl<'de> DeserializeSeed<'de> for Entry<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        let field = match self.at {
            Lazy::Item(list) => list.push(),
            Lazy::Entry(map, key) => map.insert((*key).to_owned()),
        };
        let value = Value {
            member: self.member,
            field,
            path: self.path,
            cx: self.cx,
        };
        let present = value.deserialize(source)?;
        // Only sparse collections, whose items are optional, may hold nulls.
        if !present && !matches!(field.view(), View::None) {
            return Err(self.cx.fail(
                self.path
                    .wrong_type("NULL_VALUE", "a member of the collection"),
            ));
        }
        Ok(())
    }
}
