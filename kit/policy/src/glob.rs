//! Wildcard matching: `*` for any run of characters, `?` for exactly one.
//!
//! A compiled pattern is the UTF-8 of the literal text with [`RUN`] and [`ONE`] standing for the
//! wildcards. Neither byte occurs in UTF-8, so a literal `*` (from `${*}` or from the value of a
//! policy variable) needs no escape.

/// Any run of characters, the empty one included.
pub(crate) const RUN: u8 = 0xFF;
/// Any one character.
pub(crate) const ONE: u8 = 0xFE;

/// Whether ASCII letters match regardless of case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    Fold,
}

/// Appends the compiled form of `text` to `out`.
pub(crate) fn compile_into(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            // A run of stars means the same as one, and one is cheaper to match.
            b'*' if out.last() == Some(&RUN) => {}
            b'*' => out.push(RUN),
            b'?' => out.push(ONE),
            literal => out.push(literal),
        }
    }
}

/// The compiled form of `text`.
pub(crate) fn compile(text: &str) -> Box<[u8]> {
    let mut out = Vec::with_capacity(text.len());
    compile_into(text, &mut out);
    out.into_boxed_slice()
}

/// The text that compiles to `pattern`; characters that stand for themselves in it, and would not
/// in a text, are written as the variables that stand for them (`${*}`).
pub(crate) fn text(pattern: &[u8]) -> String {
    let mut out = Vec::with_capacity(pattern.len());
    for &byte in pattern {
        match byte {
            RUN => out.push(b'*'),
            ONE => out.push(b'?'),
            b'*' => out.extend_from_slice(b"${*}"),
            b'?' => out.extend_from_slice(b"${?}"),
            literal => out.push(literal),
        }
    }
    // What is left came from texts, so nothing is lost.
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether the compiled `pattern` holds a wildcard.
pub(crate) fn is_wild(pattern: &[u8]) -> bool {
    pattern.iter().any(|&byte| byte == RUN || byte == ONE)
}

/// Whether `text` as a whole matches the compiled `pattern`.
///
/// Runs in O(pattern × text) at worst and allocates nothing: on a mismatch only the latest `*` is
/// made to take one more character, which is enough because an earlier `*` can never need more.
pub(crate) fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let advanced = match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(&RUN), _) => {
                retry = Some((p + 1, t));
                p += 1;
                true
            }
            (Some(&ONE), Some(_)) => {
                p += 1;
                t = next_character(text, t);
                true
            }
            (Some(&want), Some(&have)) if same(want, have, case) => {
                p += 1;
                t += 1;
                true
            }
            _ => false,
        };
        if advanced {
            continue;
        }
        match retry {
            Some((after, start)) if start < text.len() => {
                let start = next_character(text, start);
                retry = Some((after, start));
                (p, t) = (after, start);
            }
            _ => return false,
        }
    }
}

fn same(want: u8, have: u8, case: Case) -> bool {
    match case {
        Case::Sensitive => want == have,
        Case::Fold => want.eq_ignore_ascii_case(&have),
    }
}

/// Where the character after the one at `at` begins.
fn next_character(text: &[u8], at: usize) -> usize {
    let continuation = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    at + 1 + text[at + 1..].iter().take_while(continuation).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(pattern: &str, text: &str) -> bool {
        matches(&compile(pattern), text.as_bytes(), Case::Sensitive)
    }

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("?", "", false),
            ("?", "é", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("s3:Get*", "s3:GetObject", true),
            ("s3:Get*", "s3:PutObject", false),
            ("*Object", "s3:GetObject", true),
            ("*Object", "s3:GetObjects", false),
            ("a*b*c", "a-b-b-c", true),
            ("a**c", "abc", true),
            ("*a*", "bbb", false),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b/x:y/z", true),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b", false),
            ("*é", "aé", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} against {text}");
        }
    }

    #[test]
    fn case_folds_only_when_asked() {
        let pattern = compile("S3:get*");
        assert!(matches(&pattern, b"s3:GetObject", Case::Fold));
        assert!(!matches(&pattern, b"s3:GetObject", Case::Sensitive));
    }

    /// The definition itself, by recursion on characters.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|taken| defined(rest, &text[taken..])),
            ['?', rest @ ..] => !text.is_empty() && defined(rest, &text[1..]),
            [want, rest @ ..] => text.first() == Some(want) && defined(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?é]{0,7}", text in "[abé]{0,8}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            prop_assert_eq!(glob(&pattern, &text), defined(&chars(&pattern), &chars(&text)));
        }
    }
}
