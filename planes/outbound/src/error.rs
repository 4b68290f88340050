//! What can go wrong with a call, told apart as far as somebody could act on it.

use std::error::Error as StdError;
use std::time::Duration;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address cannot be called. Nothing was sent.
    #[error("the address cannot be called: {0}")]
    Url(String),
    /// Nobody knows the host's name. Nothing was sent.
    #[error("the name {host} cannot be resolved: {why}")]
    NotResolved { host: String, why: String },
    /// No address of the host takes a connection. Nothing was sent.
    #[error("{address} cannot be reached: {why}")]
    Unreachable { address: String, why: String },
    /// The other side's certificate is not one to trust. Nothing was sent.
    #[error("the certificate of {host} is not trusted: {why}")]
    NotTrusted { host: String, why: String },
    /// No whole answer came in time. The other side may have acted on the call.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// What came back is no answer, or not a whole one. The other side may have acted on the call.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
    /// The answer is longer than the call allows.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge { limit: usize },
}

impl Error {
    /// The client's error holds the connector's, which is one of ours, somewhere inside.
    pub(crate) fn of_client(error: hyper_util::client::legacy::Error) -> Self {
        let mut inside: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(error) = inside {
            if let Some(own) = error.downcast_ref::<Self>() {
                return own.clone();
            }
            inside = error.source();
        }
        Self::Malformed(chain(&error))
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut inside = error.source();
    while let Some(error) = inside {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        inside = error.source();
    }
    text
}
