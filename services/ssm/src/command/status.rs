//! Where invocations stand, and what that means for their command.
//!
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html>

use serde::{Deserialize, Serialize};

/// Where an invocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Pending,
    InProgress,
    Success,
    Failed,
    ExecutionTimedOut,
    DeliveryTimedOut,
    Cancelled,
    /// Others failed before its turn came.
    Terminated,
}

/// A status and its details, as the API words them.
pub(crate) type Words = (&'static str, &'static str);

impl State {
    pub(crate) fn is_over(self) -> bool {
        !matches!(self, Self::Pending | Self::InProgress)
    }

    /// Counts against `MaxErrors`.
    pub(crate) fn is_error(self) -> bool {
        matches!(self, Self::Failed | Self::ExecutionTimedOut)
    }

    /// `cancel`: it shall be cancelled.
    pub(crate) fn words(self, cancel: bool) -> Words {
        match self {
            Self::Pending | Self::InProgress if cancel => ("Cancelling", "Cancelling"),
            Self::Pending => ("Pending", "Pending"),
            Self::InProgress => ("InProgress", "InProgress"),
            Self::Success => ("Success", "Success"),
            Self::Failed => ("Failed", "Failed"),
            Self::ExecutionTimedOut => ("TimedOut", "ExecutionTimedOut"),
            Self::DeliveryTimedOut => ("TimedOut", "DeliveryTimedOut"),
            Self::Cancelled => ("Cancelled", "Cancelled"),
            Self::Terminated => ("Cancelled", "Terminated"),
        }
    }
}

/// Where a command stands whose invocations stand like this.
pub(crate) fn of_command(states: &[State], max_errors: usize, cancelled: bool) -> Words {
    let any = |wanted: fn(State) -> bool| states.iter().any(|state| wanted(*state));
    let count = |wanted: State| states.iter().filter(|state| **state == wanted).count();
    let errors = states.iter().filter(|state| state.is_error()).count();
    if states.is_empty() {
        return ("Success", "NoInstancesInTag");
    }
    if any(|state| !state.is_over()) {
        return match cancelled {
            true => ("Cancelling", "Cancelling"),
            false if count(State::Pending) == states.len() => ("Pending", "Pending"),
            false => ("InProgress", "InProgress"),
        };
    }
    if count(State::Success) == states.len() {
        return ("Success", "Success");
    }
    if cancelled && count(State::Cancelled) > 0 {
        return ("Cancelled", "Cancelled");
    }
    if errors > max_errors {
        return match count(State::Failed) {
            0 => ("TimedOut", "ExecutionTimedOut"),
            _ => ("Failed", "Failed"),
        };
    }
    match count(State::DeliveryTimedOut) == states.len() {
        true => ("TimedOut", "DeliveryTimedOut"),
        false => ("Failed", "Incomplete"),
    }
}

/// How many of `all` a text like `10` or `10%` means, rounded down. The model has checked the text.
pub(crate) fn share(text: &str, all: usize) -> usize {
    match text.strip_suffix('%') {
        Some(percent) => percent
            .parse()
            .map_or(0, |percent: usize| all * percent / 100),
        None => text.parse().unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::State::*;
    use super::*;

    #[test]
    fn commands_stand_where_their_invocations_do() {
        let cases: [(&[State], usize, bool, &str); 12] = [
            (&[], 0, false, "NoInstancesInTag"),
            (&[Pending, Pending], 0, false, "Pending"),
            (&[Pending, Success], 0, false, "InProgress"),
            (&[InProgress, Failed], 0, true, "Cancelling"),
            (&[Success, Success], 0, false, "Success"),
            (&[Success, Failed], 0, false, "Failed"),
            (&[Success, Failed], 1, false, "Incomplete"),
            (&[Failed, Terminated], 0, false, "Failed"),
            (&[ExecutionTimedOut], 0, false, "ExecutionTimedOut"),
            (&[DeliveryTimedOut], 0, false, "DeliveryTimedOut"),
            (&[Cancelled, Success], 0, true, "Cancelled"),
            (&[Success, DeliveryTimedOut], 0, false, "Incomplete"),
        ];
        for (states, max_errors, cancelled, details) in cases {
            assert_eq!(
                of_command(states, max_errors, cancelled).1,
                details,
                "{states:?}"
            );
        }
    }

    #[test]
    fn shares_are_numbers_or_percents() {
        assert_eq!(share("7", 3), 7);
        assert_eq!(share("50%", 5), 2);
        assert_eq!(share("100%", 5), 5);
        assert_eq!(share("0", 5), 0);
    }
}
