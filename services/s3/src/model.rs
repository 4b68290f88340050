//! S3's rows.
//!
//! Listing must be fast and a put must be small, which decides the layout:
//!
//! * [`Current`] holds the newest version of each key, if that is an object. A bucket that never
//!   had versioning has nothing else, and a listing reads nothing else.
//! * [`Past`] holds all other versions, newest first, and every delete marker.
//! * [`Content`] holds what would make those rows heavy: small content itself, and the list of
//!   parts of an object that was uploaded in parts.
//! * [`File`] is the ledger of content files that some row refers to; [`Garbage`] those that none
//!   refers to any more. Both change in the transaction that makes it so, which is why a crash
//!   neither loses content nor leaks it (see `reconcile`).

use std::collections::BTreeMap;

use gureum_blob::{Algorithm, BlobId, Piece};
use gureum_kit::{AccountId, Region, Row};
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::acl::Acl;
use crate::sealing::Sealing;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    /// Rows of the bucket's objects are filed under this, so that a later bucket of the same name
    /// never meets them.
    pub(crate) id: u64,
    pub(crate) owner: AccountId,
    pub(crate) region: Region,
    pub(crate) created: Timestamp,
    #[serde(default)]
    pub(crate) versioning: Versioning,
    /// Object Lock may be used; never taken back.
    #[serde(default)]
    pub(crate) object_lock: bool,
    /// Grows with every change of the bucket's configuration: what is derived from it is cached
    /// under (id, revision).
    #[serde(default)]
    pub(crate) revision: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Versioning {
    /// Never switched on.
    #[default]
    Never,
    Enabled,
    Suspended,
}

impl Row for Bucket {
    const TABLE: &'static str = "s3.bucket";
    type Key = String;
    fn key(&self) -> String {
        self.name.clone()
    }
}

/// One configuration document of a bucket, in the form its own module gives it. It is not part of
/// the bucket's row because that one is read on every request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) bucket: u64,
    /// `policy`, `cors`, …
    pub(crate) kind: String,
    pub(crate) text: String,
}

impl Row for Config {
    const TABLE: &'static str = "s3.config";
    type Key = (u64, String);
    fn key(&self) -> Self::Key {
        (self.bucket, self.kind.clone())
    }
}

/// One version of one key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) bucket: u64,
    pub(crate) key: String,
    /// Orders the versions of a key; 0 until it is filed.
    pub(crate) seq: u64,
    /// Makes version ids unguessable and unrepeatable.
    #[serde(default)]
    pub(crate) salt: u64,
    /// The version that has no id of its own.
    pub(crate) null: bool,
    pub(crate) modified: Timestamp,
    pub(crate) owner: AccountId,
    /// `None`: a delete marker.
    pub(crate) object: Option<Object>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) stored: Stored,
    pub(crate) sealing: Sealing,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<Checksum>,
    #[serde(default)]
    pub(crate) traits: Traits,
    /// How many parts it was uploaded in; 0 when in one go.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) parts: u32,
    /// The multipart upload that made it: completing the same upload again finds it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upload: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restore: Option<Restore>,
}

/// What the uploader says of an object.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Traits {
    #[serde(default)]
    pub(crate) class: StorageClass,
    /// System headers by lower-case name: `content-type`, `cache-control`, ….
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    /// User metadata, names without `x-amz-meta-`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Lock::is_open")]
    pub(crate) lock: Lock,
    /// `None`: its owner's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acl: Option<Acl>,
    /// Whose it shall be, until it is filed; `None`: the bucket owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<AccountId>,
}

/// Where an object's content is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stored {
    /// In the [`Content`] row of this version.
    Inline,
    File(BlobId),
    /// In the pieces that the [`Content`] row of this version lists.
    Parts,
}

/// A checksum as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    /// Base64; with `-N` behind it when it is the checksum of N parts' checksums.
    pub(crate) value: String,
    pub(crate) composite: bool,
}

/// What Object Lock holds back.
///
/// Source: "Locking objects with Object Lock" in the S3 User Guide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lock {
    #[serde(default)]
    pub(crate) retention: Option<(LockMode, Timestamp)>,
    /// `None`: nobody has said anything about one.
    #[serde(default)]
    pub(crate) legal_hold: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LockMode {
    Governance,
    Compliance,
}

impl Lock {
    pub(crate) fn is_open(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn legal_hold_shown(&self) -> Option<String> {
        let shown = |held| if held { "ON" } else { "OFF" };
        self.legal_hold.map(|held| shown(held).to_owned())
    }

    /// Whether the version must not be deleted. `bypass` lifts governance, and nothing else.
    pub(crate) fn holds(&self, now: Timestamp, bypass: bool) -> bool {
        let retained = self
            .retention
            .is_some_and(|(mode, until)| now < until && !(bypass && mode == LockMode::Governance));
        self.legal_hold == Some(true) || retained
    }
}

/// A temporary copy of an archived object; what it is follows from the time alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restore {
    /// The copy can be read from here on.
    pub(crate) ready: Timestamp,
    pub(crate) expires: Timestamp,
}

macro_rules! storage_classes {
    ($($variant:ident $name:literal)*) => {
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) enum StorageClass { #[default] $($variant),* }

        impl StorageClass {
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

storage_classes! {
    Standard "STANDARD"
    ReducedRedundancy "REDUCED_REDUNDANCY"
    StandardIa "STANDARD_IA"
    OneZoneIa "ONEZONE_IA"
    IntelligentTiering "INTELLIGENT_TIERING"
    GlacierIr "GLACIER_IR"
    Glacier "GLACIER"
    DeepArchive "DEEP_ARCHIVE"
}

impl StorageClass {
    /// Must be restored before it can be read.
    pub(crate) fn archived(self) -> bool {
        matches!(self, Self::Glacier | Self::DeepArchive)
    }
}

/// The newest version of a key, which is an object.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Current(pub(crate) Version);

impl Row for Current {
    const TABLE: &'static str = "s3.current";
    type Key = (u64, String);
    fn key(&self) -> Self::Key {
        (self.0.bucket, self.0.key.clone())
    }
}

/// Any other version, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Past(pub(crate) Version);

impl Row for Past {
    const TABLE: &'static str = "s3.past";
    type Key = (u64, String, u64);
    fn key(&self) -> Self::Key {
        (self.0.bucket, self.0.key.clone(), !self.0.seq)
    }
}

/// Which of a key's past versions is the null version, if one is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PastNull {
    pub(crate) bucket: u64,
    pub(crate) key: String,
    pub(crate) seq: u64,
}

impl Row for PastNull {
    const TABLE: &'static str = "s3.past-null";
    type Key = (u64, String);
    fn key(&self) -> Self::Key {
        (self.bucket, self.key.clone())
    }
}

/// The heavy part of a version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) bucket: u64,
    pub(crate) key: String,
    pub(crate) seq: u64,
    pub(crate) pieces: Vec<Piece>,
    /// One for each piece of an object uploaded in parts; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<PartInfo>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PartInfo {
    pub(crate) number: u32,
    pub(crate) size: u64,
    pub(crate) checksum: Option<Checksum>,
}

impl Row for Content {
    const TABLE: &'static str = "s3.content";
    type Key = (u64, String, u64);
    fn key(&self) -> Self::Key {
        (self.bucket, self.key.clone(), self.seq)
    }
}

/// A multipart upload under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) bucket: u64,
    pub(crate) key: String,
    /// Sorts by the time of its beginning.
    pub(crate) id: String,
    pub(crate) begun: Timestamp,
    pub(crate) owner: AccountId,
    /// ARN and account of who began it.
    pub(crate) initiator: String,
    pub(crate) sealing: Sealing,
    /// `None`: the client named none, and the object gets our default.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) composite: bool,
    pub(crate) traits: Traits,
}

impl Row for Upload {
    const TABLE: &'static str = "s3.upload";
    type Key = (u64, String, String);
    fn key(&self) -> Self::Key {
        (self.bucket, self.key.clone(), self.id.clone())
    }
}

/// A part of an upload under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) upload: String,
    pub(crate) number: u64,
    pub(crate) size: u64,
    /// Hexadecimal, without quotes.
    pub(crate) etag: String,
    pub(crate) modified: Timestamp,
    /// Of the upload's algorithm.
    pub(crate) checksum: Option<Checksum>,
    /// Of the algorithm that the client chose for this part, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claimed: Option<Checksum>,
    pub(crate) piece: Piece,
}

impl Row for Part {
    const TABLE: &'static str = "s3.part";
    type Key = (String, u64);
    fn key(&self) -> Self::Key {
        (self.upload.clone(), self.number)
    }
}

/// A content file that some row refers to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) id: BlobId,
}

impl Row for File {
    const TABLE: &'static str = "s3.file";
    type Key = Vec<u8>;
    fn key(&self) -> Vec<u8> {
        self.id.as_bytes().to_vec()
    }
}

/// A content file that no row refers to any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Garbage {
    pub(crate) id: BlobId,
}

impl Row for Garbage {
    const TABLE: &'static str = "s3.garbage";
    type Key = Vec<u8>;
    fn key(&self) -> Vec<u8> {
        self.id.as_bytes().to_vec()
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
