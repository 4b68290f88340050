//! A struct whose shape is only known at run time, for schemas that come from test vectors.

use std::collections::BTreeMap;

use gureum_schema::{
    Body, Bytes, Document, Field, Kind, ListSlot, ListView, MapSlot, MapView, Schema, Slot, Struct,
    Timestamp, View,
};

/// A structure's members by index; absent ones are empty cells.
pub(crate) struct Record {
    schema: &'static Schema,
    cells: Vec<Cell>,
}

/// A value or its absence.
pub(crate) struct Cell {
    target: &'static Schema,
    value: Option<Held>,
}

enum Held {
    Bool(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Str(String),
    Blob(Bytes),
    Time(Timestamp),
    Document(Document),
    Body(Body),
    Struct(Record),
    List(List),
    Map(Map),
}

struct List {
    item: &'static Schema,
    cells: Vec<Cell>,
}

struct Map {
    value: &'static Schema,
    cells: BTreeMap<String, Cell>,
}

impl Record {
    pub(crate) fn new(schema: &'static Schema) -> Self {
        let cells = schema
            .members()
            .iter()
            .map(|member| Cell::new(member.target))
            .collect();
        Self { schema, cells }
    }
}

impl Struct for Record {
    fn schema(&self) -> &'static Schema {
        self.schema
    }
    fn field(&self, index: usize) -> &dyn Field {
        &self.cells[index]
    }
    fn field_mut(&mut self, index: usize) -> &mut dyn Field {
        &mut self.cells[index]
    }
}

impl Cell {
    fn new(target: &'static Schema) -> Self {
        Self {
            target,
            value: None,
        }
    }
}

impl Held {
    fn default(target: &'static Schema) -> Self {
        match target.kind {
            Kind::Structure { .. } => Held::Struct(Record::new(target)),
            Kind::List { item, .. } => Held::List(List {
                item: item.target,
                cells: Vec::new(),
            }),
            Kind::Map { value, .. } => Held::Map(Map {
                value: value.target,
                cells: BTreeMap::new(),
            }),
            Kind::String => Held::Str(String::new()),
            Kind::Boolean => Held::Bool(false),
            Kind::Integer => Held::Int(0),
            Kind::Long => Held::Long(0),
            Kind::Float => Held::Float(0.0),
            Kind::Double => Held::Double(0.0),
            Kind::Blob => Held::Blob(Bytes::new()),
            Kind::Timestamp(_) => Held::Time(Timestamp(0)),
            Kind::Document => Held::Document(Document::Null),
            Kind::Stream => Held::Body(Body::empty()),
        }
    }
}

impl Field for Cell {
    fn view(&self) -> View<'_> {
        match &self.value {
            None => View::None,
            Some(Held::Bool(v)) => View::Bool(*v),
            Some(Held::Int(v)) => View::Int(i64::from(*v)),
            Some(Held::Long(v)) => View::Int(*v),
            Some(Held::Float(v)) => View::Float(*v),
            Some(Held::Double(v)) => View::Double(*v),
            Some(Held::Str(v)) => View::Str(v),
            Some(Held::Blob(v)) => View::Blob(v),
            Some(Held::Time(v)) => View::Time(*v),
            Some(Held::Document(v)) => View::Document(v),
            Some(Held::Body(v)) => View::Body(v),
            Some(Held::Struct(v)) => View::Struct(v),
            Some(Held::List(v)) => View::List(v),
            Some(Held::Map(v)) => View::Map(v),
        }
    }

    fn slot(&mut self) -> Slot<'_> {
        match self.value.get_or_insert_with(|| Held::default(self.target)) {
            Held::Bool(v) => Slot::Bool(v),
            Held::Int(v) => Slot::Int(v),
            Held::Long(v) => Slot::Long(v),
            Held::Float(v) => Slot::Float(v),
            Held::Double(v) => Slot::Double(v),
            Held::Str(v) => Slot::Str(v),
            Held::Blob(v) => Slot::Blob(v),
            Held::Time(v) => Slot::Time(v),
            Held::Document(v) => Slot::Document(v),
            Held::Body(v) => Slot::Body(v),
            Held::Struct(v) => Slot::Struct(v),
            Held::List(v) => Slot::List(v),
            Held::Map(v) => Slot::Map(v),
        }
    }
}

impl ListView for List {
    fn len(&self) -> usize {
        self.cells.len()
    }
    fn get(&self, index: usize) -> &dyn Field {
        &self.cells[index]
    }
}

impl ListSlot for List {
    fn push(&mut self) -> &mut dyn Field {
        let index = self.cells.len();
        self.cells.push(Cell::new(self.item));
        &mut self.cells[index]
    }
    fn len(&self) -> usize {
        self.cells.len()
    }
}

impl MapView for Map {
    fn len(&self) -> usize {
        self.cells.len()
    }
    fn for_each(&self, visit: &mut dyn FnMut(&str, &dyn Field)) {
        self.cells.iter().for_each(|(key, cell)| visit(key, cell));
    }
}

impl MapSlot for Map {
    fn insert(&mut self, key: String) -> &mut dyn Field {
        let cell = self.cells.entry(key).or_insert(Cell::new(self.value));
        cell.value = None;
        cell
    }
    fn len(&self) -> usize {
        self.cells.len()
    }
}
