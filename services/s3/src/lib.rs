//! S3: objects in buckets.
//!
//! A bucket is a row, an object is a row, and its content is either in a row beside it (up to 64
//! KiB) or in files of the blob plane. Content is written first and durable; then one transaction
//! makes the object appear, complete, and frees what it replaced.
//!
//! Invariants:
//! * An acknowledged write is durable and every later read and listing shows it; of concurrent
//!   writes to a key, the one that commits last wins.
//! * No byte is returned that does not match its checksum on disk.
//! * Every object is encrypted at rest, with a key of its own or with its owner's (see `sealing`).
//! * A content file is referred to by exactly one row, or is garbage, or is on its way
//!   (see `model` and `reconcile`).
//! * A listing holds one page in memory and reads no more rows than it returns and skips.
//!
//! Gaps, which are refused: double encryption with KMS keys, directory buckets and access points, S3 Select, replication,
//! appending to objects, MFA delete. `docs/services/s3.md` has them all.

mod access_log;
mod asks;
mod checksum;
mod conditions;
mod config;
mod content;
mod errors;
mod kms;
mod leases;
mod lifecycle;
mod list;
mod model;
mod named;
mod names;
mod notify;
mod ops;
mod range;
mod reconcile;
mod reset;
mod rules;
mod sealing;
mod tags;
mod traits;
mod versions;
mod web;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use gureum_blob::Blobs;
use gureum_dispatch::{Invalid, Service};
use gureum_kit::{Clock, Reader, Store};
use gureum_schema::Error;

use crate::errors::{Code, Result};
use crate::leases::Leases;
use crate::model::Bucket;
use crate::sealing::Keyring;

/// The service's state, shared by its handlers and its reconciler.
pub struct S3 {
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) clock: Clock,
    pub(crate) keyring: Keyring,
    pub(crate) leases: Leases,
    pub(crate) rules: rules::Cache,
    pub(crate) sequence: notify::Sequence,
    pub(crate) lines: access_log::Lines,
}

impl S3 {
    /// `root_key` wraps the keys of all objects: whoever loses it has lost their content.
    pub fn new(store: Store, blobs: Blobs, clock: Clock, root_key: &[u8; 32]) -> Arc<Self> {
        Arc::new(Self {
            store,
            blobs,
            clock,
            keyring: Keyring::new(root_key),
            leases: Leases::default(),
            rules: rules::Cache::default(),
            sequence: notify::Sequence::default(),
            lines: access_log::Lines::default(),
        })
    }

    /// The table of operations, and what is answered on the plain web: to websites under `domain`,
    /// to browsers' preflights and forms.
    pub fn service(self: &Arc<Self>, domain: &str) -> Service {
        let builder = Service::builder(&gureum_model_s3::SERVICE, Arc::clone(self))
            .denied(|_| Code::AccessDenied.error().into())
            .invalid(invalid)
            .admit_anonymous()
            .web(Arc::new(web::Front::new(Arc::clone(self), domain)));
        config::register(ops::register(builder)).build()
    }

    /// The bucket's row, as of `from`.
    pub(crate) fn bucket_in(from: &impl Reader, name: &str) -> Result<Bucket> {
        from.get::<Bucket>(name)?
            .ok_or_else(|| Code::NoSuchBucket.with("BucketName", name))
    }

    pub(crate) fn bucket(&self, name: &str) -> Result<Bucket> {
        Self::bucket_in(&self.store.read(), name)
    }
}

/// S3's words for what breaks the model. What stands inside of something stands in an XML document,
/// which then fits no schema.
fn invalid(invalid: &Invalid) -> Error {
    match invalid {
        Invalid::Missing { message, .. } => Code::InvalidRequest.says(message),
        Invalid::Constraint { path, message, .. } if !path.contains('.') => {
            Code::InvalidArgument.says(message)
        }
        Invalid::Constraint { .. } | Invalid::Malformed { .. } => Code::MalformedXML.error(),
    }
    .into()
}
