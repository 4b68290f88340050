//! The errors of SQS, with the codes, statuses and sentences that clients know.

use gureum_dispatch::{Denial, Invalid};
use gureum_kit::StoreError;
use gureum_schema::Error;

/// Everything that SQS refuses. The wire adds the codes of the former query protocol.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    NoSuchQueue,
    QueueExists {
        attribute: String,
    },
    DeletedRecently,
    PurgeInProgress {
        name: String,
    },
    Address {
        url: String,
    },
    Missing {
        parameter: String,
    },
    /// A parameter's value, and what it must be.
    Value {
        parameter: String,
        value: String,
        reason: String,
    },
    /// A sentence of its own with `InvalidParameterValue`.
    Parameters(String),
    AttributeName(String),
    AttributeValue(String),
    Contents(String),
    Unsupported(String),
    OverLimit(String),
    ReceiptHandle(String),
    NotInFlight,
    EmptyBatch {
        entries: &'static str,
    },
    TooManyEntries(usize),
    BatchTooLong {
        limit: usize,
        size: usize,
    },
    RepeatedId(String),
    EntryId,
    NoSuchTask,
    NoSuchResource,
    /// What KMS said no with: code and sentence.
    Kms(&'static str, String),
    Broken(String),
}

pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    pub(crate) fn value(parameter: &str, value: impl ToString, reason: impl Into<String>) -> Self {
        // Values come from outside; a long one is cut before it is told again.
        let value = value.to_string().chars().take(256).collect();
        Self::Value {
            parameter: parameter.to_owned(),
            value,
            reason: reason.into(),
        }
    }

    pub(crate) fn missing(parameter: impl Into<String>) -> Self {
        Self::Missing {
            parameter: parameter.into(),
        }
    }

    /// Code and sentence; everything is the sender's fault with status 400, save our own failures.
    fn parts(&self) -> (&'static str, String) {
        let text = |text: &str| text.to_owned();
        match self {
            Self::NoSuchQueue => (
                "QueueDoesNotExist",
                text("The specified queue does not exist."),
            ),
            Self::QueueExists { attribute } => (
                "QueueNameExists",
                format!(
                    "A queue already exists with the same name and a different value for attribute {attribute}"
                ),
            ),
            Self::DeletedRecently => (
                "QueueDeletedRecently",
                text(
                    "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
                ),
            ),
            Self::PurgeInProgress { name } => (
                "PurgeQueueInProgress",
                format!("Only one PurgeQueue operation on {name} is allowed every 60 seconds."),
            ),
            Self::Address { url } => (
                "InvalidAddress",
                format!("The address {url} is not valid for this endpoint."),
            ),
            Self::Missing { parameter } => (
                "MissingParameter",
                format!("The request must contain the parameter {parameter}."),
            ),
            Self::Value {
                parameter,
                value,
                reason,
            } => (
                "InvalidParameterValue",
                format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}"),
            ),
            Self::Parameters(message) => ("InvalidParameterValue", message.clone()),
            Self::AttributeName(name) => {
                ("InvalidAttributeName", format!("Unknown Attribute {name}."))
            }
            Self::AttributeValue(name) => (
                "InvalidAttributeValue",
                format!("Invalid value for the parameter {name}."),
            ),
            Self::Contents(message) => ("InvalidMessageContents", message.clone()),
            Self::Unsupported(message) => ("UnsupportedOperation", message.clone()),
            Self::OverLimit(message) => ("OverLimit", message.clone()),
            Self::ReceiptHandle(handle) => (
                "ReceiptHandleIsInvalid",
                format!("The input receipt handle \"{handle}\" is not a valid receipt handle."),
            ),
            Self::NotInFlight => (
                "MessageNotInflight",
                text("The message referred to isn't in flight."),
            ),
            Self::EmptyBatch { entries } => (
                "EmptyBatchRequest",
                format!("There should be at least one {entries} in the request."),
            ),
            Self::TooManyEntries(found) => (
                "TooManyEntriesInBatchRequest",
                format!("Maximum number of entries per request are 10. You have sent {found}."),
            ),
            Self::BatchTooLong { limit, size } => (
                "BatchRequestTooLong",
                format!(
                    "Batch requests cannot be longer than {limit} bytes. You have sent {size} bytes."
                ),
            ),
            Self::RepeatedId(id) => ("BatchEntryIdsNotDistinct", format!("Id {id} repeated.")),
            Self::EntryId => (
                "InvalidBatchEntryId",
                text(
                    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
                ),
            ),
            Self::NoSuchTask => ("ResourceNotFoundException", text("Task does not exist.")),
            Self::NoSuchResource => (
                "ResourceNotFoundException",
                text("The resource that you specified for the SourceArn parameter doesn't exist."),
            ),
            Self::Kms(code, message) => (code, message.clone()),
            Self::Broken(_) => (
                "InternalFailure",
                text("The request could not be carried out because of a failure of the service."),
            ),
        }
    }

    /// Code and sentence for one entry of a batch, and whether the sender is at fault.
    pub(crate) fn entry(&self) -> (&'static str, String, bool) {
        let (code, message) = self.parts();
        (code, message, !matches!(self, Self::Broken(_)))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::Broken(cause) = &refusal {
            tracing::error!(%cause, "sqs could not serve a request");
        }
        let (code, message) = refusal.parts();
        let status = match refusal {
            Refusal::Broken(_) => 500,
            _ => 400,
        };
        Error::new(code, status, message)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// How SQS words what the model alone can tell.
pub(crate) fn invalid(invalid: &Invalid) -> Error {
    match invalid {
        Invalid::Missing { path, .. } => {
            let parameter = path.rsplit('.').next().unwrap_or(path);
            let mut name = parameter.to_owned();
            // The model's own names are capitalized, the paths of violations are not.
            if let Some(first) = name.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            Refusal::missing(name).into()
        }
        Invalid::Constraint { path, message, .. } => {
            let about_attributes = path.to_ascii_lowercase().contains("attribute");
            let code = if about_attributes {
                "InvalidAttributeName"
            } else {
                "InvalidParameterValue"
            };
            Error::new(code, 400, message.clone())
        }
        Invalid::Malformed { message } => Error::new("InvalidParameterValue", 400, message.clone()),
    }
}

/// "You may not", as SQS says it in both of its protocols.
pub(crate) fn denied(denial: &Denial<'_>) -> Error {
    Error::new("AccessDenied", 403, denial.message())
}
