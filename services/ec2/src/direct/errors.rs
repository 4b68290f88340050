//! The errors of the EBS direct APIs: each has a code and a reason.

use gureum_dispatch::{Denial, Invalid};
use gureum_schema::Error;

use crate::errors::Refusal;

/// Why a request is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    PageToken,
    BlockToken,
    Snapshot,
    Unrelated,
    Parameter,
    Key,
    Block,
    Size,
    Tag,
}

pub(super) fn invalid_because(why: Why, message: impl Into<String>) -> Error {
    let reason = match why {
        Why::PageToken => "INVALID_PAGE_TOKEN",
        Why::BlockToken => "INVALID_BLOCK_TOKEN",
        Why::Snapshot => "INVALID_SNAPSHOT_ID",
        Why::Unrelated => "UNRELATED_SNAPSHOTS",
        Why::Parameter => "INVALID_PARAMETER_VALUE",
        Why::Key => "INVALID_CUSTOMER_KEY",
        Why::Block => "INVALID_BLOCK",
        Why::Size => "INVALID_VOLUME_SIZE",
        Why::Tag => "INVALID_TAG",
    };
    Error::new("ValidationException", 400, message).with("Reason", reason)
}

pub(super) fn absent(snapshot: &str) -> Error {
    Error::new(
        "ResourceNotFoundException",
        404,
        format!("The snapshot '{snapshot}' does not exist."),
    )
    .with("Reason", "SNAPSHOT_NOT_FOUND")
}

pub(super) fn broken(cause: impl std::fmt::Display) -> Error {
    tracing::error!(%cause, "the EBS direct APIs failed");
    let message = "An internal error has occurred";
    Error::new("InternalServerException", 500, message)
}

/// What EC2 refuses, as this API words it. Of what the caller did, keys and tokens are refused there.
pub(super) fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Sender {
            code: "UnauthorizedOperation",
            message,
        } => denied_because("DEPENDENCY_ACCESS_DENIED", message),
        Refusal::Sender {
            code: "IdempotentParameterMismatch",
            message,
        } => Error::new("ConflictException", 409, message),
        Refusal::Sender { message, .. } => invalid_because(Why::Key, message),
        Refusal::NotImplemented(what) => Error::not_implemented(what),
        other => broken(Error::from(other)),
    }
}

/// The policies do not allow it.
pub(super) fn denied(denial: &Denial<'_>) -> Error {
    denied_because("UNAUTHORIZED_ACCOUNT", denial.message())
}

fn denied_because(reason: &'static str, message: String) -> Error {
    Error::new("AccessDeniedException", 403, message).with("Reason", reason)
}

/// What the model alone finds wrong.
pub(super) fn invalid(invalid: &Invalid) -> Error {
    match invalid {
        Invalid::Missing { message, .. }
        | Invalid::Constraint { message, .. }
        | Invalid::Malformed { message } => invalid_because(Why::Parameter, message.as_str()),
    }
}
