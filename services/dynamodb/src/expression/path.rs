//! Document paths: `a.b[3].c`.

use std::fmt;

use crate::value::{Item, Value};

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Name(String),
    Index(usize),
}

/// A path from the item's attribute downwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) attribute: String,
    pub(crate) steps: Vec<Step>,
}

impl Path {
    pub(crate) fn attribute(name: impl Into<String>) -> Self {
        Self {
            attribute: name.into(),
            steps: Vec::new(),
        }
    }

    pub(crate) fn is_attribute(&self) -> bool {
        self.steps.is_empty()
    }

    pub(crate) fn get<'a>(&self, item: &'a Item) -> Option<&'a Value> {
        let mut value = item.get(&self.attribute)?;
        for step in &self.steps {
            value = match (step, value) {
                (Step::Name(name), Value::M(map)) => map.get(name)?,
                (Step::Index(index), Value::L(list)) => list.get(*index)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// How two paths stand in each other's way, if they do.
    pub(crate) fn clash(&self, other: &Self) -> Option<Clash> {
        if self.attribute != other.attribute {
            return None;
        }
        for (a, b) in self.steps.iter().zip(&other.steps) {
            match (a, b) {
                (a, b) if a == b => {}
                (Step::Name(_), Step::Index(_)) | (Step::Index(_), Step::Name(_)) => {
                    return Some(Clash::Conflict);
                }
                _ => return None,
            }
        }
        Some(Clash::Overlap)
    }
}

/// Why two paths cannot stand in one expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    /// One is the other, or inside it.
    Overlap,
    /// One takes for a list what the other takes for a map.
    Conflict,
}

impl Clash {
    pub(crate) fn message(self, one: &Path, two: &Path) -> String {
        let how = match self {
            Self::Overlap => "overlap",
            Self::Conflict => "conflict",
        };
        format!(
            "Two document paths {how} with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
        )
    }
}

/// As messages print it: `[a, b, [3]]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.attribute)?;
        for step in &self.steps {
            match step {
                Step::Name(name) => write!(f, ", {name}")?,
                Step::Index(index) => write!(f, ", [{index}]")?,
            }
        }
        f.write_str("]")
    }
}
