//! Carrying out an update: all values are read from the item as it was.

use super::ast::{Action, Source, Term};
use super::path::{Path, Step};
use crate::errors::{Refusal, Result};
use crate::value::{Item, Value};

/// The item after the actions.
pub(crate) fn apply(actions: &[Action], old: &Item) -> Result<Item> {
    let mut new = old.clone();
    let mut sets = Vec::new();
    let mut removals = Vec::new();
    for action in actions {
        match action {
            Action::Set(path, source) => sets.push((path, evaluate(source, old)?)),
            Action::Remove(path) => removals.push(path),
            Action::Add(path, value) => {
                let sum = add(path.get(old), value)?;
                sets.push((path, sum));
            }
            Action::Delete(path, value) => match path.get(old) {
                None => check_parent(path, old)?,
                Some(found) => match take_out(found, value)? {
                    Some(rest) => sets.push((path, rest)),
                    None => removals.push(path),
                },
            },
        }
    }
    // Elements set behind the end of a list are appended in the order of their indexes.
    sets.sort_by(|(a, _), (b, _)| a.steps.cmp(&b.steps));
    for (path, value) in sets {
        set(&mut new, path, value)?;
    }
    // From the back, so that indexes stay those of the list as it was.
    removals.sort_by(|a, b| b.steps.cmp(&a.steps));
    for path in removals {
        remove(&mut new, path)?;
    }
    Ok(new)
}

fn bad_path() -> Refusal {
    Refusal::validation("The document path provided in the update expression is invalid for update")
}

fn bad_type() -> Refusal {
    Refusal::validation("An operand in the update expression has an incorrect data type")
}

fn evaluate(source: &Source, item: &Item) -> Result<Value> {
    let number = |term: &Term| match value_of(term, item)? {
        Value::N(number) => Ok(number),
        _ => Err(bad_type()),
    };
    let sum = match source {
        Source::Term(term) => return value_of(term, item),
        Source::Plus(a, b) => number(a)?.add(number(b)?),
        Source::Minus(a, b) => number(a)?.subtract(number(b)?),
    };
    sum.map(Value::N)
        .map_err(|error| Refusal::validation(error.to_string()))
}

fn value_of(term: &Term, item: &Item) -> Result<Value> {
    match term {
        Term::Value(value) => Ok(value.clone()),
        Term::Path(path) => path.get(item).cloned().ok_or_else(|| {
            Refusal::validation(
                "The provided expression refers to an attribute that does not exist in the item",
            )
        }),
        Term::IfNotExists(path, default) => match path.get(item) {
            Some(value) => Ok(value.clone()),
            None => value_of(default, item),
        },
        Term::ListAppend(a, b) => match (value_of(a, item)?, value_of(b, item)?) {
            (Value::L(mut list), Value::L(more)) => {
                list.extend(more);
                Ok(Value::L(list))
            }
            _ => Err(bad_type()),
        },
    }
}

fn add(found: Option<&Value>, value: &Value) -> Result<Value> {
    Ok(match (found, value) {
        (None, value) => value.clone(),
        (Some(Value::N(a)), Value::N(b)) => {
            let sum = a.add(*b);
            Value::N(sum.map_err(|error| Refusal::validation(error.to_string()))?)
        }
        (Some(Value::Strings(a)), Value::Strings(b)) => Value::Strings(a | b),
        (Some(Value::Numbers(a)), Value::Numbers(b)) => Value::Numbers(a | b),
        (Some(Value::Binaries(a)), Value::Binaries(b)) => Value::Binaries(a | b),
        // Only the parameters from before expressions can add to a list.
        (Some(Value::L(a)), Value::L(b)) => Value::L([a.as_slice(), b].concat()),
        _ => return Err(bad_type()),
    })
}

/// What is left of a set; `None` when nothing is.
fn take_out(found: &Value, value: &Value) -> Result<Option<Value>> {
    Ok(match (found, value) {
        (Value::Strings(a), Value::Strings(b)) => {
            let rest = a - b;
            (!rest.is_empty()).then_some(Value::Strings(rest))
        }
        (Value::Numbers(a), Value::Numbers(b)) => {
            let rest = a - b;
            (!rest.is_empty()).then_some(Value::Numbers(rest))
        }
        (Value::Binaries(a), Value::Binaries(b)) => {
            let rest = a - b;
            (!rest.is_empty()).then_some(Value::Binaries(rest))
        }
        _ => return Err(bad_type()),
    })
}

/// The value that holds the last step, which must be there.
fn parent<'a>(item: &'a mut Item, path: &Path) -> Result<&'a mut Value> {
    let mut value = item.get_mut(&path.attribute).ok_or_else(bad_path)?;
    let inner = path.steps.split_last().map_or(&[][..], |(_, inner)| inner);
    for step in inner {
        let next = match (step, value) {
            (Step::Name(name), Value::M(map)) => map.get_mut(name),
            (Step::Index(index), Value::L(list)) => list.get_mut(*index),
            _ => None,
        };
        value = next.ok_or_else(bad_path)?;
    }
    Ok(value)
}

fn check_parent(path: &Path, item: &Item) -> Result<()> {
    let Some((_, inner)) = path.steps.split_last() else {
        return Ok(());
    };
    let holder = Path {
        attribute: path.attribute.clone(),
        steps: inner.to_vec(),
    };
    holder.get(item).map(|_| ()).ok_or_else(bad_path)
}

fn set(item: &mut Item, path: &Path, value: Value) -> Result<()> {
    let Some(last) = path.steps.last() else {
        item.insert(path.attribute.clone(), value);
        return Ok(());
    };
    match (last, parent(item, path)?) {
        (Step::Name(name), Value::M(map)) => {
            map.insert(name.clone(), value);
        }
        (Step::Index(index), Value::L(list)) => match list.get_mut(*index) {
            Some(place) => *place = value,
            None => list.push(value),
        },
        _ => return Err(bad_path()),
    }
    Ok(())
}

fn remove(item: &mut Item, path: &Path) -> Result<()> {
    let Some(last) = path.steps.last() else {
        item.remove(&path.attribute);
        return Ok(());
    };
    match (last, parent(item, path)?) {
        (Step::Name(name), Value::M(map)) => {
            map.remove(name);
        }
        (Step::Index(index), Value::L(list)) => {
            if *index < list.len() {
                list.remove(*index);
            }
        }
        _ => return Err(bad_path()),
    }
    Ok(())
}
