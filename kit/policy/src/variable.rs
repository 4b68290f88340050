//! Policy variables: `${aws:username}`, `${aws:PrincipalTag/team, 'none'}`, `${*}`, `${?}`, `${$}`.
//!
//! Source: IAM User Guide, "IAM policy elements: variables and tags".

use crate::context::Context;
use crate::glob::{self, Case};

/// A text of a policy that may hold wildcards and variables, compiled once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Text {
    /// No variables: the compiled glob.
    Fixed(Box<[u8]>),
    /// Variables between pieces of compiled glob.
    Template(Box<[Piece]>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    Glob(Box<[u8]>),
    Variable {
        written: Box<str>,
        key: Box<str>,
        default: Option<Box<str>>,
    },
}

/// Which characters of a text are special besides variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wildcards {
    Honoured,
    Literal,
}

/// The outcome of comparing with a text whose variables may be absent from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    No,
    /// A variable without value or default: this text neither matches nor counts as different.
    Unresolved,
}

impl Text {
    /// Compiles `text`; variables are recognised only when `variables` is set (Version 2012-10-17).
    pub(crate) fn compile(text: &str, wildcards: Wildcards, variables: bool) -> Self {
        let mut pieces = Vec::new();
        let mut glob = Vec::with_capacity(text.len());
        let mut rest = text;
        while variables && let Some(start) = rest.find("${") {
            let Some(length) = rest[start..].find('}') else {
                break;
            };
            append(&rest[..start], wildcards, &mut glob);
            let inner = &rest[start + 2..start + length];
            match inner {
                "*" | "?" | "$" => glob.extend_from_slice(inner.as_bytes()),
                _ => {
                    pieces.push(Piece::Glob(std::mem::take(&mut glob).into_boxed_slice()));
                    pieces.push(variable(inner));
                }
            }
            rest = &rest[start + length + 1..];
        }
        append(rest, wildcards, &mut glob);
        if pieces.is_empty() {
            return Self::Fixed(glob.into_boxed_slice());
        }
        pieces.push(Piece::Glob(glob.into_boxed_slice()));
        Self::Template(pieces.into_boxed_slice())
    }

    /// Compares a whole value with this text.
    pub(crate) fn matches(&self, value: &str, case: Case, context: &Context) -> Match {
        self.with_glob(context, |pattern| {
            glob::matches(pattern, value.as_bytes(), case)
        })
    }

    /// Hands the glob with all variables filled in to `compare`.
    pub(crate) fn with_glob(&self, context: &Context, compare: impl Fn(&[u8]) -> bool) -> Match {
        let outcome = match self {
            Self::Fixed(pattern) => compare(pattern),
            Self::Template(pieces) => match expand(pieces, context) {
                Some(pattern) => compare(&pattern),
                None => return Match::Unresolved,
            },
        };
        if outcome { Match::Yes } else { Match::No }
    }

    /// Whether this text stands for one value only: no wildcard, no variable.
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(pattern) if !glob::is_wild(pattern))
    }

    /// The compiled glob, when no variable takes part in it.
    pub(crate) fn fixed(&self) -> Option<&[u8]> {
        match self {
            Self::Fixed(pattern) => Some(pattern),
            Self::Template(_) => None,
        }
    }

    /// What compiles to this: the text as written, save that several stars in a row are one.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::Fixed(pattern) => glob::text(pattern),
            Self::Template(pieces) => pieces.iter().map(Piece::written).collect(),
        }
    }

    /// The context keys this text refers to, as written.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let pieces: &[Piece] = match self {
            Self::Fixed(_) => &[],
            Self::Template(pieces) => pieces,
        };
        pieces.iter().filter_map(|piece| match piece {
            Piece::Variable { written, .. } => Some(&**written),
            Piece::Glob(_) => None,
        })
    }
}

impl Piece {
    fn written(&self) -> String {
        match self {
            Self::Glob(pattern) => glob::text(pattern),
            Self::Variable {
                written,
                default: Some(default),
                ..
            } => format!("${{{written}, '{default}'}}"),
            Self::Variable { written, .. } => format!("${{{written}}}"),
        }
    }
}

fn append(text: &str, wildcards: Wildcards, out: &mut Vec<u8>) {
    match wildcards {
        Wildcards::Honoured => glob::compile_into(text, out),
        Wildcards::Literal => out.extend_from_slice(text.as_bytes()),
    }
}

/// `aws:username` or `aws:username, 'default'`.
fn variable(inner: &str) -> Piece {
    let (name, default) = match inner.split_once(',') {
        Some((name, default)) => (name.trim(), Some(default.trim().trim_matches('\'').into())),
        None => (inner.trim(), None),
    };
    Piece::Variable {
        written: name.into(),
        key: name.to_ascii_lowercase().into(),
        default,
    }
}

fn expand(pieces: &[Piece], context: &Context) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(64);
    for piece in pieces {
        match piece {
            Piece::Glob(glob) => out.extend_from_slice(glob),
            // Only a single value can stand in a text; its own `*` is no wildcard.
            Piece::Variable { key, default, .. } => match context.get(key) {
                Some([value]) => out.extend_from_slice(value.as_bytes()),
                _ => out.extend_from_slice(default.as_deref()?.as_bytes()),
            },
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, value: &str, context: &Context) -> Match {
        Text::compile(text, Wildcards::Honoured, true).matches(value, Case::Sensitive, context)
    }

    #[test]
    fn substitution() {
        let context = Context::new()
            .with("aws:username", "ann*")
            .with("aws:PrincipalTag/team", "blue")
            .with_all("aws:TagKeys", ["a", "b"]);
        for (text, value, expected) in [
            ("home/${aws:username}/*", "home/ann*/file", Match::Yes),
            ("home/${aws:UserName}/*", "home/ann*/file", Match::Yes),
            ("home/${aws:username}", "home/anna", Match::No),
            (
                "${aws:PrincipalTag/team}-${aws:principaltag/TEAM}",
                "blue-blue",
                Match::Yes,
            ),
            ("${aws:nothing}", "", Match::Unresolved),
            ("${aws:nothing, 'some one'}", "some one", Match::Yes),
            ("${aws:username, 'other'}", "ann*", Match::Yes),
            ("${aws:TagKeys}", "a", Match::Unresolved),
            ("a${*}b", "a*b", Match::Yes),
            ("a${*}b", "axb", Match::No),
            ("a${?}${$}", "a?$", Match::Yes),
            ("a${unclosed", "a${unclosed", Match::Yes),
        ] {
            assert_eq!(
                check(text, value, &context),
                expected,
                "{text} against {value}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_compiles_to_the_same(text in r"([a$é*?:]|\$\{[*?$]\}|\$\{aws:k(, 'd')?\}){0,8}") {
            let compile = |text: &str| Text::compile(text, Wildcards::Honoured, true);
            let compiled = compile(&text);
            prop_assert_eq!(compile(&compiled.written()), compiled);
        }
    }

    #[test]
    fn the_old_language_has_no_variables() {
        let context = Context::new().with("aws:username", "ann");
        let text = Text::compile("${aws:username}", Wildcards::Honoured, false);
        assert_eq!(text.matches("ann", Case::Sensitive, &context), Match::No);
        assert_eq!(
            text.matches("${aws:username}", Case::Sensitive, &context),
            Match::Yes
        );
    }
}
