//! Resolved credentials, kept until anything in IAM changes.
//!
//! Every transaction that changes IAM touches one row that is watched here. A lookup first asks
//! the watch and drops everything when it has fired; a credential that was resolved while a change
//! went by is not kept. So what is served is what the store held when the lookup began, or newer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use gureum_dispatch::Credential;
use gureum_kit::store::Watch;

/// Enough for every active credential of a busy machine; when full it starts over.
const CAPACITY: usize = 10_000;

pub(crate) struct Cache(Mutex<Inner>);

struct Inner {
    watch: Watch,
    /// How many changes were seen.
    generation: u64,
    known: HashMap<String, Credential>,
}

/// The proof of having looked before resolving.
pub(crate) struct Missed {
    generation: u64,
}

impl Cache {
    pub(crate) fn new(watch: Watch) -> Self {
        Self(Mutex::new(Inner {
            watch,
            generation: 0,
            known: HashMap::new(),
        }))
    }

    pub(crate) fn get(&self, access_key: &str) -> Result<Credential, Missed> {
        let inner = self.current();
        inner.known.get(access_key).cloned().ok_or(Missed {
            generation: inner.generation,
        })
    }

    pub(crate) fn keep(&self, access_key: &str, credential: &Credential, missed: Missed) {
        let mut inner = self.current();
        if inner.generation != missed.generation {
            return;
        }
        if inner.known.len() >= CAPACITY {
            inner.known.clear();
        }
        inner
            .known
            .insert(access_key.to_owned(), credential.clone());
    }

    /// Drops everything: IAM has changed.
    pub(crate) fn forget(&self) {
        self.lock().forget();
    }

    /// The cache as of all changes seen by now.
    fn current(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        if inner.watch.changed().now_or_never().is_some() {
            inner.forget();
        }
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget(&mut self) {
        self.generation += 1;
        self.known.clear();
    }
}
