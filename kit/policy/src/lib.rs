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
//!
//! ```
//! use gureum_policy::*;
//!
//! let policy = Policy::parse(
//!     r#"{"Version": "2012-10-17", "Statement": {
//!         "Effect": "Allow",
//!         "Action": "s3:Get*",
//!         "Resource": "arn:aws:s3:::home/${aws:username}/*"}}"#,
//!     Kind::Identity,
//! )?;
//! let ann = CallerView {
//!     kind: CallerKind::User,
//!     account: "111122223333",
//!     arn: "arn:aws:iam::111122223333:user/ann",
//!     ..CallerView::ANONYMOUS
//! };
//! let decision = evaluate(&Question {
//!     action: "s3:GetObject",
//!     resource: "arn:aws:s3:::home/ann/notes",
//!     resource_account: "111122223333",
//!     caller: &ann,
//!     context: &Context::new().with("aws:username", "ann"),
//!     identity: &[NamedPolicy { id: "ReadHome", policy: &policy }],
//!     boundary: None,
//!     session: None,
//!     endpoint: None,
//!     resource_policy: None,
//!     resource_mode: ResourceMode::AloneSuffices,
//! });
//! assert_eq!(decision.reason, Reason::Allow { by: Source::Identity });
//! # Ok::<(), ParseError>(())
//! ```

mod condition;
mod context;
mod document;
mod element;
mod error;
mod evaluate;
mod glob;
mod message;
mod parse;
mod principal;
mod public;
mod raw;
mod rewrite;
mod value;
mod variable;
mod written;

pub use context::Context;
pub use document::{Effect, Kind, Policy, Position, Span, Statement, quota_size};
pub use error::{ParseError, Problem};
pub use evaluate::{
    Decision, Matched, NamedPolicy, Question, Reason, ResourceMode, Source, evaluate,
};
pub use principal::{CallerKind, CallerView, Principal};
pub use raw::MAX_DOCUMENT_BYTES;
pub use rewrite::rewrite_principals;
pub use written::Written;
