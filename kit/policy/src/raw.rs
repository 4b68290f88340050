//! The first reading of a policy: from JSON to fields, checking shapes but not meanings.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::document::{Position, Span};
use crate::error::Problem;

/// The longest policy text accepted, in bytes: the widest limit in IAM's API.
pub const MAX_DOCUMENT_BYTES: usize = 131_072;
/// More statements than any quota on policy size leaves room for in earnest.
const MAX_STATEMENTS: usize = 1_000;
/// Entries of one JSON object.
const MAX_FIELDS: usize = 256;
/// Bytes of one action, resource or condition value: bounds the work of one comparison.
const MAX_TEXT_BYTES: usize = 4_096;

type Result<T> = std::result::Result<T, Problem>;

/// A document's fields as written.
pub(crate) struct RawPolicy {
    pub(crate) version: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) statements: Vec<RawStatement>,
}

/// A statement's fields as written.
pub(crate) struct RawStatement {
    pub(crate) sid: Option<String>,
    pub(crate) effect: String,
    pub(crate) principal: Option<Vec<(String, String)>>,
    pub(crate) not_principal: Option<Vec<(String, String)>>,
    pub(crate) action: Option<Vec<String>>,
    pub(crate) not_action: Option<Vec<String>>,
    pub(crate) resource: Option<Vec<String>>,
    pub(crate) not_resource: Option<Vec<String>>,
    pub(crate) conditions: Vec<RawCondition>,
    pub(crate) span: Span,
}

/// One operator with one of its keys.
pub(crate) struct RawCondition {
    pub(crate) operator: String,
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
}

/// Reads a whole document.
pub(crate) fn read(text: &str) -> Result<RawPolicy> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(Problem::TooLarge);
    }
    let mut policy = RawPolicy {
        version: None,
        id: None,
        statements: Vec::new(),
    };
    let mut statements = None;
    for (name, value) in object(text).ok_or(Problem::Json)? {
        match name.as_str() {
            "Version" => policy.version = Some(string(value)?),
            "Id" => policy.id = Some(string(value)?),
            "Statement" => statements = Some(value),
            _ => return Err(Problem::UnknownField(name)),
        }
    }
    let statements = statements.ok_or(Problem::MissingField("Statement"))?;
    policy.statements = read_statements(text, statements)?;
    Ok(policy)
}

fn read_statements(text: &str, raw: &RawValue) -> Result<Vec<RawStatement>> {
    let list: Vec<&RawValue> = if raw.get().starts_with('[') {
        serde_json::from_str(raw.get()).map_err(|_| Problem::Json)?
    } else {
        vec![raw]
    };
    match list.len() {
        0 => return Err(Problem::Syntax),
        1..=MAX_STATEMENTS => {}
        _ => return Err(Problem::TooLarge),
    }
    let mut place = Place::new(text);
    list.into_iter()
        .map(|raw| read_statement(raw, &mut place))
        .collect()
}

fn read_statement(raw: &RawValue, place: &mut Place<'_>) -> Result<RawStatement> {
    if !raw.get().starts_with('{') {
        return Err(Problem::Syntax);
    }
    let mut statement = RawStatement {
        sid: None,
        effect: String::new(),
        principal: None,
        not_principal: None,
        action: None,
        not_action: None,
        resource: None,
        not_resource: None,
        conditions: Vec::new(),
        span: place.span(raw.get()),
    };
    let mut effect = None;
    for (name, value) in object(raw.get()).ok_or(Problem::Json)? {
        match name.as_str() {
            "Sid" => statement.sid = Some(string(value)?),
            "Effect" => effect = Some(string(value)?),
            "Principal" => statement.principal = Some(read_principals(value)?),
            "NotPrincipal" => statement.not_principal = Some(read_principals(value)?),
            "Action" => statement.action = Some(strings(value)?),
            "NotAction" => statement.not_action = Some(strings(value)?),
            "Resource" => statement.resource = Some(strings(value)?),
            "NotResource" => statement.not_resource = Some(strings(value)?),
            "Condition" => statement.conditions = read_conditions(value)?,
            _ => return Err(Problem::UnknownField(name)),
        }
    }
    statement.effect = effect.ok_or(Problem::MissingField("Effect"))?;
    let twofold = [
        statement.principal.is_some() && statement.not_principal.is_some(),
        statement.action.is_some() && statement.not_action.is_some(),
        statement.resource.is_some() && statement.not_resource.is_some(),
    ];
    if twofold.contains(&true) {
        return Err(Problem::Syntax);
    }
    Ok(statement)
}

/// `"*"`, or an object of classes (`AWS`, `Service`, …) with one or several names each.
fn read_principals(raw: &RawValue) -> Result<Vec<(String, String)>> {
    if !raw.get().starts_with('{') {
        return Ok(vec![("*".into(), string(raw)?)]);
    }
    let mut principals = Vec::new();
    for (class, value) in object(raw.get()).ok_or(Problem::Json)? {
        for name in strings(value)? {
            principals.push((class.clone(), name));
        }
    }
    if principals.is_empty() {
        return Err(Problem::Syntax);
    }
    Ok(principals)
}

fn read_conditions(raw: &RawValue) -> Result<Vec<RawCondition>> {
    let mut conditions = Vec::new();
    for (operator, keys) in object(raw.get()).ok_or(Problem::Syntax)? {
        for (key, values) in object(keys.get()).ok_or(Problem::Syntax)? {
            let values = scalars(values)?;
            conditions.push(RawCondition {
                operator: operator.clone(),
                key,
                values,
            });
        }
    }
    Ok(conditions)
}

fn string(raw: &RawValue) -> Result<String> {
    let text: String = serde_json::from_str(raw.get()).map_err(|_| Problem::Syntax)?;
    if text.len() > MAX_TEXT_BYTES {
        Err(Problem::TooLarge)
    } else {
        Ok(text)
    }
}

/// A string or a list of strings.
fn strings(raw: &RawValue) -> Result<Vec<String>> {
    list(raw, |value| match value {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// A string, number or boolean, or a list of them, as text.
fn scalars(raw: &RawValue) -> Result<Vec<String>> {
    list(raw, |value| match value {
        Value::String(text) => Some(text),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    })
}

fn list(raw: &RawValue, text_of: impl Fn(Value) -> Option<String>) -> Result<Vec<String>> {
    let value = serde_json::from_str(raw.get()).map_err(|_| Problem::Json)?;
    let values = match value {
        Value::Array(values) => values,
        single => vec![single],
    };
    let texts: Option<Vec<String>> = values.into_iter().map(text_of).collect();
    let texts = texts.ok_or(Problem::Syntax)?;
    let too_long = texts.iter().any(|text| text.len() > MAX_TEXT_BYTES);
    if too_long {
        Err(Problem::TooLarge)
    } else {
        Ok(texts)
    }
}

/// The entries of a JSON object in order; `None` if it is none, or names a field twice.
fn object(text: &str) -> Option<Vec<(String, &RawValue)>> {
    serde_json::from_str::<Object<'_>>(text)
        .ok()
        .map(|object| object.0)
}

struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Object<'de>, A::Error> {
        let mut entries: Vec<(String, &'de RawValue)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if entries.len() == MAX_FIELDS || entries.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom("repeated or too many fields"));
            }
            entries.push((name, value));
        }
        Ok(Object(entries))
    }
}

/// Walks a text forward, counting lines and columns.
struct Place<'a> {
    text: &'a str,
    offset: usize,
    position: Position,
}

impl<'a> Place<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            offset: 0,
            position: Position { line: 1, column: 1 },
        }
    }

    /// Where `part`, a slice of the text further on than any asked for before, stands.
    fn span(&mut self, part: &str) -> Span {
        // Both point into the same text, since a `RawValue` borrows from what it was read from.
        let offset = part.as_ptr() as usize - self.text.as_ptr() as usize;
        let start = self.advance(offset);
        let end = self.advance(offset + part.len());
        Span { start, end }
    }

    fn advance(&mut self, to: usize) -> Position {
        for character in self.text[self.offset..to].chars() {
            if character == '\n' {
                self.position.line += 1;
                self.position.column = 1;
            } else {
                self.position.column += 1;
            }
        }
        self.offset = to;
        self.position
    }
}
