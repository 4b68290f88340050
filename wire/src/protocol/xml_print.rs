//! Prints structs as XML, for restXml and for the answers of the query protocols. The order of
//! elements follows the model.

use std::fmt::Write as _;

use gureum_schema::{Kind, Member, OperationSpec, ServiceSpec, Struct, TimestampFormat, View};

use super::query::item_name;
use super::xml::{element_name, is_flat};
use super::{Part, is_s3, text};

/// The answer of an awsQuery operation; without an output there is still the metadata.
pub(crate) fn query_answer(
    service: &ServiceSpec,
    op: &OperationSpec,
    out: &dyn Struct,
    request_id: &str,
) -> String {
    let root = format!("{}Response", op.name);
    let mut xml = Xml::new(service);
    xml.open_root(&root, service.xml_namespace);
    match op.result_wrapper {
        Some(wrapper) => xml.structure(wrapper, None, out, |_| true),
        None => xml.members(out, |_| true),
    }
    xml.open("ResponseMetadata");
    xml.leaf("RequestId", request_id);
    xml.close("ResponseMetadata");
    xml.close(&root);
    xml.finish()
}

/// The answer of an EC2 operation: members straight under the root.
pub(crate) fn ec2_answer(
    service: &ServiceSpec,
    op: &OperationSpec,
    out: &dyn Struct,
    request_id: &str,
) -> String {
    let root = format!("{}Response", op.name);
    let mut xml = Xml::new(service);
    xml.open_root(&root, service.xml_namespace);
    xml.leaf("requestId", request_id);
    xml.members(out, |_| true);
    xml.close(&root);
    xml.finish()
}

/// A body whose root element is the structure.
pub(crate) fn document(
    service: &ServiceSpec,
    root: &str,
    namespace: Option<(&str, &str)>,
    value: &dyn Struct,
    part: Part,
) -> String {
    let mut xml = Xml::new(service);
    xml.structure(root, namespace, value, |member| part.prints(member));
    xml.finish()
}

/// A document in the making.
pub(crate) struct Xml {
    out: String,
    /// S3 prints milliseconds even where they are nought.
    millis: bool,
}

impl Xml {
    pub(crate) fn new(service: &ServiceSpec) -> Self {
        Self {
            out: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(),
            millis: is_s3(service),
        }
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }

    pub(crate) fn open(&mut self, name: &str) {
        let _ = write!(self.out, "<{name}>");
    }

    pub(crate) fn open_root(&mut self, name: &str, namespace: Option<&str>) {
        match namespace {
            Some(uri) => {
                let _ = write!(self.out, "<{name} xmlns=\"{}\">", Escaped(uri));
            }
            None => self.open(name),
        }
    }

    pub(crate) fn close(&mut self, name: &str) {
        let _ = write!(self.out, "</{name}>");
    }

    pub(crate) fn leaf(&mut self, name: &str, text: &str) {
        let _ = write!(self.out, "<{name}>{}</{name}>", Escaped(text));
    }

    pub(crate) fn text(&mut self, text: &str) {
        let _ = write!(self.out, "{}", Escaped(text));
    }

    /// The elements of a structure's members, in the model's order.
    pub(crate) fn members(&mut self, value: &dyn Struct, keep: impl Fn(&Member) -> bool) {
        for (index, member) in value.schema().members().iter().enumerate() {
            if keep(member) && !member.xml_attribute {
                self.member(member, &value.field(index).view());
            }
        }
    }

    fn member(&mut self, member: &'static Member, view: &View<'_>) {
        let name = if is_flat(member) {
            element_name(member)
        } else {
            member.xml
        };
        match (view, &member.target.kind) {
            (View::List(list), Kind::List { item, .. }) if is_flat(member) => {
                for index in 0..list.len() {
                    self.value(name, item, &list.get(index).view());
                }
            }
            (View::Map(map), Kind::Map { key, value, .. }) if is_flat(member) => {
                map.for_each(&mut |entry, field| {
                    self.entry(name, key, value, entry, &field.view())
                });
            }
            _ => self.value(name, member, view),
        }
    }

    fn value(&mut self, name: &str, member: &'static Member, view: &View<'_>) {
        match (view, &member.target.kind) {
            (View::None, _) => {}
            (View::Struct(value), _) => self.structure(name, member.namespace, *value, |_| true),
            (View::List(list), Kind::List { item, .. }) => {
                self.open_start(name, member.namespace);
                self.out.push('>');
                let inner = item_name(item).unwrap_or("member");
                for index in 0..list.len() {
                    self.value(inner, item, &list.get(index).view());
                }
                self.close(name);
            }
            (View::Map(map), Kind::Map { key, value, .. }) => {
                self.open_start(name, member.namespace);
                self.out.push('>');
                map.for_each(&mut |entry, field| {
                    self.entry("entry", key, value, entry, &field.view());
                });
                self.close(name);
            }
            _ => {
                if let Some(text) = self.scalar(member, view) {
                    self.open_start(name, member.namespace);
                    let _ = write!(self.out, ">{}</{name}>", Escaped(&text));
                }
            }
        }
    }

    fn scalar<'v>(&self, member: &Member, view: &View<'v>) -> Option<std::borrow::Cow<'v, str>> {
        match view {
            View::Time(moment)
                if self.millis
                    && text::time_format(member, TimestampFormat::Iso8601)
                        == TimestampFormat::Iso8601 =>
            {
                Some(moment.iso_millis().into())
            }
            _ => text::print(view, member, TimestampFormat::Iso8601),
        }
    }

    fn entry(
        &mut self,
        name: &str,
        key: &'static Member,
        value: &'static Member,
        entry: &str,
        view: &View<'_>,
    ) {
        self.open(name);
        self.leaf(key.xml, entry);
        self.member(value, view);
        self.close(name);
    }

    pub(crate) fn structure(
        &mut self,
        name: &str,
        namespace: Option<(&str, &str)>,
        value: &dyn Struct,
        keep: impl Fn(&Member) -> bool,
    ) {
        self.open_start(name, namespace);
        for (index, member) in value.schema().members().iter().enumerate() {
            if !(member.xml_attribute && keep(member)) {
                continue;
            }
            if let Some(text) = self.scalar(member, &value.field(index).view()) {
                let _ = write!(self.out, " {}=\"{}\"", member.xml, Escaped(&text));
            }
        }
        self.out.push('>');
        self.members(value, keep);
        self.close(name);
    }

    /// A start tag up to its attributes.
    fn open_start(&mut self, name: &str, namespace: Option<(&str, &str)>) {
        let _ = write!(self.out, "<{name}");
        if let Some((prefix, uri)) = namespace {
            let colon = if prefix.is_empty() { "" } else { ":" };
            let _ = write!(self.out, " xmlns{colon}{prefix}=\"{}\"", Escaped(uri));
        }
    }
}

/// Text made safe for element content and for attributes in double quotes. Control characters,
/// which an S3 key may hold, become references; whatever a parser would normalise away, too.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(is_special) {
            f.write_str(&rest[..at])?;
            let mut chars = rest[at..].chars();
            match chars.next() {
                Some('&') => f.write_str("&amp;")?,
                Some('<') => f.write_str("&lt;")?,
                Some('>') => f.write_str("&gt;")?,
                Some('"') => f.write_str("&quot;")?,
                Some(c) => write!(f, "&#x{:X};", u32::from(c))?,
                None => {}
            }
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

fn is_special(c: char) -> bool {
    matches!(c, '&' | '<' | '>' | '"' | '\u{fffe}' | '\u{ffff}') || (c.is_control() && c != '\n')
}
