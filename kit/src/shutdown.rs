//! The shutdown signal: one side asks all tasks to end, every task can wait for it.

use tokio::sync::watch;

/// A signal that is given once; clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<bool>);

impl Shutdown {
    /// A signal that has not been given.
    pub fn new() -> Shutdown {
        Shutdown(watch::Sender::new(false))
    }

    /// Gives the signal.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has been given.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is given; returns at once if it has been. Safe to cancel.
    pub async fn begun(&self) {
        // Fails only when the sender is gone, and `self` holds it.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown::new()
    }
}
