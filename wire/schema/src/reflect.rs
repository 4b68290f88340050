//! Reflection over plain structs: just enough for one codec per protocol.
//!
//! A generated struct implements [`Struct`]; everything else here is a blanket implementation.
//! Encoders look at a field's [`View`]; decoders fill its [`Slot`].

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

use crate::{Body, Bytes, Document, Schema, Timestamp};

/// A structure or union of a model. Field `i` is described by `schema().members()[i]`.
pub trait Struct: Any + Send + Sync {
    fn schema(&self) -> &'static Schema;
    fn field(&self, index: usize) -> &dyn Field;
    /// For a union, asking for a variant's field makes it the active one.
    fn field_mut(&mut self, index: usize) -> &mut dyn Field;
}

/// Any value that a member can hold.
pub trait Field: Send + Sync {
    fn view(&self) -> View<'_>;
    /// The place to write to; an absent optional value becomes present (and default) first.
    fn slot(&mut self) -> Slot<'_>;
}

pub enum View<'a> {
    /// Absent.
    None,
    /// A null inside a sparse list or map.
    Null,
    Bool(bool),
    Int(i64),
    Float(f32),
    Double(f64),
    Str(&'a str),
    Blob(&'a Bytes),
    Time(Timestamp),
    Document(&'a Document),
    Body(&'a Body),
    Struct(&'a dyn Struct),
    List(&'a dyn ListView),
    Map(&'a dyn MapView),
}

pub enum Slot<'a> {
    Bool(&'a mut bool),
    Int(&'a mut i32),
    Long(&'a mut i64),
    Float(&'a mut f32),
    Double(&'a mut f64),
    Str(&'a mut String),
    Blob(&'a mut Bytes),
    Time(&'a mut Timestamp),
    Document(&'a mut Document),
    Body(&'a mut Body),
    Struct(&'a mut dyn Struct),
    List(&'a mut dyn ListSlot),
    Map(&'a mut dyn MapSlot),
}

pub trait ListView {
    fn len(&self) -> usize;
    fn get(&self, index: usize) -> &dyn Field;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub trait ListSlot {
    /// Appends a default item and hands it out to be filled.
    fn push(&mut self) -> &mut dyn Field;
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub trait MapView {
    fn len(&self) -> usize;
    fn for_each(&self, visit: &mut dyn FnMut(&str, &dyn Field));
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub trait MapSlot {
    /// Inserts a default value under `key` (replacing one that was there) to be filled.
    fn insert(&mut self, key: String) -> &mut dyn Field;
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Struct> Field for T {
    fn view(&self) -> View<'_> {
        View::Struct(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Struct(self)
    }
}

/// Recursive shapes are boxed.
impl<T: Struct> Struct for Box<T> {
    fn schema(&self) -> &'static Schema {
        (**self).schema()
    }
    fn field(&self, index: usize) -> &dyn Field {
        (**self).field(index)
    }
    fn field_mut(&mut self, index: usize) -> &mut dyn Field {
        (**self).field_mut(index)
    }
}

impl<T: Field + Default> Field for Option<T> {
    fn view(&self) -> View<'_> {
        self.as_ref().map_or(View::None, Field::view)
    }
    fn slot(&mut self) -> Slot<'_> {
        self.get_or_insert_default().slot()
    }
}

impl<T: Field + Default> Field for Vec<T> {
    fn view(&self) -> View<'_> {
        View::List(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::List(self)
    }
}

impl<T: Field> ListView for Vec<T> {
    fn len(&self) -> usize {
        Vec::len(self)
    }
    fn get(&self, index: usize) -> &dyn Field {
        &self[index]
    }
}

impl<T: Field + Default> ListSlot for Vec<T> {
    fn push(&mut self) -> &mut dyn Field {
        self.push_mut(T::default())
    }
    fn len(&self) -> usize {
        Vec::len(self)
    }
}

impl<T: Field + Default> Field for BTreeMap<String, T> {
    fn view(&self) -> View<'_> {
        View::Map(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Map(self)
    }
}

impl<T: Field> MapView for BTreeMap<String, T> {
    fn len(&self) -> usize {
        BTreeMap::len(self)
    }
    fn for_each(&self, visit: &mut dyn FnMut(&str, &dyn Field)) {
        for (key, value) in self {
            visit(key, value);
        }
    }
}

impl<T: Field + Default> MapSlot for BTreeMap<String, T> {
    fn insert(&mut self, key: String) -> &mut dyn Field {
        let value = self.entry(key).or_default();
        *value = T::default();
        value
    }
    fn len(&self) -> usize {
        BTreeMap::len(self)
    }
}

macro_rules! scalar {
    ($($type:ty => $view:ident($read:expr), $slot:ident;)*) => {$(
        impl Field for $type {
            fn view(&self) -> View<'_> {
                let read: fn(&$type) -> _ = $read;
                View::$view(read(self))
            }
            fn slot(&mut self) -> Slot<'_> {
                Slot::$slot(self)
            }
        }
    )*};
}

scalar! {
    bool => Bool(|v| *v), Bool;
    i32 => Int(|v| i64::from(*v)), Int;
    i64 => Int(|v| *v), Long;
    f32 => Float(|v| *v), Float;
    f64 => Double(|v| *v), Double;
    Timestamp => Time(|v| *v), Time;
}

impl Field for String {
    fn view(&self) -> View<'_> {
        View::Str(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Str(self)
    }
}

impl Field for Bytes {
    fn view(&self) -> View<'_> {
        View::Blob(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Blob(self)
    }
}

impl Field for Document {
    fn view(&self) -> View<'_> {
        View::Document(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Document(self)
    }
}

impl Field for Body {
    fn view(&self) -> View<'_> {
        View::Body(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Body(self)
    }
}

/// `Debug` for generated structs: absent members left out, sensitive ones redacted.
pub fn debug(value: &dyn Struct, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let schema = value.schema();
    let mut out = f.debug_struct(schema.name);
    for (index, member) in schema.members().iter().enumerate() {
        let view = value.field(index).view();
        if matches!(view, View::None) {
            continue;
        }
        if member.target.hides_values() {
            out.field(member.name, &format_args!("*** (redacted)"));
        } else {
            out.field(member.name, &view);
        }
    }
    out.finish()
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            View::None | View::Null => f.write_str("null"),
            View::Bool(v) => v.fmt(f),
            View::Int(v) => v.fmt(f),
            View::Float(v) => v.fmt(f),
            View::Double(v) => v.fmt(f),
            View::Str(v) => v.fmt(f),
            View::Blob(v) => write!(f, "<{} bytes>", v.len()),
            View::Time(v) => v.fmt(f),
            View::Document(v) => v.fmt(f),
            View::Body(v) => v.fmt(f),
            View::Struct(v) => debug(*v, f),
            View::List(v) => f
                .debug_list()
                .entries((0..v.len()).map(|i| v.get(i).view()))
                .finish(),
            View::Map(v) => {
                let mut map = f.debug_map();
                v.for_each(&mut |key, value| {
                    map.entry(&key, &value.view());
                });
                map.finish()
            }
        }
    }
}
