//! PartiQL: statements, translated onto the trees and operations that DynamoDB's own expressions
//! use. There is no second engine: a `WHERE` becomes key conditions and a filter, a write becomes a
//! write with a condition. Pure.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html>

mod ast;
mod lexer;
mod parser;
pub(crate) mod plan;
mod terms;

#[cfg(test)]
mod tests;

use gureum_model_dynamodb::types::AttributeValue as Wire;

pub(crate) use ast::{Returning, Select, Statement};

use crate::errors::Result;
use crate::value::value_from;

/// Reads a statement; its `?` stand for the parameters, in order.
pub(crate) fn parse(text: &str, parameters: Option<Vec<Wire>>) -> Result<Statement> {
    let values = parameters.into_iter().flatten().map(value_from);
    parser::Parser::new(text, values.collect::<Result<_>>()?)?.statement()
}
