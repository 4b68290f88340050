//! Checks an input against the model's limits, in the words that AWS's own services use. Pure; a
//! service may leave it out, or answer with a code of its own.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use gureum_schema::{Error, Kind, Limits, Member, Schema, Struct, View};
use regex_lite::Regex;

use super::Missing;
use super::walk::Path;

/// One value that is not as the model wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// As in `entries.1.member.id`.
    pub path: String,
    pub kind: ViolationKind,
    /// The value as text; none when it must not be printed.
    pub value: Option<String>,
    /// `Member must not be null`
    pub constraint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    Missing,
    Length,
    Range,
    Pattern,
    Enum,
}

/// All that is wrong with an input; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// More than these are not worth telling.
    const MOST: usize = 50;

    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }

    pub fn to_error(&self, code: &'static str) -> Error {
        Error::new(code, 400, self.to_string())
    }
}

/// `1 validation error detected: Value 'x' at 'name' failed to satisfy constraint: ...`
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "error" } else { "errors" };
        write!(f, "{count} validation {noun} detected: ")?;
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, self.kind) {
            (_, ViolationKind::Missing) => f.write_str("Value null")?,
            (Some(value), _) => write!(f, "Value '{value}'")?,
            (None, _) => f.write_str("Value")?,
        }
        write!(
            f,
            " at '{}' failed to satisfy constraint: {}",
            self.path, self.constraint
        )
    }
}

/// Checks a decoded input; `missing` is what [`super::decode`] gave with it.
pub fn validate(input: &dyn Struct, missing: &Missing) -> Result<(), Violations> {
    let mut check = Check {
        missing,
        found: Vec::new(),
    };
    for path in missing.paths() {
        check.push(Violation {
            path: path.clone(),
            kind: ViolationKind::Missing,
            value: None,
            constraint: "Member must not be null".to_owned(),
        });
    }
    check.structure(input, &Path::ROOT);
    match check.found {
        found if found.is_empty() => Ok(()),
        found => Err(Violations(found)),
    }
}

struct Check<'a> {
    missing: &'a Missing,
    found: Vec<Violation>,
}

impl Check<'_> {
    fn push(&mut self, violation: Violation) {
        if self.found.len() < Violations::MOST {
            self.found.push(violation);
        }
    }

    fn structure(&mut self, value: &dyn Struct, path: &Path<'_>) {
        let schema = value.schema();
        let union = matches!(schema.kind, Kind::Structure { union: true, .. });
        for (index, member) in schema.members().iter().enumerate() {
            let path = path.member(member);
            // A required member that is missing stands there as an empty default.
            if member.required && self.is_missing(&path) {
                continue;
            }
            let view = value.field(index).view();
            self.value(member, &view, &path);
            // The only one of a union is the last to look at.
            if union && !matches!(view, View::None) {
                return;
            }
        }
    }

    fn is_missing(&self, path: &Path<'_>) -> bool {
        !self.missing.is_empty() && self.missing.paths().contains(&path.to_string())
    }

    fn value(&mut self, member: &Member, view: &View<'_>, path: &Path<'_>) {
        let schema = member.target;
        if let Some((kind, constraint)) = violated(schema, view) {
            let value = (!schema.hides_values()).then(|| show(view));
            self.push(Violation {
                path: path.to_string(),
                kind,
                value,
                constraint,
            });
        }
        match (view, &schema.kind) {
            (View::Struct(value), _) => self.structure(*value, path),
            (View::List(list), Kind::List { item, .. }) => {
                let items = (0..list.len()).map(|index| list.get(index).view());
                if is_tree(item.target) {
                    items
                        .enumerate()
                        .for_each(|(i, view)| self.value(item, &view, &path.item(i)));
                } else {
                    let kind = items.into_iter().find_map(|v| violated(item.target, &v));
                    self.collection("Member", item.target, kind, member, view, path);
                }
            }
            (View::Map(map), Kind::Map { key, value, .. }) => {
                let (mut bad_key, mut bad_value) = (None, None);
                map.for_each(&mut |name, field| {
                    bad_key = bad_key
                        .take()
                        .or_else(|| violated(key.target, &View::Str(name)));
                    if is_tree(value.target) {
                        self.value(value, &field.view(), &path.key(name));
                    } else {
                        let found = || violated(value.target, &field.view());
                        bad_value = bad_value.take().or_else(found);
                    }
                });
                self.collection("Map keys", key.target, bad_key, member, view, path);
                self.collection("Map value", value.target, bad_value, member, view, path);
            }
            _ => {}
        }
    }

    /// A collection whose items break their limits is at fault as a whole, and all the limits of
    /// its items are told.
    fn collection(
        &mut self,
        what: &str,
        item: &Schema,
        found: Option<(ViolationKind, String)>,
        member: &Member,
        view: &View<'_>,
        path: &Path<'_>,
    ) {
        let Some((kind, _)) = found else { return };
        let value = (!member.target.hides_values()).then(|| show(view));
        let constraint = format!("{what} must satisfy constraint: [{}]", all_limits(item));
        self.push(Violation {
            path: path.to_string(),
            kind,
            value,
            constraint,
        });
    }
}

fn is_tree(schema: &Schema) -> bool {
    matches!(
        schema.kind,
        Kind::Structure { .. } | Kind::List { .. } | Kind::Map { .. }
    )
}

/// The first limit that the value itself breaks.
fn violated(schema: &Schema, view: &View<'_>) -> Option<(ViolationKind, String)> {
    let limits = &schema.limits;
    match view {
        View::Str(text) => {
            length(limits, || text.chars().count()).or_else(|| wording(limits, text))
        }
        View::Blob(bytes) => length(limits, || bytes.len()),
        View::List(list) => length(limits, || list.len()),
        View::Map(map) => length(limits, || map.len()),
        View::Int(number) => range(limits, *number as f64),
        View::Float(number) => range(limits, f64::from(*number)),
        View::Double(number) => range(limits, *number),
        _ => None,
    }
}

fn length(limits: &Limits, count: impl FnOnce() -> usize) -> Option<(ViolationKind, String)> {
    if limits.min.is_none() && limits.max.is_none() {
        return None;
    }
    outside(limits, count() as f64, "length").map(|text| (ViolationKind::Length, text))
}

fn range(limits: &Limits, number: f64) -> Option<(ViolationKind, String)> {
    outside(limits, number, "value").map(|text| (ViolationKind::Range, text))
}

fn outside(limits: &Limits, number: f64, what: &str) -> Option<String> {
    match (limits.min, limits.max) {
        (_, Some(max)) if number > max => Some(at_most(what, max)),
        (Some(min), _) if number < min => Some(at_least(what, min)),
        _ => None,
    }
}

fn wording(limits: &Limits, text: &str) -> Option<(ViolationKind, String)> {
    if !limits.values.is_empty() && !limits.values.contains(&text) {
        return Some((ViolationKind::Enum, one_of(limits.values)));
    }
    let pattern = limits.pattern?;
    let regex = compiled(pattern)?;
    (!regex.is_match(text)).then(|| (ViolationKind::Pattern, matching(pattern)))
}

fn all_limits(schema: &Schema) -> String {
    let limits = &schema.limits;
    let what = match schema.kind {
        Kind::Integer | Kind::Long | Kind::Float | Kind::Double => "value",
        _ => "length",
    };
    let texts = [
        limits.max.map(|max| at_most(what, max)),
        limits.min.map(|min| at_least(what, min)),
        limits.pattern.map(matching),
        (!limits.values.is_empty()).then(|| one_of(limits.values)),
    ];
    texts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn at_most(what: &str, max: f64) -> String {
    format!("Member must have {what} less than or equal to {max}")
}

fn at_least(what: &str, min: f64) -> String {
    format!("Member must have {what} greater than or equal to {min}")
}

fn matching(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

fn one_of(values: &[&str]) -> String {
    format!(
        "Member must satisfy enum value set: [{}]",
        values.join(", ")
    )
}

/// A value for a message: AWS prints it whole, we stop at a screenful.
fn show(view: &View<'_>) -> String {
    const MOST: usize = 1024;
    let text = match view {
        View::Str(text) => (*text).to_owned(),
        View::List(list) => {
            let items = (0..list.len().min(MOST)).map(|index| show(&list.get(index).view()));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        View::Map(map) => {
            let mut entries = Vec::new();
            map.for_each(&mut |key, field| {
                if entries.len() < MOST {
                    entries.push(format!("{key}={}", show(&field.view())));
                }
            });
            format!("{{{}}}", entries.join(", "))
        }
        view => format!("{view:?}"),
    };
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

type Patterns = HashMap<&'static str, Option<Arc<Regex>>>;

/// Patterns are compiled when first needed and kept; one that is not understood is not checked.
fn compiled(pattern: &'static str) -> Option<Arc<Regex>> {
    static CACHE: LazyLock<RwLock<Patterns>> = LazyLock::new(RwLock::default);
    if let Some(regex) = CACHE
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(pattern)
    {
        return regex.clone();
    }
    let regex = compile(pattern).map(Arc::new);
    let mut cache = CACHE.write().unwrap_or_else(PoisonError::into_inner);
    cache.entry(pattern).or_insert(regex).clone()
}

/// The model's patterns are about the whole value.
fn compile(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

/// Whether [`validate`] can check the pattern; Java's dialect, which models are written in, has
/// look-arounds and Unicode classes that ours lacks.
pub fn understands_pattern(pattern: &str) -> bool {
    compile(pattern).is_some()
}
