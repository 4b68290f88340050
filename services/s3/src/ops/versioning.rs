//! Bucket versioning, and ListObjectVersions.

use std::iter::Peekable;
use std::sync::Arc;

use gureum_dispatch::{Cx, ServiceBuilder};
use gureum_kit::{Reader, Scan, StoreError, store::Snapshot};
use gureum_model_s3::op;
use gureum_model_s3::types::{
    DeleteMarkerEntry, GetBucketVersioningOutput, GetBucketVersioningRequest,
    ListObjectVersionsOutput, ListObjectVersionsRequest, ObjectVersion, PutBucketVersioningOutput,
    PutBucketVersioningRequest,
};
use gureum_schema::{Result, Timestamp};

use crate::S3;
use crate::asks::{self, Door};
use crate::errors::{self, Code, Failure};
use crate::list::{self, Encoding, Query, Rows};
use crate::model::{Bucket, Current, Past, Version, Versioning};
use crate::ops::listing;
use crate::versions::{self, VersionId};

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder
        .op_refusing::<op::PutBucketVersioning, _>(
            &["MFA"],
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                Ok(vec![door.ask("s3:PutBucketVersioning")])
            },
            put,
        )
        .op::<op::GetBucketVersioning, _>(
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                Ok(vec![door.ask("s3:GetBucketVersioning")])
            },
            get,
        )
        .op::<op::ListObjectVersions, _>(
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                let (prefix, delimiter) = (input.prefix.as_deref(), input.delimiter.as_deref());
                let action = "s3:ListBucketVersions";
                Ok(vec![listing::ask(
                    &door,
                    action,
                    prefix,
                    delimiter,
                    input.max_keys,
                )])
            },
            list_versions,
        )
}

async fn put(
    s3: Arc<S3>,
    _: Cx,
    input: PutBucketVersioningRequest,
) -> Result<PutBucketVersioningOutput> {
    let wanted = &input.versioning_configuration;
    if wanted.mfa_delete.as_deref() == Some("Enabled") {
        return Err(Failure::not_implemented("MFA delete").into());
    }
    let versioning = match wanted.status.as_deref() {
        Some("Enabled") => Versioning::Enabled,
        Some("Suspended") => Versioning::Suspended,
        _ => {
            let message = "The Versioning element must be specified";
            return Err(Code::IllegalVersioningConfigurationException
                .says(message)
                .into());
        }
    };
    s3.store
        .transact(|tx| -> errors::Result<()> {
            let mut bucket = S3::bucket_in(tx, &input.bucket)?;
            if bucket.object_lock && versioning == Versioning::Suspended {
                return Err(Code::InvalidBucketState.says(
                    "An Object Lock configuration is present on this bucket, so the versioning \
                     state cannot be changed.",
                ));
            }
            bucket.versioning = versioning;
            Ok(tx.put(&bucket)?)
        })
        .await?;
    Ok(PutBucketVersioningOutput::default())
}

async fn get(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketVersioningRequest,
) -> Result<GetBucketVersioningOutput> {
    let status = match s3.bucket(&input.bucket)?.versioning {
        Versioning::Never => None,
        Versioning::Enabled => Some("Enabled".to_owned()),
        Versioning::Suspended => Some("Suspended".to_owned()),
    };
    Ok(GetBucketVersioningOutput {
        status,
        mfa_delete: None,
    })
}

/// A version in a listing.
struct Listed {
    version: Version,
    latest: bool,
}

/// The versions of two scans over the same names: of each key the current one, if there is one,
/// and then the past ones.
struct Merged<'a> {
    current: Peekable<Rows<'a, Version>>,
    past: Peekable<Rows<'a, Version>>,
    /// The key whose newest version has been passed.
    key: Option<String>,
}

impl Iterator for Merged<'_> {
    type Item = Result<Listed, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let current_first = match (self.current.peek(), self.past.peek()) {
            (Some(Ok(current)), Some(Ok(past))) => current.key <= past.key,
            (current, _) => current.is_some(),
        };
        let rows = if current_first {
            &mut self.current
        } else {
            &mut self.past
        };
        let version = match rows.next()? {
            Ok(version) => version,
            Err(error) => return Some(Err(error)),
        };
        let latest = self.key.as_deref() != Some(&version.key);
        if latest {
            self.key = Some(version.key.clone());
        }
        Some(Ok(Listed { version, latest }))
    }
}

/// Where a listing of versions begins.
enum Start<'a> {
    Beginning,
    BehindKey(&'a str),
    BehindPrefix(&'a str),
    /// Behind the version of this number.
    Within(&'a str, u64),
}

fn start<'a>(
    view: &Snapshot,
    bucket: &Bucket,
    input: &'a ListObjectVersionsRequest,
) -> errors::Result<Start<'a>> {
    let key = input.key_marker.as_deref().filter(|key| !key.is_empty());
    let id = input
        .version_id_marker
        .as_deref()
        .filter(|id| !id.is_empty());
    let key = match (key, id) {
        (None, None) => return Ok(Start::Beginning),
        (None, Some(id)) => {
            let message = "A version-id marker cannot be specified without a key marker.";
            return Err(Failure::argument("version-id-marker", id, message));
        }
        (Some(key), _) => key,
    };
    Ok(match asks::version_id(id)? {
        None => Start::BehindKey(key),
        Some(VersionId::Numbered { seq, .. }) => Start::Within(key, seq),
        Some(VersionId::Null) => match versions::by_id(view, bucket, key, VersionId::Null)? {
            Some(version) => Start::Within(key, version.seq),
            None => Start::BehindKey(key),
        },
    })
}

fn rows<'v>(
    view: &'v Snapshot,
    bucket: &Bucket,
    prefix: &str,
    start: &Start<'_>,
) -> Rows<'v, Listed> {
    let current = Scan::<Current>::of((bucket.id,)).text(prefix);
    let past = Scan::<Past>::of((bucket.id,)).text(prefix);
    let (current, past, key) = match *start {
        Start::Beginning => (current, past, None),
        Start::BehindKey(key) => (
            current.after((bucket.id, key)),
            past.after((bucket.id, key)),
            None,
        ),
        Start::BehindPrefix(prefix) => (current.after_text(prefix), past.after_text(prefix), None),
        Start::Within(key, seq) => (
            current.after((bucket.id, key)),
            past.after((bucket.id, key, !seq)),
            Some(key.to_owned()),
        ),
    };
    let current: Rows<'v, Version> = Box::new(view.scan(current).map(|row| row.map(|row| row.0)));
    let past: Rows<'v, Version> = Box::new(view.scan(past).map(|row| row.map(|row| row.0)));
    Box::new(Merged {
        current: current.peekable(),
        past: past.peekable(),
        key,
    })
}

async fn list_versions(
    s3: Arc<S3>,
    _: Cx,
    input: ListObjectVersionsRequest,
) -> Result<ListObjectVersionsOutput> {
    let view = s3.store.read();
    let bucket = S3::bucket_in(&view, &input.bucket)?;
    let encoding = Encoding::named(input.encoding_type.as_deref())?;
    let max = list::page_size(input.max_keys, "max-keys")?;
    let query = Query {
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: list::delimiter(input.delimiter.as_deref()),
        marker: input.key_marker.as_deref(),
        max: max as usize,
    };
    let start = start(&view, &bucket, &input)?;
    let first = rows(&view, &bucket, query.prefix, &start);
    let behind = |folded: &str| rows(&view, &bucket, query.prefix, &Start::BehindPrefix(folded));
    let page = query
        .page(first, behind, |listed| &listed.version.key)
        .map_err(Failure::from)?;

    let last = page.items.last().filter(|_| !page.ends_in_prefix);
    let next_key = match last {
        Some(listed) => Some(listed.version.key.as_str()),
        None => page.prefixes.last().map(String::as_str),
    };
    let next_key = next_key.filter(|_| page.truncated);
    let next_id = last
        .filter(|_| page.truncated)
        .map(|listed| listed.version.id().to_string());
    let restores = listing::wants_restores(input.optional_object_attributes.as_deref());
    let objects = page
        .items
        .iter()
        .filter_map(|listed| object_entry(&s3, listed, encoding, restores));
    let markers = page
        .items
        .iter()
        .filter_map(|listed| marker_entry(listed, encoding));
    Ok(ListObjectVersionsOutput {
        is_truncated: Some(page.truncated),
        key_marker: Some(encoding.print(input.key_marker.as_deref().unwrap_or_default())),
        version_id_marker: Some(input.version_id_marker.clone().unwrap_or_default()),
        next_key_marker: next_key.map(|key| encoding.print(key)),
        next_version_id_marker: next_id,
        versions: Some(objects.collect()),
        delete_markers: Some(markers.collect()),
        common_prefixes: listing::prefixes(&page.prefixes, encoding),
        prefix: Some(encoding.print(query.prefix)),
        delimiter: query.delimiter.map(|text| encoding.print(text)),
        max_keys: Some(max),
        encoding_type: encoding.echo(),
        name: Some(bucket.name),
        request_charged: None,
    })
}

fn object_entry(
    s3: &S3,
    Listed { version, latest }: &Listed,
    encoding: Encoding,
    restores: bool,
) -> Option<ObjectVersion> {
    let object = version.object.as_ref()?;
    Some(ObjectVersion {
        e_tag: Some(format!("\"{}\"", object.etag)),
        checksum_algorithm: object.checksum_names(),
        checksum_type: object.checksum.as_ref().map(|checksum| checksum.kind()),
        size: i64::try_from(object.size).ok(),
        storage_class: Some(object.traits.class.name().to_owned()),
        key: Some(encoding.print(&version.key)),
        version_id: Some(version.id().to_string()),
        is_latest: Some(*latest),
        last_modified: Some(Timestamp::from_secs(version.modified.secs())),
        owner: Some(version.shown_owner()),
        restore_status: object.restore_status(s3).filter(|_| restores),
    })
}

fn marker_entry(
    Listed { version, latest }: &Listed,
    encoding: Encoding,
) -> Option<DeleteMarkerEntry> {
    version.object.is_none().then(|| DeleteMarkerEntry {
        owner: Some(version.shown_owner()),
        key: Some(encoding.print(&version.key)),
        version_id: Some(version.id().to_string()),
        is_latest: Some(*latest),
        last_modified: Some(Timestamp::from_secs(version.modified.secs())),
    })
}
