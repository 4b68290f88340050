//! Who may use a bucket, as its own configuration says: read and parsed once per revision.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gureum_kit::{Reader, Store};
use gureum_policy::{Kind, Policy};

use crate::errors::{Code, Result};
use crate::model::{Bucket, Config};

/// Buckets whose rules are kept in memory; beyond it, the cache begins anew.
const KEPT: usize = 10_000;

/// The kind of the [`Config`] row that holds the bucket policy's text.
pub(crate) const POLICY: &str = "policy";

/// What a bucket's configuration says of access to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) policy: Option<Arc<Policy>>,
}

impl Rules {
    fn load(from: &impl Reader, bucket: &Bucket) -> Result<Self> {
        let config = from.get::<Config>((bucket.id, POLICY))?;
        let policy = config
            .map(|config| Policy::parse(&config.text, Kind::Resource))
            .transpose()
            .map_err(|error| {
                // It was checked when it was put. Whom it denies must not come in by accident.
                tracing::error!(bucket = bucket.name, %error, "a bucket policy cannot be read");
                Code::InternalError
            })?;
        Ok(Self {
            policy: policy.map(Arc::new),
        })
    }
}

/// Rules by bucket id, each with the revision they were read from.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<u64, (u64, Arc<Rules>)>>);

impl Cache {
    pub(crate) fn get(&self, store: &Store, bucket: &Bucket) -> Result<Arc<Rules>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((revision, rules)) = known.get(&bucket.id)
            && *revision == bucket.revision
        {
            return Ok(Arc::clone(rules));
        }
        let rules = Arc::new(Rules::load(&store.read(), bucket)?);
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(bucket.id, (bucket.revision, Arc::clone(&rules)));
        Ok(rules)
    }
}
