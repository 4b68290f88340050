//! DeleteObject and DeleteObjects.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use gureum_dispatch::{Ask, Cx, ServiceBuilder};
use gureum_model_s3::op;
use gureum_model_s3::types::{
    DeleteObjectOutput, DeleteObjectRequest, DeleteObjectsOutput, DeleteObjectsRequest,
    DeletedObject, Error as DeleteError, ObjectIdentifier,
};
use gureum_schema::{Error, Result, Timestamp};

use crate::S3;
use crate::asks::{self, Door};
use crate::conditions::WriteIf;
use crate::content;
use crate::errors::{self, Code};
use crate::model::{Bucket, Versioning};
use crate::names;
use crate::notify::Cause;
use crate::versions::{self, VersionId};

/// Objects of one request.
const MAX_OBJECTS: usize = 1000;
/// Objects of one request that are deleted at a time: they share the store's group commits.
const AT_ONCE: usize = 64;

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder
        .op_refusing::<op::DeleteObject, _>(
            &["MFA", "IfMatchLastModifiedTime", "IfMatchSize"],
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                let bypass = input.bypass_governance_retention == Some(true);
                Ok(asks(
                    &door,
                    &input.key,
                    input.version_id.as_deref(),
                    bypass,
                )?)
            },
            delete,
        )
        .op_refusing::<op::DeleteObjects, _>(
            &["MFA"],
            |s3, cx, input| {
                // Each object is asked for on its own, and refused on its own.
                Door::of(s3, cx, input)?;
                Ok(Vec::new())
            },
            delete_many,
        )
}

fn asks(
    door: &Door<'_>,
    key: &str,
    version: Option<&str>,
    bypass: bool,
) -> errors::Result<Vec<Ask>> {
    let action = match version {
        Some(_) => "s3:DeleteObjectVersion",
        None => "s3:DeleteObject",
    };
    let mut asks = vec![door.ask_existing(action, key, version)?];
    if bypass {
        asks.push(door.ask_existing("s3:BypassGovernanceRetention", key, version)?);
    }
    Ok(asks)
}

/// One object to delete.
struct Target {
    key: String,
    version: Option<VersionId>,
    condition: WriteIf,
    bypass: bool,
}

/// What came of it.
struct Deleted {
    /// A delete marker was made, or was what has been deleted.
    marker: bool,
    /// The id of the version that was made or deleted, where the bucket has such.
    version: Option<VersionId>,
}

impl S3 {
    async fn remove(&self, cx: &Cx, bucket: &Bucket, target: &Target) -> errors::Result<Deleted> {
        self.store
            .transact(|tx| {
                let bucket = content::same(tx, bucket)?;
                let now = Timestamp(self.clock.now());
                let there = match target.version {
                    Some(id) => versions::by_id(tx, &bucket, &target.key, id)?,
                    None => versions::newest(tx, &bucket, &target.key)?,
                };
                // Deleting what isn't there succeeds, whatever it was expected to be.
                if there.as_ref().is_some_and(|there| there.object.is_some()) {
                    target.condition.check(there.as_ref(), &target.key)?;
                }
                let found = match (target.version, bucket.versioning) {
                    (Some(_), _) | (None, Versioning::Never) => there,
                    (None, _) => {
                        let owner = &bucket.owner;
                        let marker = versions::mark(tx, &bucket, &target.key, owner, now)?;
                        let event = "ObjectRemoved:DeleteMarkerCreated";
                        self.tell_of(tx, Cause::Request(cx), &bucket, &marker, event)?;
                        return Ok(Deleted {
                            marker: true,
                            version: Some(marker.id()),
                        });
                    }
                };
                let Some(found) = found else {
                    return Ok(Deleted {
                        marker: false,
                        version: target.version,
                    });
                };
                if let Some(object) = &found.object
                    && object.traits.lock.holds(now, target.bypass)
                {
                    return Err(Code::AccessDenied
                        .says("Access Denied because object protected by object lock."));
                }
                versions::remove(tx, &bucket, &found)?;
                let event = "ObjectRemoved:Delete";
                self.tell_of(tx, Cause::Request(cx), &bucket, &found, event)?;
                Ok(Deleted {
                    marker: found.object.is_none(),
                    version: target.version,
                })
            })
            .await
    }
}

async fn delete(s3: Arc<S3>, cx: Cx, input: DeleteObjectRequest) -> Result<DeleteObjectOutput> {
    names::check_key(&input.key)?;
    let bucket = s3.bucket(&input.bucket)?;
    let target = Target {
        key: input.key,
        version: asks::version_id(input.version_id.as_deref())?,
        condition: WriteIf::read(input.if_match.as_deref(), None)?,
        bypass: input.bypass_governance_retention == Some(true),
    };
    let deleted = s3.remove(&cx, &bucket, &target).await?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        version_id: deleted.version.map(|id| id.to_string()),
        ..Default::default()
    })
}

async fn delete_many(
    s3: Arc<S3>,
    cx: Cx,
    input: DeleteObjectsRequest,
) -> Result<DeleteObjectsOutput> {
    let objects = input.delete.objects;
    if objects.is_empty() || objects.len() > MAX_OBJECTS {
        return Err(Code::MalformedXML.error().into());
    }
    let bucket = s3.bucket(&input.bucket)?;
    let bypass = input.bypass_governance_retention == Some(true);
    let outcomes: Vec<_> = stream::iter(objects)
        .map(|object| {
            let (s3, cx, bucket) = (Arc::clone(&s3), cx.clone(), bucket.clone());
            async move {
                let outcome = delete_one(&s3, &cx, &bucket, &object, bypass).await;
                (object, outcome.map_err(Error::from))
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let quiet = input.delete.quiet == Some(true);
    let mut out = DeleteObjectsOutput::default();
    for (object, outcome) in outcomes {
        match outcome {
            Ok(deleted) if !quiet => {
                out.deleted
                    .get_or_insert_default()
                    .push(shown(object, &deleted));
            }
            Ok(_) => {}
            Err(error) => out.errors.get_or_insert_default().push(DeleteError {
                key: Some(object.key),
                version_id: object.version_id,
                code: Some(error.code.into_owned()),
                message: Some(error.message),
            }),
        }
    }
    Ok(out)
}

async fn delete_one(
    s3: &S3,
    cx: &Cx,
    bucket: &Bucket,
    object: &ObjectIdentifier,
    bypass: bool,
) -> errors::Result<Deleted> {
    names::check_key(&object.key)?;
    if object.last_modified_time.is_some() || object.size.is_some() {
        return Err(errors::Failure::not_implemented(
            "Deleting on the condition of a time or size",
        ));
    }
    let asks = {
        let door = Door::abroad(s3, cx, &bucket.name, None)?;
        asks(&door, &object.key, object.version_id.as_deref(), bypass)?
    };
    if !asks.iter().all(|ask| cx.allows(ask)) {
        return Err(Code::AccessDenied.error());
    }
    let target = Target {
        key: object.key.clone(),
        version: asks::version_id(object.version_id.as_deref())
            .map_err(|_| Code::NoSuchVersion.error())?,
        condition: WriteIf::read(object.e_tag.as_deref(), None)?,
        bypass,
    };
    s3.remove(cx, bucket, &target).await
}

fn shown(object: ObjectIdentifier, deleted: &Deleted) -> DeletedObject {
    let id = deleted.version.map(|id| id.to_string());
    DeletedObject {
        key: Some(object.key),
        version_id: object.version_id,
        delete_marker: deleted.marker.then_some(true),
        delete_marker_version_id: id.filter(|_| deleted.marker),
    }
}
