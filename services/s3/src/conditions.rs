//! Conditional requests: `If-Match` and its kin on reads (RFC 9110, section 13) and on writes.

use gureum_schema::{Timestamp, TimestampFormat};

use crate::errors::{Code, Failure, Result};
use crate::model::{Object, Version};

/// What a read, or the source of a copy, is conditional on.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadIf<'a> {
    pub(crate) matches: Option<&'a str>,
    pub(crate) none_match: Option<&'a str>,
    pub(crate) modified_since: Option<Timestamp>,
    pub(crate) unmodified_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Go,
    NotModified,
    Failed(&'static str),
}

impl ReadIf<'_> {
    /// Times have whole seconds, as on the wire. The entity-tag conditions take precedence.
    fn outcome(&self, etag: &str, modified: Timestamp) -> Outcome {
        match (self.matches, self.unmodified_since) {
            (Some(tags), _) if !names(tags, etag) => return Outcome::Failed("If-Match"),
            (None, Some(since)) if modified.secs() > since.secs() => {
                return Outcome::Failed("If-Unmodified-Since");
            }
            _ => {}
        }
        match (self.none_match, self.modified_since) {
            (Some(tags), _) if names(tags, etag) => Outcome::NotModified,
            (None, Some(since)) if modified.secs() <= since.secs() => Outcome::NotModified,
            _ => Outcome::Go,
        }
    }

    /// For GET and HEAD.
    pub(crate) fn check(&self, version: &Version, object: &Object) -> Result<()> {
        match self.outcome(&object.etag, version.modified) {
            Outcome::Go => Ok(()),
            Outcome::Failed(condition) => Err(failed(condition)),
            Outcome::NotModified => Err(Code::NotModified
                .error()
                .header("ETag", format!("\"{}\"", object.etag))
                .header(
                    "Last-Modified",
                    version.modified.format(TimestampFormat::Rfc822),
                )),
        }
    }

    /// For the source of a copy: nothing is "not modified", it just isn't copied.
    pub(crate) fn check_source(&self, version: &Version, object: &Object) -> Result<()> {
        match self.outcome(&object.etag, version.modified) {
            Outcome::Go => Ok(()),
            Outcome::Failed("If-Match") => Err(failed("x-amz-copy-source-If-Match")),
            Outcome::Failed(_) => Err(failed("x-amz-copy-source-If-Unmodified-Since")),
            Outcome::NotModified if self.none_match.is_some() => {
                Err(failed("x-amz-copy-source-If-None-Match"))
            }
            Outcome::NotModified => Err(failed("x-amz-copy-source-If-Modified-Since")),
        }
    }
}

/// What a write is conditional on. To be checked in the transaction that writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteIf {
    /// The entity tag that the object must have; `*`: any.
    matches: Option<String>,
    /// Nothing must be there.
    absent: bool,
}

impl WriteIf {
    pub(crate) fn read(matches: Option<&str>, none_match: Option<&str>) -> Result<Self> {
        match none_match {
            None | Some("*") => {}
            Some(_) => {
                return Err(Failure::not_implemented(
                    "A write with an If-None-Match other than *",
                ));
            }
        }
        if matches.is_some() && none_match.is_some() {
            return Err(Failure::not_implemented(
                "A write that is conditional on both If-Match and If-None-Match",
            ));
        }
        Ok(Self {
            matches: matches.map(str::to_owned),
            absent: none_match.is_some(),
        })
    }

    /// `there` is the version in question, mostly the newest; a delete marker counts as nothing.
    pub(crate) fn check(&self, there: Option<&Version>, key: &str) -> Result<()> {
        let object = there.and_then(|version| version.object.as_ref());
        match (&self.matches, object) {
            (Some(_), None) => Err(Code::NoSuchKey.with("Key", key)),
            (Some(tags), Some(object)) if !names(tags, &object.etag) => Err(failed("If-Match")),
            _ if self.absent && object.is_some() => Err(failed("If-None-Match")),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_given(&self) -> bool {
        self.absent || self.matches.is_some()
    }
}

pub(crate) fn failed(condition: &str) -> Failure {
    Code::PreconditionFailed.with("Condition", condition)
}

/// Whether a list of entity tags, or `*`, names this one. Weak tags and missing quotes are taken
/// as S3 takes them.
fn names(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.trim_matches('"') == etag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_take_precedence_over_times() {
        let at = Timestamp::from_secs;
        let outcome =
            |matches, none_match, modified_since: Option<i64>, unmodified_since: Option<i64>| {
                ReadIf {
                    matches,
                    none_match,
                    modified_since: modified_since.map(at),
                    unmodified_since: unmodified_since.map(at),
                }
                .outcome("abc", at(100))
            };
        assert_eq!(outcome(None, None, None, None), Outcome::Go);
        assert_eq!(outcome(Some("\"abc\""), None, None, Some(50)), Outcome::Go);
        assert_eq!(
            outcome(Some("\"x\", \"abc\""), None, None, None),
            Outcome::Go
        );
        assert_eq!(
            outcome(Some("\"x\""), None, None, None),
            Outcome::Failed("If-Match")
        );
        assert_eq!(
            outcome(None, None, None, Some(99)),
            Outcome::Failed("If-Unmodified-Since")
        );
        assert_eq!(outcome(None, None, None, Some(100)), Outcome::Go);
        assert_eq!(
            outcome(None, Some("abc"), Some(50), None),
            Outcome::NotModified
        );
        assert_eq!(outcome(None, Some("x"), Some(150), None), Outcome::Go);
        assert_eq!(outcome(None, None, Some(100), None), Outcome::NotModified);
        assert_eq!(outcome(None, None, Some(99), None), Outcome::Go);
    }
}
