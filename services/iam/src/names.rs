//! What names, paths and tags may look like.

use gureum_model_iam::types;

use crate::errors::{Fault, Outcome};
use crate::model::Tags;

/// Tags that one resource may have.
const MAX_TAGS: usize = 50;

/// Checks a name of `member` (as the API calls it): letters, digits and `+=,.@_-`.
pub(crate) fn name(member: &str, name: &str, limit: usize) -> Outcome<()> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if name.is_empty() || !name.chars().all(valid) {
        return Err(Fault::validation(format!(
            "The specified value for {member} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
        )));
    }
    if name.len() > limit {
        return Err(Fault::validation(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have length less than or equal to {limit}"
        )));
    }
    Ok(())
}

/// The path to keep: `/` unless given; it begins and ends with a slash.
pub(crate) fn path(path: Option<&str>) -> Outcome<String> {
    let path = path.unwrap_or("/");
    let printable = path.bytes().all(|b| (0x21..=0x7f).contains(&b));
    if path.len() <= 512 && path.starts_with('/') && path.ends_with('/') && printable {
        return Ok(path.to_owned());
    }
    Err(Fault::validation(
        "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.",
    ))
}

/// The tags of a request, checked.
pub(crate) fn tags(given: &[types::Tag]) -> Outcome<Tags> {
    let mut tags = Tags::new();
    put_tags(&mut tags, given.iter().map(|tag| (&*tag.key, &*tag.value)))?;
    if tags.len() < given.len() {
        return Err(Fault::invalid_input(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        ));
    }
    Ok(tags)
}

/// Lays new tags over those that are there. Keys that differ only in case are one key.
pub(crate) fn put_tags<'a>(
    tags: &mut Tags,
    given: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Outcome<()> {
    for (key, value) in given {
        check_tag(key, value)?;
        remove_tag(tags, key);
        tags.insert(key.to_owned(), value.to_owned());
    }
    if tags.len() > MAX_TAGS {
        return Err(Fault::limit_exceeded(format!(
            "The number of tags has reached the maximum limit: {MAX_TAGS}."
        )));
    }
    Ok(())
}

pub(crate) fn remove_tag(tags: &mut Tags, key: &str) {
    tags.retain(|known, _| !known.eq_ignore_ascii_case(key));
}

fn check_tag(key: &str, value: &str) -> Outcome<()> {
    let valid = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    let reserved = key
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    if reserved {
        return Err(Fault::invalid_input(
            "Tag keys that begin with aws: are reserved for system use.",
        ));
    }
    let key_fits = (1..=128).contains(&key.chars().count());
    if !key_fits || value.chars().count() > 256 || !key.chars().chain(value.chars()).all(valid) {
        return Err(Fault::validation(format!(
            "The tag {key:?} is invalid: a key has 1 to 128 characters, a value at most 256, of letters, digits, spaces and _.:/=+-@"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        assert!(name("userName", "a.b+c=d,e@f_g-h", 64).is_ok());
        for wrong in ["", "a b", "a/b", "é", &"a".repeat(65)] {
            assert!(name("userName", wrong, 64).is_err(), "{wrong}");
        }
        assert_eq!(path(None).ok().as_deref(), Some("/"));
        assert!(path(Some("/a/b/")).is_ok());
        for wrong in ["", "a/", "/a", "/a b/"] {
            assert!(path(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tag_replaces_one_that_differs_in_case() {
        let mut tags = Tags::new();
        put_tags(&mut tags, [("Team", "a")]).expect("tag");
        put_tags(&mut tags, [("team", "b")]).expect("tag");
        assert_eq!(tags, Tags::from([("team".into(), "b".into())]));
        assert!(put_tags(&mut tags, [("aws:x", "b")]).is_err());
        let twice = ["k", "K"].map(|key| types::Tag {
            key: key.into(),
            value: String::new(),
        });
        assert!(super::tags(&twice).is_err());
    }
}
