//! Tags of buckets.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_s3::types::{
    DeleteBucketTaggingOutput, DeleteBucketTaggingRequest, GetBucketTaggingOutput,
    GetBucketTaggingRequest, PutBucketTaggingOutput, PutBucketTaggingRequest, Tag,
};
use serde::{Deserialize, Serialize};

use super::{Document, Reply};
use crate::S3;
use crate::errors::{Code, Result};

const MAX_TAGS: usize = 50;
const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 256;

/// A bucket's tags, in the order they were put.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Tags(Vec<(String, String)>);

impl Document for Tags {
    const KIND: &'static str = "tagging";
}

impl Tags {
    pub(crate) fn read(set: &[Tag]) -> Result<Self> {
        if set.len() > MAX_TAGS {
            return Err(Code::BadRequest.says("Bucket tag count cannot be greater than 50"));
        }
        for (at, Tag { key, value }) in set.iter().enumerate() {
            if key.is_empty() || key.chars().count() > MAX_NAME || !plain(key) {
                let refusal = Code::InvalidTag.says("The TagKey you have provided is invalid");
                return Err(refusal.with("TagKey", key));
            }
            if key.to_ascii_lowercase().starts_with("aws:") {
                return Err(
                    Code::InvalidTag.says("System tags cannot be added/updated by requester")
                );
            }
            if value.chars().count() > MAX_VALUE || !plain(value) {
                let refusal = Code::InvalidTag.says("The TagValue you have provided is invalid");
                return Err(refusal.with("TagKey", key).with("TagValue", value));
            }
            if set[..at].iter().any(|earlier| earlier.key == *key) {
                let refusal =
                    Code::InvalidTag.says("Cannot provide multiple Tags with the same key");
                return Err(refusal.with("TagKey", key));
            }
        }
        let pairs = set.iter().map(|tag| (tag.key.clone(), tag.value.clone()));
        Ok(Self(pairs.collect()))
    }
}

/// Letters, digits, spaces and `+ - = . _ : / @`.
fn plain(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c))
}

pub(crate) async fn put(
    s3: Arc<S3>,
    _: Cx,
    input: PutBucketTaggingRequest,
) -> Reply<PutBucketTaggingOutput> {
    let tags = Tags::read(&input.tagging.tag_set)?;
    s3.put_config(&input.bucket, &tags).await?;
    Ok(PutBucketTaggingOutput::default())
}

pub(crate) async fn get(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketTaggingRequest,
) -> Reply<GetBucketTaggingOutput> {
    let tags: Option<Tags> = s3.config(&input.bucket)?;
    let tags = tags.filter(|tags| !tags.0.is_empty());
    let tags = tags.ok_or_else(|| Code::NoSuchTagSet.with("BucketName", &input.bucket))?;
    let tag = |(key, value)| Tag { key, value };
    Ok(GetBucketTaggingOutput {
        tag_set: tags.0.into_iter().map(tag).collect(),
    })
}

pub(crate) async fn delete(
    s3: Arc<S3>,
    _: Cx,
    input: DeleteBucketTaggingRequest,
) -> Reply<DeleteBucketTaggingOutput> {
    s3.delete_config::<Tags>(&input.bucket).await?;
    Ok(DeleteBucketTaggingOutput::default())
}
