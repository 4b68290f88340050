//! Tokens into trees: what all expressions share, and conditions. Updates are next door.

use super::ast::{Comparator, Condition, Operand};
use super::build;
use super::lexer::{Kind, Token, tokens};
use super::path::{Path, Step};
use super::reserved::is_reserved;
use super::scope::Scope;
use crate::errors::{Refusal, Result};
use crate::value::Value;

/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const MAX_EXPRESSION: usize = 4096;
const MAX_OPERATORS: usize = 300;
const MAX_PATH: usize = 32;
/// Parentheses and negations inside each other; bounds the parser's own recursion.
const MAX_DEPTH: usize = 100;

pub(super) struct Parser<'t, 's> {
    kind: &'static str,
    text: &'t str,
    tokens: Vec<Token<'t>>,
    at: usize,
    operators: usize,
    depth: usize,
    pub(super) scope: &'s mut Scope,
}

impl<'t, 's> Parser<'t, 's> {
    pub(super) fn new(kind: &'static str, text: &'t str, scope: &'s mut Scope) -> Result<Self> {
        let mut parser = Self {
            kind,
            text,
            tokens: Vec::new(),
            at: 0,
            operators: 0,
            depth: 0,
            scope,
        };
        if text.trim().is_empty() {
            return Err(parser.error("The expression can not be empty;"));
        }
        if text.len() > MAX_EXPRESSION {
            return Err(parser.error(format!(
                "Expression size has exceeded the maximum allowed size; expression size: {}",
                text.len()
            )));
        }
        parser.tokens = tokens(text);
        Ok(parser)
    }

    pub(super) fn error(&self, message: impl AsRef<str>) -> Refusal {
        Refusal::validation(format!("Invalid {}: {}", self.kind, message.as_ref()))
    }

    /// "Syntax error", with the token and its neighbours.
    pub(super) fn unexpected(&self) -> Refusal {
        let token = self.peek();
        let start = self.tokens[self.at.saturating_sub(1)].start;
        let end = self.tokens[(self.at + 1).min(self.tokens.len() - 1)].end;
        let near = self.text[start..end.max(start)].trim();
        self.error(format!(
            "Syntax error; token: \"{}\", near: \"{near}\"",
            token.text
        ))
    }

    pub(super) fn peek(&self) -> Token<'t> {
        // The last token is the end, and nobody goes past it.
        self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek_second(&self) -> Token<'t> {
        self.tokens[(self.at + 1).min(self.tokens.len() - 1)]
    }

    /// Whether the next token is a word with an opening parenthesis behind it.
    pub(super) fn called(&self) -> bool {
        self.peek_second().text == "("
    }

    pub(super) fn next(&mut self) -> Token<'t> {
        let token = self.peek();
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        let token = self.peek();
        token.kind == Kind::Sign && token.text == sign
    }

    pub(super) fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn expect_sign(&mut self, sign: &str) -> Result<()> {
        if self.take_sign(sign) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        let token = self.peek();
        token.kind == Kind::Word && token.text.eq_ignore_ascii_case(word)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn end(&self) -> Result<()> {
        if self.peek().kind == Kind::End {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    pub(super) fn count_operator(&mut self) -> Result<()> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(self.error(format!(
                "The expression contains too many operators; number of operators: {}",
                self.operators
            )));
        }
        Ok(())
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("The expression is nested too deeply;"));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    pub(super) fn condition(mut self) -> Result<Condition> {
        let (condition, _) = self.or()?;
        self.end()?;
        Ok(condition)
    }

    /// A comma-separated list of paths, to the end.
    pub(super) fn paths(mut self) -> Result<Vec<Path>> {
        let mut paths = vec![self.path()?];
        while self.take_sign(",") {
            paths.push(self.path()?);
        }
        self.end()?;
        Ok(paths)
    }

    /// The flag tells that the whole of it stood in parentheses.
    fn or(&mut self) -> Result<(Condition, bool)> {
        let (first, enclosed) = self.and()?;
        let mut all = vec![first];
        while self.take_word("OR") {
            self.count_operator()?;
            all.push(self.and()?.0);
        }
        Ok(join(all, enclosed, Condition::Or))
    }

    fn and(&mut self) -> Result<(Condition, bool)> {
        let (first, enclosed) = self.not()?;
        let mut all = vec![first];
        while self.take_word("AND") {
            self.count_operator()?;
            all.push(self.not()?.0);
        }
        Ok(join(all, enclosed, Condition::And))
    }

    fn not(&mut self) -> Result<(Condition, bool)> {
        if self.take_word("NOT") {
            self.count_operator()?;
            let (inner, _) = self.deeper(Self::not)?;
            return Ok((Condition::Not(Box::new(inner)), false));
        }
        if self.is_sign("(") {
            self.next();
            let (inner, enclosed) = self.deeper(Self::or)?;
            self.expect_sign(")")?;
            if enclosed {
                return Err(self.error("The expression has redundant parentheses;"));
            }
            return Ok((inner, true));
        }
        Ok((self.primary()?, false))
    }

    fn primary(&mut self) -> Result<Condition> {
        let token = self.peek();
        let call = token.kind == Kind::Word && self.peek_second().text == "(";
        if call && token.text != "size" {
            return self.function();
        }
        let left = self.operand()?;
        if self.take_word("BETWEEN") {
            self.count_operator()?;
            let low = self.operand()?;
            if !self.take_word("AND") {
                return Err(self.unexpected());
            }
            let high = self.operand()?;
            return build::between(left, low, high).map_err(|m| self.error(m));
        }
        if self.take_word("IN") {
            self.count_operator()?;
            let list = self.operands()?;
            return build::one_of(left, list).map_err(|m| self.error(m));
        }
        let Some(comparator) = self.comparator() else {
            return Err(if call {
                self.not_this_way("size")
            } else {
                self.unexpected()
            });
        };
        self.count_operator()?;
        let right = self.operand()?;
        build::compare(left, comparator, right).map_err(|m| self.error(m))
    }

    fn not_this_way(&self, function: &str) -> Refusal {
        self.error(build::not_this_way(function))
    }

    fn comparator(&mut self) -> Option<Comparator> {
        let token = self.peek();
        let comparator = match token.text {
            "=" => Comparator::Eq,
            "<>" => Comparator::Ne,
            "<" => Comparator::Lt,
            "<=" => Comparator::Le,
            ">" => Comparator::Gt,
            ">=" => Comparator::Ge,
            _ => return None,
        };
        self.next();
        Some(comparator)
    }

    fn function(&mut self) -> Result<Condition> {
        let name = self.next().text;
        if !build::PREDICATES.contains(&name) {
            return Err(match name {
                "if_not_exists" | "list_append" => self.not_this_way(name),
                _ => self.error(format!("Invalid function name; function: {name}")),
            });
        }
        self.count_operator()?;
        let operands = self.operands()?;
        build::call(name, operands).map_err(|m| self.error(m))
    }

    /// Some operands in parentheses.
    fn operands(&mut self) -> Result<Vec<Operand>> {
        self.expect_sign("(")?;
        let mut out = vec![self.operand()?];
        while self.take_sign(",") {
            out.push(self.operand()?);
        }
        self.expect_sign(")")?;
        Ok(out)
    }

    /// A value, a path, or `size(…)`.
    fn operand(&mut self) -> Result<Operand> {
        let token = self.peek();
        match token.kind {
            Kind::Value => Ok(Operand::Value(self.value()?)),
            Kind::Word if self.peek_second().text == "(" => {
                if token.text != "size" {
                    self.next();
                    return Err(match token.text {
                        "attribute_exists"
                        | "attribute_not_exists"
                        | "attribute_type"
                        | "begins_with"
                        | "contains"
                        | "if_not_exists"
                        | "list_append" => self.not_this_way(token.text),
                        name => self.error(format!("Invalid function name; function: {name}")),
                    });
                }
                self.next();
                self.count_operator()?;
                self.expect_sign("(")?;
                let inner = self.deeper(Self::operand)?;
                if !self.is_sign(")") {
                    return Err(self.unexpected());
                }
                self.next();
                build::size(inner).map_err(|m| self.error(m))
            }
            Kind::Sign if token.text == "(" => {
                self.next();
                let inner = self.deeper(Self::operand)?;
                self.expect_sign(")")?;
                Ok(inner)
            }
            _ => Ok(Operand::Path(self.path()?)),
        }
    }

    pub(super) fn value(&mut self) -> Result<Value> {
        let token = self.peek();
        if token.kind != Kind::Value {
            return Err(self.unexpected());
        }
        let found = self.scope.value(token.text);
        let value = found.ok_or_else(|| {
            self.error(format!(
                "An expression attribute value used in expression is not defined; attribute value: {}",
                token.text
            ))
        })?;
        self.next();
        Ok(value)
    }

    fn path_name(&mut self) -> Result<String> {
        let token = self.peek();
        match token.kind {
            Kind::Name => {
                let name = self.scope.name(token.text).ok_or_else(|| {
                    self.error(format!(
                        "An expression attribute name used in the document path is not defined; attribute name: {}",
                        token.text
                    ))
                })?;
                self.next();
                Ok(name)
            }
            Kind::Word if is_reserved(token.text) => Err(self.error(format!(
                "Attribute name is a reserved keyword; reserved keyword: {}",
                token.text
            ))),
            Kind::Word => {
                self.next();
                Ok(token.text.to_owned())
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(super) fn path(&mut self) -> Result<Path> {
        let attribute = self.path_name()?;
        let mut steps = Vec::new();
        loop {
            if self.take_sign(".") {
                steps.push(Step::Name(self.path_name()?));
            } else if self.take_sign("[") {
                let token = self.peek();
                let index = token.text.parse::<u32>().ok();
                let (Kind::Integer, Some(index)) = (token.kind, index) else {
                    return Err(self.unexpected());
                };
                self.next();
                self.expect_sign("]")?;
                steps.push(Step::Index(index as usize));
            } else {
                break;
            }
            if steps.len() >= MAX_PATH {
                return Err(self.error("The document path has too many nesting elements;"));
            }
        }
        Ok(Path { attribute, steps })
    }
}

fn join(
    mut all: Vec<Condition>,
    enclosed: bool,
    of: fn(Vec<Condition>) -> Condition,
) -> (Condition, bool) {
    match (all.len(), all.pop()) {
        (1, Some(only)) => (only, enclosed),
        (_, Some(last)) => {
            all.push(last);
            (of(all), false)
        }
        // There is always a first one.
        (_, None) => (of(all), false),
    }
}
