//! Tokens into statements: the clauses. Conditions and literals are next door.

use super::ast::{Order, Returning, Select, Statement};
use super::lexer::{Kind, Token, malformed, tokens};
use crate::errors::{Refusal, Result};
use crate::expression::path::{Path, Step};
use crate::expression::{Action, Condition, first_clash};
use crate::value::Value;

/// The longest statement, in characters.
const MAX_STATEMENT: usize = 8192;
/// As in expressions.
const MAX_OPERATORS: usize = 300;
const MAX_PATH: usize = 32;
/// Parentheses, negations and literals inside each other; bounds the parser's own recursion.
const MAX_DEPTH: usize = 100;

/// Words that name nothing without quotes.
const RESERVED: [&str; 34] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "DELETE",
    "DESC",
    "EXISTS",
    "FALSE",
    "FROM",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "LIMIT",
    "MISSING",
    "NOT",
    "NULL",
    "OFFSET",
    "OR",
    "ORDER",
    "REMOVE",
    "RETURNING",
    "SELECT",
    "SET",
    "SIZE",
    "TRUE",
    "UPDATE",
    "WHERE",
];

/// Clauses of SQL that DynamoDB knows but does not have.
const UNSUPPORTED: [&str; 8] = [
    "LIMIT", "GROUP", "HAVING", "OFFSET", "JOIN", "INNER", "UNION", "AS",
];

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    parameters: std::vec::IntoIter<Value>,
    operators: usize,
    depth: usize,
}

impl Parser {
    pub(super) fn new(text: &str, parameters: Vec<Value>) -> Result<Self> {
        if text.chars().count() > MAX_STATEMENT {
            return Err(malformed("The statement is too long"));
        }
        Ok(Self {
            tokens: tokens(text)?,
            at: 0,
            parameters: parameters.into_iter(),
            operators: 0,
            depth: 0,
        })
    }

    pub(super) fn statement(mut self) -> Result<Statement> {
        let word = self.peek().text.to_ascii_uppercase();
        let word = if self.peek().kind == Kind::Word {
            word.as_str()
        } else {
            ""
        };
        if !["SELECT", "INSERT", "UPDATE", "DELETE", "EXISTS"].contains(&word) {
            return Err(malformed("Expected data manipulation"));
        }
        self.at += 1;
        let statement = match word {
            "SELECT" => Statement::Select(self.select()?),
            "INSERT" => self.insert()?,
            "UPDATE" => self.update()?,
            "DELETE" => self.delete()?,
            _ => self.exists()?,
        };
        self.end()?;
        Ok(statement)
    }

    fn select(&mut self) -> Result<Select> {
        let columns = if self.take_sign("*") {
            None
        } else {
            let mut columns = vec![self.column()?];
            while self.take_sign(",") {
                columns.push(self.column()?);
            }
            Some(columns)
        };
        self.expect_word("FROM", "Expected FROM")?;
        let table = self.table()?;
        let index = if self.take_sign(".") {
            Some(self.name("Invalid path dot component")?)
        } else {
            None
        };
        let filter = self.filter()?;
        Ok(Select {
            table,
            index,
            columns,
            filter,
            order: self.order()?,
        })
    }

    fn column(&mut self) -> Result<Path> {
        if self.peek().kind == Kind::Word && self.is_call() {
            let place = self.peek().place();
            return Err(Refusal::validation(format!(
                "Unexpected path component at {place}"
            )));
        }
        self.path()
    }

    fn order(&mut self) -> Result<Vec<Order>> {
        if !self.take_word("ORDER") {
            return Ok(Vec::new());
        }
        self.expect_word("BY", "Expected BY")?;
        let mut order = Vec::new();
        loop {
            let attribute = self.name("Expected identifier for simple path")?;
            let descending = self.take_word("DESC");
            if !descending {
                self.take_word("ASC");
            }
            order.push(Order {
                attribute,
                descending,
            });
            if !self.take_sign(",") {
                return Ok(order);
            }
        }
    }

    fn insert(&mut self) -> Result<Statement> {
        self.expect_word("INTO", "Expected INTO")?;
        let table = self.table()?;
        self.no_index()?;
        self.expect_word("VALUE", "Unexpected keyword")?;
        let item = self.item()?;
        Ok(Statement::Insert { table, item })
    }

    fn update(&mut self) -> Result<Statement> {
        let table = self.table()?;
        self.no_index()?;
        let mut actions = Vec::new();
        loop {
            if self.take_word("SET") {
                loop {
                    actions.push(self.assignment()?);
                    self.count_operator()?;
                    if !self.take_sign(",") {
                        break;
                    }
                }
            } else if self.take_word("REMOVE") {
                loop {
                    actions.push(Action::Remove(self.path()?));
                    self.count_operator()?;
                    if !self.take_sign(",") {
                        break;
                    }
                }
            } else {
                break;
            }
        }
        if actions.is_empty() {
            return Err(malformed("Expected data manipulation"));
        }
        let paths: Vec<_> = actions.iter().map(Action::path).collect();
        if let Some(message) = first_clash(&paths) {
            return Err(Refusal::validation(message));
        }
        let filter = self.filter()?;
        Ok(Statement::Update {
            table,
            actions,
            filter,
            returning: self.returning()?,
        })
    }

    fn delete(&mut self) -> Result<Statement> {
        self.expect_word("FROM", "Expected FROM")?;
        let table = self.table()?;
        self.no_index()?;
        let filter = self.filter()?;
        let returning = self.returning()?;
        match returning {
            None
            | Some(Returning {
                modified: false,
                new: false,
            }) => {}
            Some(Returning { modified, new }) => {
                let which = if modified { "MODIFIED" } else { "ALL" };
                let image = if new { "NEW" } else { "OLD" };
                return Err(Refusal::validation(format!(
                    "Invalid returning clause: RETURNING {which} {image} *. Only RETURNING ALL OLD * is allowed in DELETE statements."
                )));
            }
        }
        Ok(Statement::Delete {
            table,
            filter,
            returning,
        })
    }

    fn exists(&mut self) -> Result<Statement> {
        self.expect_sign("(", "Expected LEFT_PAREN")?;
        self.expect_word("SELECT", "Expected SELECT")?;
        let select = self.select()?;
        self.expect_sign(")", "Expected RIGHT_PAREN")?;
        Ok(Statement::Exists(select))
    }

    fn returning(&mut self) -> Result<Option<Returning>> {
        if !self.take_word("RETURNING") {
            return Ok(None);
        }
        let modified = self.either("ALL", "MODIFIED")?;
        let new = self.either("OLD", "NEW")?;
        self.expect_sign("*", "Expected STAR")?;
        Ok(Some(Returning { modified, new }))
    }

    /// Whether it was the second of two words.
    fn either(&mut self, first: &str, second: &str) -> Result<bool> {
        if self.take_word(first) {
            return Ok(false);
        }
        self.expect_word(second, "Unexpected keyword in RETURNING")?;
        Ok(true)
    }

    fn filter(&mut self) -> Result<Option<Condition>> {
        if !self.take_word("WHERE") {
            return Ok(None);
        }
        self.condition().map(Some)
    }

    fn table(&mut self) -> Result<String> {
        self.name("Unexpected from source")
    }

    fn no_index(&self) -> Result<()> {
        if self.is_sign(".") {
            return Err(Refusal::validation(
                "This operation is not supported on an index",
            ));
        }
        Ok(())
    }

    fn end(&self) -> Result<()> {
        let token = self.peek();
        if token.kind == Kind::End {
            return Ok(());
        }
        let word = token.text.to_ascii_uppercase();
        if token.kind == Kind::Word && UNSUPPORTED.contains(&word.as_str()) {
            return Err(Refusal::validation(format!(
                "Unsupported clause: {word} at {}",
                token.place()
            )));
        }
        Err(malformed("Unexpected token after expression"))
    }

    /// `a."b"[3]`
    pub(super) fn path(&mut self) -> Result<Path> {
        let attribute = self.name("Expected identifier for simple path")?;
        let mut steps = Vec::new();
        loop {
            if self.take_sign(".") {
                steps.push(Step::Name(self.name("Invalid path dot component")?));
            } else if self.take_sign("[") {
                let index = self.next();
                let number = index.text.parse::<u32>().ok();
                steps.push(match (index.kind, number) {
                    (Kind::Number, Some(number)) => Step::Index(number as usize),
                    (Kind::Text, _) => Step::Name(index.text),
                    _ => return Err(malformed("Invalid path index")),
                });
                self.expect_sign("]", "Expected RIGHT_BRACKET")?;
            } else {
                break;
            }
            if steps.len() >= MAX_PATH {
                return Err(Refusal::validation(
                    "The document path has too many nesting elements;",
                ));
            }
        }
        Ok(Path { attribute, steps })
    }

    fn name(&mut self, absent: &str) -> Result<String> {
        let token = self.peek();
        let found = match token.kind {
            Kind::Quoted => !token.text.is_empty(),
            Kind::Word => !RESERVED.contains(&token.text.to_ascii_uppercase().as_str()),
            _ => false,
        };
        if !found {
            return Err(malformed(absent));
        }
        Ok(self.next().text)
    }

    /// The next of the request's parameters.
    pub(super) fn parameter(&mut self) -> Result<Value> {
        self.parameters.next().ok_or_else(|| {
            Refusal::validation("Number of parameters in request and statement don't match.")
        })
    }

    pub(super) fn parameters_left(&self) -> usize {
        self.parameters.len()
    }

    pub(super) fn peek(&self) -> &Token {
        // The last token is the end, and nobody goes past it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek().clone();
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }

    /// Where the token behind the next one stands.
    pub(super) fn place_behind(&self) -> String {
        let second = (self.at + 1).min(self.tokens.len() - 1);
        self.tokens[second].place()
    }

    /// Whether an opening parenthesis stands behind the next token.
    pub(super) fn is_call(&self) -> bool {
        let second = self.tokens.get(self.at + 1);
        second.is_some_and(|token| token.kind == Kind::Sign && token.text == "(")
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        let token = self.peek();
        token.kind == Kind::Sign && token.text == sign
    }

    pub(super) fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_sign(&mut self, sign: &str, absent: &str) -> Result<()> {
        if self.take_sign(sign) {
            Ok(())
        } else {
            Err(malformed(absent))
        }
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let token = self.peek();
        let found = token.kind == Kind::Word && token.text.eq_ignore_ascii_case(word);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_word(&mut self, word: &str, absent: &str) -> Result<()> {
        if self.take_word(word) {
            Ok(())
        } else {
            Err(malformed(absent))
        }
    }

    pub(super) fn count_operator(&mut self) -> Result<()> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(Refusal::validation(format!(
                "The expression contains too many operators; number of operators: {}",
                self.operators
            )));
        }
        Ok(())
    }

    pub(super) fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Refusal::validation("The statement is nested too deeply"));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }
}
