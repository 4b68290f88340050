//! Reads that must not lose the files under them.
//!
//! A file that is open survives its deletion, but an object of many parts is opened part by part.
//! So whoever reads takes a lease before looking at the rows, and the reconciler deletes a file
//! only when every lease that is older than the file's becoming garbage has ended.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Default)]
pub(crate) struct Leases(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    next: u64,
    open: BTreeSet<u64>,
}

/// Held while rows seen since its beginning may still be followed to files.
pub(crate) struct Lease {
    number: u64,
    leases: Leases,
}

/// A moment between leases.
#[derive(Clone, Copy)]
pub(crate) struct Moment(u64);

impl Leases {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Lease {
        let mut book = self.book();
        let number = book.next;
        book.next += 1;
        book.open.insert(number);
        Lease {
            number,
            leases: self.clone(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.book().next)
    }

    /// Whether every lease from before that moment has ended.
    pub(crate) fn ended(&self, moment: Moment) -> bool {
        self.book()
            .open
            .first()
            .is_none_or(|oldest| *oldest >= moment.0)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.book().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_older_leases_count() {
        let leases = Leases::default();
        let old = leases.take();
        let moment = leases.now();
        let _young = leases.take();
        assert!(!leases.ended(moment));
        drop(old);
        assert!(leases.ended(moment));
    }
}
