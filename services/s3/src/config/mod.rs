//! A bucket's configurations, one file per kind: what each may say, and how it is stored.
//!
//! Each is a [`Config`] row that holds the document as JSON. Changing one raises the bucket's
//! revision, so that whatever is derived from it and cached ([`crate::rules`]) is read anew.

pub(crate) mod acl;
pub(crate) mod acl_request;
pub(crate) mod block;
pub(crate) mod cors;
pub(crate) mod encryption;
pub(crate) mod lifecycle;
mod lifecycle_filter;
pub(crate) mod lock;
pub(crate) mod logging;
pub(crate) mod notification;
pub(crate) mod ownership;
pub(crate) mod payment;
pub(crate) mod policy;
pub(crate) mod tagging;
pub(crate) mod website;

use gureum_dispatch::{Cx, ServiceBuilder};
use gureum_kit::{Reader, Scan, Tx};
use gureum_model_s3::op;
use gureum_model_s3::types::CreateBucketRequest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::S3;
use crate::asks::{self, Door};
use crate::errors::{Code, Result};
use crate::model::{Bucket, Config, Version};
use crate::named::Place;
use crate::notify::Cause;
use crate::versions;

/// What handlers return: errors as clients see them.
pub(crate) type Reply<T> = gureum_schema::Result<T>;

/// The content of one kind of [`Config`] row.
pub(crate) trait Document: Serialize + DeserializeOwned {
    /// Never changed afterwards.
    const KIND: &'static str;
}

pub(crate) fn get<D: Document>(from: &impl Reader, bucket: &Bucket) -> Result<Option<D>> {
    let Some(config) = from.get::<Config>((bucket.id, D::KIND))? else {
        return Ok(None);
    };
    let document = serde_json::from_str(&config.text).map_err(|error| {
        tracing::error!(bucket = bucket.name, kind = D::KIND, %error, "a configuration is unreadable");
        Code::InternalError
    })?;
    Ok(Some(document))
}

pub(crate) fn put<D: Document>(tx: &mut Tx, bucket: &Bucket, document: &D) -> Result<()> {
    let text = serde_json::to_string(document).map_err(|error| {
        tracing::error!(kind = D::KIND, %error, "a configuration cannot be written");
        Code::InternalError
    })?;
    Ok(tx.put(&Config {
        bucket: bucket.id,
        kind: D::KIND.to_owned(),
        text,
    })?)
}

pub(crate) fn delete<D: Document>(tx: &mut Tx, bucket: &Bucket) -> Result<()> {
    Ok(tx.delete::<Config>((bucket.id, D::KIND))?)
}

/// The configurations that a new bucket begins with, in the transaction that creates it.
///
/// Since April 2023 AWS blocks public access to new buckets, and disables their access control
/// lists unless the request says otherwise.
pub(crate) fn begin(tx: &mut Tx, bucket: &Bucket, input: &CreateBucketRequest) -> Result<()> {
    let ownership = ownership::of_new_bucket(input)?;
    put(tx, bucket, &block::Block::ALL)?;
    put(tx, bucket, &ownership)?;
    if let Some(acl) = acl_request::of_new_bucket(input, &bucket.owner, ownership)? {
        put(tx, bucket, &acl)?;
    }
    let tags = input.create_bucket_configuration.as_ref();
    if let Some(tags) = tags.and_then(|configuration| configuration.tags.as_deref()) {
        put(tx, bucket, &tagging::Tags::read(tags)?)?;
    }
    Ok(())
}

/// Removes all configurations, in the transaction that deletes the bucket.
pub(crate) fn end(tx: &mut Tx, bucket: &Bucket) -> Result<()> {
    let rows: Vec<Config> = tx.scan(Scan::of((bucket.id,))).collect::<Result<_, _>>()?;
    for row in rows {
        tx.delete::<Config>((row.bucket, row.kind.as_str()))?;
    }
    Ok(())
}

impl S3 {
    /// Changes a bucket's configuration in one transaction.
    pub(crate) async fn configure<T: Send>(
        &self,
        name: &str,
        mut change: impl FnMut(&mut Tx, &mut Bucket) -> Result<T> + Send,
    ) -> Result<T> {
        let change = |tx: &mut Tx| {
            let mut bucket = Self::bucket_in(tx, name)?;
            let outcome = change(tx, &mut bucket)?;
            bucket.revision += 1;
            tx.put(&bucket)?;
            Ok(outcome)
        };
        self.store.transact(change).await
    }

    /// Stores a document in place of the one of its kind.
    pub(crate) async fn put_config<D: Document + Send + Sync>(
        &self,
        name: &str,
        document: &D,
    ) -> Result<()> {
        self.configure(name, |tx, bucket| put(tx, bucket, document))
            .await
    }

    pub(crate) async fn delete_config<D: Document>(&self, name: &str) -> Result<()> {
        self.configure(name, |tx, bucket| delete::<D>(tx, bucket))
            .await
    }

    /// The document of this kind, if the bucket has one.
    pub(crate) fn config<D: Document>(&self, name: &str) -> Result<Option<D>> {
        let view = self.store.read();
        let bucket = Self::bucket_in(&view, name)?;
        get(&view, &bucket)
    }
}

/// The object version at `place`; what is missing is told as the caller may know it.
fn pick(from: &impl Reader, cx: &Cx, s3: &S3, place: Place<'_>) -> Result<(Bucket, Version)> {
    let (bucket, key, version) = place;
    let bucket = S3::bucket_in(from, bucket)?;
    match (
        asks::pick(from, &bucket, key, asks::version_id(version)?)?,
        version,
    ) {
        (Some(found), _) if found.object.is_some() => Ok((bucket, found)),
        (Some(_), Some(_)) => Err(Code::MethodNotAllowed
            .with("ResourceType", "DeleteMarker")
            .header("x-amz-delete-marker", "true")),
        (None, Some(id)) => Err(Code::NoSuchVersion.with("Key", key).with("VersionId", id)),
        (_, None) => Err(Door::abroad(s3, cx, &bucket.name, None)?.missing(key)),
    }
}

impl S3 {
    pub(crate) fn find_object(&self, cx: &Cx, place: Place<'_>) -> Result<(Bucket, Version)> {
        pick(&self.store.read(), cx, self, place)
    }

    /// Changes what is said of an object in one transaction; its content stays. `event` is how
    /// notifications call it, `ObjectAcl:Put`.
    pub(crate) async fn change_object(
        &self,
        cx: &Cx,
        place: Place<'_>,
        event: Option<&'static str>,
        mut change: impl FnMut(&mut Tx, &Bucket, &mut Version) -> Result<()> + Send,
    ) -> Result<()> {
        let change = |tx: &mut Tx| {
            let (bucket, mut version) = pick(tx, cx, self, place)?;
            change(tx, &bucket, &mut version)?;
            versions::rewrite(tx, &bucket, &version)?;
            match event {
                Some(event) => self.tell_of(tx, Cause::Request(cx), &bucket, &version, event),
                None => Ok(()),
            }
        };
        self.store.transact(change).await
    }
}

/// An operation on a bucket needs one permission on it.
macro_rules! asks {
    ($action:literal) => {
        |s3, cx, input| Ok(vec![Door::of(s3, cx, input)?.ask($action)])
    };
}

/// The same for bucket policies, which can lock everybody out.
macro_rules! mending {
    ($action:literal) => {
        |s3, cx, input| policy::mending(s3, cx, input, $action)
    };
}

/// The table of the operations on configurations.
#[rustfmt::skip]
pub(crate) fn register(table: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    table
        .op::<op::PutBucketPolicy, _>(mending!("s3:PutBucketPolicy"), policy::put)
        .op::<op::GetBucketPolicy, _>(mending!("s3:GetBucketPolicy"), policy::get)
        .op::<op::DeleteBucketPolicy, _>(mending!("s3:DeleteBucketPolicy"), policy::delete)
        .op::<op::GetBucketPolicyStatus, _>(asks!("s3:GetBucketPolicyStatus"), policy::status)
        .op::<op::PutPublicAccessBlock, _>(asks!("s3:PutBucketPublicAccessBlock"), block::put)
        .op::<op::GetPublicAccessBlock, _>(asks!("s3:GetBucketPublicAccessBlock"), block::get)
        .op::<op::DeletePublicAccessBlock, _>(asks!("s3:PutBucketPublicAccessBlock"), block::delete)
        .op::<op::PutBucketOwnershipControls, _>(asks!("s3:PutBucketOwnershipControls"), ownership::put)
        .op::<op::GetBucketOwnershipControls, _>(asks!("s3:GetBucketOwnershipControls"), ownership::get)
        .op::<op::DeleteBucketOwnershipControls, _>(asks!("s3:PutBucketOwnershipControls"), ownership::delete)
        .op::<op::PutBucketAcl, _>(acl_request::put_bucket_asks, acl_request::put_bucket)
        .op::<op::GetBucketAcl, _>(asks!("s3:GetBucketAcl"), acl_request::get_bucket)
        .op::<op::PutObjectAcl, _>(acl_request::put_object_asks, acl_request::put_object)
        .op::<op::GetObjectAcl, _>(acl_request::get_object_asks, acl_request::get_object)
        .op::<op::PutBucketCors, _>(asks!("s3:PutBucketCORS"), cors::put)
        .op::<op::GetBucketCors, _>(asks!("s3:GetBucketCORS"), cors::get)
        .op::<op::DeleteBucketCors, _>(asks!("s3:PutBucketCORS"), cors::delete)
        .op::<op::PutBucketWebsite, _>(asks!("s3:PutBucketWebsite"), website::put)
        .op::<op::GetBucketWebsite, _>(asks!("s3:GetBucketWebsite"), website::get)
        .op::<op::DeleteBucketWebsite, _>(asks!("s3:DeleteBucketWebsite"), website::delete)
        .op::<op::PutBucketEncryption, _>(asks!("s3:PutEncryptionConfiguration"), encryption::put)
        .op::<op::GetBucketEncryption, _>(asks!("s3:GetEncryptionConfiguration"), encryption::get)
        .op::<op::DeleteBucketEncryption, _>(asks!("s3:PutEncryptionConfiguration"), encryption::delete)
        .op::<op::PutBucketTagging, _>(asks!("s3:PutBucketTagging"), tagging::put)
        .op::<op::GetBucketTagging, _>(asks!("s3:GetBucketTagging"), tagging::get)
        .op::<op::DeleteBucketTagging, _>(asks!("s3:PutBucketTagging"), tagging::delete)
        .op::<op::PutBucketRequestPayment, _>(asks!("s3:PutBucketRequestPayment"), payment::put)
        .op::<op::GetBucketRequestPayment, _>(asks!("s3:GetBucketRequestPayment"), payment::get)
        .op::<op::PutBucketLifecycleConfiguration, _>(asks!("s3:PutLifecycleConfiguration"), lifecycle::put)
        .op::<op::GetBucketLifecycleConfiguration, _>(asks!("s3:GetLifecycleConfiguration"), lifecycle::get)
        .op::<op::DeleteBucketLifecycle, _>(asks!("s3:PutLifecycleConfiguration"), lifecycle::delete)
        .op::<op::PutBucketNotificationConfiguration, _>(asks!("s3:PutBucketNotification"), notification::put)
        .op::<op::GetBucketNotificationConfiguration, _>(asks!("s3:GetBucketNotification"), notification::get)
        .op::<op::PutBucketLogging, _>(asks!("s3:PutBucketLogging"), logging::put)
        .op::<op::GetBucketLogging, _>(asks!("s3:GetBucketLogging"), logging::get)
        .op::<op::PutObjectLockConfiguration, _>(asks!("s3:PutBucketObjectLockConfiguration"), lock::put_default)
        .op::<op::GetObjectLockConfiguration, _>(asks!("s3:GetBucketObjectLockConfiguration"), lock::get_default)
        .op::<op::PutObjectRetention, _>(lock::put_retention_asks, lock::put_retention)
        .op::<op::GetObjectRetention, _>(lock::get_retention_asks, lock::get_retention)
        .op::<op::PutObjectLegalHold, _>(lock::put_hold_asks, lock::put_hold)
        .op::<op::GetObjectLegalHold, _>(lock::get_hold_asks, lock::get_hold)
}
