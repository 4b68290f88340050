//! The IAM policy language: documents, conditions, and the one evaluation of who may do what.
//!
//! [`Policy::parse`] checks a document as strictly as AWS does and compiles it; [`evaluate`]
//! answers a [`Question`] from compiled policies. The front door asks for every call, IAM's
//! simulator asks on behalf of others, and role trust, bucket, queue and key policies are the same
//! language asked through [`ResourceMode`].
//!
//! This crate is pure: no store, no clock, no knowledge of any service. Whoever asks supplies the
//! policies and the request context; whoever stores resource-based policies resolves the principals
//! in them to unique ids.

mod arn;
mod condition;
mod context;
mod document;
mod error;
mod evaluate;
mod glob;
mod message;
mod parse;
mod principal;
mod public;
mod raw;
mod value;
mod variable;

pub use context::Context;
pub use document::{Effect, Kind, Policy, Position, Span, Statement, quota_size};
pub use error::{ParseError, Problem};
pub use evaluate::{
    Decision, Matched, NamedPolicy, Question, Reason, ResourceMode, Source, evaluate,
};
pub use principal::{CallerKind, CallerView, Principal};
pub use raw::MAX_DOCUMENT_BYTES;
