//! The errors of DynamoDB and its streams, with the codes and sentences that clients know.

use gureum_dispatch::Invalid;
use gureum_kit::StoreError;
use gureum_model_dynamodb::types as t;
use gureum_schema::Error;

use crate::value::{Item, item_to};

/// Everything that DynamoDB refuses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    Validation(String),
    /// The condition did not hold; with the item where the caller wanted to see it.
    ConditionFailed(Option<Item>),
    /// An `INSERT` of an item that is there.
    Duplicate,
    /// An item collection has outgrown what may lie beside local indexes.
    CollectionFull,
    NotFound(String),
    /// What backup operations call it.
    NoTable(String),
    InUse(String),
    LimitExceeded(String),
    /// One reason for each action of the transaction.
    Canceled(Vec<Reason>),
    ThroughputExceeded,
    TokenMismatch,
    Conflict,
    PolicyNotFound(String),
    TrimmedData,
    ExpiredIterator,
    /// A code that only one kind of operation knows, and its message.
    Special(&'static str, String),
    NotImplemented(String),
    Broken(String),
}

/// Why one action of a transaction could not be done; `None` as its code where it could.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reason {
    pub(crate) code: &'static str,
    pub(crate) message: Option<String>,
    pub(crate) item: Option<Item>,
}

pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::Validation(message.into())
    }

    /// The sentence that most checks of values begin with.
    pub(crate) fn parameters(message: &str) -> Self {
        Self::Validation(format!(
            "One or more parameter values were invalid: {message}"
        ))
    }

    pub(crate) fn no_table() -> Self {
        Self::NotFound("Requested resource not found".into())
    }

    pub(crate) fn no_table_named(name: &str) -> Self {
        Self::NotFound(format!(
            "Requested resource not found: Table: {name} not found"
        ))
    }

    /// What it is called as a reason to cancel a transaction; `None` where it is an error of the
    /// whole request.
    pub(crate) fn reason(&self) -> Option<Reason> {
        let (code, message) = match self {
            Self::Validation(message) => ("ValidationError", message.clone()),
            Self::ConditionFailed(_) => ("ConditionalCheckFailed", CONDITION_FAILED.to_owned()),
            Self::Duplicate => ("DuplicateItem", DUPLICATE.to_owned()),
            Self::CollectionFull => (
                "ItemCollectionSizeLimitExceeded",
                COLLECTION_FULL.to_owned(),
            ),
            Self::ThroughputExceeded => (
                "ProvisionedThroughputExceeded",
                THROUGHPUT_EXCEEDED.to_owned(),
            ),
            _ => return None,
        };
        let item = match self {
            Self::ConditionFailed(item) => item.clone(),
            _ => None,
        };
        Some(Reason {
            code,
            message: Some(message),
            item,
        })
    }

    /// What an `INSERT` calls a condition that failed: its own is that the item is not there.
    pub(crate) fn of_insert(self, inserting: bool) -> Self {
        match self {
            Self::ConditionFailed(_) if inserting => Self::Duplicate,
            other => other,
        }
    }

    /// The same for a transaction, of whose statements some are `INSERT`s.
    pub(crate) fn of_inserts(self, inserting: &[bool]) -> Self {
        let Self::Canceled(mut reasons) = self else {
            return self;
        };
        for (reason, inserting) in reasons.iter_mut().zip(inserting) {
            if *inserting && reason.code == "ConditionalCheckFailed" {
                *reason = Self::Duplicate.reason().unwrap_or_default();
            }
        }
        Self::Canceled(reasons)
    }

    /// Says which statement of a transaction is wrong.
    pub(crate) fn in_statement(self, number: usize) -> Self {
        match self {
            Self::Validation(message) => Self::Validation(format!(
                "Validation failed in TransactStatements[{number}]: {message}"
            )),
            other => other,
        }
    }

    fn parts(&self) -> (&'static str, u16, String) {
        let text = |text: &str| text.to_owned();
        match self {
            Self::Validation(message) => ("ValidationException", 400, message.clone()),
            Self::ConditionFailed(_) => (
                "ConditionalCheckFailedException",
                400,
                text(CONDITION_FAILED),
            ),
            Self::Duplicate => ("DuplicateItemException", 400, text(DUPLICATE)),
            Self::CollectionFull => (
                "ItemCollectionSizeLimitExceededException",
                400,
                text(COLLECTION_FULL),
            ),
            Self::NotFound(message) => ("ResourceNotFoundException", 400, message.clone()),
            Self::NoTable(name) => (
                "TableNotFoundException",
                400,
                format!("Table not found: {name}"),
            ),
            Self::InUse(message) => ("ResourceInUseException", 400, message.clone()),
            Self::LimitExceeded(message) => ("LimitExceededException", 400, message.clone()),
            Self::Canceled(reasons) => {
                let codes: Vec<_> = reasons.iter().map(|reason| reason.code).collect();
                let message = format!(
                    "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
                    codes.join(", ")
                );
                ("TransactionCanceledException", 400, message)
            }
            Self::ThroughputExceeded => (
                "ProvisionedThroughputExceededException",
                400,
                text(THROUGHPUT_EXCEEDED),
            ),
            Self::TokenMismatch => (
                "IdempotentParameterMismatchException",
                400,
                text("The provided client token is already in use with different parameters"),
            ),
            Self::Conflict => (
                "TransactionConflictException",
                400,
                text("Transaction is ongoing for the item"),
            ),
            Self::PolicyNotFound(message) => ("PolicyNotFoundException", 400, message.clone()),
            Self::TrimmedData => (
                "TrimmedDataAccessException",
                400,
                text("The requested records are beyond the trim horizon of the stream"),
            ),
            Self::ExpiredIterator => ("ExpiredIteratorException", 400, text("Iterator expired")),
            Self::Special(code, message) => (code, 400, message.clone()),
            Self::NotImplemented(what) => (
                "NotImplemented",
                501,
                format!("{what} is not implemented by Gureum."),
            ),
            Self::Broken(_) => (
                "InternalServerError",
                500,
                text("The request could not be carried out because of a failure of the service."),
            ),
        }
    }
}

const THROUGHPUT_EXCEEDED: &str = "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.";
const COLLECTION_FULL: &str = "Item collection size exceeds 10 GB.";
const DUPLICATE: &str = "Duplicate primary key exists in table";
const CONDITION_FAILED: &str = "The conditional request failed";

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::Broken(cause) = &refusal {
            tracing::error!(%cause, "dynamodb could not serve a request");
        }
        let (code, status, message) = refusal.parts();
        let error = Self::new(code, status, message.clone());
        match refusal {
            Refusal::ConditionFailed(Some(item)) => {
                error.detail(t::ConditionalCheckFailedException {
                    message: Some(message),
                    item: Some(item_to(item)),
                })
            }
            Refusal::Canceled(reasons) => error.detail(t::TransactionCanceledException {
                message: Some(message),
                cancellation_reasons: Some(reasons.into_iter().map(told).collect()),
            }),
            _ => error,
        }
    }
}

fn told(reason: Reason) -> t::CancellationReason {
    t::CancellationReason {
        item: reason.item.map(item_to),
        code: Some(reason.code.to_owned()),
        message: reason.message,
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            // Others kept changing what this request reads: the caller may try again.
            StoreError::Conflict { .. } => Self::Conflict,
            error => Self::Broken(error.to_string()),
        }
    }
}

/// How DynamoDB words what the model alone can tell.
pub(crate) fn invalid(invalid: &Invalid) -> Error {
    match invalid {
        Invalid::Missing { message, .. } | Invalid::Constraint { message, .. } => {
            Refusal::validation(message).into()
        }
        Invalid::Malformed { message }
            if message.starts_with("Supplied AttributeValue is empty") =>
        {
            Refusal::validation(EMPTY_VALUE).into()
        }
        Invalid::Malformed { message } => {
            Error::new("SerializationException", 400, message.clone())
        }
    }
}

pub(crate) const EMPTY_VALUE: &str =
    "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
