//! Tags of an object.

use std::sync::Arc;

use gureum_dispatch::{Cx, ServiceBuilder};
use gureum_model_s3::op;
use gureum_model_s3::types::{
    DeleteObjectTaggingOutput, DeleteObjectTaggingRequest, GetObjectTaggingOutput,
    GetObjectTaggingRequest, PutObjectTaggingOutput, PutObjectTaggingRequest,
};
use gureum_schema::Result;

use crate::S3;
use crate::named;
use crate::ops::edit;
use crate::ops::get;
use crate::tags;

/// The actions of reading tags: of the newest version, and of a named one.
pub(super) const READING: [&str; 2] = ["s3:GetObjectTagging", "s3:GetObjectVersionTagging"];

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder
        .op::<op::GetObjectTagging, _>(
            |s3, cx, input| Ok(vec![named::ask_either(s3, cx, input, READING)?]),
            get,
        )
        .op::<op::PutObjectTagging, _>(
            |s3, cx, input| {
                let actions = ["s3:PutObjectTagging", "s3:PutObjectVersionTagging"];
                let mut ask = named::ask_either(s3, cx, input, actions)?;
                let tags = &input.tagging.tag_set;
                for tag in tags {
                    ask = ask.key(format!("s3:RequestObjectTag/{}", tag.key), &tag.value);
                }
                let names = tags.iter().map(|tag| tag.key.clone()).collect();
                Ok(vec![ask.keys("s3:RequestObjectTagKeys", names)])
            },
            put,
        )
        .op::<op::DeleteObjectTagging, _>(
            |s3, cx, input| {
                let actions = ["s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"];
                Ok(vec![named::ask_either(s3, cx, input, actions)?])
            },
            delete,
        )
}

async fn get(
    s3: Arc<S3>,
    cx: Cx,
    input: GetObjectTaggingRequest,
) -> Result<GetObjectTaggingOutput> {
    let version = input.version_id.as_deref();
    let found = get::find(&s3, &cx, &input.bucket, &input.key, version)?;
    Ok(GetObjectTaggingOutput {
        version_id: found.bucket.shown_id(&found.version),
        tag_set: tags::to_set(&found.object.traits.tags),
    })
}

async fn put(
    s3: Arc<S3>,
    cx: Cx,
    input: PutObjectTaggingRequest,
) -> Result<PutObjectTaggingOutput> {
    let tags = tags::from_set(&input.tagging.tag_set)?;
    let version = input.version_id.as_deref();
    let version_id = edit::edit(
        &s3,
        (&cx, Some("ObjectTagging:Put")),
        &input.bucket,
        &input.key,
        version,
        |object, _| {
            object.traits.tags.clone_from(&tags);
            Ok(())
        },
    );
    Ok(PutObjectTaggingOutput {
        version_id: version_id.await?.0,
    })
}

async fn delete(
    s3: Arc<S3>,
    cx: Cx,
    input: DeleteObjectTaggingRequest,
) -> Result<DeleteObjectTaggingOutput> {
    let version = input.version_id.as_deref();
    let version_id = edit::edit(
        &s3,
        (&cx, Some("ObjectTagging:Delete")),
        &input.bucket,
        &input.key,
        version,
        |object, _| {
            object.traits.tags.clear();
            Ok(())
        },
    );
    Ok(DeleteObjectTaggingOutput {
        version_id: version_id.await?.0,
    })
}
