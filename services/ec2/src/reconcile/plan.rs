//! What is to be done about an instance: a pure function of what is wanted and what was seen.

use crate::machines::Sight;
use crate::model::instance::State;

/// What is wanted of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) state: State,
    /// A reboot was asked for.
    pub(crate) reboot: bool,
    /// Its own shutdown terminates it.
    pub(crate) terminate_on_shutdown: bool,
    /// It has been shown as terminated for long enough.
    pub(crate) forgotten: bool,
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Everything is as wanted.
    Nothing,
    /// Boot the machine; then its row says `running`.
    Start,
    /// Shut the machine down.
    Stop,
    Reboot,
    /// Remove what is left of the machine.
    Remove,
    /// Only the row is behind.
    Turn(State),
    /// The machine shut down of its own accord.
    Ended(State),
    /// Delete the row.
    Forget,
    /// It is on its way; look again.
    Wait,
}

/// `wanted` is `None` for a machine that no row knows.
pub(crate) fn step(wanted: Option<Wanted>, seen: Option<Sight>) -> Step {
    use State::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
    let Some(wanted) = wanted else {
        return match seen {
            None => Step::Nothing,
            Some(Sight::Ended { .. }) => Step::Remove,
            Some(_) => Step::Stop,
        };
    };
    match (wanted.state, seen) {
        (Pending, Some(Sight::Running { .. })) => Step::Turn(Running),
        (Pending, None | Some(Sight::Ended { .. })) => Step::Start,
        (Pending, Some(Sight::Unclear)) => Step::Wait,

        (Running, Some(Sight::Running { .. })) if wanted.reboot => Step::Reboot,
        (Running, Some(Sight::Running { .. })) => Step::Nothing,
        (Running, Some(Sight::Unclear)) => Step::Wait,
        (Running, Some(Sight::Ended { by_itself: true })) => {
            Step::Ended(if wanted.terminate_on_shutdown {
                ShuttingDown
            } else {
                Stopping
            })
        }
        // The host went down, or the whole cloud did: what should run runs again.
        (Running, None | Some(Sight::Ended { by_itself: false })) => Step::Start,

        (
            Stopping | Stopped | ShuttingDown | Terminated,
            Some(Sight::Running { .. } | Sight::Unclear),
        ) => Step::Stop,
        (Stopping, None | Some(Sight::Ended { .. })) => Step::Turn(Stopped),
        (Stopped, None | Some(Sight::Ended { .. })) => Step::Nothing,
        (ShuttingDown | Terminated, Some(Sight::Ended { .. })) => Step::Remove,
        (ShuttingDown, None) => Step::Turn(Terminated),
        (Terminated, None) if wanted.forgotten => Step::Forget,
        (Terminated, None) => Step::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGHTS: [Option<Sight>; 6] = [
        None,
        Some(Sight::Unclear),
        Some(Sight::Running { responsive: true }),
        Some(Sight::Running { responsive: false }),
        Some(Sight::Ended { by_itself: true }),
        Some(Sight::Ended { by_itself: false }),
    ];

    /// What the world looks like after a step, if the planes do as they are told.
    fn after(wanted: Wanted, seen: Option<Sight>, step: Step) -> Option<(Wanted, Option<Sight>)> {
        let state = |state| Wanted { state, ..wanted };
        let running = Some(Sight::Running { responsive: true });
        Some(match step {
            Step::Nothing => return None,
            Step::Start => (state(State::Running), running),
            Step::Stop => (wanted, Some(Sight::Ended { by_itself: false })),
            Step::Reboot => (
                Wanted {
                    reboot: false,
                    ..wanted
                },
                seen,
            ),
            Step::Remove => (wanted, None),
            Step::Turn(to) | Step::Ended(to) => (state(to), seen),
            Step::Forget => return None,
            Step::Wait => (wanted, running),
        })
    }

    fn all() -> impl Iterator<Item = (Wanted, Option<Sight>)> {
        let flags = [false, true];
        State::ALL.into_iter().flat_map(move |state| {
            SIGHTS.into_iter().flat_map(move |seen| {
                flags.into_iter().flat_map(move |reboot| {
                    flags.into_iter().flat_map(move |terminate_on_shutdown| {
                        flags.into_iter().map(move |forgotten| {
                            let wanted = Wanted {
                                state,
                                reboot,
                                terminate_on_shutdown,
                                forgotten,
                            };
                            (wanted, seen)
                        })
                    })
                })
            })
        })
    }

    #[test]
    fn every_instance_settles_where_it_belongs() {
        for (first, sight) in all() {
            let (mut wanted, mut seen) = (first, sight);
            let mut steps = Vec::new();
            while let Some(next) = {
                let step = step(Some(wanted), seen);
                steps.push(step);
                after(wanted, seen, step)
            } {
                (wanted, seen) = next;
                assert!(
                    steps.len() < 8,
                    "{first:?} {sight:?} never settles: {steps:?}"
                );
            }
            let settled = match wanted.state {
                State::Running => matches!(seen, Some(Sight::Running { .. })) && !wanted.reboot,
                State::Stopped => matches!(seen, None | Some(Sight::Ended { .. })),
                State::Terminated => seen.is_none(),
                State::Pending | State::Stopping | State::ShuttingDown => false,
            };
            assert!(settled, "{first:?} {sight:?} ends as {wanted:?} {seen:?}");
        }
    }

    #[test]
    fn nothing_is_started_that_should_not_run() {
        for (wanted, seen) in all() {
            let starts = step(Some(wanted), seen) == Step::Start;
            let may = matches!(wanted.state, State::Pending | State::Running);
            assert!(!starts || may, "{wanted:?} {seen:?}");
        }
    }

    #[test]
    fn a_machine_without_a_row_goes_away() {
        assert_eq!(step(None, SIGHTS[2]), Step::Stop);
        assert_eq!(step(None, SIGHTS[5]), Step::Remove);
        assert_eq!(step(None, None), Step::Nothing);
    }

    #[test]
    fn its_own_shutdown_stops_or_terminates_an_instance() {
        let of = |terminate_on_shutdown| Wanted {
            state: State::Running,
            reboot: false,
            terminate_on_shutdown,
            forgotten: false,
        };
        assert_eq!(
            step(Some(of(false)), SIGHTS[4]),
            Step::Ended(State::Stopping)
        );
        assert_eq!(
            step(Some(of(true)), SIGHTS[4]),
            Step::Ended(State::ShuttingDown)
        );
    }
}
