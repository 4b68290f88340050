//! What each operation asks of the policy engine, and what is checked before anybody is asked:
//! that the bucket exists, is in the region the request was signed for, and has the owner that the
//! caller expects.
//!
//! Source: "Actions, resources, and condition keys for Amazon S3" in the Service Authorization
//! Reference.

use std::sync::Arc;

use gureum_dispatch::{Ask, CallerKind, Cx};
use gureum_kit::{Reader, store::Snapshot};

use crate::S3;
use crate::config::acl;
use crate::errors::{Code, Failure, Result};
use crate::model::{Bucket, Version};
use crate::named::NamesBucket;
use crate::names;
use crate::rules::Rules;
use crate::versions::{self, VersionId};

/// A bucket that the caller has been let up to, with what its configuration says of access.
pub(crate) struct Door<'a> {
    cx: &'a Cx,
    view: Snapshot,
    pub(crate) bucket: Bucket,
    rules: Arc<Rules>,
}

/// What can be asked about a bucket and what will be in it, whatever is in it now.
#[derive(Clone, Copy)]
pub(crate) struct Gate<'a> {
    pub(crate) cx: &'a Cx,
    pub(crate) bucket: &'a Bucket,
    pub(crate) rules: &'a Rules,
}

impl<'a> Door<'a> {
    /// Of the bucket that a request names.
    pub(crate) fn of(s3: &S3, cx: &'a Cx, request: &impl NamesBucket) -> Result<Self> {
        let door = Self::abroad(s3, cx, request.bucket(), request.expected_owner())?;
        door.check_region()?;
        Ok(door)
    }

    /// Of the bucket `name`, which `owner` is expected to own where it is given, for requests that
    /// may come from any region.
    pub(crate) fn abroad(s3: &S3, cx: &'a Cx, name: &str, owner: Option<&str>) -> Result<Self> {
        let view = s3.store.read();
        let bucket = S3::bucket_in(&view, name)?;
        if owner.is_some_and(|expected| bucket.owner != expected) {
            return Err(Code::AccessDenied.error());
        }
        let rules = s3.rules.get(&s3.store, &bucket)?;
        Ok(Self {
            cx,
            view,
            bucket,
            rules,
        })
    }

    /// One port serves all regions, so the region of a request is the one it was signed for.
    fn check_region(&self) -> Result<()> {
        let unsigned = matches!(
            self.cx.caller.kind,
            CallerKind::Anonymous | CallerKind::Service { .. }
        );
        let Bucket { name, region, .. } = &self.bucket;
        if unsigned || *region == self.cx.region {
            return Ok(());
        }
        let endpoint = self.cx.request.endpoint.as_str();
        let endpoint = endpoint
            .split_once("://")
            .map_or(endpoint, |(_, host)| host);
        Err(Code::PermanentRedirect
            .with("Endpoint", endpoint)
            .with("Bucket", name)
            .header("x-amz-bucket-region", region.as_str()))
    }

    pub(crate) fn gate(&self) -> Gate<'_> {
        Gate {
            cx: self.cx,
            bucket: &self.bucket,
            rules: &self.rules,
        }
    }

    /// The bucket and its rules, for whoever goes on with them.
    pub(crate) fn into_parts(self) -> (Bucket, Arc<Rules>) {
        (self.bucket, self.rules)
    }

    /// May the caller do `action` to the bucket?
    pub(crate) fn ask(&self, action: &'static str) -> Ask {
        self.gate().on(action, names::bucket_arn(&self.bucket.name))
    }

    /// May the caller do `action` to this object?
    pub(crate) fn ask_object(&self, action: &'static str, key: &str) -> Ask {
        self.gate().ask_object(action, key)
    }

    /// An object as it is, for actions whose policies may speak of its tags.
    pub(crate) fn ask_existing(
        &self,
        action: &'static str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Ask> {
        let mut ask = self
            .ask_object(action, key)
            .key_opt("s3:VersionId", version);
        let tags_matter = self.tags_matter();
        let acl_matters = self.rules.objects_have_acls() && acl::grants(action);
        if !tags_matter && !acl_matters {
            return Ok(ask);
        }
        let Some(found) = self.find(key, version)? else {
            return Ok(ask);
        };
        if acl_matters {
            let (owner, policy) = self.rules.of_object(&self.bucket, &found)?;
            ask = ask.owner(&owner).policy(policy);
        }
        if let Some(object) = found.object.filter(|_| tags_matter) {
            for (name, value) in object.traits.tags {
                ask = ask.key(format!("s3:ExistingObjectTag/{name}"), value);
            }
        }
        Ok(ask)
    }

    /// Whether any policy in play has a condition at all on the tags that an object has.
    fn tags_matter(&self) -> bool {
        let mut policies = self.cx.policies().chain(&self.rules.policy);
        policies.any(|policy| {
            let keys = policy.context_keys();
            keys.iter().any(|key| {
                key.get(..21)
                    .is_some_and(|start| start.eq_ignore_ascii_case("s3:ExistingObjectTag/"))
            })
        })
    }

    pub(crate) fn has_tags(&self, key: &str, version: Option<&str>) -> Result<bool> {
        let object = self.find(key, version)?.and_then(|found| found.object);
        Ok(object.is_some_and(|object| !object.traits.tags.is_empty()))
    }

    fn find(&self, key: &str, version: Option<&str>) -> Result<Option<Version>> {
        Ok(match version.map(VersionId::parse) {
            None => versions::current(&self.view, &self.bucket, key)?,
            Some(None) => None,
            Some(Some(id)) => versions::by_id(&self.view, &self.bucket, key, id)?,
        })
    }

    /// What a missing key looks like to this caller: whoever may not list must not learn of it.
    pub(crate) fn missing(&self, key: &str) -> Failure {
        let list = self.ask("s3:ListBucket").key("s3:prefix", key);
        if self.cx.allows(&list) {
            Code::NoSuchKey.with("Key", key)
        } else {
            Code::AccessDenied.error()
        }
    }
}

impl Gate<'_> {
    /// A service calls in its own name.
    pub(crate) fn is_for_service(&self) -> bool {
        matches!(self.cx.caller.kind, CallerKind::Service { .. })
    }

    /// May the caller do `action` to this object, there or not?
    pub(crate) fn ask_object(&self, action: &'static str, key: &str) -> Ask {
        self.on(action, names::object_arn(&self.bucket.name, key))
    }

    fn on(&self, action: &'static str, resource: String) -> Ask {
        let request = &self.cx.request;
        let ask = Ask::new(action, resource)
            .owner(&self.bucket.owner)
            .policy(self.rules.policy.clone());
        ask.described(self.cx, |ask| {
            ask.key("s3:ResourceAccount", self.bucket.owner)
                .key("s3:authType", request.auth_type)
                .key("s3:signatureversion", "AWS4-HMAC-SHA256")
                .key("s3:signatureAge", request.signature_age)
                .key_opt("s3:x-amz-content-sha256", request.content_sha256.as_deref())
        })
    }
}

/// The caller's version id, checked in form. AWS answers a malformed one as a bad argument.
pub(crate) fn version_id(text: Option<&str>) -> Result<Option<VersionId>> {
    let parse = |text: &str| {
        VersionId::parse(text)
            .ok_or_else(|| Failure::argument("versionId", text, "Invalid version id specified"))
    };
    text.map(parse).transpose()
}

/// The same for a transaction or snapshot: `None` is the newest version if that is an object.
pub(crate) fn pick(
    from: &impl Reader,
    bucket: &Bucket,
    key: &str,
    version: Option<VersionId>,
) -> Result<Option<Version>> {
    Ok(match version {
        None => versions::newest(from, bucket, key)?,
        Some(id) => versions::by_id(from, bucket, key, id)?,
    })
}
