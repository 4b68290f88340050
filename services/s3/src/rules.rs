//! What a bucket's configuration says that requests must know: read once per revision.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gureum_kit::{AccountId, Reader, Store};
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
