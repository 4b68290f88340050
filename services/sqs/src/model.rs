//! What SQS keeps in the store: queues, messages, and what makes sends and receives repeatable.

use std::collections::BTreeMap;

use bytes::Bytes;
use gureum_kit::{AccountId, Arn, Region, Row};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// What names a queue: region, account, name.
pub(crate) type QueueKey = (Region, AccountId, String);

/// A queue as its owner made it. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct QueueRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) name: String,
    /// Never used again, so that what a deleted queue leaves behind is nobody else's.
    pub(crate) id: u64,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) settings: Settings,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// Messages up to this sequence number have been purged, whatever rows are left of them.
    #[serde(default)]
    pub(crate) purged: u64,
    #[serde(default)]
    pub(crate) purged_at: Option<i64>,
}

impl QueueRow {
    pub(crate) fn arn(&self) -> Arn {
        Arn::new("sqs", &self.region, &self.account, self.name.clone())
    }
}

impl Row for QueueRow {
    const TABLE: &'static str = "sqs.queue";
    type Key = QueueKey;

    fn key(&self) -> QueueKey {
        (self.region.clone(), self.account, self.name.clone())
    }
}

/// That a queue of this name was deleted; the name stays taken for a minute.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) deleted: i64,
}

impl Row for Tombstone {
    const TABLE: &'static str = "sqs.deleted";
    type Key = QueueKey;

    fn key(&self) -> QueueKey {
        (self.region.clone(), self.account, self.name.clone())
    }
}

/// Where a message stands in its queue: small, and rewritten with every receive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) queue: u64,
    /// Its place in the order of sends; unique in the whole service.
    pub(crate) seq: u64,
    /// The id that clients see, a UUID.
    pub(crate) id: String,
    /// The key of its [`Content`], which stays where it is when the message moves.
    pub(crate) content: u64,
    pub(crate) sent: i64,
    /// Not to be received before this moment: delayed, or in flight when it has been received.
    pub(crate) visible: i64,
    /// Receives in this queue. Numbers the receipt handles.
    pub(crate) receives: u32,
    /// Receives in the queues that it came from as a dead letter.
    #[serde(default)]
    pub(crate) receives_before: u32,
    #[serde(default)]
    pub(crate) first_received: Option<i64>,
    #[serde(default)]
    pub(crate) last_received: Option<i64>,
    #[serde(default)]
    pub(crate) group: Option<String>,
    /// The ARN of the queue that gave it up as a dead letter.
    #[serde(default)]
    pub(crate) source: Option<String>,
}

impl Row for Message {
    const TABLE: &'static str = "sqs.message";
    type Key = (u64, u64);

    fn key(&self) -> (u64, u64) {
        (self.queue, self.seq)
    }
}

/// What a message says: written once, sealed where the queue wants encryption.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) id: u64,
    /// Random, and makes the key; absent when `data` is in the clear.
    pub(crate) salt: Option<[u8; 16]>,
    /// The data key that makes the key together with the salt, where the queue has a KMS key.
    #[serde(default)]
    pub(crate) kms: Option<KmsSealed>,
    /// A [`crate::content::Payload`] in MessagePack.
    pub(crate) data: Bytes,
}

/// A data key as KMS sealed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KmsSealed {
    pub(crate) blob: Bytes,
    /// ARN of the queue that it was made for; a message keeps it when it moves.
    pub(crate) context: String,
}

impl Row for Content {
    const TABLE: &'static str = "sqs.content";
    type Key = u64;

    fn key(&self) -> u64 {
        self.id
    }
}

/// That a message with this deduplication id was sent to a FIFO queue, until `expires`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Duplicate {
    pub(crate) queue: u64,
    /// The deduplication id, under its group where that is the queue's scope.
    pub(crate) key: String,
    pub(crate) message: String,
    pub(crate) seq: u64,
    pub(crate) expires: i64,
}

impl Row for Duplicate {
    const TABLE: &'static str = "sqs.duplicate";
    type Key = (u64, String);

    fn key(&self) -> (u64, String) {
        (self.queue, self.key.clone())
    }
}

/// What a receive with an attempt id brought, so that a retry brings the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) queue: u64,
    pub(crate) id: String,
    /// Sequence number, number of the receive, and end of invisibility of each message.
    pub(crate) messages: Vec<(u64, u32, i64)>,
    pub(crate) expires: i64,
}

impl Row for Attempt {
    const TABLE: &'static str = "sqs.attempt";
    type Key = (u64, String);

    fn key(&self) -> (u64, String) {
        (self.queue, self.id.clone())
    }
}

/// A message move task: dead letters on their way back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MoveTask {
    /// The queue that is emptied.
    pub(crate) source: String,
    pub(crate) id: u64,
    /// Where to; back to where each message came from when unset.
    pub(crate) destination: Option<String>,
    /// Messages per second.
    pub(crate) rate: Option<i32>,
    pub(crate) status: MoveStatus,
    pub(crate) started: i64,
    pub(crate) moved: i64,
    pub(crate) to_move: i64,
    /// Messages sent after this sequence number stay.
    pub(crate) until: u64,
    #[serde(default)]
    pub(crate) failure: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MoveStatus {
    Running,
    Completed,
    Cancelling,
    Cancelled,
    Failed,
}

impl MoveStatus {
    /// As the API says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
        }
    }

    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }
}

impl Row for MoveTask {
    const TABLE: &'static str = "sqs.move";
    type Key = (String, u64);

    fn key(&self) -> (String, u64) {
        (self.source.clone(), self.id)
    }
}

/// Counts the starts of the service. Numbers given out begin with it, so that none comes twice
/// although the count within one run is kept in memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) number: u64,
}

impl Row for Epoch {
    const TABLE: &'static str = "sqs.epoch";
    type Key = ();

    fn key(&self) {}
}
