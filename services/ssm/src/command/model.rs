//! Rows: commands, what became of each on each instance, and which of those are not over.

use std::collections::BTreeMap;

use gureum_kit::{AccountId, Region, Row};
use serde::{Deserialize, Serialize};

use super::status::State;

/// Region, account, id of the command.
pub(crate) type CommandRef = (Region, AccountId, String);
/// Region, account, id of the command, id of the instance.
pub(crate) type InvocationRef = (Region, AccountId, String, String);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CommandRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) id: String,
    pub(crate) document_version: String,
    pub(crate) comment: String,
    pub(crate) parameters: BTreeMap<String, Vec<String>>,
    /// As they were named; what targets meant is in the invocations.
    pub(crate) instances: Vec<String>,
    pub(crate) targets: Vec<(String, Vec<String>)>,
    /// `10` or `10%`.
    pub(crate) max_concurrency: String,
    pub(crate) max_errors: String,
    /// How many invocations it has.
    pub(crate) target_count: usize,
    /// Milliseconds since the epoch.
    pub(crate) requested: i64,
    /// Seconds that it may take until a script has begun, and then until it has ended.
    pub(crate) delivery_timeout: i64,
    pub(crate) execution_timeout: i64,
    /// All of it was cancelled.
    pub(crate) cancelled: bool,
}

impl CommandRow {
    /// When an invocation that has not begun never will.
    pub(crate) fn delivery_ends(&self) -> i64 {
        self.requested + self.delivery_timeout * 1000
    }

    /// When all is over, one way or another.
    pub(crate) fn expires(&self) -> i64 {
        self.delivery_ends() + self.execution_timeout * 1000
    }
}

impl Row for CommandRow {
    const TABLE: &'static str = "ssm.command";
    type Key = CommandRef;

    fn key(&self) -> Self::Key {
        (self.region.clone(), self.account, self.id.clone())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InvocationRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) command: String,
    pub(crate) instance: String,
    /// The instance's host name when the command was sent.
    pub(crate) instance_name: String,
    pub(crate) requested: i64,
    pub(crate) state: State,
    /// It shall be cancelled, or was.
    pub(crate) cancel: bool,
    /// When the script began and ended, in milliseconds since the epoch.
    pub(crate) begun: Option<i64>,
    pub(crate) ended: Option<i64>,
    /// The script's exit code; -1 while there is none.
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Row for InvocationRow {
    const TABLE: &'static str = "ssm.invocation";
    type Key = InvocationRef;

    fn key(&self) -> Self::Key {
        (
            self.region.clone(),
            self.account,
            self.command.clone(),
            self.instance.clone(),
        )
    }
}

/// An invocation that is not over: what there is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OpenRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) command: String,
    pub(crate) instance: String,
}

impl Row for OpenRow {
    const TABLE: &'static str = "ssm.open-invocation";
    type Key = InvocationRef;

    fn key(&self) -> Self::Key {
        (
            self.region.clone(),
            self.account,
            self.command.clone(),
            self.instance.clone(),
        )
    }
}
