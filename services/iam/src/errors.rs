//! What IAM and STS answer when they refuse, in AWS's codes.

use std::borrow::Cow;

use gureum_kit::StoreError;
use gureum_schema::Error;

/// A refusal, before it becomes the one error type that leaves a service.
#[derive(Debug)]
pub(crate) enum Fault {
    /// AWS's code, HTTP status, message.
    Refused(&'static str, u16, Cow<'static, str>),
    /// Already in its final form: a "not implemented", or another room's answer.
    Other(Error),
    Store(StoreError),
}

pub(crate) type Outcome<T> = Result<T, Fault>;

/// One constructor per code: `Fault::delete_conflict("…")`.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal;)*) => {
        impl Fault {$(
            $(#[$doc])*
            pub(crate) fn $name(message: impl Into<Cow<'static, str>>) -> Self {
                Self::Refused($code, $status, message.into())
            }
        )*}
    };
}

codes! {
    access_denied = "AccessDenied", 403;
    already_exists = "EntityAlreadyExists", 409;
    delete_conflict = "DeleteConflict", 409;
    expired_token = "ExpiredTokenException", 400;
    idp_unreachable = "IDPCommunicationError", 400;
    invalid_input = "InvalidInput", 400;
    invalid_message = "InvalidAuthorizationMessageException", 400;
    invalid_token = "InvalidClientTokenId", 403;
    invalid_identity_token = "InvalidIdentityToken", 400;
    invalid_user_type = "InvalidUserType", 400;
    limit_exceeded = "LimitExceeded", 409;
    malformed_policy = "MalformedPolicyDocument", 400;
    missing_token = "MissingAuthenticationToken", 403;
    no_such_entity = "NoSuchEntity", 404;
    password_violates_policy = "PasswordPolicyViolation", 400;
    policy_not_attachable = "PolicyNotAttachable", 400;
    policy_too_large = "PackedPolicyTooLarge", 400;
    report_expired = "ReportExpired", 410;
    report_missing = "ReportNotPresent", 410;
    unmodifiable = "UnmodifiableEntity", 400;
    validation = "ValidationError", 400;
}

impl Fault {
    /// "The user with name ann cannot be found."
    pub(crate) fn not_found(what: &str, name: &str) -> Self {
        Self::no_such_entity(format!("The {what} with name {name} cannot be found."))
    }

    /// "Cannot exceed quota for AccessKeysPerUser: 2"
    pub(crate) fn quota(name: &str, limit: usize) -> Self {
        Self::limit_exceeded(format!("Cannot exceed quota for {name}: {limit}"))
    }

    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Refused(_, _, message) => message,
            Self::Other(error) => &error.message,
            Self::Store(_) => "the store failed",
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(code, status, message) => Self::new(code, status, message),
            Fault::Other(error) => error,
            Fault::Store(error) => {
                tracing::error!(%error, "the store failed IAM");
                Self::new(
                    "ServiceFailure",
                    500,
                    "The request could not be completed because the cloud's store failed.",
                )
            }
        }
    }
}
