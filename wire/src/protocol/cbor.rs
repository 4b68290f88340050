//! CBOR bodies of rpc-v2-cbor (RFC 8949).

use gureum_schema::{Field, Kind, Member, Slot, Struct, View};
use minicbor::data::{Tag, Type};
use minicbor::decode::{Decoder, Error};
use minicbor::encode::{Encoder, Write};

use super::walk::{Path, Seen};
use super::{DecodeError, DecodeErrorKind, Missing, text};

/// Reads a body that is one map. An empty body is an empty map.
pub(crate) fn read(
    body: &[u8],
    into: &mut dyn Struct,
    seen: &mut Seen,
    missing: &mut Missing,
) -> Result<(), DecodeError> {
    if body.is_empty() {
        return Ok(());
    }
    let mut reader = Reader {
        source: Decoder::new(body),
        missing,
    };
    reader.members(into, &Path::ROOT, seen)?;
    if reader.source.position() < body.len() {
        return Err(Path::ROOT.error(DecodeErrorKind::Malformed, "The body goes on after its map"));
    }
    Ok(())
}

struct Reader<'b, 'm> {
    source: Decoder<'b>,
    missing: &'m mut Missing,
}

impl Reader<'_, '_> {
    fn members(
        &mut self,
        into: &mut dyn Struct,
        path: &Path<'_>,
        seen: &mut Seen,
    ) -> Result<(), DecodeError> {
        let members = into.schema().members();
        let mut left = self.source.map().map_err(malformed)?;
        while self.more(&mut left)? {
            let name = self.string()?;
            let Some(index) = members.iter().position(|m| m.json == name) else {
                self.source.skip().map_err(malformed)?;
                continue;
            };
            if self.null()? {
                continue;
            }
            let path = path.member(&members[index]);
            if !seen.insert(index) {
                return Err(path.duplicate());
            }
            self.value(&members[index], into.field_mut(index), &path)?;
        }
        Ok(())
    }

    /// Whether a collection of known or unknown length goes on.
    fn more(&mut self, left: &mut Option<u64>) -> Result<bool, DecodeError> {
        match left {
            Some(0) => Ok(false),
            Some(count) => {
                *count -= 1;
                Ok(true)
            }
            None if self.kind()? == Type::Break => {
                self.source.skip().map_err(malformed)?;
                Ok(false)
            }
            None => Ok(true),
        }
    }

    fn kind(&self) -> Result<Type, DecodeError> {
        self.source.datatype().map_err(malformed)
    }

    /// Takes a null, if there is one.
    fn null(&mut self) -> Result<bool, DecodeError> {
        let is_null = matches!(self.kind()?, Type::Null | Type::Undefined);
        if is_null {
            self.source.skip().map_err(malformed)?;
        }
        Ok(is_null)
    }

    fn string(&mut self) -> Result<String, DecodeError> {
        let parts = self.source.str_iter().map_err(malformed)?;
        parts.collect::<Result<String, Error>>().map_err(malformed)
    }

    fn bytes(&mut self) -> Result<Vec<u8>, DecodeError> {
        let mut whole = Vec::new();
        for part in self.source.bytes_iter().map_err(malformed)? {
            whole.extend_from_slice(part.map_err(malformed)?);
        }
        Ok(whole)
    }

    fn value(
        &mut self,
        member: &'static Member,
        field: &mut dyn Field,
        path: &Path<'_>,
    ) -> Result<(), DecodeError> {
        path.check_depth()?;
        let kind = self.kind()?;
        match (field.slot(), kind) {
            (Slot::Struct(into), Type::Map | Type::MapIndef) => {
                let schema = into.schema();
                let mut seen = Seen::default();
                self.members(into, path, &mut seen)?;
                seen.close(schema, path, self.missing)
            }
            (Slot::List(list), Type::Array | Type::ArrayIndef) => {
                let Kind::List { item, .. } = member.target.kind else {
                    return Ok(());
                };
                let mut left = self.source.array().map_err(malformed)?;
                while self.more(&mut left)? {
                    let path = path.item(list.len());
                    self.entry(item, list.push(), &path)?;
                }
                Ok(())
            }
            (Slot::Map(map), Type::Map | Type::MapIndef) => {
                let Kind::Map { value, .. } = member.target.kind else {
                    return Ok(());
                };
                let mut left = self.source.map().map_err(malformed)?;
                while self.more(&mut left)? {
                    let key = self.string()?;
                    self.entry(value, map.insert(key.clone()), &path.key(&key))?;
                }
                Ok(())
            }
            (slot, _) => self.scalar(slot, kind, path),
        }
    }

    /// A collection's item; only sparse collections, whose items are optional, may hold nulls.
    fn entry(
        &mut self,
        member: &'static Member,
        field: &mut dyn Field,
        path: &Path<'_>,
    ) -> Result<(), DecodeError> {
        if !self.null()? {
            return self.value(member, field, path);
        }
        match field.view() {
            View::None => Ok(()),
            _ => Err(path.wrong_type("null", "a member of the collection")),
        }
    }

    fn scalar(&mut self, slot: Slot<'_>, kind: Type, path: &Path<'_>) -> Result<(), DecodeError> {
        use Type::{F16, F32, F64, I8, I16, I32, I64, Int, U8, U16, U32, U64};
        match (slot, kind) {
            (Slot::Bool(to), Type::Bool) => *to = self.source.bool().map_err(malformed)?,
            (Slot::Str(to), Type::String | Type::StringIndef) => *to = self.string()?,
            (Slot::Blob(to), Type::Bytes | Type::BytesIndef) => *to = self.bytes()?.into(),
            (Slot::Int(to), U8 | U16 | U32 | U64 | I8 | I16 | I32 | I64 | Int) => {
                let number = self.integer()?;
                *to = i32::try_from(number).map_err(|_| path.out_of_range(number, "an Integer"))?;
            }
            (Slot::Long(to), U8 | U16 | U32 | U64 | I8 | I16 | I32 | I64 | Int) => {
                let number = self.integer()?;
                *to = i64::try_from(number).map_err(|_| path.out_of_range(number, "a Long"))?;
            }
            (
                Slot::Float(to),
                F16 | F32 | F64 | U8 | U16 | U32 | U64 | I8 | I16 | I32 | I64 | Int,
            ) => {
                let wide = self.number(kind)?;
                *to = wide as f32;
                if to.is_infinite() && wide.is_finite() {
                    return Err(path.out_of_range(wide, "a Float"));
                }
            }
            (
                Slot::Double(to),
                F16 | F32 | F64 | U8 | U16 | U32 | U64 | I8 | I16 | I32 | I64 | Int,
            ) => {
                *to = self.number(kind)?;
            }
            (Slot::Time(to), Type::Tag) => {
                if self.source.tag().map_err(malformed)? != Tag::new(1) {
                    return Err(path.wrong_type("A value with another tag than 1", "a Timestamp"));
                }
                let kind = self.kind()?;
                let seconds = self.number(kind)?;
                *to = text::epoch(seconds)
                    .ok_or_else(|| path.out_of_range(seconds, "a Timestamp"))?;
            }
            (slot, _) => return Err(path.mismatch(found(kind), &slot)),
        }
        Ok(())
    }

    fn integer(&mut self) -> Result<i128, DecodeError> {
        self.source.int().map(i128::from).map_err(malformed)
    }

    fn number(&mut self, kind: Type) -> Result<f64, DecodeError> {
        match kind {
            Type::F16 => self.source.f16().map(f64::from).map_err(malformed),
            Type::F32 => self.source.f32().map(f64::from).map_err(malformed),
            Type::F64 => self.source.f64().map_err(malformed),
            _ => self.integer().map(|number| number as f64),
        }
    }
}

fn found(kind: Type) -> &'static str {
    match kind {
        Type::Array | Type::ArrayIndef => "list",
        Type::Map | Type::MapIndef => "structure",
        Type::String | Type::StringIndef => "A text string",
        Type::Bytes | Type::BytesIndef => "A byte string",
        Type::Bool => "A Boolean",
        Type::Tag => "A tagged value",
        Type::F16 | Type::F32 | Type::F64 => "A floating-point number",
        Type::Null | Type::Undefined => "null",
        Type::Simple | Type::Break | Type::Unknown(_) => "An unassigned value",
        _ => "An integer",
    }
}

fn malformed(error: Error) -> DecodeError {
    Path::ROOT.error(
        DecodeErrorKind::Malformed,
        format!("The body is not well-formed CBOR: {error}"),
    )
}

/// A structure as the whole body.
pub(crate) fn print(value: &dyn Struct) -> Vec<u8> {
    let mut map = Map::new();
    map.members(value, |_| true);
    map.finish()
}

/// A map in the making, of indefinite length so that nobody has to count beforehand.
pub(crate) struct Map {
    out: Output,
}

type Output = Encoder<Infallible>;

impl Map {
    pub(crate) fn new() -> Self {
        let mut out = Encoder::new(Infallible(Vec::new()));
        done(out.begin_map());
        Self { out }
    }

    pub(crate) fn string(&mut self, name: &str, value: &str) {
        done(self.out.str(name));
        done(self.out.str(value));
    }

    pub(crate) fn members(&mut self, value: &dyn Struct, keep: impl Fn(&Member) -> bool) {
        members(&mut self.out, value, keep);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        done(self.out.end());
        self.out.into_writer().0
    }
}

/// Memory, as a writer that cannot fail.
struct Infallible(Vec<u8>);

impl Write for Infallible {
    type Error = std::convert::Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Encoding fails only where its writer does, and ours does not.
fn done<T>(result: Result<T, minicbor::encode::Error<std::convert::Infallible>>) {
    debug_assert!(result.is_ok());
}

fn members(out: &mut Output, of: &dyn Struct, keep: impl Fn(&Member) -> bool) {
    for (index, member) in of.schema().members().iter().enumerate() {
        let view = of.field(index).view();
        if keep(member) && !matches!(view, View::None) {
            done(out.str(member.json));
            value(out, member, &view);
        }
    }
}

fn value(out: &mut Output, member: &Member, view: &View<'_>) {
    match view {
        View::None | View::Null | View::Body(_) | View::Document(_) => done(out.null()),
        View::Bool(v) => done(out.bool(*v)),
        View::Int(v) => done(out.i64(*v)),
        View::Float(v) => done(out.f32(*v)),
        View::Double(v) => done(out.f64(*v)),
        View::Str(v) => done(out.str(v)),
        View::Blob(v) => done(out.bytes(v)),
        View::Time(v) => {
            done(out.tag(Tag::new(1)));
            match v.0 % 1000 {
                0 => done(out.i64(v.secs())),
                _ => done(out.f64(v.secs_f64())),
            }
        }
        View::Struct(v) => {
            done(out.begin_map());
            members(out, *v, |_| true);
            done(out.end());
        }
        View::List(list) => {
            let Kind::List { item, .. } = member.target.kind else {
                return done(out.null());
            };
            done(out.array(list.len() as u64));
            for index in 0..list.len() {
                value(out, item, &list.get(index).view());
            }
        }
        View::Map(map) => {
            let Kind::Map { value: entry, .. } = member.target.kind else {
                return done(out.null());
            };
            done(out.map(map.len() as u64));
            map.for_each(&mut |name, field| {
                done(out.str(name));
                value(out, entry, &field.view());
            });
        }
    }
}
