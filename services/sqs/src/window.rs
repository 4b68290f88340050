//! The five minutes in which a FIFO queue remembers: deduplication ids and receive attempts.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Attempt, Duplicate};

/// How long a FIFO queue remembers, in milliseconds.
pub(crate) const REMEMBER: i64 = 300_000;

#[derive(Default)]
pub(crate) struct Window {
    sent: HashMap<String, Sent>,
    attempts: HashMap<String, Attempt>,
    expiry: BTreeSet<(i64, Kind, String)>,
    /// Forgotten here, but perhaps not in the store.
    trash: Vec<(Kind, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Duplicate,
    Attempt,
}

struct Sent {
    duplicate: Duplicate,
    /// Being written; nobody may rely on it yet.
    pending: bool,
}

/// What is known of a deduplication id.
pub(crate) enum Seen<'a> {
    New,
    /// Its first message is being written.
    Pending(&'a Duplicate),
    Sent(&'a Duplicate),
}

impl Window {
    pub(crate) fn seen(&self, key: &str) -> Seen<'_> {
        match self.sent.get(key) {
            None => Seen::New,
            Some(sent) if sent.pending => Seen::Pending(&sent.duplicate),
            Some(sent) => Seen::Sent(&sent.duplicate),
        }
    }

    /// Notes an id whose message is about to be written.
    pub(crate) fn begin(&mut self, duplicate: Duplicate) {
        self.note(duplicate, true);
    }

    /// Notes an id whose message is durable.
    pub(crate) fn restore(&mut self, duplicate: Duplicate) {
        self.note(duplicate, false);
    }

    fn note(&mut self, duplicate: Duplicate, pending: bool) {
        let key = duplicate.key.clone();
        // What was to be removed from the store is about to be overwritten there.
        self.trash.retain(|(_, old)| *old != key);
        self.expiry
            .insert((duplicate.expires, Kind::Duplicate, key.clone()));
        self.sent.insert(key, Sent { duplicate, pending });
    }

    /// The message is durable, or it was given up.
    pub(crate) fn settle(&mut self, key: &str, durable: bool) {
        if durable {
            if let Some(sent) = self.sent.get_mut(key) {
                sent.pending = false;
            }
        } else if let Some(sent) = self.sent.remove(key) {
            let expires = sent.duplicate.expires;
            self.expiry
                .remove(&(expires, Kind::Duplicate, key.to_owned()));
        }
    }

    pub(crate) fn attempt(&self, id: &str) -> Option<&Attempt> {
        self.attempts.get(id)
    }

    pub(crate) fn note_attempt(&mut self, attempt: Attempt) {
        let id = attempt.id.clone();
        self.trash.retain(|(_, old)| *old != id);
        let new = (attempt.expires, Kind::Attempt, id.clone());
        if let Some(old) = self.attempts.insert(id.clone(), attempt) {
            self.expiry.remove(&(old.expires, Kind::Attempt, id));
        }
        self.expiry.insert(new);
    }

    pub(crate) fn advance(&mut self, now: i64) {
        while self.expiry.first().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, kind, key)) = self.expiry.pop_first() else {
                return;
            };
            match kind {
                Kind::Duplicate => {
                    self.sent.remove(&key);
                }
                Kind::Attempt => {
                    self.attempts.remove(&key);
                }
            }
            self.trash.push((kind, key));
        }
    }

    /// Forgets everything, for a queue that is deleted; returns what is in the store of it.
    pub(crate) fn close(&mut self) -> Vec<(Kind, String)> {
        self.advance(i64::MAX);
        self.take_trash()
    }

    /// What has to be removed from the store.
    pub(crate) fn take_trash(&mut self) -> Vec<(Kind, String)> {
        std::mem::take(&mut self.trash)
    }
}
