//! DynamoDB and its streams.
#![allow(dead_code)]
mod errors;
mod expression;
mod value;
