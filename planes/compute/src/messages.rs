//! What the processes of an instance say to each other, in frames of the room.

use serde::{Deserialize, Serialize};

use crate::spec::{Device, Exec, Outcome, Running};

/// Asked of a supervisor; each is answered by one [`Answer`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    State,
    /// Answered when the first process runs, or with why it never will.
    Started,
    /// Shut down in order, within so many ms, then by force. Answered when all is over.
    Stop {
        grace: u64,
    },
    /// Shut down in order and boot again. Answered when it runs again.
    Reboot {
        grace: u64,
    },
    /// With standard input, output and error. Answered when the program has ended; whoever hangs up
    /// before that ends it.
    Execute(Exec),
    /// Gives a running instance a block device.
    Plug(Device),
    /// Takes it away; who has it open keeps it.
    Unplug(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Failed(String),
    /// None: it starts.
    State(Option<Running>),
    Executed(Outcome),
}

/// From the supervisor to the first process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Ping,
    Shutdown {
        reboot: bool,
        grace: u64,
    },
    /// With three descriptors.
    Execute {
        number: u64,
        exec: Exec,
    },
    /// Nobody waits for this execution any more.
    Abandon {
        number: u64,
    },
}

/// From the first process to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The root stands and the process is confined. With the console's descriptor, and the
    /// interceptor's where there is one.
    Ready,
    /// It does not.
    Failed(String),
    Pong,
    Executed {
        number: u64,
        outcome: Outcome,
    },
    NotExecuted {
        number: u64,
        why: String,
    },
}

/// How the first process exits when it wants to be booted again.
pub(crate) const REBOOT: i32 = 64;
