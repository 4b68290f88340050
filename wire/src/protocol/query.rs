//! Requests of the query protocols: a form whose dotted names (`Tags.member.1.Key`) spell a tree.

use std::collections::BTreeMap;

use gureum_schema::{Field, Kind, Member, Protocol, Slot, Struct};

use super::walk::{MAX_DEPTH, Path, Seen};
use super::{DecodeError, DecodeErrorKind, Missing, text};

/// A form with more fields than this is refused.
const MAX_FIELDS: usize = 100_000;

/// How the two dialects name things.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Lists under `member`, maps under `entry`, unless flattened.
    Query,
    /// Everything flat, and names of its own.
    Ec2,
}

impl Style {
    pub(crate) fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Ec2Query => Style::Ec2,
            _ => Style::Query,
        }
    }

    fn name(self, member: &Member) -> &'static str {
        match self {
            Style::Query => member.xml,
            Style::Ec2 => member.ec2,
        }
    }
}

/// Reads the form in the body, and the one in the URL (a presigned `GetCallerIdentity`, say).
pub(crate) fn read(
    style: Style,
    query: &str,
    body: &[u8],
    into: &mut dyn Struct,
    seen: &mut Seen,
    missing: &mut Missing,
) -> Result<(), DecodeError> {
    let body = text::utf8(body)?;
    let mut fields = Vec::new();
    for field in text::form(query).chain(text::form(body.trim_end())) {
        fields.push(field?);
        if fields.len() > MAX_FIELDS {
            let message = format!("The request has more than {MAX_FIELDS} fields");
            return Err(Path::ROOT.error(DecodeErrorKind::Malformed, message));
        }
    }
    let mut root = Node::default();
    for (name, value) in &fields {
        root.put(name, value)?;
    }
    let mut reader = Reader { style, missing };
    reader.members(&root, into, &Path::ROOT, seen)
}

/// One dotted name's worth of the form.
#[derive(Default)]
struct Node<'a> {
    value: Option<&'a str>,
    children: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Node<'a> {
    fn put(&mut self, name: &'a str, value: &'a str) -> Result<(), DecodeError> {
        let mut node = self;
        for (depth, step) in name.split('.').enumerate() {
            // Names go one deeper than the values that they spell, for `member` and `entry`.
            if depth >= 2 * MAX_DEPTH {
                let message = format!("A field's name has more than {} parts", 2 * MAX_DEPTH);
                return Err(Path::ROOT.error(DecodeErrorKind::TooDeep, message));
            }
            node = node.children.entry(step).or_default();
        }
        if node.value.replace(value).is_some() {
            let message = format!("The field {name} is given more than once");
            return Err(Path::ROOT.error(DecodeErrorKind::Duplicate, message));
        }
        Ok(())
    }

    fn child(&self, name: &str) -> Option<&Node<'a>> {
        // A model's name may itself hold dots; then it is several steps.
        match self.children.get(name) {
            Some(node) => Some(node),
            None if name.contains('.') => name
                .split('.')
                .try_fold(self, |node, step| node.children.get(step)),
            None => None,
        }
    }

    /// The children whose names are numbers, in the numbers' order. An index is only ever
    /// compared: however large it is, nothing is allocated for those below it.
    fn numbered(&self) -> Vec<&Node<'a>> {
        let mut items: Vec<(u64, &Node<'a>)> = self
            .children
            .iter()
            .filter_map(|(name, node)| Some((name.parse().ok()?, node)))
            .collect();
        items.sort_by_key(|(index, _)| *index);
        items.into_iter().map(|(_, node)| node).collect()
    }
}

struct Reader<'m> {
    style: Style,
    missing: &'m mut Missing,
}

impl Reader<'_> {
    fn members(
        &mut self,
        node: &Node<'_>,
        into: &mut dyn Struct,
        path: &Path<'_>,
        seen: &mut Seen,
    ) -> Result<(), DecodeError> {
        for (index, member) in into.schema().members().iter().enumerate() {
            let name = self.style.name(member);
            if let Some((node, name)) = self.find(node, member, name) {
                let path = path.member(member);
                self.value(node, name, member, into.field_mut(index), &path)?;
                seen.insert(index);
            }
        }
        Ok(())
    }

    /// Where a member's value is. A flattened list with a name for its items stands under that
    /// name instead of the member's own, except when it is empty.
    fn find<'n, 'a>(
        &self,
        node: &'n Node<'a>,
        member: &Member,
        name: &'static str,
    ) -> Option<(&'n Node<'a>, Layout)> {
        if self.style == Style::Ec2 {
            return node.child(name).map(|node| (node, Layout::Flat));
        }
        match &member.target.kind {
            Kind::List { item, flattened } if *flattened || member.flattened => {
                let own = item_name(item).and_then(|name| node.child(name));
                own.or_else(|| node.child(name))
                    .map(|node| (node, Layout::Flat))
            }
            Kind::Map { flattened, .. } if *flattened || member.flattened => {
                node.child(name).map(|node| (node, Layout::Flat))
            }
            _ => node.child(name).map(|node| (node, Layout::Wrapped)),
        }
    }

    fn value(
        &mut self,
        node: &Node<'_>,
        layout: Layout,
        member: &'static Member,
        field: &mut dyn Field,
        path: &Path<'_>,
    ) -> Result<(), DecodeError> {
        path.check_depth()?;
        match field.slot() {
            // An empty list or structure is sent as an empty value; any other is a mistake.
            slot @ (Slot::Struct(_) | Slot::List(_) | Slot::Map(_))
                if node.value.is_some_and(|value| !value.is_empty()) =>
            {
                Err(path.mismatch("Text", &slot))
            }
            Slot::Struct(into) => {
                let schema = into.schema();
                let mut seen = Seen::default();
                self.members(node, into, path, &mut seen)?;
                seen.close(schema, path, self.missing)
            }
            Slot::List(list) => {
                let Kind::List { item, .. } = member.target.kind else {
                    return Ok(());
                };
                let items = match layout {
                    Layout::Flat => node.numbered(),
                    Layout::Wrapped => {
                        let name = item_name(item).unwrap_or("member");
                        node.child(name).map(Node::numbered).unwrap_or_default()
                    }
                };
                for (index, node) in items.into_iter().enumerate() {
                    let layout = self.inner(item);
                    self.value(node, layout, item, list.push(), &path.item(index))?;
                }
                Ok(())
            }
            Slot::Map(map) => self.map(node, layout, member, map, path),
            slot => match node.value {
                Some(value) => text::read(value, slot, path),
                None => Err(path.mismatch("structure", &slot)),
            },
        }
    }

    fn map(
        &mut self,
        node: &Node<'_>,
        layout: Layout,
        member: &'static Member,
        map: &mut dyn gureum_schema::MapSlot,
        path: &Path<'_>,
    ) -> Result<(), DecodeError> {
        let Kind::Map { key, value, .. } = member.target.kind else {
            return Ok(());
        };
        let entries = match layout {
            Layout::Flat => node.numbered(),
            Layout::Wrapped => node.child("entry").map(Node::numbered).unwrap_or_default(),
        };
        for entry in entries {
            let Some(name) = entry
                .child(self.style.name(key))
                .and_then(|node| node.value)
            else {
                let message = "An entry of the map has no key";
                return Err(path.error(DecodeErrorKind::WrongType, message));
            };
            let path = path.key(name);
            let field = map.insert(name.to_owned());
            if let Some(node) = entry.child(self.style.name(value)) {
                let layout = self.inner(value);
                self.value(node, layout, value, field, &path)?;
            }
        }
        Ok(())
    }

    /// How a collection inside a collection is laid out.
    fn inner(&self, member: &Member) -> Layout {
        let flat = match member.target.kind {
            Kind::List { flattened, .. } | Kind::Map { flattened, .. } => flattened,
            _ => false,
        };
        if flat || member.flattened || self.style == Style::Ec2 {
            Layout::Flat
        } else {
            Layout::Wrapped
        }
    }
}

#[derive(Clone, Copy)]
enum Layout {
    Flat,
    Wrapped,
}

/// The name that the model gives to a list's items; `member` is what they are called without one.
pub(crate) fn item_name(item: &Member) -> Option<&'static str> {
    (item.xml != "member").then_some(item.xml)
}
