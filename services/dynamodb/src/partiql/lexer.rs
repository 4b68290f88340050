//! Statements into tokens. Pure.

use crate::errors::{Refusal, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word: keyword, function, or name.
    Word,
    /// A name in double quotes.
    Quoted,
    /// Text in single quotes.
    Text,
    Number,
    /// `?`
    Parameter,
    /// Punctuation and operators.
    Sign,
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// What it says: names and texts without their quotes.
    pub(super) text: String,
    at: Place,
}

/// Where a token stands, as messages tell it: `line:column:length`, in characters from one.
#[derive(Clone, Copy, Debug)]
struct Place {
    line: usize,
    column: usize,
    length: usize,
}

impl Token {
    pub(super) fn place(&self) -> String {
        let Place {
            line,
            column,
            length,
        } = self.at;
        format!("{line}:{column}:{length}")
    }
}

/// How every message about the form of a statement begins.
pub(super) fn malformed(detail: &str) -> Refusal {
    Refusal::validation(format!(
        "Statement wasn't well formed, can't be processed: {detail}"
    ))
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut lexer = Lexer {
        rest: text,
        line: 1,
        column: 1,
    };
    let mut out = Vec::new();
    loop {
        lexer.skip_blank()?;
        let token = lexer.token()?;
        let end = token.kind == Kind::End;
        out.push(token);
        if end {
            return Ok(out);
        }
    }
}

struct Lexer<'t> {
    rest: &'t str,
    line: usize,
    column: usize,
}

const SIGNS: [&str; 21] = [
    "<<", ">>", "<=", ">=", "<>", "!=", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ".", ":",
    "+", "-", "*",
];

impl<'t> Lexer<'t> {
    /// Takes so many bytes, which end between characters.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        for c in taken.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
        taken
    }

    /// White space and comments.
    fn skip_blank(&mut self) -> Result<()> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            let comment = &self.rest[blank..];
            let length = if comment.starts_with("--") {
                comment.find('\n').unwrap_or(comment.len())
            } else if comment.starts_with("/*") {
                let end = comment.find("*/");
                end.ok_or_else(|| malformed("Comment is not terminated"))? + 2
            } else {
                self.take(blank);
                return Ok(());
            };
            self.take(blank + length);
        }
    }

    fn token(&mut self) -> Result<Token> {
        let (line, column) = (self.line, self.column);
        let before = self.rest;
        let (kind, text) = self.measured()?;
        let taken = before.len() - self.rest.len();
        Ok(Token {
            kind,
            text,
            at: Place {
                line,
                column,
                length: before[..taken].chars().count(),
            },
        })
    }

    fn measured(&mut self) -> Result<(Kind, String)> {
        let Some(first) = self.rest.chars().next() else {
            return Ok((Kind::End, String::new()));
        };
        Ok(match first {
            '\'' => (Kind::Text, self.quoted('\'')?),
            '"' => (Kind::Quoted, self.quoted('"')?),
            '?' => (Kind::Parameter, self.take(1).to_owned()),
            '0'..='9' => (Kind::Number, self.number()),
            c if c.is_alphabetic() || c == '_' || c == '$' => (Kind::Word, self.word()),
            c => match SIGNS.iter().find(|sign| self.rest.starts_with(**sign)) {
                Some(sign) => (Kind::Sign, self.take(sign.len()).to_owned()),
                // One semicolon may end the statement; the parser finds it nowhere else.
                None if c == ';' && self.rest[1..].trim().is_empty() => {
                    self.take(self.rest.len());
                    (Kind::End, String::new())
                }
                None => return Err(malformed("Invalid character")),
            },
        })
    }

    /// Up to the closing quote; two quotes stand for one.
    fn quoted(&mut self, quote: char) -> Result<String> {
        let mut out = String::new();
        let mut inside = self.rest[1..].char_indices().peekable();
        while let Some((at, c)) = inside.next() {
            if c != quote {
                out.push(c);
            } else if inside.next_if(|(_, next)| *next == quote).is_some() {
                out.push(quote);
            } else {
                self.take(1 + at + 1);
                return Ok(out);
            }
        }
        Err(malformed("Text is not terminated"))
    }

    fn word(&mut self) -> String {
        let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let end = self.rest.find(|c| !inside(c));
        self.take(end.unwrap_or(self.rest.len())).to_owned()
    }

    /// Digits, a fraction, an exponent; the sign is an operator.
    fn number(&mut self) -> String {
        let bytes = self.rest.as_bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut end = digits(0);
        if bytes.get(end) == Some(&b'.') {
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
            let start = end + 1 + usize::from(signed);
            let exponent = digits(start);
            if exponent > start {
                end = exponent;
            }
        }
        self.take(end).to_owned()
    }
}
