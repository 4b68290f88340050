//! What DynamoDB keeps in the store: tables, items and index entries, stream records.

use std::collections::BTreeMap;

use bytes::Bytes;
use gureum_kit::{AccountId, Arn, Region, Row};
use serde::{Deserialize, Serialize};

use crate::backup::model::History;
use crate::errors::{Refusal, Result};
use crate::global::model::Origin;
use crate::sealing::{Held, Sealing, key_of};
use crate::value::{Item, key};

/// What names a table: region, account, name.
pub(crate) type TableKey = (Region, AccountId, String);

/// A table as its owner made it. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) name: String,
    /// The space of its items; never used again.
    pub(crate) id: u64,
    pub(crate) uuid: String,
    pub(crate) created: i64,
    /// Key attributes of the table and its indexes with their types (`S`, `N`, `B`).
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) keys: KeySchema,
    #[serde(default)]
    pub(crate) locals: Vec<Index>,
    #[serde(default)]
    pub(crate) globals: Vec<Index>,
    pub(crate) billing: Billing,
    #[serde(default)]
    pub(crate) stream: Option<Stream>,
    /// The attribute that says when an item expires.
    #[serde(default)]
    pub(crate) ttl: Option<String>,
    #[serde(default)]
    pub(crate) protected: bool,
    #[serde(default)]
    pub(crate) class: Option<String>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) policy: Option<ResourcePolicy>,
    #[serde(default)]
    pub(crate) history: History,
    /// The other regions of a global table.
    #[serde(default)]
    pub(crate) replicas: Vec<Region>,
    /// Its encryption; `None` for a table from before all were encrypted.
    #[serde(default)]
    pub(crate) sealing: Option<Sealing>,
    /// In a global table of version 2017.11.29: the space of its items' versions.
    #[serde(default)]
    pub(crate) legacy: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeySchema {
    pub(crate) partition: String,
    pub(crate) sort: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) name: String,
    /// The space of its entries; never used again.
    pub(crate) id: u64,
    pub(crate) keys: KeySchema,
    pub(crate) projection: Projected,
    #[serde(default)]
    pub(crate) throughput: Throughput,
    /// It was added to a table that has items, and not all of them have come in yet.
    #[serde(default)]
    pub(crate) backfilling: bool,
}

/// Which attributes an index holds beside the keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Projected {
    All,
    KeysOnly,
    Include(Vec<String>),
}

/// Capacity units per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Throughput {
    pub(crate) read: i64,
    pub(crate) write: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Billing {
    pub(crate) on_demand: bool,
    /// When it last became on-demand.
    pub(crate) on_demand_since: Option<i64>,
    /// Zero when on-demand.
    pub(crate) throughput: Throughput,
    pub(crate) increased: Option<i64>,
    pub(crate) decreased: Option<i64>,
}

/// The stream that a table writes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) id: u64,
    pub(crate) label: String,
    pub(crate) view: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ResourcePolicy {
    pub(crate) text: String,
    pub(crate) revision: String,
}

impl Table {
    pub(crate) fn arn(&self) -> Arn {
        let resource = format!("table/{}", self.name);
        Arn::new("dynamodb", &self.region, &self.account, resource)
    }

    pub(crate) fn index_arn(&self, index: &str) -> String {
        format!("{}/index/{index}", self.arn())
    }

    pub(crate) fn stream_arn(&self) -> Option<String> {
        let stream = self.stream.as_ref()?;
        Some(format!("{}/stream/{}", self.arn(), stream.label))
    }

    /// The type of a key attribute.
    pub(crate) fn kind(&self, attribute: &str) -> &str {
        let found = self.attributes.iter().find(|(name, _)| name == attribute);
        found.map_or("S", |(_, kind)| kind)
    }

    /// A table whose items are still coming in cannot be changed.
    pub(crate) fn made(&self) -> Result<()> {
        if self.history.making {
            return Err(Refusal::InUse(format!(
                "Attempt to change a resource which is still in use: Table is being created: {}",
                self.name
            )));
        }
        Ok(())
    }

    /// Nor can one be deleted that is protected.
    pub(crate) fn may_go(&self) -> Result<()> {
        self.made()?;
        if self.protected {
            return Err(Refusal::validation(
                "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.",
            ));
        }
        Ok(())
    }

    pub(crate) fn indexes(&self) -> impl Iterator<Item = &Index> {
        self.locals.iter().chain(&self.globals)
    }
}

impl KeySchema {
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.partition).chain(&self.sort)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names().any(|key| key == name)
    }
}

impl Row for Table {
    const TABLE: &'static str = "dynamodb.table";
    type Key = TableKey;

    fn key(&self) -> TableKey {
        (self.region.clone(), self.account, self.name.clone())
    }
}

/// An item of a table, or the part of it that an index holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The table's or the index's id.
    pub(crate) space: u64,
    pub(crate) partition: Bytes,
    /// Empty without a sort key.
    pub(crate) sort: Bytes,
    /// In an index, the item's key in the table: index keys need not be unique.
    #[serde(default)]
    pub(crate) base: Bytes,
    pub(crate) item: Held,
}

impl Entry {
    /// The key of its item in the table, as [`crate::items::ItemKey::base`] gives it.
    pub(crate) fn item_key(&self) -> Bytes {
        if self.base.is_empty() {
            return base(&self.partition, &self.sort).into();
        }
        self.base.clone()
    }

    /// The item, or the part of it that is here.
    pub(crate) fn open(&self, table: &Table) -> Result<Item> {
        self.item.open(table.data_key()?, &self.item_key())
    }
}

/// The key of an item as one string of bytes.
pub(crate) fn base(partition: &[u8], sort: &[u8]) -> Vec<u8> {
    let len = partition.len() as u64;
    [&len.to_be_bytes()[6..], partition, sort].concat()
}

/// Space, place of the partition in scans, partition key, sort key, key in the table.
pub(crate) type EntryKey = (u64, u64, Vec<u8>, Vec<u8>, Vec<u8>);

impl Row for Entry {
    const TABLE: &'static str = "dynamodb.item";
    type Key = EntryKey;

    fn key(&self) -> EntryKey {
        (
            self.space,
            crate::value::key::place(&self.partition),
            self.partition.to_vec(),
            self.sort.to_vec(),
            self.base.to_vec(),
        )
    }
}

/// How far the filling of a new index has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Backfill {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) table: String,
    pub(crate) index: u64,
    /// The last item that was looked at: place, partition, sort.
    pub(crate) cursor: Option<(u64, Bytes, Bytes)>,
}

impl Row for Backfill {
    const TABLE: &'static str = "dynamodb.backfill";
    type Key = u64;

    fn key(&self) -> u64 {
        self.index
    }
}

/// A space (or stream) whose table or index is gone; its rows are removed in the background.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Grave {
    pub(crate) space: u64,
}

impl Row for Grave {
    const TABLE: &'static str = "dynamodb.grave";
    type Key = u64;

    fn key(&self) -> u64 {
        self.space
    }
}

/// What names a stream: region, account, table, label.
pub(crate) type StreamKey = (Region, AccountId, String, String);

/// A stream, which outlives its being switched off (or its table) by a day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) table: String,
    pub(crate) label: String,
    pub(crate) id: u64,
    pub(crate) view: String,
    pub(crate) keys: KeySchema,
    pub(crate) created: i64,
    pub(crate) closed: Option<i64>,
    #[serde(default)]
    pub(crate) policy: Option<ResourcePolicy>,
    /// The encryption of its table.
    #[serde(default)]
    pub(crate) sealing: Option<Sealing>,
}

impl StreamInfo {
    pub(crate) fn arn(&self) -> String {
        let resource = format!("table/{}/stream/{}", self.table, self.label);
        Arn::new("dynamodb", &self.region, &self.account, resource).to_string()
    }

    /// An image in a record of the item with these keys.
    pub(crate) fn open(&self, keys: &Item, image: &Held) -> Result<Item> {
        let encoded = |name: Option<&String>| {
            let value = name.and_then(|name| keys.get(name));
            value.and_then(key::encode).unwrap_or_default()
        };
        let partition = encoded(Some(&self.keys.partition));
        let sort = encoded(self.keys.sort.as_ref());
        image.open(key_of(self.sealing.as_ref())?, &base(&partition, &sort))
    }
}

impl Row for StreamInfo {
    const TABLE: &'static str = "dynamodb.stream";
    type Key = StreamKey;

    fn key(&self) -> Self::Key {
        (
            self.region.clone(),
            self.account,
            self.table.clone(),
            self.label.clone(),
        )
    }
}

/// One change of an item. Its sequence number is given by the commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The stream's id.
    pub(crate) stream: u64,
    pub(crate) at: i64,
    pub(crate) id: String,
    pub(crate) kind: Change,
    pub(crate) keys: Item,
    pub(crate) old: Option<Held>,
    pub(crate) new: Option<Held>,
    pub(crate) size: u64,
    /// It was removed because its time had come.
    #[serde(default)]
    pub(crate) expired: bool,
    /// When and where the change was made, in a global table.
    #[serde(default)]
    pub(crate) origin: Option<Origin>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    Insert,
    Modify,
    Remove,
}

impl Change {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Modify => "MODIFY",
            Self::Remove => "REMOVE",
        }
    }
}

impl Row for Record {
    const TABLE: &'static str = "dynamodb.record";
    /// Stream, and the number that the commit gives.
    type Key = (u64, u64);

    /// Only for the type: records are appended, and the commit makes their key.
    fn key(&self) -> (u64, u64) {
        (self.stream, 0)
    }
}
