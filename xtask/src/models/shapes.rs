//! From a model to what one crate will hold: which shapes the allowed operations reach, what each
//! becomes in Rust, and under which name.

use std::collections::{BTreeMap, BTreeSet};

use crate::Result;

use super::config::Service;
use super::document::{Model, Operation, Ordered, Reference, Shape, Traits};
use super::names;

/// A model made complete for generation: every allowed operation has an input and an output.
pub(crate) struct Crate<'a> {
    pub(crate) service: &'a Service,
    pub(crate) model: &'a Model,
    /// Everything to generate, with the name of its static.
    pub(crate) statics: BTreeMap<Use, String>,
}

/// A shape as it is used; the same blob may be held in memory here and streamed there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) shape: String,
    pub(crate) stream: bool,
}

/// What generated code takes from elsewhere; a structure must not be called like one of these.
const TAKEN: [&str; 11] = [
    "BTreeMap",
    "Body",
    "Box",
    "Bytes",
    "Clone",
    "Default",
    "Document",
    "Option",
    "String",
    "Timestamp",
    "Vec",
];

/// Gives operations without an input or output shape an empty structure of their own
/// (`DeleteQueueOutput`), so that every allowed operation has both.
pub(crate) fn complete(service: &Service, model: &mut Model) -> Result<()> {
    if let super::config::Operations::Listed(names) = &service.operations
        && let Some(name) = names.iter().find(|n| model.operations.get(n).is_none())
    {
        return Err(format!("there is no operation {name}"));
    }
    for (name, operation) in &mut model.operations.0 {
        if !service.operations.allow(name) {
            continue;
        }
        for (slot, suffix) in [
            (&mut operation.input, "Input"),
            (&mut operation.output, "Output"),
        ] {
            if slot.is_none() {
                let shape = format!("{name}{suffix}");
                *slot = Some(Reference::to(&shape));
                add_empty(&mut model.shapes, shape)?;
            }
        }
    }
    Ok(())
}

fn add_empty(shapes: &mut Ordered<Shape>, name: String) -> Result<()> {
    if shapes.get(&name).is_some() {
        return Err(format!(
            "a shape {name} is in the way of an empty structure"
        ));
    }
    shapes.0.push((name, Shape::empty()));
    Ok(())
}

pub(crate) fn translate<'a>(service: &'a Service, model: &'a Model) -> Result<Crate<'a>> {
    let mut reached = BTreeSet::new();
    for (operation, spec) in &model.operations.0 {
        if service.operations.allow(operation) {
            let roots = spec.input.iter().chain(&spec.output).chain(&spec.errors);
            for root in roots {
                reach(model, root, &mut reached).map_err(|e| format!("{operation}: {e}"))?;
            }
        }
    }
    let crate_ = Crate {
        service,
        model,
        statics: name_statics(reached),
    };
    crate_.check_type_names()?;
    Ok(crate_)
}

fn reach(model: &Model, reference: &Reference, reached: &mut BTreeSet<Use>) -> Result<()> {
    let shape = model
        .shapes
        .get(&reference.shape)
        .ok_or_else(|| format!("there is no shape {}", reference.shape))?;
    if shape.eventstream {
        return Err(format!(
            "{} is an event stream, which the generator does not know",
            reference.shape
        ));
    }
    let traits = reference.traits.over(&shape.traits);
    if traits.jsonvalue {
        return Err(format!(
            "{} is JSON inside a string, which the generator does not know",
            reference.shape
        ));
    }
    let used = Use {
        shape: reference.shape.clone(),
        stream: shape.kind == "blob" && traits.streaming,
    };
    if reached.insert(used) {
        for inner in shape.references() {
            reach(model, inner, reached)?;
        }
    }
    Ok(())
}

/// One distinct name each. Where two shapes differ in case only, the later ones get a number.
fn name_statics(reached: BTreeSet<Use>) -> BTreeMap<Use, String> {
    let mut taken = BTreeSet::new();
    let mut statics = BTreeMap::new();
    for used in reached {
        let plain = names::constant(&used.shape);
        let mut name = plain.clone();
        for number in 2.. {
            if taken.insert(name.clone()) {
                break;
            }
            name = format!("{plain}_{number}");
        }
        statics.insert(used, name);
    }
    statics
}

impl Crate<'_> {
    pub(crate) fn shape(&self, name: &str) -> &Shape {
        // `translate` has followed every reference once.
        match self.model.shapes.get(name) {
            Some(shape) => shape,
            None => panic!("there is no shape {name}"),
        }
    }

    /// A reference's traits with those of its shape behind them.
    pub(crate) fn traits(&self, reference: &Reference) -> Traits {
        reference.traits.over(&self.shape(&reference.shape).traits)
    }

    /// The static of the schema that a reference points at.
    pub(crate) fn target(&self, reference: &Reference) -> &str {
        let used = Use {
            shape: reference.shape.clone(),
            stream: self.is_stream(reference),
        };
        &self.statics[&used]
    }

    pub(crate) fn is_stream(&self, reference: &Reference) -> bool {
        self.shape(&reference.shape).kind == "blob" && self.traits(reference).streaming
    }

    /// The structures and unions to generate, by name.
    pub(crate) fn structures(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.statics
            .keys()
            .map(|used| (used.shape.as_str(), self.shape(&used.shape)))
            .filter(|(_, shape)| shape.is_structure())
    }

    pub(crate) fn speaks(&self, protocol: &str) -> bool {
        self.model.metadata.protocols.iter().any(|p| p == protocol)
    }

    pub(crate) fn allowed(&self) -> impl Iterator<Item = (&String, &Operation)> {
        let operations = self.model.operations.0.iter();
        operations
            .map(|(name, operation)| (name, operation))
            .filter(|(name, _)| self.service.operations.allow(name))
    }

    /// The Rust type of a structure's member.
    pub(crate) fn member_type(
        &self,
        owner: &str,
        name: &str,
        member: &Reference,
    ) -> Result<String> {
        if self.is_stream(member) {
            return Ok("Body".to_owned());
        }
        let plain = self.boxed_type(owner, member)?;
        let required = self.shape(owner).required.iter().any(|r| r == name);
        Ok(if required {
            plain
        } else {
            format!("Option<{plain}>")
        })
    }

    /// The Rust type behind a reference from a structure, which must not contain itself.
    pub(crate) fn boxed_type(&self, owner: &str, reference: &Reference) -> Result<String> {
        let plain = self.plain_type(reference)?;
        let recursive = self.contains(&reference.shape, owner, &mut BTreeSet::new());
        Ok(if recursive {
            format!("Box<{plain}>")
        } else {
            plain
        })
    }

    fn plain_type(&self, reference: &Reference) -> Result<String> {
        let shape = self.shape(&reference.shape);
        Ok(match shape.kind.as_str() {
            "structure" if shape.document => "Document".to_owned(),
            "structure" => names::type_(&reference.shape),
            "list" => {
                let item = self.item_type(shape, shape.part("member")?)?;
                format!("Vec<{item}>")
            }
            "map" => {
                if self.shape(&shape.part("key")?.shape).kind != "string" {
                    return Err(format!("{}: keys must be strings", reference.shape));
                }
                let value = self.item_type(shape, shape.part("value")?)?;
                format!("BTreeMap<String, {value}>")
            }
            "string" | "character" => "String".to_owned(),
            "boolean" => "bool".to_owned(),
            "integer" => "i32".to_owned(),
            "long" => "i64".to_owned(),
            "float" => "f32".to_owned(),
            "double" => "f64".to_owned(),
            "blob" => "Bytes".to_owned(),
            "timestamp" => "Timestamp".to_owned(),
            other => return Err(format!("{}: unknown type {other}", reference.shape)),
        })
    }

    fn item_type(&self, collection: &Shape, item: &Reference) -> Result<String> {
        let plain = self.plain_type(item)?;
        Ok(if collection.sparse {
            format!("Option<{plain}>")
        } else {
            plain
        })
    }

    /// Whether a value of `outer` holds one of `inner` without a collection in between.
    fn contains(&self, outer: &str, inner: &str, seen: &mut BTreeSet<String>) -> bool {
        let shape = self.shape(outer);
        if !shape.is_structure() {
            return false;
        }
        if outer == inner {
            return true;
        }
        seen.insert(outer.to_owned())
            && shape
                .members
                .0
                .iter()
                .any(|(_, member)| self.contains(&member.shape, inner, seen))
    }

    fn check_type_names(&self) -> Result<()> {
        let mut seen: BTreeSet<String> = TAKEN.iter().map(|&name| name.to_owned()).collect();
        for (shape, _) in self.structures() {
            if !seen.insert(names::type_(shape)) {
                return Err(format!("two Rust types would be called {shape}"));
            }
        }
        Ok(())
    }
}

impl Shape {
    fn empty() -> Self {
        Self {
            kind: "structure".to_owned(),
            ..Self::default()
        }
    }

    /// Whether it becomes a Rust struct or enum.
    pub(crate) fn is_structure(&self) -> bool {
        self.kind == "structure" && !self.document
    }

    pub(crate) fn part(&self, part: &str) -> Result<&Reference> {
        match part {
            "member" => self.member.as_ref(),
            "key" => self.key.as_ref(),
            _ => self.value.as_ref(),
        }
        .ok_or_else(|| format!("a {} without its {part}", self.kind))
    }

    /// Every reference inside this shape.
    fn references(&self) -> impl Iterator<Item = &Reference> {
        let members = self.members.0.iter().map(|(_, member)| member);
        members
            .chain(&self.member)
            .chain(&self.key)
            .chain(&self.value)
    }
}

impl Reference {
    fn to(shape: &str) -> Self {
        Self {
            shape: shape.to_owned(),
            ..Self::default()
        }
    }
}
