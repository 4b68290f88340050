//! How the steps of one run went, and what that means for the next one. Pure.
//!
//! The driver answers an error with a pause that grows to a minute. A run looks after many things, so
//! one of them that fails must not make the others wait: only a run that got nowhere is an error.

use std::fmt::Display;
use std::time::Duration;

use gureum_kit::Outcome;

use crate::machines::PlaneError;

/// How soon what is on its way is looked at again.
pub(super) const SOON: Duration = Duration::from_millis(200);
/// How soon what waits for somebody else is looked at again.
const LATER: Duration = Duration::from_secs(1);

/// What became of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There was nothing to do.
    Idle,
    /// It was done; another one may follow.
    Moved,
    /// Somebody else has to do something first: let go of a device, say.
    Waits,
}

/// The steps of one run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    moved: bool,
    waits: bool,
    failed: Option<PlaneError>,
}

impl Tally {
    /// Counts a step; `subject` is what it was done to.
    pub(super) fn note(&mut self, subject: impl Display, done: Result<Progress, PlaneError>) {
        match done {
            Ok(Progress::Idle) => {}
            Ok(Progress::Moved) => self.moved = true,
            Ok(Progress::Waits) => self.waits = true,
            Err(error) => {
                tracing::warn!(%error, %subject, "a step failed");
                self.failed = Some(error);
            }
        }
    }

    /// Nothing was done, and nothing is to be.
    pub(super) fn is_idle(&self) -> bool {
        !self.moved && !self.waits && self.failed.is_none()
    }

    /// When to look again.
    pub(super) fn outcome(self) -> Result<Outcome, PlaneError> {
        match self.failed {
            _ if self.moved => Ok(Outcome::Again(SOON)),
            _ if self.waits => Ok(Outcome::Again(LATER)),
            Some(error) => Err(error),
            None => Ok(Outcome::Settled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(steps: &[Result<Progress, &'static str>]) -> Result<Outcome, String> {
        let mut tally = Tally::default();
        for step in steps {
            tally.note("vol-1", step.map_err(PlaneError::from));
        }
        tally.outcome().map_err(|error| error.to_string())
    }

    #[test]
    fn one_that_fails_holds_up_nobody() {
        use Progress::{Idle, Moved, Waits};
        assert_eq!(outcome(&[]), Ok(Outcome::Settled));
        assert_eq!(outcome(&[Ok(Idle)]), Ok(Outcome::Settled));
        assert_eq!(outcome(&[Ok(Idle), Ok(Waits)]), Ok(Outcome::Again(LATER)));
        assert_eq!(outcome(&[Ok(Waits), Ok(Moved)]), Ok(Outcome::Again(SOON)));
        assert_eq!(outcome(&[Err("x"), Ok(Idle)]), Err("x".to_owned()));
        for order in [[Err("x"), Ok(Moved)], [Ok(Moved), Err("x")]] {
            assert_eq!(outcome(&order), Ok(Outcome::Again(SOON)));
        }
        for order in [[Err("x"), Ok(Waits)], [Ok(Waits), Err("x")]] {
            assert_eq!(outcome(&order), Ok(Outcome::Again(LATER)));
        }
    }
}
