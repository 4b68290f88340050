//! What a bucket's configuration says that requests must know: read once per revision.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gureum_kit::{AccountId, Reader, Store, Tx};
use gureum_policy::Policy;
use serde_json::json;

use crate::config::acl::{self, Acl};
use crate::config::block::Block;
use crate::config::cors::Cors;
use crate::config::encryption::Encryption;
use crate::config::lifecycle::Lifecycle;
use crate::config::lock::Retention;
use crate::config::logging::Logging;
use crate::config::notification::Notifications;
use crate::config::ownership::Ownership;
use crate::config::website::Website;
use crate::config::{self, policy};
use crate::errors::Result;
use crate::model::{Bucket, Version};
use crate::names;

/// Buckets whose rules are kept in memory; beyond it, the cache begins anew.
const KEPT: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Who may do what: the bucket policy and the bucket's access control list in one, and within
    /// what Block Public Access leaves of them.
    pub(crate) policy: Option<Arc<Policy>>,
    pub(crate) block: Option<Block>,
    pub(crate) ownership: Ownership,
    pub(crate) cors: Option<Cors>,
    pub(crate) website: Option<Website>,
    pub(crate) encryption: Encryption,
    pub(crate) lifecycle: Option<Lifecycle>,
    pub(crate) lock: Option<Retention>,
    pub(crate) logging: Option<Logging>,
    pub(crate) notifications: Option<Notifications>,
}

impl Rules {
    pub(crate) fn load(from: &impl Reader, bucket: &Bucket) -> Result<Self> {
        let mut rules = Self {
            policy: None,
            block: config::get(from, bucket)?,
            ownership: config::get(from, bucket)?.unwrap_or_default(),
            cors: config::get(from, bucket)?,
            website: config::get(from, bucket)?,
            encryption: config::get(from, bucket)?.unwrap_or_default(),
            lifecycle: config::get(from, bucket)?,
            lock: config::get(from, bucket)?,
            logging: config::get(from, bucket)?,
            notifications: config::get(from, bucket)?,
        };
        rules.policy = rules.effective_policy(from, bucket)?.map(Arc::new);
        Ok(rules)
    }

    fn effective_policy(&self, from: &impl Reader, bucket: &Bucket) -> Result<Option<Policy>> {
        let mut policy = policy::load(from, bucket)?;
        let restrict = self.block.is_some_and(|block| block.restrict);
        if restrict && policy.as_ref().is_some_and(Policy::is_public) {
            policy = join(policy, insiders_only(bucket)?);
        }
        let list: Option<Acl> = config::get(from, bucket)?;
        if let Some(list) = list.filter(|_| !self.ownership.disables_acls()) {
            policy = join(
                policy,
                list.bucket_policy(bucket, self.ignores_public_acls())?,
            );
        }
        Ok(policy)
    }

    fn ignores_public_acls(&self) -> bool {
        self.block.is_some_and(|block| block.ignore_public_acls)
    }

    /// Whether an object's own row must be looked at to know who may use it.
    pub(crate) fn objects_have_acls(&self) -> bool {
        !self.ownership.disables_acls()
    }

    /// Who owns an object as policies see it, and what decides over it beside the caller's own
    /// policies. A bucket's owner forbids in their bucket what they like, but grants only what is
    /// theirs.
    pub(crate) fn of_object(
        &self,
        bucket: &Bucket,
        version: &Version,
    ) -> Result<(AccountId, Option<Arc<Policy>>)> {
        if !self.objects_have_acls() {
            return Ok((bucket.owner, self.policy.clone()));
        }
        let list = version
            .object
            .as_ref()
            .and_then(|object| object.traits.acl.as_ref());
        let foreign = version.owner != bucket.owner;
        if list.is_none() && !foreign {
            return Ok((bucket.owner, self.policy.clone()));
        }
        let no_public = self.ignores_public_acls();
        let own = list.map(|list| list.object_policy(bucket, &version.key, no_public));
        let general = self.policy.as_deref().cloned();
        let general = if foreign {
            general.map(Policy::denials)
        } else {
            general
        };
        let joined = join(general, own.transpose()?.flatten());
        Ok((version.owner, joined.map(Arc::new)))
    }
}

fn join(one: Option<Policy>, other: Option<Policy>) -> Option<Policy> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.join(&other)),
        (one, other) => one.or(other),
    }
}

/// What `RestrictPublicBuckets` makes of a public policy: it counts for the owner's account and
/// for AWS services.
fn insiders_only(bucket: &Bucket) -> Result<Option<Policy>> {
    let arn = names::bucket_arn(&bucket.name);
    acl::compile(vec![json!({
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, names::object_arn(&bucket.name, "*")],
        "Condition": {
            "StringNotEquals": { "aws:PrincipalAccount": bucket.owner },
            "Bool": { "aws:PrincipalIsAWSService": "false" },
        },
    })])
}

/// The rules of buckets by their names, as of the last request to each.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<String, Known>>);

struct Known {
    /// Of the bucket: its id and its revision.
    of: (u64, u64),
    rules: Arc<Rules>,
}

impl Cache {
    pub(crate) fn get(&self, store: &Store, bucket: &Bucket) -> Result<Arc<Rules>> {
        if let Some(rules) = self.known(bucket) {
            return Ok(rules);
        }
        let rules = Arc::new(Rules::load(&store.read(), bucket)?);
        let mut cached = self.lock();
        if cached.len() >= KEPT {
            cached.clear();
        }
        let known = Known {
            of: (bucket.id, bucket.revision),
            rules: Arc::clone(&rules),
        };
        cached.insert(bucket.name.clone(), known);
        Ok(rules)
    }

    /// The same inside a transaction, which may see a bucket that is not durable yet: what it reads
    /// is for itself.
    pub(crate) fn within(&self, tx: &Tx, bucket: &Bucket) -> Result<Arc<Rules>> {
        match self.known(bucket) {
            Some(rules) => Ok(rules),
            None => Ok(Arc::new(Rules::load(tx, bucket)?)),
        }
    }

    /// Whether the bucket of this name had no log when it was last asked about: spares reading it.
    pub(crate) fn keeps_no_log(&self, name: &str) -> bool {
        let cached = self.lock();
        let known = cached.get(name);
        known.is_some_and(|known| known.rules.logging.is_none())
    }

    fn known(&self, bucket: &Bucket) -> Option<Arc<Rules>> {
        let cached = self.lock();
        let known = cached.get(&bucket.name)?;
        (known.of == (bucket.id, bucket.revision)).then(|| Arc::clone(&known.rules))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
