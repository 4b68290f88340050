//! The errors of SNS, with the codes and sentences that clients know.

use gureum_dispatch::{Denial, Invalid};
use gureum_kit::StoreError;
use gureum_schema::Error;

/// Everything that SNS refuses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    NoSuchTopic,
    NoSuchSubscription,
    /// What the tag operations say of a topic that isn't there.
    NoSuchResource,
    /// `InvalidParameter`: what stands after "Invalid parameter: ".
    Parameter(String),
    /// `ParameterValueInvalid`: message attributes that make no sense.
    Value(String),
    /// A quota, by its code.
    Limit(&'static str, String),
    EmptyBatch,
    TooManyEntries,
    RepeatedId,
    EntryId,
    BatchTooLong,
    Unsigned,
    Denied(String),
    /// What KMS said no with: code and sentence.
    Kms(&'static str, String),
    NotImplemented(String),
    Broken(String),
}

pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    pub(crate) fn parameter(what: impl Into<String>) -> Self {
        Self::Parameter(what.into())
    }

    /// A parameter and what is wrong with it.
    pub(crate) fn reason(parameter: &str, reason: impl std::fmt::Display) -> Self {
        Self::Parameter(format!("{parameter} Reason: {reason}"))
    }

    /// Code, status and sentence.
    fn parts(&self) -> (&'static str, u16, String) {
        let text = str::to_owned;
        match self {
            Self::NoSuchTopic => ("NotFound", 404, text("Topic does not exist")),
            Self::NoSuchSubscription => ("NotFound", 404, text("Subscription does not exist")),
            Self::NoSuchResource => ("ResourceNotFound", 404, text("Resource does not exist")),
            Self::Parameter(what) => (
                "InvalidParameter",
                400,
                format!("Invalid parameter: {what}"),
            ),
            Self::Value(message) => ("ParameterValueInvalid", 400, message.clone()),
            Self::Limit(code, message) => {
                let status = if *code == "TagLimitExceeded" {
                    400
                } else {
                    403
                };
                (code, status, message.clone())
            }
            Self::EmptyBatch => (
                "EmptyBatchRequest",
                400,
                text("The batch request doesn't contain any entries."),
            ),
            Self::TooManyEntries => (
                "TooManyEntriesInBatchRequest",
                400,
                text("The batch request contains more entries than permissible (10)."),
            ),
            Self::RepeatedId => (
                "BatchEntryIdsNotDistinct",
                400,
                text("Two or more batch entries in the request have the same Id."),
            ),
            Self::EntryId => (
                "InvalidBatchEntryId",
                400,
                text(
                    "The Id of a batch entry in a batch request doesn't abide by the specification.",
                ),
            ),
            Self::BatchTooLong => (
                "BatchRequestTooLong",
                400,
                text("The length of all the batch messages put together is more than the limit."),
            ),
            Self::Unsigned => (
                "MissingAuthenticationToken",
                403,
                text("Request is missing Authentication Token"),
            ),
            Self::Denied(message) => ("AuthorizationError", 403, message.clone()),
            Self::Kms(code, message) => (code, 400, message.clone()),
            Self::NotImplemented(what) => (
                "NotImplemented",
                501,
                format!("{what} is not implemented by Gureum."),
            ),
            Self::Broken(_) => (
                "InternalError",
                500,
                text("The request could not be carried out because of a failure of the service."),
            ),
        }
    }

    /// Code and sentence for one entry of a batch, and whether the sender is at fault.
    pub(crate) fn entry(&self) -> (&'static str, String, bool) {
        let (code, status, message) = self.parts();
        (code, message, status < 500)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::Broken(cause) = &refusal {
            tracing::error!(%cause, "SNS could not serve a request");
        }
        let (code, status, message) = refusal.parts();
        Self::new(code, status, message)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// How SNS words what the model alone can tell.
pub(crate) fn invalid(invalid: &Invalid) -> Error {
    let (Invalid::Missing { message, .. }
    | Invalid::Constraint { message, .. }
    | Invalid::Malformed { message }) = invalid;
    Refusal::Parameter(message.clone()).into()
}

/// "You may not", as SNS says it.
pub(crate) fn denied(denial: &Denial<'_>) -> Error {
    Refusal::Denied(denial.message()).into()
}
