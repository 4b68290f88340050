//! What a request names: which bucket, and in it which object by which key in which version.

use gureum_dispatch::{Ask, Cx};
use gureum_model_s3::types as t;

use crate::S3;
use crate::asks::Door;
use crate::errors::Result;

/// A request about a bucket, or about something in one.
pub(crate) trait NamesBucket {
    fn bucket(&self) -> &str;
    /// Whose bucket the caller takes it to be.
    fn expected_owner(&self) -> Option<&str>;
}

/// Bucket, key and version id of an object that a request names.
pub(crate) type Place<'a> = (&'a str, &'a str, Option<&'a str>);

/// A request about one version of an object.
pub(crate) trait NamesObject: NamesBucket {
    fn place(&self) -> Place<'_>;
}

macro_rules! names_bucket {
    ($($request:ident),* $(,)?) => {$(
        impl NamesBucket for t::$request {
            fn bucket(&self) -> &str {
                &self.bucket
            }

            fn expected_owner(&self) -> Option<&str> {
                self.expected_bucket_owner.as_deref()
            }
        }
    )*};
}

macro_rules! names_object {
    ($($request:ident),* $(,)?) => {$(
        impl NamesObject for t::$request {
            fn place(&self) -> Place<'_> {
                (&self.bucket, &self.key, self.version_id.as_deref())
            }
        }
    )*};
}

names_bucket![
    AbortMultipartUploadRequest,
    CompleteMultipartUploadRequest,
    CopyObjectRequest,
    CreateMultipartUploadRequest,
    DeleteBucketCorsRequest,
    DeleteBucketEncryptionRequest,
    DeleteBucketLifecycleRequest,
    DeleteBucketOwnershipControlsRequest,
    DeleteBucketPolicyRequest,
    DeleteBucketRequest,
    DeleteBucketTaggingRequest,
    DeleteBucketWebsiteRequest,
    DeleteObjectRequest,
    DeleteObjectTaggingRequest,
    DeleteObjectsRequest,
    DeletePublicAccessBlockRequest,
    GetBucketAclRequest,
    GetBucketCorsRequest,
    GetBucketEncryptionRequest,
    GetBucketLifecycleConfigurationRequest,
    GetBucketLocationRequest,
    GetBucketLoggingRequest,
    GetBucketNotificationConfigurationRequest,
    GetBucketOwnershipControlsRequest,
    GetBucketPolicyRequest,
    GetBucketPolicyStatusRequest,
    GetBucketRequestPaymentRequest,
    GetBucketTaggingRequest,
    GetBucketVersioningRequest,
    GetBucketWebsiteRequest,
    GetObjectAclRequest,
    GetObjectAttributesRequest,
    GetObjectLegalHoldRequest,
    GetObjectLockConfigurationRequest,
    GetObjectRequest,
    GetObjectRetentionRequest,
    GetObjectTaggingRequest,
    GetPublicAccessBlockRequest,
    HeadBucketRequest,
    HeadObjectRequest,
    ListMultipartUploadsRequest,
    ListObjectVersionsRequest,
    ListObjectsRequest,
    ListObjectsV2Request,
    ListPartsRequest,
    PutBucketAclRequest,
    PutBucketCorsRequest,
    PutBucketEncryptionRequest,
    PutBucketLifecycleConfigurationRequest,
    PutBucketLoggingRequest,
    PutBucketNotificationConfigurationRequest,
    PutBucketOwnershipControlsRequest,
    PutBucketPolicyRequest,
    PutBucketRequestPaymentRequest,
    PutBucketTaggingRequest,
    PutBucketVersioningRequest,
    PutBucketWebsiteRequest,
    PutObjectAclRequest,
    PutObjectLegalHoldRequest,
    PutObjectLockConfigurationRequest,
    PutObjectRequest,
    PutObjectRetentionRequest,
    PutObjectTaggingRequest,
    PutPublicAccessBlockRequest,
    RestoreObjectRequest,
    UploadPartCopyRequest,
    UploadPartRequest,
];

names_object![
    DeleteObjectTaggingRequest,
    GetObjectAclRequest,
    GetObjectAttributesRequest,
    GetObjectLegalHoldRequest,
    GetObjectRequest,
    GetObjectRetentionRequest,
    GetObjectTaggingRequest,
    HeadObjectRequest,
    PutObjectAclRequest,
    PutObjectLegalHoldRequest,
    PutObjectRetentionRequest,
    PutObjectTaggingRequest,
    RestoreObjectRequest,
];

/// May the caller do `action` to the object that the request names?
pub(crate) fn ask(
    s3: &S3,
    cx: &Cx,
    request: &impl NamesObject,
    action: &'static str,
) -> Result<Ask> {
    let (_, key, version) = request.place();
    let door = Door::of(s3, cx, request)?;
    door.ask_existing(action, key, version)
}

/// The same where the action has one name for the newest version and another for a named one.
pub(crate) fn ask_either(
    s3: &S3,
    cx: &Cx,
    request: &impl NamesObject,
    actions: [&'static str; 2],
) -> Result<Ask> {
    let (_, _, version) = request.place();
    ask(s3, cx, request, either(actions, version))
}

/// The name of such an action for this version.
pub(crate) fn either([newest, named]: [&'static str; 2], version: Option<&str>) -> &'static str {
    if version.is_some() { named } else { newest }
}
