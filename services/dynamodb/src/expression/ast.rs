//! What expressions mean.

use crate::value::Value;

use super::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparator {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Comparator {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "<>",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }

    /// The comparator that says the same with its operands exchanged.
    pub(crate) fn mirrored(self) -> Self {
        match self {
            Self::Eq => Self::Eq,
            Self::Ne => Self::Ne,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Path(Path),
    Value(Value),
    Size(Box<Operand>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Compare(Operand, Comparator, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Path),
    NotExists(Path),
    /// The attribute has this type.
    Type(Path, String),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

impl Condition {
    /// Calls `see` with every path in it.
    pub(crate) fn paths<'a>(&'a self, see: &mut dyn FnMut(&'a Path)) {
        fn operand<'a>(operand: &'a Operand, see: &mut dyn FnMut(&'a Path)) {
            match operand {
                Operand::Path(path) => see(path),
                Operand::Value(_) => {}
                Operand::Size(inner) => operand_of(inner, see),
            }
        }
        fn operand_of<'a>(inner: &'a Operand, see: &mut dyn FnMut(&'a Path)) {
            operand(inner, see);
        }
        match self {
            Self::Compare(a, _, b) | Self::BeginsWith(a, b) | Self::Contains(a, b) => {
                operand(a, see);
                operand(b, see);
            }
            Self::Between(a, b, c) => [a, b, c].into_iter().for_each(|o| operand(o, see)),
            Self::In(a, list) => {
                operand(a, see);
                list.iter().for_each(|o| operand(o, see));
            }
            Self::Exists(path) | Self::NotExists(path) | Self::Type(path, _) => see(path),
            Self::Not(inner) => inner.paths(see),
            Self::And(all) | Self::Or(all) => all.iter().for_each(|one| one.paths(see)),
        }
    }
}

/// What an update does at one path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Set(Path, Source),
    Remove(Path),
    Add(Path, Value),
    /// Takes the elements out of a set.
    Delete(Path, Value),
}

impl Action {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Set(path, _)
            | Self::Remove(path)
            | Self::Add(path, _)
            | Self::Delete(path, _) => path,
        }
    }
}

/// Where the value of a SET comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Term(Term),
    Plus(Term, Term),
    Minus(Term, Term),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    Path(Path),
    Value(Value),
    IfNotExists(Path, Box<Term>),
    ListAppend(Box<Term>, Box<Term>),
}
