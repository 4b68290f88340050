//! CopyObject, and what copying an object has in common with copying into a part.

use std::ops::Range;
use std::sync::Arc;

use gureum_dispatch::{Ask, Cx, ServiceBuilder};
use gureum_model_s3::op;
use gureum_model_s3::types::{CopyObjectOutput, CopyObjectRequest, CopyObjectResult};
use gureum_schema::{Body, Result, Timestamp, Trailers};
use percent_encoding::percent_decode_str;

use crate::S3;
use crate::asks::Door;
use crate::checksum::{self, Claims};
use crate::conditions::{ReadIf, WriteIf};
use crate::content::MAX_SINGLE;
use crate::errors::{self, Code, Failure};
use crate::kms::Wanted;
use crate::leases::Lease;
use crate::model::{Object, Traits};
use crate::named;
use crate::names;
use crate::ops::get::{self, Found};
use crate::ops::put;
use crate::ops::tagging;
use crate::sealing::{self, Access, Wish, show_sealing};
use crate::traits::said;

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder.op_refusing::<op::CopyObject, _>(
        &["SSEKMSEncryptionContext"],
        |s3, cx, input| {
            let owner = input.expected_source_bucket_owner.as_deref();
            let replaces = input.tagging_directive.as_deref() == Some("REPLACE");
            let mut asks = source_asks(s3, cx, &input.copy_source, owner, !replaces)?;
            let door = Door::of(s3, cx, input)?;
            let encryption = put::encryption!(input);
            let target = put::asks(door.gate(), &input.key, said!(input), encryption)?;
            let directive = input.metadata_directive.as_deref();
            asks.extend(target.into_iter().map(|ask| {
                ask.key("s3:x-amz-copy-source", &input.copy_source)
                    .key_opt("s3:x-amz-metadata-directive", directive)
            }));
            Ok(asks)
        },
        copy,
    )
}

/// An object named as `bucket/key` or `bucket/key?versionId=…`.
pub(super) struct Source {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) version: Option<String>,
}

impl Source {
    pub(super) fn parse(text: &str) -> errors::Result<Self> {
        let wrong = || {
            let message =
                "Copy Source must mention the source bucket and key: sourcebucket/sourcekey";
            Failure::argument("x-amz-copy-source", text, message)
        };
        if text.starts_with("arn:") {
            return Err(Failure::not_implemented(
                "A copy source that is an access point",
            ));
        }
        let (path, version) = match text.split_once("?versionId=") {
            Some((path, version)) => (path, Some(version.to_owned())),
            None => (text, None),
        };
        let decoded = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| wrong())?;
        let path = decoded.strip_prefix('/').unwrap_or(&decoded);
        match path.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => Ok(Self {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                version,
            }),
            _ => Err(wrong()),
        }
    }
}

/// What whoever copies must be allowed to do to the source.
pub(super) fn source_asks(
    s3: &S3,
    cx: &Cx,
    source: &str,
    owner: Option<&str>,
    tags: bool,
) -> errors::Result<Vec<Ask>> {
    let source = Source::parse(source)?;
    let version = source.version.as_deref();
    let door = Door::abroad(s3, cx, &source.bucket, owner)?;
    let ask = |actions| door.ask_existing(named::either(actions, version), &source.key, version);
    let mut asks = vec![ask(get::ACTIONS)?];
    if tags && door.has_tags(&source.key, version)? {
        asks.push(ask(tagging::READING)?);
    }
    Ok(asks)
}

/// The conditions and keys that a copy brings for its source.
macro_rules! source_terms {
    ($cx:expr, $input:expr) => {
        (
            $crate::conditions::ReadIf {
                matches: $input.copy_source_if_match.as_deref(),
                none_match: $input.copy_source_if_none_match.as_deref(),
                modified_since: $input.copy_source_if_modified_since,
                unmodified_since: $input.copy_source_if_unmodified_since,
            },
            $crate::sealing::customer_key(
                $cx.request.secure,
                $input.copy_source_sse_customer_algorithm.as_deref(),
                $input.copy_source_sse_customer_key.as_deref(),
                $input.copy_source_sse_customer_key_md5.as_deref(),
            )?,
        )
    };
}
pub(super) use source_terms;

/// A source that may be copied, and its content on its way.
pub(super) struct Opened {
    pub(super) found: Found,
    access: Access,
    lease: Lease,
}

impl Opened {
    pub(super) fn of(
        s3: &S3,
        cx: &Cx,
        source: &Source,
        condition: &ReadIf<'_>,
        customer: Option<&sealing::CustomerKey>,
    ) -> errors::Result<Self> {
        let lease = s3.leases.take();
        let version = source.version.as_deref();
        let found = get::find(s3, cx, &source.bucket, &source.key, version)?;
        condition.check_source(&found.version, &found.object)?;
        get::check_readable(&found.object, cx.now)?;
        let access = s3.keyring.open(&found.object.sealing, customer)?;
        Ok(Self {
            found,
            access,
            lease,
        })
    }

    pub(super) async fn body(
        self,
        s3: &S3,
        cx: &Cx,
        range: Range<u64>,
    ) -> errors::Result<(Found, Body)> {
        let Self {
            found,
            access,
            lease,
        } = self;
        let key = s3.key(cx, access).await?;
        let Found {
            view,
            version,
            object,
            ..
        } = &found;
        let body = s3.open(view, version, object, &key, range, lease).await?;
        Ok((found, body))
    }
}

async fn copy(s3: Arc<S3>, cx: Cx, input: CopyObjectRequest) -> Result<CopyObjectOutput> {
    names::check_key(&input.key)?;
    let bucket = s3.bucket(&input.bucket)?;
    let source = Source::parse(&input.copy_source)?;
    check_changes(&input, &source)?;
    let write_if = WriteIf::read(input.if_match.as_deref(), input.if_none_match.as_deref())?;
    let customer = sealing::customer_key(
        cx.request.secure,
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key.as_deref(),
        input.sse_customer_key_md5.as_deref(),
    )?;
    let wish = Wish::read(
        input.server_side_encryption.as_deref(),
        input.ssekms_key_id.as_deref(),
        customer.is_some(),
    )?;
    let said = said!(input).read(&s3, &cx, &bucket)?;
    let (condition, source_key) = source_terms!(cx, input);
    let opened = Opened::of(&s3, &cx, &source, &condition, source_key.as_ref())?;
    let size = opened.found.object.size;
    if size > MAX_SINGLE {
        return Err(Code::InvalidRequest
            .says(format!(
                "The specified copy source is larger than the maximum allowable size for a copy \
                 source: {MAX_SINGLE}"
            ))
            .into());
    }
    let (found, body) = opened.body(&s3, &cx, 0..size).await?;
    let traits = traits(&input, said, &found.object)?;
    let kept = found
        .object
        .checksum
        .as_ref()
        .map(|checksum| checksum.algorithm);
    let claims = Claims::read(
        None,
        Vec::new(),
        input.checksum_algorithm.as_deref(),
        &Trailers::default(),
        kept.unwrap_or(checksum::DEFAULT),
    )?;
    let wanted = Wanted {
        wish,
        bucket_key: input.bucket_key_enabled,
    };
    let place = (&bucket, input.key.as_str());
    let (sealing, key) = s3.seal(&cx, place, customer.as_ref(), wanted).await?;
    let received = s3.receive(body, &sealing, &key, &claims).await?;
    let object = put::object(&received, sealing, traits);
    let event = (&cx, "ObjectCreated:Copy");
    let published = s3.publish(
        event,
        &bucket,
        &input.key,
        &object,
        &received.piece,
        &write_if,
    );
    let (bucket, version) = published.await?;

    let mut result = CopyObjectResult {
        e_tag: Some(format!("\"{}\"", object.etag)),
        last_modified: Some(Timestamp::from_secs(version.modified.secs())),
        checksum_type: object.checksum.as_ref().map(|checksum| checksum.kind()),
        ..Default::default()
    };
    checksum::show!(result, &object.checksum);
    let mut out = CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: found.bucket.shown_id(&found.version),
        version_id: bucket.shown_id(&version),
        expiration: s3.expiration(&bucket, &version)?,
        sse_customer_algorithm: customer.as_ref().map(|_| "AES256".to_owned()),
        sse_customer_key_md5: customer.map(|customer| customer.md5),
        ..Default::default()
    };
    show_sealing!(out, &object.sealing);
    Ok(out)
}

/// A copy of an object onto itself must change something beside the content.
fn check_changes(input: &CopyObjectRequest, source: &Source) -> errors::Result<()> {
    let itself = source.bucket == input.bucket && source.key == input.key;
    let changes = source.version.is_some()
        || input.metadata_directive.as_deref() == Some("REPLACE")
        || input.storage_class.is_some()
        || input.website_redirect_location.is_some()
        || input.server_side_encryption.is_some()
        || input.sse_customer_key.is_some()
        || input.copy_source_sse_customer_key.is_some();
    if itself && !changes {
        return Err(Code::InvalidRequest.says(
            "This copy request is illegal because it is trying to copy an object to itself \
             without changing the object's metadata, storage class, website redirect location or \
             encryption attributes.",
        ));
    }
    Ok(())
}

/// The copy's traits: the source's where the request does not say to replace them. Class, lock and
/// redirect are always the request's.
fn traits(input: &CopyObjectRequest, said: Traits, source: &Object) -> errors::Result<Traits> {
    let replaces = |name: &str, directive: Option<&str>| match directive {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(Failure::argument(name, other, "Unknown directive.")),
    };
    const REDIRECT: &str = "x-amz-website-redirect-location";
    let mut traits = said;
    if !replaces(
        "x-amz-metadata-directive",
        input.metadata_directive.as_deref(),
    )? {
        let redirect = traits.headers.remove(REDIRECT);
        traits.headers = source.traits.headers.clone();
        traits.headers.remove(REDIRECT);
        traits
            .headers
            .extend(redirect.map(|to| (REDIRECT.to_owned(), to)));
        traits.metadata = source.traits.metadata.clone();
    }
    if !replaces(
        "x-amz-tagging-directive",
        input.tagging_directive.as_deref(),
    )? {
        traits.tags = source.traits.tags.clone();
    }
    Ok(traits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_source() {
        let of = |text| {
            Source::parse(text)
                .map(|s| (s.bucket, s.key, s.version))
                .ok()
        };
        let some = |bucket: &str, key: &str, version: Option<&str>| {
            Some((
                bucket.to_owned(),
                key.to_owned(),
                version.map(str::to_owned),
            ))
        };
        assert_eq!(of("b/k"), some("b", "k", None));
        assert_eq!(of("/b/a/c%20d%2Be"), some("b", "a/c d+e", None));
        assert_eq!(of("b/k?versionId=null"), some("b", "k", Some("null")));
        for wrong in ["", "b", "/b/", "//k", "b/%ff"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
