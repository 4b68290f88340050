//! Object Ownership: whether access control lists count, and whose a new object is.
//!
//! Source: "Controlling ownership of objects and disabling ACLs for your bucket" in the S3 User
//! Guide.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_s3::types::{
    CreateBucketRequest, DeleteBucketOwnershipControlsOutput, DeleteBucketOwnershipControlsRequest,
    GetBucketOwnershipControlsOutput, GetBucketOwnershipControlsRequest, OwnershipControls,
    OwnershipControlsRule, PutBucketOwnershipControlsOutput, PutBucketOwnershipControlsRequest,
};
use serde::{Deserialize, Serialize};

use super::acl::Acl;
use super::{Document, Reply};
use crate::S3;
use crate::errors::{Code, Result};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ownership {
    /// Access control lists are disabled; everything belongs to the bucket's owner.
    BucketOwnerEnforced,
    /// An object is the bucket owner's if its uploader grants them full control.
    BucketOwnerPreferred,
    /// An object is its uploader's. So it was before there were ownership controls.
    #[default]
    ObjectWriter,
}

impl Document for Ownership {
    const KIND: &'static str = "ownership";
}

impl Ownership {
    fn named(name: &str) -> Option<Self> {
        [
            Self::BucketOwnerEnforced,
            Self::BucketOwnerPreferred,
            Self::ObjectWriter,
        ]
        .into_iter()
        .find(|ownership| ownership.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }

    pub(crate) fn disables_acls(self) -> bool {
        self == Self::BucketOwnerEnforced
    }
}

pub(crate) fn of_new_bucket(input: &CreateBucketRequest) -> Result<Ownership> {
    match input.object_ownership.as_deref() {
        None => Ok(Ownership::BucketOwnerEnforced),
        Some(name) => Ownership::named(name).ok_or_else(|| {
            Code::InvalidArgument
                .says("Invalid x-amz-object-ownership header: ".to_owned() + name)
                .with("ArgumentName", "x-amz-object-ownership")
        }),
    }
}

pub(crate) async fn put(
    s3: Arc<S3>,
    _: Cx,
    input: PutBucketOwnershipControlsRequest,
) -> Reply<PutBucketOwnershipControlsOutput> {
    let [rule] = input.ownership_controls.rules.as_slice() else {
        return Err(Code::MalformedXML.error().into());
    };
    let ownership = Ownership::named(&rule.object_ownership).ok_or(Code::MalformedXML.error())?;
    s3.configure(&input.bucket, |tx, bucket| {
        let acl: Option<Acl> = super::get(tx, bucket)?;
        if ownership.disables_acls() && acl.is_some_and(|acl| !acl.is_private(&bucket.owner)) {
            return Err(Code::InvalidBucketAclWithObjectOwnership.error());
        }
        super::put(tx, bucket, &ownership)
    })
    .await?;
    Ok(PutBucketOwnershipControlsOutput::default())
}

pub(crate) async fn get(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketOwnershipControlsRequest,
) -> Reply<GetBucketOwnershipControlsOutput> {
    let ownership: Option<Ownership> = s3.config(&input.bucket)?;
    let ownership = ownership
        .ok_or_else(|| Code::OwnershipControlsNotFoundError.with("BucketName", &input.bucket))?;
    Ok(GetBucketOwnershipControlsOutput {
        ownership_controls: Some(OwnershipControls {
            rules: vec![OwnershipControlsRule {
                object_ownership: ownership.name().to_owned(),
            }],
        }),
    })
}

pub(crate) async fn delete(
    s3: Arc<S3>,
    _: Cx,
    input: DeleteBucketOwnershipControlsRequest,
) -> Reply<DeleteBucketOwnershipControlsOutput> {
    s3.delete_config::<Ownership>(&input.bucket).await?;
    Ok(DeleteBucketOwnershipControlsOutput::default())
}
