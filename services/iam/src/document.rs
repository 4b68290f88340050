//! Policy texts: checked when they come in, percent-encoded when they go out.

use std::sync::Arc;

use gureum_policy::{Kind, Policy, quota_size};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::errors::{Fault, Outcome};

/// RFC 3986's unreserved characters stay as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The text as `GetRolePolicy` and its like return it.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Checks a text that a request brings.
pub(crate) fn parse(text: &str, kind: Kind) -> Outcome<Arc<Policy>> {
    match Policy::parse(text, kind) {
        Ok(policy) => Ok(Arc::new(policy)),
        Err(error) => Err(Fault::malformed_policy(error.to_string())),
    }
}

/// Reads a text that was checked when it was stored. Should it no longer parse, whoever depends on
/// it may do nothing: leaving a policy out could leave out a denial.
pub(crate) fn stored(text: &str, kind: Kind) -> Outcome<Arc<Policy>> {
    parse(text, kind).map_err(|fault| {
        tracing::error!(?fault, "a stored policy can no longer be read");
        gureum_schema::Error::internal("A stored policy can no longer be read.").into()
    })
}

/// Checks a managed policy's text.
pub(crate) fn managed(text: &str) -> Outcome<()> {
    const LIMIT: usize = 6144;
    parse(text, Kind::Identity)?;
    if quota_size(text) > LIMIT {
        return Err(Fault::quota("PolicySize", LIMIT));
    }
    Ok(())
}
