//! What statements mean: the trees of expressions, with the clauses around them.

use crate::expression::path::Path;
use crate::expression::{Action, Condition};
use crate::value::Item;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    Select(Select),
    Insert {
        table: String,
        item: Item,
    },
    Update {
        table: String,
        actions: Vec<Action>,
        filter: Option<Condition>,
        returning: Option<Returning>,
    },
    Delete {
        table: String,
        filter: Option<Condition>,
        returning: Option<Returning>,
    },
    /// `EXISTS(SELECT …)`, the condition check of transactions.
    Exists(Select),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Select {
    pub(crate) table: String,
    pub(crate) index: Option<String>,
    /// Without columns, `*`.
    pub(crate) columns: Option<Vec<Path>>,
    pub(crate) filter: Option<Condition>,
    pub(crate) order: Vec<Order>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) attribute: String,
    pub(crate) descending: bool,
}

/// Which attributes of which image a write answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Returning {
    pub(crate) modified: bool,
    pub(crate) new: bool,
}

impl Statement {
    pub(crate) fn table(&self) -> &str {
        match self {
            Self::Select(select) | Self::Exists(select) => &select.table,
            Self::Insert { table, .. }
            | Self::Update { table, .. }
            | Self::Delete { table, .. } => table,
        }
    }

    /// Reads and writes are not mixed; `EXISTS` goes with writes.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self, Self::Select(_))
    }

    pub(crate) fn returning(&self) -> Option<Returning> {
        match self {
            Self::Update { returning, .. } | Self::Delete { returning, .. } => *returning,
            _ => None,
        }
    }
}

impl Returning {
    /// What the item operations call it, and the condition key `dynamodb:ReturnValues`.
    pub(crate) fn as_str(self) -> &'static str {
        match (self.modified, self.new) {
            (false, false) => "ALL_OLD",
            (false, true) => "ALL_NEW",
            (true, false) => "UPDATED_OLD",
            (true, true) => "UPDATED_NEW",
        }
    }
}
