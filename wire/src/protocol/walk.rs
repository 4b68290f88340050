//! What all decoders share: where they stand, which members they have seen, how deep they may go.

use std::fmt;

use gureum_schema::{Kind, Member, Schema, Slot};

use super::{DecodeError, DecodeErrorKind, Missing};

/// How deeply structures and collections may be nested in a request, in every protocol. AWS's own
/// deepest request shapes, items of DynamoDB, take 32 levels of two steps each and a few around them.
pub const MAX_DEPTH: usize = 80;

/// The way from the root of the input to a value, kept on the stack and printed only when needed.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
    depth: usize,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Member(&'static str),
    Item(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    pub(crate) const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
        depth: 0,
    };

    pub(crate) fn member(&'a self, member: &Member) -> Path<'a> {
        self.step(Step::Member(member.name))
    }

    /// `index` counts from nought.
    pub(crate) fn item(&'a self, index: usize) -> Path<'a> {
        self.step(Step::Item(index))
    }

    pub(crate) fn key(&'a self, key: &'a str) -> Path<'a> {
        self.step(Step::Key(key))
    }

    fn step(&'a self, step: Step<'a>) -> Path<'a> {
        Path {
            parent: Some(self),
            step,
            depth: self.depth + 1,
        }
    }

    pub(crate) fn check_depth(&self) -> Result<(), DecodeError> {
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        let message = format!("The request is nested more than {MAX_DEPTH} levels deep");
        Err(self.error(DecodeErrorKind::TooDeep, message))
    }

    pub(crate) fn error(&self, kind: DecodeErrorKind, message: impl Into<String>) -> DecodeError {
        DecodeError {
            kind,
            path: self.to_string(),
            message: message.into(),
        }
    }

    pub(crate) fn wrong_type(&self, found: &str, expected: &str) -> DecodeError {
        let message = match found {
            "list" => "Start of list found where not expected".to_owned(),
            "structure" => "Start of structure or map found where not expected".to_owned(),
            _ => format!("{found} can not be converted to {expected}"),
        };
        self.error(DecodeErrorKind::WrongType, message)
    }

    /// A value that is fine in itself, but not for this slot.
    pub(crate) fn mismatch(&self, found: &str, slot: &Slot<'_>) -> DecodeError {
        let expected = match slot {
            Slot::Bool(_) => "a Boolean",
            Slot::Int(_) => "an Integer",
            Slot::Long(_) => "a Long",
            Slot::Float(_) => "a Float",
            Slot::Double(_) => "a Double",
            Slot::Str(_) => "a String",
            Slot::Blob(_) | Slot::Body(_) => "a Blob",
            Slot::Time(_) => "a Timestamp",
            Slot::Document(_) => "a document",
            Slot::Struct(_) => "a structure",
            Slot::List(_) => "a list",
            Slot::Map(_) => "a map",
        };
        self.wrong_type(found, expected)
    }

    pub(crate) fn duplicate(&self) -> DecodeError {
        self.error(
            DecodeErrorKind::Duplicate,
            "The member is given more than once",
        )
    }

    pub(crate) fn out_of_range(&self, value: impl fmt::Display, expected: &str) -> DecodeError {
        let message = format!("{value} is out of the range of {expected}");
        self.error(DecodeErrorKind::OutOfRange, message)
    }
}

/// `entries.1.member.messageBody`, as AWS's validation messages spell it.
impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
            if !matches!(parent.step, Step::Root) {
                f.write_str(".")?;
            }
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Member(name) => f.write_str(&lower_first(name)),
            Step::Item(index) => write!(f, "{}.member", index + 1),
            Step::Key(key) => write!(f, "{key}.member"),
        }
    }
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) => first.to_ascii_lowercase().to_string() + chars.as_str(),
        None => String::new(),
    }
}

/// The set of a structure's members that the request holds.
#[derive(Default)]
pub(crate) struct Seen {
    low: u128,
    high: Vec<usize>,
}

impl Seen {
    /// False when the member was seen before.
    pub(crate) fn insert(&mut self, index: usize) -> bool {
        if self.contains(index) {
            return false;
        }
        match 1u128.checked_shl(index as u32) {
            Some(bit) => self.low |= bit,
            None => self.high.push(index),
        }
        true
    }

    pub(crate) fn contains(&self, index: usize) -> bool {
        match 1u128.checked_shl(index as u32) {
            Some(bit) => self.low & bit != 0,
            None => self.high.contains(&index),
        }
    }

    fn count(&self) -> usize {
        self.low.count_ones() as usize + self.high.len()
    }

    /// To be called when a structure has been read: notes required members that are missing, and
    /// refuses a union that has not exactly one.
    pub(crate) fn close(
        &self,
        schema: &Schema,
        path: &Path<'_>,
        missing: &mut Missing,
    ) -> Result<(), DecodeError> {
        if let Kind::Structure { union: true, .. } = schema.kind
            && self.count() != 1
        {
            let message = match self.count() {
                0 => format!(
                    "Supplied {} is empty, must contain exactly one of the supported types",
                    schema.name
                ),
                _ => format!(
                    "Supplied {} has more than one type set, must contain exactly one of the supported types",
                    schema.name
                ),
            };
            return Err(path.error(DecodeErrorKind::Union, message));
        }
        for (index, member) in schema.members().iter().enumerate() {
            if member.required && !self.contains(index) {
                missing.push(path.member(member).to_string());
            }
        }
        Ok(())
    }
}
