//! S3 Block Public Access, for one bucket.
//!
//! Source: "Blocking public access to your Amazon S3 storage" in the S3 User Guide.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_s3::types::{
    DeletePublicAccessBlockOutput, DeletePublicAccessBlockRequest, GetPublicAccessBlockOutput,
    GetPublicAccessBlockRequest, PublicAccessBlockConfiguration, PutPublicAccessBlockOutput,
    PutPublicAccessBlockRequest,
};
use serde::{Deserialize, Serialize};

use super::{Document, Reply};
use crate::S3;
use crate::errors::Code;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    /// Requests that would set a public access control list are refused.
    pub(crate) public_acls: bool,
    /// Grants to the public in access control lists count for nothing.
    pub(crate) ignore_public_acls: bool,
    /// A public policy cannot be put.
    pub(crate) public_policy: bool,
    /// A public policy lets in the owner's account and AWS services only.
    pub(crate) restrict: bool,
}

impl Document for Block {
    const KIND: &'static str = "public-access-block";
}

impl Block {
    /// What new buckets begin with.
    pub(crate) const ALL: Self = Self {
        public_acls: true,
        ignore_public_acls: true,
        public_policy: true,
        restrict: true,
    };
}

pub(crate) async fn put(
    s3: Arc<S3>,
    _: Cx,
    input: PutPublicAccessBlockRequest,
) -> Reply<PutPublicAccessBlockOutput> {
    let asked = &input.public_access_block_configuration;
    let block = Block {
        public_acls: asked.block_public_acls.unwrap_or_default(),
        ignore_public_acls: asked.ignore_public_acls.unwrap_or_default(),
        public_policy: asked.block_public_policy.unwrap_or_default(),
        restrict: asked.restrict_public_buckets.unwrap_or_default(),
    };
    s3.put_config(&input.bucket, &block).await?;
    Ok(PutPublicAccessBlockOutput::default())
}

pub(crate) async fn get(
    s3: Arc<S3>,
    _: Cx,
    input: GetPublicAccessBlockRequest,
) -> Reply<GetPublicAccessBlockOutput> {
    let block: Option<Block> = s3.config(&input.bucket)?;
    let block = block.ok_or_else(|| {
        Code::NoSuchPublicAccessBlockConfiguration.with("BucketName", &input.bucket)
    })?;
    Ok(GetPublicAccessBlockOutput {
        public_access_block_configuration: Some(PublicAccessBlockConfiguration {
            block_public_acls: Some(block.public_acls),
            ignore_public_acls: Some(block.ignore_public_acls),
            block_public_policy: Some(block.public_policy),
            restrict_public_buckets: Some(block.restrict),
        }),
    })
}

pub(crate) async fn delete(
    s3: Arc<S3>,
    _: Cx,
    input: DeletePublicAccessBlockRequest,
) -> Reply<DeletePublicAccessBlockOutput> {
    s3.delete_config::<Block>(&input.bucket).await?;
    Ok(DeletePublicAccessBlockOutput::default())
}
