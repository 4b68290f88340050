//! ListObjects, ListObjectsV2 and ListObjectVersions.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx, ServiceBuilder};
use gureum_kit::{Reader, Scan, store::Snapshot};
use gureum_model_s3::op;
use gureum_model_s3::types::{
    CommonPrefix, ListObjectsOutput, ListObjectsRequest, ListObjectsV2Output, ListObjectsV2Request,
    Object as ObjectEntry, Owner, RestoreStatus,
};
use gureum_schema::{Result, Timestamp};

use crate::S3;
use crate::asks::Door;
use crate::checksum;
use crate::errors;
use crate::list::{self, Encoding, Page, Place, Query, Rows};
use crate::model::{Bucket, Current, Object, StorageClass, Version};

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder
        .op::<op::ListObjects, _>(
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                let (prefix, delimiter) = (input.prefix.as_deref(), input.delimiter.as_deref());
                Ok(vec![ask(
                    &door,
                    "s3:ListBucket",
                    prefix,
                    delimiter,
                    input.max_keys,
                )])
            },
            list,
        )
        .op::<op::ListObjectsV2, _>(
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                let (prefix, delimiter) = (input.prefix.as_deref(), input.delimiter.as_deref());
                Ok(vec![ask(
                    &door,
                    "s3:ListBucket",
                    prefix,
                    delimiter,
                    input.max_keys,
                )])
            },
            list_v2,
        )
}

pub(super) fn ask(
    door: &Door<'_>,
    action: &'static str,
    prefix: Option<&str>,
    delimiter: Option<&str>,
    max: Option<i32>,
) -> Ask {
    door.ask(action)
        .key_opt("s3:prefix", prefix)
        .key_opt("s3:delimiter", delimiter)
        .key_opt("s3:max-keys", max)
}

/// A page of a bucket's current objects.
fn page(
    view: &Snapshot,
    bucket: &Bucket,
    query: &Query<'_>,
    from: Option<&Place>,
) -> errors::Result<Page<Version>> {
    let scan = || Scan::<Current>::of((bucket.id,)).text(query.prefix);
    let rows = |scan: Scan<Current>| -> Rows<'_, Version> {
        Box::new(
            view.scan(scan)
                .map(|row| row.map(|Current(version)| version)),
        )
    };
    let first = match from {
        None => scan(),
        Some(Place::Behind(key)) => scan().after((bucket.id, key.as_str())),
        Some(Place::BehindPrefix(prefix)) => scan().after_text(prefix),
    };
    let behind = |folded: &str| rows(scan().after_text(folded));
    Ok(query.page(rows(first), behind, |version| &version.key)?)
}

/// Where a page ended, if more follows.
fn end(page: &Page<Version>) -> Option<Place> {
    if !page.truncated {
        return None;
    }
    if page.ends_in_prefix {
        page.prefixes.last().cloned().map(Place::BehindPrefix)
    } else {
        page.items
            .last()
            .map(|version| Place::Behind(version.key.clone()))
    }
}

async fn list_v2(s3: Arc<S3>, _: Cx, input: ListObjectsV2Request) -> Result<ListObjectsV2Output> {
    let view = s3.store.read();
    let bucket = S3::bucket_in(&view, &input.bucket)?;
    let encoding = Encoding::named(input.encoding_type.as_deref())?;
    let max = list::page_size(input.max_keys, "max-keys")?;
    let token = input.continuation_token.as_deref();
    let from = match (token, &input.start_after) {
        (Some(token), _) => Some(Place::of_token(token)?),
        (None, Some(after)) if !after.is_empty() => Some(Place::Behind(after.clone())),
        _ => None,
    };
    let query = Query {
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: list::delimiter(input.delimiter.as_deref()),
        marker: from.as_ref().map(Place::name),
        max: max as usize,
    };
    let page = page(&view, &bucket, &query, from.as_ref())?;
    let owner = input.fetch_owner == Some(true);
    let restores = wants_restores(input.optional_object_attributes.as_deref());
    Ok(ListObjectsV2Output {
        is_truncated: Some(page.truncated),
        next_continuation_token: end(&page).map(|place| place.token()),
        key_count: i32::try_from(page.items.len() + page.prefixes.len()).ok(),
        contents: contents(&s3, &page, encoding, owner, restores),
        common_prefixes: prefixes(&page.prefixes, encoding),
        name: Some(input.bucket),
        prefix: Some(encoding.print(query.prefix)),
        delimiter: query.delimiter.map(|text| encoding.print(text)),
        max_keys: Some(max),
        encoding_type: encoding.echo(),
        start_after: input
            .start_after
            .as_deref()
            .map(|text| encoding.print(text)),
        continuation_token: input.continuation_token,
        request_charged: None,
    })
}

async fn list(s3: Arc<S3>, _: Cx, input: ListObjectsRequest) -> Result<ListObjectsOutput> {
    let view = s3.store.read();
    let bucket = S3::bucket_in(&view, &input.bucket)?;
    let encoding = Encoding::named(input.encoding_type.as_deref())?;
    let max = list::page_size(input.max_keys, "max-keys")?;
    let marker = input.marker.clone().filter(|marker| !marker.is_empty());
    let from = marker.map(Place::Behind);
    let query = Query {
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: list::delimiter(input.delimiter.as_deref()),
        marker: from.as_ref().map(Place::name),
        max: max as usize,
    };
    let page = page(&view, &bucket, &query, from.as_ref())?;
    // Without a delimiter clients go on behind the last key, and are told nothing more.
    let next = end(&page).filter(|_| query.delimiter.is_some());
    let restores = wants_restores(input.optional_object_attributes.as_deref());
    Ok(ListObjectsOutput {
        is_truncated: Some(page.truncated),
        next_marker: next.map(|place| encoding.print(place.name())),
        contents: contents(&s3, &page, encoding, true, restores),
        common_prefixes: prefixes(&page.prefixes, encoding),
        name: Some(input.bucket),
        marker: Some(encoding.print(input.marker.as_deref().unwrap_or_default())),
        prefix: Some(encoding.print(query.prefix)),
        delimiter: query.delimiter.map(|text| encoding.print(text)),
        max_keys: Some(max),
        encoding_type: encoding.echo(),
        request_charged: None,
    })
}

pub(super) fn prefixes(prefixes: &[String], encoding: Encoding) -> Option<Vec<CommonPrefix>> {
    let entry = |prefix: &String| CommonPrefix {
        prefix: Some(encoding.print(prefix)),
    };
    Some(prefixes.iter().map(entry).collect())
}

pub(super) fn wants_restores(attributes: Option<&[String]>) -> bool {
    attributes.is_some_and(|names| names.iter().any(|name| name == "RestoreStatus"))
}

fn contents(
    s3: &S3,
    page: &Page<Version>,
    encoding: Encoding,
    owner: bool,
    restores: bool,
) -> Option<Vec<ObjectEntry>> {
    let entry = |version: &Version| {
        // Current versions are objects.
        let object = version.object.as_ref()?;
        Some(ObjectEntry {
            key: Some(encoding.print(&version.key)),
            last_modified: Some(Timestamp::from_secs(version.modified.secs())),
            e_tag: Some(format!("\"{}\"", object.etag)),
            checksum_algorithm: object.checksum_names(),
            checksum_type: object.checksum.as_ref().map(|checksum| checksum.kind()),
            size: i64::try_from(object.size).ok(),
            storage_class: Some(object.traits.class.name().to_owned()),
            owner: owner.then(|| version.shown_owner()),
            restore_status: object.restore_status(s3).filter(|_| restores),
        })
    };
    Some(page.items.iter().filter_map(entry).collect())
}

impl Object {
    pub(super) fn checksum_names(&self) -> Option<Vec<String>> {
        let checksum = self.checksum.as_ref()?;
        Some(vec![checksum::name(checksum.algorithm).to_owned()])
    }

    pub(super) fn restore_status(&self, s3: &S3) -> Option<RestoreStatus> {
        let restore = self.restore?;
        let now = Timestamp(s3.clock.now());
        (now < restore.expires).then(|| RestoreStatus {
            is_restore_in_progress: Some(now < restore.ready),
            restore_expiry_date: (now >= restore.ready).then_some(restore.expires),
        })
    }
}

impl Version {
    pub(super) fn shown_owner(&self) -> Owner {
        Owner {
            id: Some(self.owner.canonical_user()),
            ..Default::default()
        }
    }
}

impl StorageClass {
    /// As headers tell it: the usual class goes without saying.
    pub(super) fn shown(self) -> Option<String> {
        (self != Self::Standard).then(|| self.name().to_owned())
    }
}
