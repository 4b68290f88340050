//! Reads XML bodies, for restXml. One pass over the events, straight into the structs.

use gureum_schema::{Field, Kind, ListSlot, MapSlot, Member, Slot, Struct};
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::query::item_name;
use super::walk::{Path, Seen};
use super::{DecodeError, DecodeErrorKind, Missing, Part, text};

/// Reads a body whose root element, of whatever name, is the structure. An empty body holds no
/// members.
pub(crate) fn read(
    body: &[u8],
    into: &mut dyn Struct,
    part: Part,
    path: &Path<'_>,
    seen: &mut Seen,
    missing: &mut Missing,
) -> Result<(), DecodeError> {
    let body = text::utf8(body)?.trim_start_matches('\u{feff}');
    if body.trim().is_empty() {
        return Ok(());
    }
    let mut source = quick_xml::Reader::from_str(body);
    source.config_mut().expand_empty_elements = true;
    let mut reader = Reader { source, missing };
    let root = reader.root()?;
    reader.attributes(&root, into, path, seen)?;
    reader.members(into, part, path, seen)?;
    reader.end()
}

struct Reader<'x, 'm> {
    source: quick_xml::Reader<&'x [u8]>,
    missing: &'m mut Missing,
}

impl<'x> Reader<'x, '_> {
    fn root(&mut self) -> Result<BytesStart<'x>, DecodeError> {
        loop {
            match self.next()? {
                Event::Start(root) => return Ok(root),
                Event::Text(text) if text.trim().is_empty() => {}
                _ => return Err(malformed("The body has no root element")),
            }
        }
    }

    fn end(&mut self) -> Result<(), DecodeError> {
        loop {
            match self.next()? {
                Event::Eof => return Ok(()),
                Event::Text(text) if text.trim().is_empty() => {}
                _ => return Err(malformed("The body goes on after the root element")),
            }
        }
    }

    /// The next event that says something. There is no document type to refer to, and so nothing
    /// to expand.
    fn next(&mut self) -> Result<Event<'x>, DecodeError> {
        loop {
            match self.source.read_event() {
                Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => {}
                Ok(Event::DocType(_)) => {
                    return Err(malformed("A document type declaration is not allowed"));
                }
                Ok(event) => return Ok(event),
                Err(error) => return Err(malformed(&error.to_string())),
            }
        }
    }

    fn skip(&mut self, element: &BytesStart<'_>) -> Result<(), DecodeError> {
        match self.source.read_to_end(element.name()) {
            Ok(_) => Ok(()),
            Err(error) => Err(malformed(&error.to_string())),
        }
    }

    /// The next child element, or none when the parent ends.
    fn child(&mut self) -> Result<Option<BytesStart<'x>>, DecodeError> {
        loop {
            match self.next()? {
                Event::Start(element) => return Ok(Some(element)),
                Event::End(_) => return Ok(None),
                Event::Text(text) if text.trim().is_empty() => {}
                Event::Eof => return Err(malformed("The body ends inside an element")),
                _ => return Err(malformed("There is text between elements")),
            }
        }
    }

    /// The text up to the end of the element that has just been opened.
    fn text(&mut self, path: &Path<'_>) -> Result<String, DecodeError> {
        let mut whole = String::new();
        loop {
            match self.next()? {
                Event::Text(text) => whole.push_str(&text.xml10_content()),
                Event::CData(text) => whole.push_str(&text.xml10_content()),
                Event::GeneralRef(reference) => resolve(&reference, &mut whole)?,
                Event::End(_) => return Ok(whole),
                Event::Start(_) => return Err(path.wrong_type("structure", "")),
                _ => return Err(malformed("The body ends inside an element")),
            }
        }
    }

    fn attributes(
        &mut self,
        element: &BytesStart<'_>,
        into: &mut dyn Struct,
        path: &Path<'_>,
        seen: &mut Seen,
    ) -> Result<(), DecodeError> {
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|e| malformed(&e.to_string()))?;
            let name = attribute.key.0;
            let found = into.schema().members().iter().position(|member| {
                member.xml_attribute && (member.xml == name || local(member.xml) == local(name))
            });
            let Some(index) = found else { continue };
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|e| malformed(&e.to_string()))?;
            let path = path.member(&into.schema().members()[index]);
            text::read(&value, into.field_mut(index).slot(), &path)?;
            seen.insert(index);
        }
        Ok(())
    }

    fn members(
        &mut self,
        into: &mut dyn Struct,
        part: Part,
        path: &Path<'_>,
        seen: &mut Seen,
    ) -> Result<(), DecodeError> {
        let members = into.schema().members();
        while let Some(element) = self.child()? {
            let name = element.local_name();
            let name: &str = name.as_ref();
            let is_it = |m: &Member| part.holds(m) && !m.xml_attribute && is_called(m, name);
            let Some(index) = members.iter().position(is_it) else {
                self.skip(&element)?;
                continue;
            };
            let member = &members[index];
            let path = path.member(member);
            let fresh = seen.insert(index);
            if !fresh && !is_flat(member) {
                return Err(path.duplicate());
            }
            self.member(&element, member, into.field_mut(index), &path)?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        element: &BytesStart<'_>,
        member: &'static Member,
        field: &mut dyn Field,
        path: &Path<'_>,
    ) -> Result<(), DecodeError> {
        if !is_flat(member) {
            return self.value(element, member, field, path);
        }
        match (field.slot(), &member.target.kind) {
            (Slot::List(list), Kind::List { item, .. }) => {
                let path = path.item(list.len());
                self.value(element, item, list.push(), &path)
            }
            (Slot::Map(map), Kind::Map { key, value, .. }) => self.entry(key, value, map, path),
            _ => self.skip(element),
        }
    }

    fn value(
        &mut self,
        element: &BytesStart<'_>,
        member: &'static Member,
        field: &mut dyn Field,
        path: &Path<'_>,
    ) -> Result<(), DecodeError> {
        path.check_depth()?;
        match (field.slot(), &member.target.kind) {
            (Slot::Struct(into), _) => {
                let schema = into.schema();
                let mut seen = Seen::default();
                self.attributes(element, into, path, &mut seen)?;
                self.members(into, Part::All, path, &mut seen)?;
                seen.close(schema, path, self.missing)
            }
            (Slot::List(list), Kind::List { item, .. }) => self.list(item, list, path),
            (Slot::Map(map), Kind::Map { key, value, .. }) => {
                while let Some(element) = self.child()? {
                    if element.local_name().as_ref() == "entry" {
                        self.entry(key, value, map, path)?;
                    } else {
                        self.skip(&element)?;
                    }
                }
                Ok(())
            }
            (slot, _) => text::read(&self.text(path)?, slot, path),
        }
    }

    fn list(
        &mut self,
        item: &'static Member,
        list: &mut dyn ListSlot,
        path: &Path<'_>,
    ) -> Result<(), DecodeError> {
        let name = item_name(item).unwrap_or("member");
        while let Some(element) = self.child()? {
            if element.local_name().as_ref() != name {
                self.skip(&element)?;
                continue;
            }
            let path = path.item(list.len());
            self.value(&element, item, list.push(), &path)?;
        }
        Ok(())
    }

    /// One entry of a map, inside its element; the key stands before the value.
    fn entry(
        &mut self,
        key: &'static Member,
        value: &'static Member,
        map: &mut dyn MapSlot,
        path: &Path<'_>,
    ) -> Result<(), DecodeError> {
        let mut name = None;
        while let Some(element) = self.child()? {
            let local = element.local_name();
            if local.as_ref() == key.xml {
                name = Some(self.text(path)?);
            } else if local.as_ref() == value.xml {
                let Some(name) = name.take() else {
                    return Err(path.wrong_type("A value without a key", "an entry of the map"));
                };
                let path = path.key(&name);
                self.value(&element, value, map.insert(name.clone()), &path)?;
            } else {
                self.skip(&element)?;
            }
        }
        Ok(())
    }
}

fn malformed(message: &str) -> DecodeError {
    Path::ROOT.error(DecodeErrorKind::Malformed, message)
}

/// `&#38;` and the five entities that need no declaration.
fn resolve(reference: &BytesRef<'_>, into: &mut String) -> Result<(), DecodeError> {
    match reference.resolve_char_ref() {
        Ok(Some(c)) => into.push(c),
        Ok(None) => match resolve_predefined_entity(&reference.xml10_content()) {
            Some(text) => into.push_str(text),
            None => return Err(malformed("The body refers to an unknown entity")),
        },
        Err(error) => return Err(malformed(&error.to_string())),
    }
    Ok(())
}

/// A name without its namespace prefix.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// Smithy's SDKs and botocore disagree on flattened lists whose items have a name: take either.
fn is_called(member: &Member, name: &str) -> bool {
    element_name(member) == name || local(member.xml) == name
}

/// What a member's element is called: the items' own name for a flattened list that gives one.
pub(crate) fn element_name(member: &Member) -> &'static str {
    match &member.target.kind {
        Kind::List { item, .. } if is_flat(member) => item_name(item).unwrap_or(member.xml),
        _ => local(member.xml),
    }
}

/// Whether a collection's items stand in its parent without an element around them.
pub(crate) fn is_flat(member: &Member) -> bool {
    match member.target.kind {
        Kind::List { flattened, .. } | Kind::Map { flattened, .. } => flattened || member.flattened,
        _ => false,
    }
}
