//! What all batches have in common: up to ten entries with distinct ids, failing one by one.

use std::collections::HashSet;

use gureum_model_sqs::types::BatchResultErrorEntry;

use crate::errors::{Refusal, Result};

const MAX_ENTRIES: usize = 10;

/// Checks the entries' ids as a whole; `entries` is what the API calls one.
pub(crate) fn check<'a>(
    entries: &'static str,
    ids: impl ExactSizeIterator<Item = &'a str> + Clone,
) -> Result<()> {
    if ids.len() == 0 {
        return Err(Refusal::EmptyBatch { entries });
    }
    if ids.len() > MAX_ENTRIES {
        return Err(Refusal::TooManyEntries(ids.len()));
    }
    let is_good = |id: &str| {
        (1..=80).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if !ids.clone().all(is_good) {
        return Err(Refusal::EntryId);
    }
    let mut seen = HashSet::new();
    match ids.into_iter().find(|id| !seen.insert(*id)) {
        Some(id) => Err(Refusal::RepeatedId(id.to_owned())),
        None => Ok(()),
    }
}

pub(crate) fn failed(id: String, refusal: &Refusal) -> BatchResultErrorEntry {
    let (code, message, sender_fault) = refusal.entry();
    BatchResultErrorEntry {
        id,
        sender_fault,
        code: code.to_owned(),
        message: Some(message),
    }
}
