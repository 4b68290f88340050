//! The errors of KMS, with the codes and sentences that clients know.

use gureum_kit::{Arn, StoreError};
use gureum_schema::Error;

/// Everything that KMS refuses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    NoSuchKey(String),
    NoSuchAlias(String),
    KeyId(String),
    /// An ARN of another region.
    Region(String),
    Arn(String),
    NoSuchPolicy,
    NoSuchGrant,
    GrantToken,
    Disabled(String),
    State {
        key: String,
        is: &'static str,
    },
    Usage {
        key: String,
        usage: &'static str,
        operation: &'static str,
    },
    Algorithm {
        algorithm: String,
        spec: &'static str,
    },
    Ciphertext,
    IncorrectKey,
    Signature,
    Mac,
    DryRun,
    AliasName(String),
    AliasReserved,
    AliasExists(String),
    Policy(String),
    Tag(String),
    Limit(String),
    Marker,
    Unsupported(String),
    Denied(String),
    Validation(String),
    NotImplemented(String),
    Broken(String),
}

pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    pub(crate) fn no_such_key(arn: &Arn) -> Self {
        Self::NoSuchKey(arn.to_string())
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::Validation(message.into())
    }

    /// The ciphertext names a key that cannot be found; whether it exists elsewhere is not told.
    pub(crate) fn foreign_ciphertext() -> Self {
        Self::Denied(
            "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."
                .into(),
        )
    }

    /// Code and sentence; everything is the sender's fault, save our own failures.
    fn parts(self) -> (&'static str, String) {
        match self {
            Self::NoSuchKey(arn) => ("NotFoundException", format!("Key '{arn}' does not exist")),
            Self::NoSuchAlias(arn) => ("NotFoundException", format!("Alias {arn} is not found.")),
            Self::KeyId(id) => ("NotFoundException", format!("Invalid keyId '{id}'")),
            Self::Region(region) => ("NotFoundException", format!("Invalid arn {region}")),
            Self::Arn(arn) => ("InvalidArnException", format!("Invalid ARN '{arn}'")),
            Self::NoSuchPolicy => ("NotFoundException", "No such policy exists".into()),
            Self::NoSuchGrant => ("NotFoundException", "Grant ID not found".into()),
            Self::GrantToken => (
                "InvalidGrantTokenException",
                "The grant token is not valid.".into(),
            ),
            Self::Disabled(arn) => ("DisabledException", format!("{arn} is disabled.")),
            Self::State { key, is } => ("KMSInvalidStateException", format!("{key} is {is}.")),
            Self::Usage {
                key,
                usage,
                operation,
            } => (
                "InvalidKeyUsageException",
                format!("{key} key usage is {usage} which is not valid for {operation}."),
            ),
            Self::Algorithm { algorithm, spec } => (
                "InvalidKeyUsageException",
                format!("Algorithm {algorithm} is incompatible with key spec {spec}."),
            ),
            Self::Ciphertext => ("InvalidCiphertextException", String::new()),
            Self::IncorrectKey => (
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation."
                    .into(),
            ),
            Self::Signature => ("KMSInvalidSignatureException", String::new()),
            Self::Mac => ("KMSInvalidMacException", String::new()),
            Self::DryRun => (
                "DryRunOperationException",
                "The request would have succeeded, but the DryRun option is set.".into(),
            ),
            Self::AliasName(message) => ("InvalidAliasNameException", message),
            Self::AliasReserved => (
                "NotAuthorizedException",
                "Aliases that begin with alias/aws/ are reserved for AWS managed keys.".into(),
            ),
            Self::AliasExists(arn) => (
                "AlreadyExistsException",
                format!("An alias with the name {arn} already exists"),
            ),
            Self::Policy(message) => ("MalformedPolicyDocumentException", message),
            Self::Tag(message) => ("TagException", message),
            Self::Limit(message) => ("LimitExceededException", message),
            Self::Marker => (
                "InvalidMarkerException",
                "The marker is not one of a former reply to the same request.".into(),
            ),
            Self::Unsupported(message) => ("UnsupportedOperationException", message),
            Self::Denied(message) => ("AccessDeniedException", message),
            Self::Validation(message) => ("ValidationException", message),
            Self::NotImplemented(what) => ("NotImplemented", what),
            Self::Broken(message) => ("KMSInternalException", message),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotImplemented(what) => Self::not_implemented(what),
            Refusal::Broken(cause) => {
                tracing::error!(cause, "KMS failed");
                let message = "The request was rejected because of an internal failure.";
                Self::new("KMSInternalException", 500, message)
            }
            other => {
                let status = if other == Refusal::DryRun { 412 } else { 400 };
                let (code, message) = other.parts();
                Self::new(code, status, message)
            }
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Broken(error.to_string())
    }
}
