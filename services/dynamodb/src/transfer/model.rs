//! What exports and imports keep in the store. Times are milliseconds since the epoch.

use gureum_kit::{Region, Row};
use serde::{Deserialize, Serialize};

use super::asked::Asked;
use super::window::Window;
use crate::backup::model::{BelowKey, Cursor, arn_below};
use crate::model::Table;

/// A table on its way to a bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Export {
    pub(crate) table: Table,
    pub(crate) id: String,
    pub(crate) asked: Asked,
    pub(crate) token: Option<String>,
    pub(crate) bucket: Bucket,
    pub(crate) sse: Option<String>,
    pub(crate) kms_key: Option<String>,
    /// The moment that is exported; of an incremental export, the end of its window.
    pub(crate) at: i64,
    /// What is exported is what changed in it.
    #[serde(default)]
    pub(crate) window: Option<Window>,
    pub(crate) started: i64,
    pub(crate) ended: Option<i64>,
    /// Where the copy is that is written out.
    pub(crate) space: u64,
    pub(crate) stage: ExportStage,
    pub(crate) files: Vec<DataFile>,
    pub(crate) items: i64,
    pub(crate) bytes: i64,
}

/// A place in S3.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) owner: Option<String>,
    pub(crate) prefix: Option<String>,
    /// Where S3 said it is, when that is elsewhere.
    pub(crate) region: Option<Region>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ExportStage {
    Copying,
    /// Items up to this one are in the bucket.
    Writing(Option<Cursor>),
    Done,
    Failed(Failure),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// An object that an export wrote.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DataFile {
    pub(crate) key: String,
    pub(crate) items: i64,
    pub(crate) md5: String,
    pub(crate) etag: String,
}

impl Export {
    pub(crate) fn arn(&self) -> String {
        arn_below(&self.key(), "export")
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self.window {
            Some(_) => "INCREMENTAL_EXPORT",
            None => "FULL_EXPORT",
        }
    }

    /// The key of an object of this export.
    pub(crate) fn object(&self, name: &str) -> String {
        self.below(&format!("{}/{name}", self.id))
    }

    /// The key of a data file. Incremental exports to one place keep theirs in one folder.
    pub(crate) fn data_file(&self, name: &str) -> String {
        match self.window {
            Some(_) => self.below(&format!("data/{name}")),
            None => self.object(&format!("data/{name}")),
        }
    }

    fn below(&self, name: &str) -> String {
        let prefix = self.bucket.prefix.as_deref().unwrap_or_default();
        let slash = if prefix.is_empty() || prefix.ends_with('/') {
            ""
        } else {
            "/"
        };
        format!("{prefix}{slash}AWSDynamoDB/{name}")
    }
}

impl Row for Export {
    const TABLE: &'static str = "dynamodb.export";
    type Key = BelowKey;

    fn key(&self) -> BelowKey {
        let (region, account, table) = self.table.key();
        (region, account, table, self.id.clone())
    }
}

/// A table that is made of objects of a bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Import {
    pub(crate) table: Table,
    pub(crate) id: String,
    pub(crate) asked: Asked,
    pub(crate) token: Option<String>,
    pub(crate) bucket: Bucket,
    pub(crate) format: Format,
    pub(crate) compression: Option<String>,
    pub(crate) started: i64,
    pub(crate) ended: Option<i64>,
    pub(crate) stage: ImportStage,
    pub(crate) bytes: i64,
    pub(crate) processed: i64,
    pub(crate) imported: i64,
    pub(crate) errors: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Format {
    Json,
    Csv {
        delimiter: Option<String>,
        header: Option<Vec<String>>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ImportStage {
    Reading(Progress),
    Done,
    Failed(Failure),
}

/// How far an import has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The last object that is in the table as a whole.
    pub(crate) after: Option<String>,
    /// The object that is being read, and how many of its records are in.
    pub(crate) object: Option<Object>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) etag: Option<String>,
    pub(crate) records: u64,
}

impl Import {
    pub(crate) fn arn(&self) -> String {
        arn_below(&self.key(), "import")
    }
}

impl Row for Import {
    const TABLE: &'static str = "dynamodb.import";
    type Key = BelowKey;

    fn key(&self) -> BelowKey {
        let (region, account, table) = self.table.key();
        (region, account, table, self.id.clone())
    }
}
