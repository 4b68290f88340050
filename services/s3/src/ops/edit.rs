//! Changing an object that is there, without touching its content.

use gureum_dispatch::Cx;

use crate::S3;
use crate::asks;
use crate::content;
use crate::errors::{Code, Result};
use crate::model::{Bucket, Object};
use crate::notify::Cause;
use crate::ops::get;
use crate::versions;

/// Changes an object in one transaction. Gives the version id as replies show it, and what
/// `change` gave. `event` is how notifications call it, `ObjectTagging:Put`.
pub(super) async fn edit<T: Send>(
    s3: &S3,
    (cx, event): (&Cx, Option<&'static str>),
    bucket: &str,
    key: &str,
    version: Option<&str>,
    change: impl Fn(&mut Object, &Bucket) -> Result<T> + Sync,
) -> Result<(Option<String>, T)> {
    // Words the errors, and is right unless somebody deletes the object in between.
    let bucket = get::find(s3, cx, bucket, key, version)?.bucket;
    let wanted = asks::version_id(version)?;
    s3.store
        .transact(|tx| {
            let bucket = content::same(tx, &bucket)?;
            let found = asks::pick(tx, &bucket, key, wanted)?;
            let mut version = found.ok_or_else(|| Code::NoSuchKey.with("Key", key))?;
            let object = version.object.as_mut();
            let object = object.ok_or_else(|| Code::NoSuchKey.with("Key", key))?;
            let value = change(object, &bucket)?;
            versions::rewrite(tx, &bucket, &version)?;
            if let Some(event) = event {
                s3.tell_of(tx, Cause::Request(cx), &bucket, &version, event)?;
            }
            Ok((bucket.shown_id(&version), value))
        })
        .await
}
