//! DynamoDB's expressions: one lexer and parser for conditions, filters, projections, key
//! conditions and updates; the parameters from before expressions are compiled into the same
//! trees. Pure.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html>

pub(crate) mod ast;
pub(crate) mod build;
pub(crate) mod condition;
pub(crate) mod key_condition;
pub(crate) mod legacy;
mod lexer;
mod parser;
pub(crate) mod path;
pub(crate) mod projection;
mod reserved;
mod scope;
mod update;
mod update_parser;

#[cfg(test)]
mod tests;

pub(crate) use ast::{Action, Condition};
pub(crate) use projection::Projection;
pub(crate) use scope::Scope;
pub(crate) use update::apply;
pub(crate) use update_parser::first_clash;

use crate::errors::Result;

impl Scope {
    /// A condition or filter; `kind` is the parameter's name, for messages.
    pub(crate) fn condition(&mut self, kind: &'static str, text: &str) -> Result<Condition> {
        parser::Parser::new(kind, text, self)?.condition()
    }

    pub(crate) fn projection(&mut self, text: &str) -> Result<Projection> {
        let paths = parser::Parser::new("ProjectionExpression", text, self)?.paths()?;
        Projection::of(paths)
    }

    pub(crate) fn update(&mut self, text: &str) -> Result<Vec<Action>> {
        parser::Parser::new("UpdateExpression", text, self)?.update()
    }
}
