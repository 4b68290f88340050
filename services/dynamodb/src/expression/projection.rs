//! Projections: the parts of an item that some paths name.

use std::collections::BTreeMap;

use super::path::{Path, Step};
use super::update_parser::first_clash;
use crate::errors::{Refusal, Result};
use crate::value::{Item, Value};

/// Paths that do not overlap, as a tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Projection {
    attributes: BTreeMap<String, Node>,
}

/// Without children, the whole value below it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Node(BTreeMap<Step, Node>);

impl Projection {
    pub(crate) fn of(paths: Vec<Path>) -> Result<Self> {
        if let Some(message) = first_clash(&paths.iter().collect::<Vec<_>>()) {
            return Err(Refusal::validation(format!(
                "Invalid ProjectionExpression: {message}"
            )));
        }
        Ok(Self::tree(paths.iter()))
    }

    /// For paths that are known not to overlap.
    pub(crate) fn tree<'a>(paths: impl Iterator<Item = &'a Path>) -> Self {
        let mut projection = Self::default();
        for path in paths {
            let mut node = projection
                .attributes
                .entry(path.attribute.clone())
                .or_default();
            for step in &path.steps {
                node = node.0.entry(step.clone()).or_default();
            }
        }
        projection
    }

    pub(crate) fn attributes(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            attributes: names
                .into_iter()
                .map(|name| (name, Node::default()))
                .collect(),
        }
    }

    /// The top-level attributes that it touches.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.attributes.keys()
    }

    pub(crate) fn apply(&self, item: &Item) -> Item {
        let mut out = Item::new();
        for (name, node) in &self.attributes {
            if let Some(value) = item.get(name).and_then(|value| node.apply(value)) {
                out.insert(name.clone(), value);
            }
        }
        out
    }
}

impl Node {
    fn apply(&self, value: &Value) -> Option<Value> {
        if self.0.is_empty() {
            return Some(value.clone());
        }
        match value {
            Value::M(map) => {
                let part = |(step, node): (&Step, &Self)| match step {
                    Step::Name(name) => Some((name.clone(), node.apply(map.get(name)?)?)),
                    Step::Index(_) => None,
                };
                let out: Item = self.0.iter().filter_map(part).collect();
                (!out.is_empty()).then_some(Value::M(out))
            }
            Value::L(list) => {
                let part = |(step, node): (&Step, &Self)| match step {
                    Step::Index(index) => node.apply(list.get(*index)?),
                    Step::Name(_) => None,
                };
                let out: Vec<_> = self.0.iter().filter_map(part).collect();
                (!out.is_empty()).then_some(Value::L(out))
            }
            _ => None,
        }
    }
}
