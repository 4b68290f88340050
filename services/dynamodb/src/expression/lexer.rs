//! Texts into tokens.

/// What a token is; its text is in the expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word: attribute name, keyword or function.
    Word,
    /// `#name`
    Name,
    /// `:value`
    Value,
    Integer,
    /// Punctuation and comparators.
    Sign,
    /// Something that no expression contains.
    Stray,
    End,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    pub(super) start: usize,
    pub(super) end: usize,
}

pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let (kind, len) = measure(&text[at..], first);
        out.push(Token {
            kind,
            text: &text[at..at + len],
            start: at,
            end: at + len,
        });
        at += len;
    }
    out.push(Token {
        kind: Kind::End,
        text: "<EOF>",
        start: at,
        end: at,
    });
    out
}

fn measure(rest: &str, first: char) -> (Kind, usize) {
    let word = |from: &str| {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
        from.find(|c| !inside(c)).unwrap_or(from.len())
    };
    match first {
        'a'..='z' | 'A'..='Z' | '_' => (Kind::Word, word(rest)),
        '#' | ':' => match word(&rest[1..]) {
            0 => (Kind::Stray, 1),
            len if first == '#' => (Kind::Name, 1 + len),
            len => (Kind::Value, 1 + len),
        },
        '0'..='9' => {
            let len = rest.find(|c: char| !c.is_ascii_digit());
            (Kind::Integer, len.unwrap_or(rest.len()))
        }
        '<' if rest.starts_with("<=") || rest.starts_with("<>") => (Kind::Sign, 2),
        '>' if rest.starts_with(">=") => (Kind::Sign, 2),
        '<' | '>' | '=' | '(' | ')' | '[' | ']' | ',' | '.' | '+' | '-' => (Kind::Sign, 1),
        other => (Kind::Stray, other.len_utf8()),
    }
}
