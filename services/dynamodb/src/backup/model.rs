//! What backups keep in the store. Times are milliseconds since the epoch.

use bytes::Bytes;
use gureum_kit::names::id;
use gureum_kit::{AccountId, Arn, Reader, Region, Row, Scan};
use serde::{Deserialize, Serialize};

use super::DAY;
use crate::errors::Result;
use crate::model::{Entry, Table, TableKey};
use crate::sealing::Held;
use crate::value::key;

/// A table's past: from where it came, and how far back it can be told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct History {
    /// The log that writes are noted in; for recovery, or for a copy that is under way.
    #[serde(default)]
    pub(crate) log: Option<u64>,
    /// Point-in-time recovery, where it is on.
    #[serde(default)]
    pub(crate) recovery: Option<Recovery>,
    #[serde(default)]
    pub(crate) restored: Option<Restored>,
    /// Its items are still coming in; nobody may use it before they are there.
    #[serde(default)]
    pub(crate) making: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recovery {
    pub(crate) since: i64,
    pub(crate) days: i32,
}

impl Recovery {
    /// The earliest moment that can be told.
    pub(crate) fn earliest(self, now: i64) -> i64 {
        self.since.max(now - i64::from(self.days) * DAY)
    }
}

/// What a restored table was made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Restored {
    pub(crate) backup: Option<String>,
    pub(crate) table: String,
    pub(crate) at: i64,
}

/// What an item was before a change of it; or a mark, which has no item (see [`super::undo::mark`]).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Undo {
    pub(crate) log: u64,
    /// When the request came in that made the change.
    pub(crate) at: i64,
    pub(crate) partition: Bytes,
    pub(crate) sort: Bytes,
    pub(crate) old: Option<Held>,
}

impl Undo {
    /// Keys of items are never empty.
    pub(crate) fn is_mark(&self) -> bool {
        self.partition.is_empty()
    }
}

impl Row for Undo {
    const TABLE: &'static str = "dynamodb.undo";
    /// Log, and the number that the commit gives.
    type Key = (u64, u64);

    /// Only for the type: changes are appended, and the commit makes their key.
    fn key(&self) -> (u64, u64) {
        (self.log, 0)
    }
}

/// The items of one space on their way into another, as of a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Copy {
    pub(crate) target: u64,
    pub(crate) source: u64,
    /// The log to undo by, and the moment; `None` where the source does not change.
    pub(crate) as_of: Option<(u64, i64)>,
    pub(crate) step: Step,
    pub(crate) purpose: Purpose,
}

/// How far a copy has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Taking the items as they are, behind this one.
    Items(Option<Cursor>),
    /// Undoing the changes from `cut` on, those before `before` being next; the last comes first.
    Undo { cut: u64, before: u64 },
    /// Making index entries and counting.
    Count {
        cursor: Option<Cursor>,
        items: i64,
        bytes: i64,
    },
    /// Gathering what changed since the moment, in place of the items.
    Gather(Gather),
}

/// How far the gathering of what changed in a window has come. Commits are told by their numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Gather {
    /// Finding the commits of the window, which lasts to this moment. The log has a mark behind it.
    Begin { until: i64 },
    /// Noting the changes from `next` on; `end` is the first behind the window.
    Note { next: u64, end: u64 },
    /// Taking the items that were noted as they are, behind this one.
    Take { end: u64, cursor: Option<Cursor> },
    /// Undoing the changes from `end` on, those before `before` being next; the last comes first.
    Undo { end: u64, before: u64 },
}

/// What a copy is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Table(TableKey),
    Backup(BelowKey),
    Export(BelowKey),
}

impl Purpose {
    pub(crate) fn account(&self) -> &AccountId {
        match self {
            Self::Table((_, account, _)) => account,
            Self::Backup((_, account, ..)) | Self::Export((_, account, ..)) => account,
        }
    }
}

impl Row for Copy {
    const TABLE: &'static str = "dynamodb.copy";
    type Key = u64;

    fn key(&self) -> u64 {
        self.target
    }
}

/// The last item of a space that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    partition: Bytes,
    sort: Bytes,
}

impl Cursor {
    pub(crate) fn at(entry: &Entry) -> Self {
        Self::of(&entry.partition, &entry.sort)
    }

    fn of(partition: &Bytes, sort: &Bytes) -> Self {
        Self {
            partition: partition.clone(),
            sort: sort.clone(),
        }
    }

    /// The items of a space behind the cursor.
    pub(crate) fn rest(space: u64, cursor: Option<&Self>) -> Scan<Entry> {
        let scan = Scan::<Entry>::of((space,));
        match cursor {
            None => scan,
            Some(Self { partition, sort }) => scan.after((
                space,
                key::place(partition),
                partition.to_vec(),
                sort.to_vec(),
            )),
        }
    }
}

/// An item that changed in a window of time: what it was before, and what it is after. Either is
/// `None` where the item is not there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// The target of the copy that gathers.
    pub(crate) space: u64,
    pub(crate) partition: Bytes,
    pub(crate) sort: Bytes,
    /// When the request came in that made the last change.
    pub(crate) at: i64,
    pub(crate) before: Option<Held>,
    pub(crate) after: Option<Held>,
}

/// Space, place of the partition, partition key, sort key.
pub(crate) type ChangedKey = (u64, u64, Vec<u8>, Vec<u8>);

impl Changed {
    pub(crate) fn key_of(space: u64, partition: &Bytes, sort: &Bytes) -> ChangedKey {
        let place = key::place(partition);
        (space, place, partition.to_vec(), sort.to_vec())
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::of(&self.partition, &self.sort)
    }

    /// The changed items of a space behind the cursor.
    pub(crate) fn rest(space: u64, cursor: Option<&Cursor>) -> Scan<Self> {
        let scan = Scan::<Self>::of((space,));
        match cursor {
            None => scan,
            Some(Cursor { partition, sort }) => scan.after(Self::key_of(space, partition, sort)),
        }
    }

    /// The size of both images.
    pub(crate) fn size(&self) -> usize {
        let images = self.before.iter().chain(&self.after);
        images.map(Held::size).sum()
    }
}

impl Row for Changed {
    const TABLE: &'static str = "dynamodb.changed";
    type Key = ChangedKey;

    fn key(&self) -> ChangedKey {
        Self::key_of(self.space, &self.partition, &self.sort)
    }
}

/// Region, account, table, id: what names a thing that an ARN puts below a table.
pub(crate) type BelowKey = (Region, AccountId, String, String);

/// `…:table/NAME/backup/ID`, and the same for exports and imports.
pub(crate) fn arn_below(key: &BelowKey, kind: &str) -> String {
    let (region, account, table, id) = key;
    let resource = format!("table/{table}/{kind}/{id}");
    Arn::new("dynamodb", region, account, resource).to_string()
}

pub(crate) fn key_below(arn: &str, kind: &str) -> Option<BelowKey> {
    let arn: Arn = arn.parse().ok()?;
    let (table, rest) = arn.resource.strip_prefix("table/")?.split_once('/')?;
    let id = rest.strip_prefix(kind)?.strip_prefix('/')?;
    (arn.service == "dynamodb").then_some(())?;
    Some((
        arn.region.parse().ok()?,
        arn.account.parse().ok()?,
        table.to_owned(),
        id.to_owned(),
    ))
}

/// An id for something below a table; they sort by time.
pub(crate) fn new_id(now: i64) -> String {
    format!("{now:014}-{}", id::hex_digits(8))
}

/// A table's items and settings at one moment. It lives on when the table is gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Backup {
    pub(crate) table: Table,
    pub(crate) id: String,
    pub(crate) name: String,
    /// Where the items are.
    pub(crate) space: u64,
    pub(crate) at: i64,
    pub(crate) available: bool,
    /// Made by itself when the table was deleted; goes by itself at this time.
    pub(crate) expires: Option<i64>,
    pub(crate) items: i64,
    pub(crate) bytes: i64,
}

impl Backup {
    pub(crate) fn arn(&self) -> String {
        arn_below(&self.key(), "backup")
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self.expires {
            Some(_) => "SYSTEM",
            None => "USER",
        }
    }
}

impl Row for Backup {
    const TABLE: &'static str = "dynamodb.backup";
    type Key = BelowKey;

    fn key(&self) -> BelowKey {
        let (region, account, table) = self.table.key();
        (region, account, table, self.id.clone())
    }
}

/// The copies that need this space, as their source or as the log that they undo by.
pub(crate) fn readers(view: &impl Reader, space: u64) -> Result<Vec<Copy>> {
    let mut found = Vec::new();
    for copy in view.scan(Scan::<Copy>::all()) {
        let copy = copy?;
        if copy.source == space || copy.as_of.is_some_and(|(log, _)| log == space) {
            found.push(copy);
        }
    }
    Ok(found)
}
