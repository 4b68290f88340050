//! The object that a request names: in which bucket, by which key, in which version.

use gureum_dispatch::{Ask, Cx};
use gureum_model_s3::types as t;

use crate::S3;
use crate::asks::Door;
use crate::errors::Result;

/// Bucket, key and version id of an object that a request names.
pub(crate) type Place<'a> = (&'a str, &'a str, Option<&'a str>);

/// A request about one version of an object.
pub(crate) trait NamesObject {
    fn place(&self) -> Place<'_>;
    /// Whose bucket the caller takes it to be.
    fn expected_owner(&self) -> Option<&str>;
}

macro_rules! names_object {
    ($($request:ident),* $(,)?) => {$(
        impl NamesObject for t::$request {
            fn place(&self) -> Place<'_> {
                (&self.bucket, &self.key, self.version_id.as_deref())
            }

            fn expected_owner(&self) -> Option<&str> {
                self.expected_bucket_owner.as_deref()
            }
        }
    )*};
}

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
    let (bucket, key, version) = request.place();
    let door = Door::of(s3, cx, bucket, request.expected_owner())?;
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

pub(crate) fn either([newest, named]: [&'static str; 2], version: Option<&str>) -> &'static str {
    if version.is_some() { named } else { newest }
}
