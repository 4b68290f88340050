//! State that does its heavy work on blocking threads, one step at a time, while its owner
//! prepares the next step.
//!
//! At most one step is under way, so a slow client holds no thread, a slow disk holds back its
//! client, and memory is bounded without a queue.

use crate::{Error, Result};
use std::io;
use tokio::task::{JoinError, JoinHandle};

pub(crate) enum Turns<S> {
    Idle(S),
    Busy(JoinHandle<Result<S>>),
    /// A step failed and its state is gone.
    Failed,
}

impl<S: Send + 'static> Turns<S> {
    /// Waits until no step is under way. Safe to cancel.
    pub(crate) async fn idle(&mut self) -> Result<&mut S> {
        if let Turns::Busy(step) = self {
            let ended = step.await.map_err(broken).and_then(|done| done);
            *self = Turns::Failed;
            *self = Turns::Idle(ended?);
        }
        match self {
            Turns::Idle(state) => Ok(state),
            _ => Err(Error::Failed),
        }
    }

    /// Waits for the step under way, then starts the next one and returns.
    pub(crate) async fn start<F>(&mut self, step: F) -> Result<()>
    where
        F: FnOnce(&mut S) -> Result<()> + Send + 'static,
    {
        self.idle().await?;
        if let Turns::Idle(mut state) = std::mem::replace(self, Turns::Failed) {
            *self = Turns::Busy(tokio::task::spawn_blocking(move || {
                step(&mut state)?;
                Ok(state)
            }));
        }
        Ok(())
    }
}

/// Runs one piece of blocking work to its end.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(broken)?
}

pub(crate) fn broken(error: JoinError) -> Error {
    Error::Io(io::Error::other(error))
}
