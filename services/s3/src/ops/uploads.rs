//! Multipart uploads: beginning, listing and aborting them.

use std::sync::Arc;

use gureum_blob::Algorithm;
use gureum_dispatch::{CallerKind, Cx, ServiceBuilder};
use gureum_kit::names::id;
use gureum_kit::{Reader, Scan, store::Snapshot};
use gureum_model_s3::op;
use gureum_model_s3::types::{
    AbortMultipartUploadOutput, AbortMultipartUploadRequest, CreateMultipartUploadOutput,
    CreateMultipartUploadRequest, Initiator, ListMultipartUploadsOutput,
    ListMultipartUploadsRequest, MultipartUpload, Owner,
};
use gureum_schema::{Result, Timestamp};

use crate::S3;
use crate::asks::Door;
use crate::checksum;
use crate::content;
use crate::errors::{self, Code, Failure};
use crate::kms::Wanted;
use crate::list::{self, Encoding, Query, Rows};
use crate::model::{Bucket, Upload};
use crate::names;
use crate::ops::{listing, put};
use crate::sealing::{self, Wish, show_sealing};
use crate::traits::said;
use crate::versions;

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder
        .op_refusing::<op::CreateMultipartUpload, _>(
            &["SSEKMSEncryptionContext"],
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                let encryption = put::encryption!(input);
                Ok(put::asks(
                    door.gate(),
                    &input.key,
                    said!(input),
                    encryption,
                )?)
            },
            create,
        )
        .op_refusing::<op::AbortMultipartUpload, _>(
            &["IfMatchInitiatedTime"],
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                Ok(vec![door.ask_object("s3:AbortMultipartUpload", &input.key)])
            },
            abort,
        )
        .op::<op::ListMultipartUploads, _>(
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                let (prefix, delimiter) = (input.prefix.as_deref(), input.delimiter.as_deref());
                let action = "s3:ListBucketMultipartUploads";
                Ok(vec![listing::ask(&door, action, prefix, delimiter, None)])
            },
            list_uploads,
        )
}

/// Which checksum the object will have, and whether it is one of the parts' checksums.
fn checksum_kind(
    algorithm: Option<&str>,
    kind: Option<&str>,
) -> errors::Result<(Option<Algorithm>, bool)> {
    let Some(algorithm) = algorithm.map(checksum::named).transpose()? else {
        return match kind {
            None => Ok((None, false)),
            Some(_) => Err(Code::InvalidRequest.says(
                "The x-amz-checksum-type header can only be used with the \
                 x-amz-checksum-algorithm header.",
            )),
        };
    };
    let joins = checksum::joins(algorithm);
    let unfit = |kind: &str| {
        Code::InvalidRequest.says(format!(
            "The {kind} checksum type cannot be used with the {} checksum algorithm.",
            checksum::name(algorithm).to_ascii_lowercase()
        ))
    };
    let composite = match kind {
        None => algorithm != Algorithm::Crc64Nvme,
        Some("COMPOSITE") if algorithm == Algorithm::Crc64Nvme => return Err(unfit("COMPOSITE")),
        Some("COMPOSITE") => true,
        Some("FULL_OBJECT") if !joins => return Err(unfit("FULL_OBJECT")),
        Some("FULL_OBJECT") => false,
        Some(other) => {
            let message = "Value for x-amz-checksum-type header is invalid.";
            return Err(Failure::argument("x-amz-checksum-type", other, message));
        }
    };
    Ok((Some(algorithm), composite))
}

async fn create(
    s3: Arc<S3>,
    cx: Cx,
    input: CreateMultipartUploadRequest,
) -> Result<CreateMultipartUploadOutput> {
    names::check_key(&input.key)?;
    let bucket = s3.bucket(&input.bucket)?;
    let traits = said!(input).read(&s3, &cx, &bucket)?;
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
    let (algorithm, composite) = checksum_kind(
        input.checksum_algorithm.as_deref(),
        input.checksum_type.as_deref(),
    )?;
    let wanted = Wanted {
        wish,
        bucket_key: input.bucket_key_enabled,
    };
    let place = (&bucket, input.key.as_str());
    let (sealing, _) = s3.seal(&cx, place, customer.as_ref(), wanted).await?;
    let begun = Timestamp(s3.clock.now());
    let upload = Upload {
        bucket: bucket.id,
        key: input.key,
        id: format!("{:016x}{}", begun.0, id::hex_digits(48)),
        begun,
        owner: bucket.owner,
        initiator: match cx.caller.kind {
            CallerKind::Root => cx.account().canonical_user(),
            _ => cx.caller.arn.clone(),
        },
        sealing,
        algorithm,
        composite,
        traits,
    };
    s3.store
        .transact(|tx| -> errors::Result<()> {
            content::same(tx, &bucket)?;
            Ok(tx.put(&upload)?)
        })
        .await?;
    let mut out = CreateMultipartUploadOutput {
        bucket: Some(bucket.name),
        key: Some(upload.key),
        upload_id: Some(upload.id),
        sse_customer_algorithm: customer.as_ref().map(|_| "AES256".to_owned()),
        sse_customer_key_md5: customer.map(|customer| customer.md5),
        checksum_algorithm: algorithm.map(|algorithm| checksum::name(algorithm).to_owned()),
        checksum_type: algorithm.map(|_| kind_name(composite)),
        ..Default::default()
    };
    show_sealing!(out, &upload.sealing);
    Ok(out)
}

pub(super) fn kind_name(composite: bool) -> String {
    if composite {
        "COMPOSITE"
    } else {
        "FULL_OBJECT"
    }
    .to_owned()
}

/// The upload that a request names.
pub(super) fn find(
    from: &impl Reader,
    bucket: &Bucket,
    key: &str,
    upload: &str,
) -> errors::Result<Upload> {
    let found = from.get::<Upload>((bucket.id, key, upload))?;
    found.ok_or_else(|| Code::NoSuchUpload.with("UploadId", upload))
}

async fn abort(
    s3: Arc<S3>,
    _: Cx,
    input: AbortMultipartUploadRequest,
) -> Result<AbortMultipartUploadOutput> {
    s3.store
        .transact(|tx| -> errors::Result<()> {
            let bucket = S3::bucket_in(tx, &input.bucket)?;
            let upload = find(tx, &bucket, &input.key, &input.upload_id)?;
            versions::release_parts(tx, &upload.id, |_| false)?;
            Ok(tx.delete::<Upload>((bucket.id, upload.key, upload.id))?)
        })
        .await?;
    Ok(AbortMultipartUploadOutput::default())
}

impl Upload {
    pub(super) fn shown_owner(&self) -> Owner {
        Owner {
            id: Some(self.owner.canonical_user()),
            ..Default::default()
        }
    }

    pub(super) fn shown_initiator(&self) -> Initiator {
        Initiator {
            id: Some(self.initiator.clone()),
            ..Default::default()
        }
    }
}

/// Where a listing of uploads begins.
enum Start<'a> {
    Beginning,
    BehindKey(&'a str),
    BehindPrefix(&'a str),
    BehindUpload(&'a str, &'a str),
}

fn rows<'v>(
    view: &'v Snapshot,
    bucket: &Bucket,
    prefix: &str,
    start: &Start<'_>,
) -> Rows<'v, Upload> {
    let scan = Scan::<Upload>::of((bucket.id,)).text(prefix);
    Box::new(view.scan(match *start {
        Start::Beginning => scan,
        Start::BehindKey(key) => scan.after((bucket.id, key)),
        Start::BehindPrefix(prefix) => scan.after_text(prefix),
        Start::BehindUpload(key, upload) => scan.after((bucket.id, key, upload)),
    }))
}

async fn list_uploads(
    s3: Arc<S3>,
    _: Cx,
    input: ListMultipartUploadsRequest,
) -> Result<ListMultipartUploadsOutput> {
    let view = s3.store.read();
    let bucket = S3::bucket_in(&view, &input.bucket)?;
    let encoding = Encoding::named(input.encoding_type.as_deref())?;
    let max = list::page_size(input.max_uploads, "max-uploads")?;
    let key = input.key_marker.as_deref().filter(|key| !key.is_empty());
    let id = input
        .upload_id_marker
        .as_deref()
        .filter(|id| !id.is_empty());
    let start = match (key, id) {
        // An upload marker without a key marker is ignored.
        (None, _) => Start::Beginning,
        (Some(key), None) => Start::BehindKey(key),
        (Some(key), Some(id)) => Start::BehindUpload(key, id),
    };
    let query = Query {
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: list::delimiter(input.delimiter.as_deref()),
        marker: key,
        max: max as usize,
    };
    let first = rows(&view, &bucket, query.prefix, &start);
    let behind = |folded: &str| rows(&view, &bucket, query.prefix, &Start::BehindPrefix(folded));
    let page = query
        .page(first, behind, |upload| &upload.key)
        .map_err(Failure::from)?;

    let last = page.items.last().filter(|_| !page.ends_in_prefix);
    let next_key = match last {
        Some(upload) => Some(upload.key.as_str()),
        None => page.prefixes.last().map(String::as_str),
    };
    let next_key = next_key.filter(|_| page.truncated);
    let next_id = last
        .filter(|_| page.truncated)
        .map(|upload| upload.id.clone());
    let entry = |upload: &Upload| MultipartUpload {
        upload_id: Some(upload.id.clone()),
        key: Some(encoding.print(&upload.key)),
        initiated: Some(Timestamp::from_secs(upload.begun.secs())),
        storage_class: Some(upload.traits.class.name().to_owned()),
        owner: Some(upload.shown_owner()),
        initiator: Some(upload.shown_initiator()),
        checksum_algorithm: upload.algorithm.map(|a| checksum::name(a).to_owned()),
        checksum_type: upload.algorithm.map(|_| kind_name(upload.composite)),
    };
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        key_marker: Some(encoding.print(input.key_marker.as_deref().unwrap_or_default())),
        upload_id_marker: Some(input.upload_id_marker.clone().unwrap_or_default()),
        next_key_marker: next_key.map(|key| encoding.print(key)),
        next_upload_id_marker: next_id,
        prefix: Some(encoding.print(query.prefix)),
        delimiter: query.delimiter.map(|text| encoding.print(text)),
        max_uploads: Some(max),
        is_truncated: Some(page.truncated),
        uploads: Some(page.items.iter().map(entry).collect()),
        common_prefixes: listing::prefixes(&page.prefixes, encoding),
        encoding_type: encoding.echo(),
        request_charged: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_checksums_that_fit_their_algorithms() {
        let of = |algorithm, kind| checksum_kind(algorithm, kind).ok();
        assert_eq!(of(None, None), Some((None, false)));
        assert_eq!(of(None, Some("COMPOSITE")), None);
        assert_eq!(
            of(Some("CRC32"), None),
            Some((Some(Algorithm::Crc32), true))
        );
        assert_eq!(
            of(Some("CRC32"), Some("FULL_OBJECT")),
            Some((Some(Algorithm::Crc32), false))
        );
        assert_eq!(
            of(Some("CRC64NVME"), None),
            Some((Some(Algorithm::Crc64Nvme), false))
        );
        assert_eq!(of(Some("CRC64NVME"), Some("COMPOSITE")), None);
        assert_eq!(of(Some("SHA256"), Some("FULL_OBJECT")), None);
        assert_eq!(
            of(Some("SHA256"), Some("COMPOSITE")),
            Some((Some(Algorithm::Sha256), true))
        );
    }
}
