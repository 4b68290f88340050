//! Update expressions: `SET … REMOVE … ADD … DELETE …`.

use super::ast::{Action, Source, Term};
use super::build;
use super::lexer::Kind;
use super::parser::Parser;
use super::path::Path;
use crate::errors::Result;
use crate::value::Value;

const SECTIONS: [&str; 4] = ["SET", "REMOVE", "ADD", "DELETE"];

impl Parser<'_, '_> {
    pub(super) fn update(mut self) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        while self.peek().kind != Kind::End {
            let section = SECTIONS.into_iter().find(|section| self.is_word(section));
            let Some(section) = section else {
                return Err(self.unexpected());
            };
            if seen.contains(&section) {
                return Err(self.error(format!(
                    "The \"{section}\" section can only be used once in an update expression;"
                )));
            }
            seen.push(section);
            self.next();
            loop {
                let action = self.action(section)?;
                self.count_operator()?;
                actions.push(action);
                if !self.take_sign(",") {
                    break;
                }
            }
        }
        self.check_paths(&actions)?;
        Ok(actions)
    }

    fn action(&mut self, section: &str) -> Result<Action> {
        let path = self.path()?;
        Ok(match section {
            "SET" => {
                self.expect_sign("=")?;
                Action::Set(path, self.source()?)
            }
            "REMOVE" => Action::Remove(path),
            "ADD" => {
                let value = self.value()?;
                let allowed = matches!(
                    value,
                    Value::N(_) | Value::Strings(_) | Value::Numbers(_) | Value::Binaries(_)
                );
                self.operand_of(section, allowed, value, |value| Action::Add(path, value))?
            }
            _ => {
                let value = self.value()?;
                let allowed = matches!(
                    value,
                    Value::Strings(_) | Value::Numbers(_) | Value::Binaries(_)
                );
                self.operand_of(section, allowed, value, |value| Action::Delete(path, value))?
            }
        })
    }

    fn operand_of(
        &self,
        section: &str,
        allowed: bool,
        value: Value,
        action: impl FnOnce(Value) -> Action,
    ) -> Result<Action> {
        if allowed {
            return Ok(action(value));
        }
        let kind = match value {
            Value::S(_) => "STRING",
            Value::N(_) => "NUMBER",
            Value::B(_) => "BINARY",
            Value::M(_) => "MAP",
            Value::L(_) => "LIST",
            Value::Null => "NULL",
            Value::Bool(_) => "BOOLEAN",
            Value::Strings(_) => "STRING_SET",
            Value::Numbers(_) => "NUMBER_SET",
            Value::Binaries(_) => "BINARY_SET",
        };
        Err(self.error(format!(
            "Incorrect operand type for operator or function; operator: {section}, operand type: {kind}, typeSet: ALLOWED_FOR_{section}_OPERAND"
        )))
    }

    fn source(&mut self) -> Result<Source> {
        // One pair of parentheses around the whole is allowed.
        if self.take_sign("(") {
            let inner = self.sum()?;
            self.expect_sign(")")?;
            return Ok(inner);
        }
        self.sum()
    }

    fn sum(&mut self) -> Result<Source> {
        let left = self.term(0)?;
        let sign = if self.is_sign("+") {
            "+"
        } else if self.is_sign("-") {
            "-"
        } else {
            return Ok(Source::Term(left));
        };
        self.next();
        self.count_operator()?;
        let right = self.term(0)?;
        for term in [&left, &right] {
            match term {
                Term::Value(value) if !matches!(value, Value::N(_)) => {
                    return Err(self.error(build::wrong_type(sign, value.kind())));
                }
                Term::ListAppend(..) => return Err(self.error(build::wrong_type(sign, "L"))),
                _ => {}
            }
        }
        Ok(if sign == "+" {
            Source::Plus(left, right)
        } else {
            Source::Minus(left, right)
        })
    }

    fn term(&mut self, depth: usize) -> Result<Term> {
        if depth > 32 {
            return Err(self.error("The expression is nested too deeply;"));
        }
        let token = self.peek();
        if token.kind == Kind::Value {
            return Ok(Term::Value(self.value()?));
        }
        let function = token.kind == Kind::Word && self.called();
        if !function {
            return Ok(Term::Path(self.path()?));
        }
        self.next();
        self.count_operator()?;
        self.expect_sign("(")?;
        let mut terms = vec![self.term(depth + 1)?];
        while self.take_sign(",") {
            terms.push(self.term(depth + 1)?);
        }
        self.expect_sign(")")?;
        self.call(token.text, terms)
    }

    fn call(&self, name: &str, terms: Vec<Term>) -> Result<Term> {
        let count = terms.len();
        let two: Result<[Term; 2], _> = terms.try_into();
        match (name, two) {
            ("if_not_exists", Ok([Term::Path(path), default])) => {
                Ok(Term::IfNotExists(path, Box::new(default)))
            }
            ("if_not_exists", Ok(_)) => Err(self.error(
                "Operator or function requires a document path; operator or function: if_not_exists",
            )),
            ("list_append", Ok([a, b])) => {
                for term in [&a, &b] {
                    if let Term::Value(value) = term
                        && !matches!(value, Value::L(_))
                    {
                        return Err(self.error(build::wrong_type("list_append", value.kind())));
                    }
                }
                Ok(Term::ListAppend(Box::new(a), Box::new(b)))
            }
            ("if_not_exists" | "list_append", Err(_)) => Err(self.error(build::operand_count(name, count))),
            (
                "attribute_exists" | "attribute_not_exists" | "attribute_type" | "begins_with"
                | "contains" | "size",
                _,
            ) => Err(self.error(format!(
                "The function is not allowed in an update expression; function: {name}"
            ))),
            _ => Err(self.error(format!("Invalid function name; function: {name}"))),
        }
    }

    fn check_paths(&self, actions: &[Action]) -> Result<()> {
        let paths: Vec<&Path> = actions.iter().map(Action::path).collect();
        match first_clash(&paths) {
            Some(message) => Err(self.error(message)),
            None => Ok(()),
        }
    }
}

/// The message about the first two paths that cannot stand together.
pub(crate) fn first_clash(paths: &[&Path]) -> Option<String> {
    for (index, two) in paths.iter().enumerate() {
        for one in &paths[..index] {
            if let Some(clash) = one.clash(two) {
                return Some(clash.message(one, two));
            }
        }
    }
    None
}
