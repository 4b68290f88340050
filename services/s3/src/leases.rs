//! Reads that must not lose the files under them.
//!
//! A file that is open survives its deletion, but an object of many parts is opened part by part.
//! So whoever reads takes a lease before looking at the rows, and the reconciler deletes a file
//! only when every lease that is older than the file's becoming garbage has ended.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Clone, Default)]
pub(crate) struct Leases(Arc<Inner>);

#[derive(Default)]
struct Inner {
    book: Mutex<Book>,
    ended: Notify,
}

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

impl Leases {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Waits until every lease taken before this call has ended.
    pub(crate) async fn drained(&self) {
        let until = self.book().next;
        loop {
            let ended = self.0.ended.notified();
            let oldest = self.book().open.first().copied();
            if oldest.is_none_or(|oldest| oldest >= until) {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.book().open.remove(&self.number);
        self.leases.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_older_leases_are_waited_for() {
        let leases = Leases::default();
        let old = leases.take();
        let waiting = tokio::spawn({
            let leases = leases.clone();
            async move { leases.drained().await }
        });
        tokio::task::yield_now().await;
        let _young = leases.take();
        assert!(!waiting.is_finished());
        drop(old);
        waiting.await.expect("drained beside a younger lease");
    }
}
