//! The errors of EC2, with the codes and sentences that clients know.
//!
//! EC2 has hundreds of codes and models none of them, so a refusal is a code and a sentence; the
//! constructors below word those that several operations share.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>

use std::fmt::Display;

use gureum_dispatch::{Denial, Invalid};
use gureum_kit::StoreError;
use gureum_model_ec2::types as t;
use gureum_schema::Error;

/// Everything that EC2 refuses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// What the sender can mend.
    Sender {
        code: &'static str,
        message: String,
    },
    /// Everything was checked and nothing is done.
    DryRun,
    /// The host has no room for it at the moment.
    Capacity(String),
    NotImplemented(String),
    /// Something of ours.
    Broken(String),
}

pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Sender { code, message }
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(
            "MissingParameter",
            format!("The request must contain the parameter {parameter}"),
        )
    }

    pub(crate) fn value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    /// A value that its parameter cannot have.
    pub(crate) fn wrong(parameter: &str, value: impl Display) -> Self {
        Self::value(format!(
            "Value ({value}) for parameter {parameter} is invalid."
        ))
    }

    pub(crate) fn combination(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterCombination", message)
    }

    pub(crate) fn parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameter", message)
    }

    /// What the host lacks: `what` (`Instances`) cannot be had on it.
    pub(crate) fn host(what: &str, lacks: impl Display) -> Self {
        Self::new(
            "Unsupported",
            format!("{what} cannot be had on this host: {lacks}. See `gureum doctor`."),
        )
    }

    /// `what` (`vpc`, `subnet`, …) is still used by something.
    pub(crate) fn in_use(what: &str, id: &str) -> Self {
        Self::new(
            "DependencyViolation",
            format!("The {what} '{id}' has dependencies and cannot be deleted."),
        )
    }

    pub(crate) fn limit(code: &'static str, what: &str) -> Self {
        Self::new(
            code,
            format!("The maximum number of {what} has been reached."),
        )
    }

    pub(crate) fn state(message: impl Into<String>) -> Self {
        Self::new("IncorrectState", message)
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new("OperationNotPermitted", message)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Sender { code, message } => Self::new(code, 400, message),
            Refusal::DryRun => Self::new(
                "DryRunOperation",
                412,
                "Request would have succeeded, but DryRun flag is set.",
            ),
            Refusal::Capacity(message) => Self::new("InsufficientInstanceCapacity", 500, message),
            Refusal::NotImplemented(what) => Self::not_implemented(what),
            Refusal::Broken(cause) => {
                tracing::error!(cause, "EC2 failed");
                Self::new("InternalError", 500, "An internal error has occurred")
            }
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// What is told of one of several resources that an operation was to handle; what the sender cannot
/// mend fails the whole.
pub(crate) fn unsuccessful(id: &str, refusal: Refusal) -> Result<t::UnsuccessfulItem> {
    match refusal {
        Refusal::Sender { code, message } => Ok(t::UnsuccessfulItem {
            error: Some(t::UnsuccessfulItemError {
                code: Some(code.into()),
                message: Some(message),
            }),
            resource_id: Some(id.to_owned()),
        }),
        other => Err(other),
    }
}

/// The policies do not allow it: the sentence for everybody, and for those who may know more all
/// that was decided upon, sealed (`sts:DecodeAuthorizationMessage`).
pub(crate) fn denied(denial: &Denial<'_>) -> Error {
    let mut message = format!(
        "You are not authorized to perform this operation. {}.",
        denial.message()
    );
    if let Some(encoded) = denial.encoded() {
        message += " Encoded authorization failure message: ";
        message += &encoded;
    }
    Error::new("UnauthorizedOperation", 403, message)
}

/// What the model alone finds wrong, in EC2's words.
pub(crate) fn invalid(invalid: &Invalid) -> Error {
    match invalid {
        Invalid::Missing { path, .. } => Refusal::missing(path).into(),
        Invalid::Constraint {
            path,
            choice: Some(value),
            ..
        } => Refusal::wrong(path, value).into(),
        Invalid::Constraint { message, .. } | Invalid::Malformed { message } => {
            Refusal::value(message.as_str()).into()
        }
    }
}

/// Refuses members that are not honoured, in structures inside the request (those of the request
/// itself stand in the table of operations).
pub(crate) fn refuse(present: &[(&str, bool)]) -> Result<()> {
    match present.iter().find(|(_, present)| *present) {
        Some((name, _)) => Err(Refusal::NotImplemented(format!("Parameter {name}"))),
        None => Ok(()),
    }
}

/// Refuses switches that are not honoured; off is what they are anyway.
pub(crate) fn refuse_on(switches: &[(&str, Option<bool>)]) -> Result<()> {
    match switches.iter().find(|(_, on)| *on == Some(true)) {
        Some((name, _)) => Err(Refusal::NotImplemented(format!("{name} = true"))),
        None => Ok(()),
    }
}
