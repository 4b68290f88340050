//! GetObject and HeadObject.

use std::ops::Range;
use std::sync::Arc;

use gureum_dispatch::{Cx, ServiceBuilder};
use gureum_kit::store::Snapshot;
use gureum_model_s3::op;
use gureum_model_s3::types::{
    GetObjectOutput, GetObjectRequest, HeadObjectOutput, HeadObjectRequest,
};
use gureum_schema::{Result, Timestamp, TimestampFormat};

use crate::S3;
use crate::asks::{self, Door};
use crate::checksum;
use crate::conditions::ReadIf;
use crate::content;
use crate::errors::{self, Code};
use crate::model::{Bucket, Checksum, Object, Restore, Version};
use crate::named;
use crate::range;
use crate::sealing::{self, Access, CustomerKey, show_sealing};
use crate::traits::show_headers;

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder
        .op::<op::GetObject, _>(
            |s3, cx, input| Ok(vec![named::ask_either(s3, cx, input, ACTIONS)?]),
            get,
        )
        .op::<op::HeadObject, _>(
            |s3, cx, input| Ok(vec![named::ask_either(s3, cx, input, ACTIONS)?]),
            head,
        )
}

/// The actions of reading an object: its newest version, and a named one.
pub(super) const ACTIONS: [&str; 2] = ["s3:GetObject", "s3:GetObjectVersion"];

/// An object that a request named and that is there.
pub(super) struct Found {
    pub(super) view: Snapshot,
    pub(super) bucket: Bucket,
    pub(super) version: Version,
    pub(super) object: Object,
    /// `x-amz-expiration`
    pub(super) expiration: Option<String>,
}

/// Finds the object a request names; what is missing is told as the caller may know it.
pub(super) fn find(
    s3: &S3,
    cx: &Cx,
    bucket: &str,
    key: &str,
    version: Option<&str>,
) -> errors::Result<Found> {
    let wanted = asks::version_id(version)?;
    let view = s3.store.read();
    let bucket = S3::bucket_in(&view, bucket)?;
    let Some(mut found) = asks::pick(&view, &bucket, key, wanted)? else {
        return Err(match version {
            Some(version) => Code::NoSuchVersion
                .with("Key", key)
                .with("VersionId", version),
            None => Door::abroad(s3, cx, &bucket.name, None)?.missing(key),
        });
    };
    let Some(object) = found.object.take() else {
        let failure = match version {
            // There is something of that name, but it cannot be read.
            Some(_) => Code::MethodNotAllowed
                .with("Method", "GET")
                .with("ResourceType", "DeleteMarker")
                .header("Allow", "DELETE")
                .header(
                    "Last-Modified",
                    found.modified.format(TimestampFormat::Rfc822),
                ),
            None => Door::abroad(s3, cx, &bucket.name, None)?.missing(key),
        };
        return Err(failure
            .header("x-amz-delete-marker", "true")
            .header("x-amz-version-id", found.id().to_string()));
    };
    let expiration = match version {
        None => s3.expiration_of(&bucket, &found, &object)?,
        Some(_) => None,
    };
    Ok(Found {
        view,
        bucket,
        version: found,
        object,
        expiration,
    })
}

/// What of an object is wanted.
struct Selection {
    range: Range<u64>,
    /// `Content-Range`, where it is less than all.
    content_range: Option<String>,
    checksum: Option<Checksum>,
    parts: Option<i32>,
}

fn select(
    found: &Found,
    range: Option<&str>,
    part: Option<i32>,
    checksums: bool,
) -> errors::Result<Selection> {
    let Found { object, .. } = found;
    let whole = 0..object.size;
    if let Some(number) = part {
        if range.is_some() {
            return Err(Code::InvalidRequest
                .says("Cannot specify both Range header and partNumber query parameter"));
        }
        let (part, checksum) = part_range(found, number)?;
        let shown = (!part.is_empty()).then(|| range::content_range(&part, object.size));
        return Ok(Selection {
            range: part,
            content_range: shown,
            checksum: checksum.filter(|_| checksums),
            parts: (object.parts > 0).then_some(object.parts as i32),
        });
    }
    let wanted = range
        .map(|range| range::wanted(range, object.size))
        .transpose()?
        .flatten();
    let all = wanted.is_none();
    Ok(Selection {
        content_range: wanted
            .as_ref()
            .map(|r| range::content_range(r, object.size)),
        range: wanted.unwrap_or(whole),
        checksum: object.checksum.clone().filter(|_| checksums && all),
        parts: None,
    })
}

/// Where the part of this number lies, and its checksum.
fn part_range(found: &Found, number: i32) -> errors::Result<(Range<u64>, Option<Checksum>)> {
    let Found {
        object,
        view,
        version,
        ..
    } = found;
    let missing = || {
        Code::InvalidPartNumber
            .with("PartNumberRequested", number)
            .with("ActualPartCount", object.parts.max(1))
    };
    if object.parts == 0 {
        let whole = (0..object.size, object.checksum.clone());
        return if number == 1 {
            Ok(whole)
        } else {
            Err(missing())
        };
    }
    let mut start = 0;
    for (part, nth) in content::heavy(view, version)?.parts.into_iter().zip(1..) {
        if nth == number {
            return Ok((start..start + part.size, part.checksum));
        }
        start += part.size;
    }
    Err(missing())
}

/// The way to an object's content.
fn unlock(
    s3: &S3,
    cx: &Cx,
    object: &Object,
    algorithm: Option<&str>,
    key: Option<&str>,
    md5: Option<&str>,
) -> errors::Result<(Access, Option<CustomerKey>)> {
    let customer = sealing::customer_key(cx.request.secure, algorithm, key, md5)?;
    Ok((
        s3.keyring.open(&object.sealing, customer.as_ref())?,
        customer,
    ))
}

/// Archived objects can only be read while a restored copy of them is there.
pub(super) fn check_readable(object: &Object, now: Timestamp) -> errors::Result<()> {
    let class = object.traits.class;
    if !class.archived() || object.restore.is_some_and(|restore| restore.readable(now)) {
        return Ok(());
    }
    Err(Code::InvalidObjectState.with("StorageClass", class.name()))
}

impl Restore {
    pub(crate) fn readable(&self, now: Timestamp) -> bool {
        self.ready <= now && now < self.expires
    }

    /// `x-amz-restore`; nothing once the copy has expired.
    pub(super) fn header(&self, now: Timestamp) -> Option<String> {
        if now < self.ready {
            return Some("ongoing-request=\"true\"".to_owned());
        }
        let expires = self.expires.format(TimestampFormat::Rfc822);
        (now < self.expires)
            .then(|| format!("ongoing-request=\"false\", expiry-date=\"{expires}\""))
    }
}

/// What GET and HEAD tell of an object alike. A macro because their outputs share no type.
macro_rules! describe {
    ($out:expr, $cx:expr, $found:expr, $selection:expr, $customer:expr, $input:expr) => {{
        let Found {
            bucket,
            version,
            object,
            ..
        } = $found;
        let traits = &object.traits;
        show_headers!($out, traits);
        checksum::show!($out, &$selection.checksum);
        $out.checksum_type = $selection.checksum.as_ref().map(Checksum::kind);
        $out.accept_ranges = Some("bytes".to_owned());
        $out.content_length = i64::try_from($selection.range.end - $selection.range.start).ok();
        $out.content_range = $selection.content_range.clone();
        $out.last_modified = Some(Timestamp::from_secs(version.modified.secs()));
        $out.e_tag = Some(format!("\"{}\"", object.etag));
        $out.version_id = bucket.shown_id(version);
        $out.metadata = Some(traits.metadata.clone());
        show_sealing!($out, &object.sealing);
        $out.sse_customer_algorithm = $customer.as_ref().map(|_| "AES256".to_owned());
        $out.sse_customer_key_md5 = $customer.as_ref().map(|customer| customer.md5.clone());
        $out.storage_class = traits.class.shown();
        $out.restore = object.restore.and_then(|restore| restore.header($cx.now));
        $out.expiration = $found.expiration.clone();
        $out.parts_count = $selection.parts;
        $out.tag_count = i32::try_from(traits.tags.len())
            .ok()
            .filter(|count| *count > 0);
        if let Some((mode, until)) = traits.lock.retention {
            $out.object_lock_mode = Some(mode.name().to_owned());
            $out.object_lock_retain_until_date = Some(until);
        }
        $out.object_lock_legal_hold_status = traits.lock.legal_hold_shown();
        let over = |wanted: &Option<String>, kept: &mut Option<String>| {
            if let Some(wanted) = wanted {
                *kept = Some(wanted.clone());
            }
        };
        over(&$input.response_cache_control, &mut $out.cache_control);
        over(
            &$input.response_content_disposition,
            &mut $out.content_disposition,
        );
        over(
            &$input.response_content_encoding,
            &mut $out.content_encoding,
        );
        over(
            &$input.response_content_language,
            &mut $out.content_language,
        );
        over(&$input.response_content_type, &mut $out.content_type);
        let expires = $input
            .response_expires
            .map(|at| at.format(TimestampFormat::Rfc822));
        over(&expires, &mut $out.expires);
    }};
}

/// Checks a read as GET and HEAD do it alike, and finds what is wanted.
macro_rules! read {
    ($s3:expr, $cx:expr, $input:expr) => {{
        let version = $input.version_id.as_deref();
        let found = find(&$s3, &$cx, &$input.bucket, &$input.key, version)?;
        let overrides = [
            &$input.response_cache_control,
            &$input.response_content_disposition,
            &$input.response_content_encoding,
            &$input.response_content_language,
            &$input.response_content_type,
        ];
        let overridden =
            $input.response_expires.is_some() || overrides.iter().any(|said| said.is_some());
        if $cx.caller.is_anonymous() && overridden {
            return Err(Code::InvalidRequest
                .says(
                    "Request specific response headers cannot be used for anonymous GET requests.",
                )
                .into());
        }
        let (access, customer) = unlock(
            &$s3,
            &$cx,
            &found.object,
            $input.sse_customer_algorithm.as_deref(),
            $input.sse_customer_key.as_deref(),
            $input.sse_customer_key_md5.as_deref(),
        )?;
        let condition = ReadIf {
            matches: $input.if_match.as_deref(),
            none_match: $input.if_none_match.as_deref(),
            modified_since: $input.if_modified_since,
            unmodified_since: $input.if_unmodified_since,
        };
        condition.check(&found.version, &found.object)?;
        let checksums = $input.checksum_mode.as_deref() == Some("ENABLED");
        let selection = select(
            &found,
            $input.range.as_deref(),
            $input.part_number,
            checksums,
        )?;
        (found, access, customer, selection)
    }};
}

async fn get(s3: Arc<S3>, cx: Cx, input: GetObjectRequest) -> Result<GetObjectOutput> {
    let lease = s3.leases.take();
    let (found, access, customer, selection) = read!(s3, cx, input);
    check_readable(&found.object, cx.now)?;
    let key = s3.key(&cx, access).await?;
    let mut out = GetObjectOutput::default();
    describe!(out, cx, &found, &selection, customer, input);
    let Found {
        view,
        version,
        object,
        ..
    } = &found;
    out.body = s3
        .open(view, version, object, &key, selection.range, lease)
        .await?;
    Ok(out)
}

async fn head(s3: Arc<S3>, cx: Cx, input: HeadObjectRequest) -> Result<HeadObjectOutput> {
    let (found, _, customer, selection) = read!(s3, cx, input);
    let mut out = HeadObjectOutput::default();
    describe!(out, cx, &found, &selection, customer, input);
    Ok(out)
}
