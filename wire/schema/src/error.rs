//! The one error type that leaves a service: an AWS code, a status, a message.

use std::borrow::Cow;
use std::fmt;

use crate::Struct;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is at fault (4xx).
    Sender,
    /// The service is at fault (5xx).
    Receiver,
}

/// An error as AWS clients see it. Services build theirs from an enum of their own; the protocols
/// print it.
pub struct Error {
    /// The code clients match on, `NoSuchBucket`.
    pub code: Cow<'static, str>,
    pub status: u16,
    pub message: String,
    /// Further members for the error's body, by name: `BucketName`, `Resource`.
    pub extra: Vec<(&'static str, String)>,
    /// The modelled error structure, for errors that carry more than strings.
    pub detail: Option<Box<dyn Struct>>,
    /// Response headers that belong to the error (`x-amz-bucket-region`, `Allow`).
    pub headers: Vec<(&'static str, String)>,
}

impl Error {
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        status: u16,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: code.into(),
            status,
            message: message.into(),
            extra: Vec::new(),
            detail: None,
            headers: Vec::new(),
        }
    }

    /// A known operation or parameter that this cloud does not honour.
    pub fn not_implemented(what: impl fmt::Display) -> Self {
        Self::new(
            "NotImplemented",
            501,
            format!("{what} is not implemented by Gureum."),
        )
    }

    /// Something of ours broke; `cause` goes to the log, not to the caller.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new("InternalFailure", 500, message)
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Struct) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }

    pub fn fault(&self) -> Fault {
        if self.status < 500 {
            Fault::Sender
        } else {
            Fault::Receiver
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status, self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
