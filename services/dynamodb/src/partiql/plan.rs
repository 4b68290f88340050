//! Statements against a table's keys: what is one item, what a query, what a scan. Pure.

use std::sync::Arc;

use gureum_kit::Scan;

use super::ast::{Order, Returning, Select, Statement};
use super::lexer::malformed;
use crate::errors::{Refusal, Result};
use crate::expression::ast::{Comparator, Operand};
use crate::expression::condition::compare;
use crate::expression::key_condition::{KeyCondition, Keys, Range};
use crate::expression::path::{Path, Step};
use crate::expression::{Condition, Projection};
use crate::model::{Entry, Table};
use crate::page::Source;
use crate::request::{Effect, Write};
use crate::value::{Item, Value};

/// The most partition keys that one statement may list.
const MAX_PARTITIONS: usize = 50;

/// How a `SELECT` is read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// One query each; `None` for a scan.
    pub(crate) partitions: Option<Vec<KeyCondition>>,
    /// Each query is for one item of the table.
    pub(crate) exact: bool,
    pub(crate) filter: Option<Condition>,
    pub(crate) backwards: bool,
}

/// The leaves of all that must hold.
fn conjuncts(filter: Option<Condition>) -> Vec<Condition> {
    match filter {
        None => Vec::new(),
        Some(Condition::And(all)) => all
            .into_iter()
            .flat_map(|one| conjuncts(Some(one)))
            .collect(),
        Some(leaf) => vec![leaf],
    }
}

fn rejoined(mut all: Vec<Condition>) -> Option<Condition> {
    if all.len() > 1 {
        return Some(Condition::And(all));
    }
    all.pop()
}

/// The value that the attribute must equal.
fn equal<'c>(condition: &'c Condition, name: &str) -> Option<&'c Value> {
    match condition {
        Condition::Compare(Operand::Path(path), Comparator::Eq, Operand::Value(value))
        | Condition::Compare(Operand::Value(value), Comparator::Eq, Operand::Path(path))
            if path.is_attribute() && path.attribute == name =>
        {
            Some(value)
        }
        _ => None,
    }
}

/// The values of which the attribute must equal one, each once: `=`, `IN`, or `=` joined by OR.
fn one_of<'c>(condition: &'c Condition, name: &str) -> Option<Vec<Value>> {
    let values: Vec<&'c Value> = match condition {
        Condition::In(Operand::Path(path), list)
            if path.is_attribute() && path.attribute == name =>
        {
            let value = |operand: &'c Operand| match operand {
                Operand::Value(value) => Some(value),
                _ => None,
            };
            list.iter().map(value).collect::<Option<_>>()?
        }
        Condition::Or(all) => all
            .iter()
            .map(|one| equal(one, name))
            .collect::<Option<_>>()?,
        leaf => vec![equal(leaf, name)?],
    };
    let mut distinct: Vec<Value> = Vec::new();
    for value in values {
        if !distinct.contains(value) {
            distinct.push(value.clone());
        }
    }
    Some(distinct)
}

/// Whether it can be the sort key's part of a query.
fn ranges_over(condition: &Condition, name: &str) -> bool {
    let named = |operand: &Operand| matches!(operand, Operand::Path(path) if path.is_attribute() && path.attribute == name);
    let given = |operand: &Operand| matches!(operand, Operand::Value(_));
    match condition {
        Condition::Compare(a, by, b) if *by != Comparator::Ne => {
            (named(a) && given(b)) || (given(a) && named(b))
        }
        Condition::Between(value, low, high) => named(value) && given(low) && given(high),
        Condition::BeginsWith(value, start) => named(value) && given(start),
        _ => false,
    }
}

fn check_kind(value: &Value, kind: &str) -> Result<()> {
    if value.kind() == kind {
        return Ok(());
    }
    Err(Refusal::validation(
        "Key attribute's data type should match its data type in table's schema",
    ))
}

fn equals(name: &str, value: Value) -> Condition {
    let path = Operand::Path(Path::attribute(name));
    Condition::Compare(path, Comparator::Eq, Operand::Value(value))
}

impl Reading {
    pub(crate) fn of(source: &Source<'_>, select: &Select) -> Result<Self> {
        let keys = source.keys();
        let mut rest = conjuncts(select.filter.clone());
        let (name, kind) = keys.partition;
        let found = rest
            .iter()
            .enumerate()
            .find_map(|(at, one)| one_of(one, name).map(|values| (at, values)));
        let Some((at, mut values)) = found else {
            check_order(&select.order, keys, None)?;
            return Ok(Self {
                partitions: None,
                exact: false,
                filter: rejoined(rest),
                backwards: false,
            });
        };
        rest.remove(at);
        if values.len() > MAX_PARTITIONS {
            return Err(Refusal::validation(format!(
                "The IN operator is provided with too many operands; number of operands: {}",
                values.len()
            )));
        }
        for value in &values {
            check_kind(value, kind)?;
        }
        let backwards = check_order(&select.order, keys, Some(&mut values))?;
        let ranged = keys.sort.and_then(|(sort, _)| {
            let at = rest.iter().position(|one| ranges_over(one, sort))?;
            Some(rest.remove(at))
        });
        if let (Some((sort, kind)), Some(range)) = (keys.sort, &ranged)
            && let Some(value) = equal(range, sort)
        {
            check_kind(value, kind)?;
        }
        let exact = source.index.is_none()
            && match keys.sort {
                None => true,
                Some((sort, _)) => ranged
                    .as_ref()
                    .is_some_and(|one| equal(one, sort).is_some()),
            };
        let partition = |value: Value| {
            let mut all = vec![equals(name, value)];
            all.extend(ranged.clone());
            KeyCondition::of(Condition::And(all), keys)
        };
        let partitions = values.into_iter().map(partition).collect::<Result<_>>()?;
        Ok(Self {
            partitions: Some(partitions),
            exact,
            filter: rejoined(rest),
            backwards,
        })
    }

    /// The entries to read, in their order: those of each partition, or all.
    pub(crate) fn spans(&self, source: &Source<'_>) -> Vec<Scan<Entry>> {
        let Some(partitions) = &self.partitions else {
            return vec![source.segment(None)];
        };
        let span = |one| match self.backwards {
            true => source.span(one).reverse(),
            false => source.span(one),
        };
        partitions.iter().map(span).collect()
    }

    /// The key of the one item that the statement is about, if it is about one and nothing more.
    pub(crate) fn only_key(self, table: &Table) -> Option<Item> {
        let mut partitions = self.partitions.filter(|all| all.len() == 1)?;
        if !self.exact || self.filter.is_some() {
            return None;
        }
        let condition = partitions.pop()?;
        let mut key = Item::from([(table.keys.partition.clone(), condition.partition)]);
        if let (Some(sort), Range::Compare(_, value)) = (&table.keys.sort, condition.sort) {
            key.insert(sort.clone(), value);
        }
        Some(key)
    }
}

/// Whether to read backwards. Puts the partitions into the order that is wanted.
fn check_order(
    order: &[Order],
    keys: Keys<'_>,
    partitions: Option<&mut Vec<Value>>,
) -> Result<bool> {
    if order.is_empty() {
        return Ok(false);
    }
    let Some(partitions) = partitions else {
        return Err(Refusal::validation(
            "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
        ));
    };
    let sort = keys.sort.map(|(name, _)| name);
    let mut backwards = false;
    for (at, one) in order.iter().enumerate() {
        let name = one.attribute.as_str();
        if name == keys.partition.0 && at == 0 {
            partitions.sort_by(|a, b| {
                let order = compare(a, b).unwrap_or(std::cmp::Ordering::Equal);
                if one.descending {
                    order.reverse()
                } else {
                    order
                }
            });
        } else if Some(name) == sort && (at == 1 || partitions.len() == 1) {
            backwards = one.descending;
        } else if Some(name) == sort {
            return Err(Refusal::validation(
                "The hash key must come first in the ORDER BY clause when several of its values are asked for.",
            ));
        } else {
            return Err(Refusal::validation(format!(
                "Variable reference {name} in ORDER BY clause must be part of the primary key"
            )));
        }
    }
    Ok(backwards)
}

/// The whole key of the item that a write is about, and what else must hold.
fn keyed(table: &Table, filter: Option<Condition>) -> Result<(Item, Option<Condition>)> {
    let mut rest = conjuncts(filter);
    let mut key = Item::new();
    for name in table.keys.names() {
        let found = rest
            .iter()
            .enumerate()
            .find_map(|(at, one)| equal(one, name).cloned().map(|value| (at, value)));
        let Some((at, value)) = found else {
            return Err(Refusal::validation(
                "Where clause does not contain a mandatory equality on all key attributes",
            ));
        };
        rest.remove(at);
        check_kind(&value, table.kind(name))?;
        key.insert(name.clone(), value);
    }
    Ok((key, rejoined(rest)))
}

/// What a statement that is no `SELECT` writes or checks.
pub(crate) fn write(table: &Table, statement: Statement, show_failed: bool) -> Result<Write> {
    let there = || Condition::Exists(Path::attribute(&table.keys.partition));
    let absent = || Condition::NotExists(Path::attribute(&table.keys.partition));
    let name = statement.table().to_owned();
    let (key, effect, condition) = match statement {
        Statement::Insert { item, .. } => {
            for name in table.keys.names() {
                if let Some(value) = item.get(name) {
                    check_kind(value, table.kind(name))?;
                }
            }
            (Item::new(), Effect::Put(Arc::new(item)), Some(absent()))
        }
        Statement::Update {
            actions, filter, ..
        } => {
            let (key, rest) = keyed(table, filter)?;
            let all = std::iter::once(there()).chain(rest).collect();
            (key, Effect::Update(actions), rejoined(all))
        }
        // Of an item that is not there, nothing is asked.
        Statement::Delete { filter, .. } => {
            let (key, rest) = keyed(table, filter)?;
            let condition = rest.map(|rest| Condition::Or(vec![absent(), rest]));
            (key, Effect::Delete, condition)
        }
        Statement::Exists(select) => {
            let single = "EXISTS() must contain a single item read with additional condition";
            let keyed = keyed(table, select.filter).ok();
            let keyed = keyed.filter(|_| select.index.is_none());
            let Some((key, Some(rest))) = keyed else {
                return Err(Refusal::validation(single));
            };
            (
                key,
                Effect::Check,
                Some(Condition::And(vec![there(), rest])),
            )
        }
        Statement::Select(_) => return Err(malformed("Expected data manipulation")),
    };
    Ok(Write {
        table: name,
        key,
        effect,
        condition,
        show_failed,
    })
}

/// What a write answers with, of the item before and after it.
pub(crate) fn returned(
    returning: Option<Returning>,
    effect: &Effect,
    old: Option<Item>,
    new: Option<Item>,
) -> Option<Item> {
    let returning = returning?;
    let image = if returning.new { new } else { old };
    let part = match effect {
        Effect::Update(actions) if returning.modified => {
            let touched = Projection::tree(actions.iter().map(|action| action.path()));
            image.map(|item| touched.apply(&item))
        }
        _ => image,
    };
    part.filter(|item| !item.is_empty())
}

impl Select {
    /// The top-level attributes of which it shows something.
    pub(crate) fn projection(&self) -> Option<Projection> {
        let columns = self.columns.as_ref()?;
        let names = columns.iter().map(|path| path.attribute.clone());
        Some(Projection::attributes(names))
    }

    /// An item as it is answered: each path under its last name, an element under its position.
    pub(crate) fn shown(&self, item: Item) -> Item {
        let Some(columns) = &self.columns else {
            return item;
        };
        let column = |path: &Path| {
            let name = match path.steps.last() {
                None => path.attribute.clone(),
                Some(Step::Name(name)) => name.clone(),
                Some(Step::Index(index)) => format!("_{}", index + 1),
            };
            Some((name, path.get(&item)?.clone()))
        };
        columns.iter().filter_map(column).collect()
    }
}

/// Every top-level attribute that a condition names, for fine-grained access control.
pub(crate) fn names_in(condition: Option<&Condition>, names: &mut Vec<String>) {
    if let Some(condition) = condition {
        condition.paths(&mut |path| names.push(path.attribute.clone()));
    }
}
