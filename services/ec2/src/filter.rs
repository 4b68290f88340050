//! Filters of the `Describe…` operations: declared as data, matched by one engine.
//!
//! A resource declares each of its filters as a path through the members of what it is shown as:
//! `("attachment.vpc-id", "Attachments.VpcId")`. The engine walks the path, through lists, and
//! compares every value that it finds; so a filter says of a resource exactly what its reader sees.
//! `tag:KEY`, `tag-key` and `tag` work on all resources that have tags.
//!
//! Values may hold the wildcards `*` and `?`, with `\` before one that is meant literally; they
//! are compared with regard to case. The values of one filter are alternatives; all filters must
//! match.

use gureum_model_ec2::types as t;
use gureum_schema::{Field, Schema, Struct, View};

use crate::errors::{Refusal, Result};

/// Filter name -> path of members, separated by dots.
pub(crate) type Paths = &'static [(&'static str, &'static str)];

/// The most filters of one request, and values of one filter.
const MAX: usize = 200;

/// The filters of one request, checked against what the resource declares.
pub(crate) struct Filters<'a>(Vec<Test<'a>>);

enum Test<'a> {
    Path(&'static str, &'a [String]),
    /// `tag:KEY`
    Tag(&'a str, &'a [String]),
}

impl<'a> Filters<'a> {
    /// Refuses filters that aren't declared.
    pub(crate) fn read(paths: Paths, filters: Option<&'a Vec<t::Filter>>) -> Result<Self> {
        let filters = filters.map_or(&[][..], Vec::as_slice);
        if filters.len() > MAX {
            return Err(Refusal::new(
                "FilterLimitExceeded",
                format!("The maximum number of filters is {MAX}."),
            ));
        }
        let tests = filters.iter().map(|filter| Test::read(paths, filter));
        Ok(Self(tests.collect::<Result<_>>()?))
    }

    pub(crate) fn admit(&self, shape: &dyn Struct) -> bool {
        self.0.iter().all(|test| test.admits(shape))
    }
}

impl<'a> Test<'a> {
    fn read(paths: Paths, filter: &'a t::Filter) -> Result<Self> {
        let name = filter.name.as_deref().unwrap_or_default();
        let values = filter.values.as_deref().unwrap_or_default();
        if values.len() > MAX {
            return Err(Refusal::new(
                "FilterLimitExceeded",
                format!("The maximum number of filter values specified on a single call is {MAX}"),
            ));
        }
        if let Some(key) = name.strip_prefix("tag:") {
            return Ok(Self::Tag(key, values));
        }
        let declared = paths.iter().find(|(declared, _)| *declared == name);
        match (declared, name) {
            (Some((_, path)), _) => Ok(Self::Path(path, values)),
            (None, "tag-key") => Ok(Self::Path("Tags.Key", values)),
            (None, "tag-value") => Ok(Self::Path("Tags.Value", values)),
            (None, _) => Err(Refusal::value(format!("The filter '{name}' is invalid"))),
        }
    }

    fn admits(&self, shape: &dyn Struct) -> bool {
        match self {
            Self::Path(path, values) => {
                let mut found = false;
                visit(shape, path, &mut |text| found |= any(values, text));
                found
            }
            Self::Tag(key, values) => {
                let mut found = false;
                each_tag(shape, &mut |name, value| {
                    found |= name == *key && any(values, value);
                });
                found
            }
        }
    }
}

fn any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

/// Shows every scalar at the end of a path, as text. `Tags` is also found as `TagSet`, which is
/// what network interfaces call it.
fn visit(shape: &dyn Struct, path: &str, see: &mut dyn FnMut(&str)) {
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    if let Some(index) = member(shape.schema(), step) {
        visit_field(shape.field(index), rest, see);
    }
}

fn visit_field(field: &dyn Field, rest: &str, see: &mut dyn FnMut(&str)) {
    match field.view() {
        View::Struct(inner) if !rest.is_empty() => visit(inner, rest, see),
        View::List(list) => (0..list.len()).for_each(|i| visit_field(list.get(i), rest, see)),
        View::Str(text) => see(text),
        View::Bool(flag) => see(if flag { "true" } else { "false" }),
        View::Int(number) => see(&number.to_string()),
        View::Time(time) => see(&time.iso_millis()),
        _ => {}
    }
}

fn each_tag(shape: &dyn Struct, see: &mut dyn FnMut(&str, &str)) {
    let mut pair = |tag: &dyn Struct| {
        let (mut name, mut value) = (String::new(), String::new());
        visit(tag, "Key", &mut |text| text.clone_into(&mut name));
        visit(tag, "Value", &mut |text| text.clone_into(&mut value));
        see(&name, &value);
    };
    let Some(index) = member(shape.schema(), "Tags") else {
        // `DescribeTags` shows the tags themselves.
        return pair(shape);
    };
    if let View::List(tags) = shape.field(index).view() {
        for index in 0..tags.len() {
            if let View::Struct(tag) = tags.get(index).view() {
                pair(tag);
            }
        }
    }
}

fn member(schema: &'static Schema, name: &str) -> Option<usize> {
    let members = schema.members();
    let at = |name: &str| members.iter().position(|member| member.name == name);
    at(name).or_else(|| if name == "Tags" { at("TagSet") } else { None })
}

/// Whether a text is as the pattern says: `*` is any run of characters, `?` any one, and `\`
/// takes its meaning from the next one. Takes time in proportion to the product of the lengths.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern = tokens(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut s) = (0, 0);
    // Where the last `*` was, and where what it stands for ends so far.
    let mut star: Option<(usize, usize)> = None;
    while s < text.len() {
        match pattern.get(p) {
            Some(Token::Run) => {
                star = Some((p, s));
                p += 1;
            }
            Some(Token::One) => (p, s) = (p + 1, s + 1),
            Some(Token::Char(c)) if *c == text[s] => (p, s) = (p + 1, s + 1),
            _ => match star {
                Some((at, end)) => {
                    star = Some((at, end + 1));
                    (p, s) = (at + 1, end + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|token| matches!(token, Token::Run))
}

enum Token {
    Run,
    One,
    Char(char),
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Token::Run,
            '?' => Token::One,
            '\\' => Token::Char(chars.next().unwrap_or('\\')),
            other => Token::Char(other),
        });
    }
    out
}

/// The declared paths that lead nowhere in a schema: there must be none.
#[cfg(test)]
pub(crate) fn astray(schema: &'static Schema, paths: Paths) -> Vec<&'static str> {
    use gureum_schema::Kind;
    let leads = |path: &&'static str| {
        let mut here = schema;
        path.split('.').all(|step| {
            while let Kind::List { item, .. } = &here.kind {
                here = item.target;
            }
            match member(here, step) {
                Some(index) => {
                    here = here.members()[index].target;
                    true
                }
                None => false,
            }
        })
    };
    let paths = paths.iter().map(|(_, path)| *path);
    paths.filter(|path| !leads(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text) in [
            ("*", ""),
            ("a*c", "abbc"),
            ("a?c", "abc"),
            (r"a\*c", "a*c"),
            ("*.internal", "ip-10-0-0-4.ec2.internal"),
            ("*a*b*", "xxaxxbxx"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a?c", "ac"),
            (r"a\*c", "abc"),
            ("A", "a"),
            ("*b", "ba"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_filter_walks_lists_and_structures() {
        let state = t::VpcCidrBlockState {
            state: Some("associated".into()),
            ..Default::default()
        };
        let vpc = t::Vpc {
            is_default: Some(true),
            tags: Some(vec![t::Tag {
                key: Some("Name".into()),
                value: Some("web".into()),
            }]),
            cidr_block_association_set: Some(vec![t::VpcCidrBlockAssociation {
                cidr_block_state: Some(state),
                ..Default::default()
            }]),
            ..Default::default()
        };
        const PATHS: Paths = &[
            ("is-default", "IsDefault"),
            (
                "cidr-block-association.state",
                "CidrBlockAssociationSet.CidrBlockState.State",
            ),
        ];
        let admits = |name: &str, value: &str| {
            let filter = t::Filter {
                name: Some(name.into()),
                values: Some(vec![value.into()]),
            };
            Filters::read(PATHS, Some(&vec![filter]))
                .expect(name)
                .admit(&vpc)
        };
        assert!(admits("is-default", "true") && !admits("is-default", "false"));
        assert!(admits("cidr-block-association.state", "assoc*"));
        assert!(
            admits("tag:Name", "w?b") && !admits("tag:Name", "x") && !admits("tag:name", "web")
        );
        assert!(admits("tag-key", "Name"));
        let unknown = t::Filter {
            name: Some("colour".into()),
            values: Some(vec!["red".into()]),
        };
        assert!(Filters::read(PATHS, Some(&vec![unknown])).is_err());
    }
}
