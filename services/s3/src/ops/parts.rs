//! Parts of a multipart upload: sending, copying and listing them.

use std::sync::Arc;

use gureum_dispatch::{Cx, ServiceBuilder};
use gureum_kit::{Reader, Scan};
use gureum_model_s3::op;
use gureum_model_s3::types::{
    CopyPartResult, ListPartsOutput, ListPartsRequest, Part as PartEntry, UploadPartCopyOutput,
    UploadPartCopyRequest, UploadPartOutput, UploadPartRequest,
};
use gureum_schema::{Result, Timestamp, Trailers};

use crate::S3;
use crate::asks::Door;
use crate::checksum::{self, Claims};
use crate::content::{self, Received};
use crate::errors::{self, Code, Failure};
use crate::list;
use crate::model::{Bucket, Part, Upload};
use crate::ops::copy::{self, Opened, Source};
use crate::ops::uploads;
use crate::range;
use crate::sealing::{self, show_sealing};
use crate::versions;

/// The last number that a part may have, and so the most parts of an object.
pub(super) const MAX_PARTS: i32 = 10_000;

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder
        .op::<op::UploadPart, _>(
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                Ok(vec![door.ask_object("s3:PutObject", &input.key)])
            },
            upload_part,
        )
        .op::<op::UploadPartCopy, _>(
            |s3, cx, input| {
                let owner = input.expected_source_bucket_owner.as_deref();
                let mut asks = copy::source_asks(s3, cx, &input.copy_source, owner, false)?;
                let door = Door::of(s3, cx, input)?;
                asks.push(door.ask_object("s3:PutObject", &input.key));
                Ok(asks)
            },
            copy_part,
        )
        .op::<op::ListParts, _>(
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                Ok(vec![
                    door.ask_object("s3:ListMultipartUploadParts", &input.key),
                ])
            },
            list_parts,
        )
}

fn check_number(number: i32) -> errors::Result<u64> {
    u64::try_from(number)
        .ok()
        .filter(|number| (1..=MAX_PARTS as u64).contains(number))
        .ok_or_else(|| {
            let message = "Part number must be an integer between 1 and 10000, inclusive";
            Failure::argument("partNumber", number, message)
        })
}

/// The bucket and upload that a part is for.
fn place(s3: &S3, bucket: &str, key: &str, upload: &str) -> errors::Result<(Bucket, Upload)> {
    let view = s3.store.read();
    let bucket = S3::bucket_in(&view, bucket)?;
    let upload = uploads::find(&view, &bucket, key, upload)?;
    Ok((bucket, upload))
}

impl Upload {
    /// A part may be checked by another algorithm than its upload's only when the client never
    /// chose one for the upload.
    fn fit(&self, claims: Claims) -> errors::Result<Claims> {
        let said = claims.algorithm();
        match self.algorithm {
            Some(own) if own != said => {
                let lower = |algorithm| checksum::name(algorithm).to_ascii_lowercase();
                Err(Code::InvalidRequest.says(format!(
                    "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum \
                     Type: {}",
                    lower(own),
                    lower(said)
                )))
            }
            Some(_) => Ok(claims),
            None => Ok(claims.keeping(checksum::DEFAULT)),
        }
    }
}

/// Files a part that has come in, in place of one with the same number.
async fn file(
    s3: &S3,
    bucket: &Bucket,
    upload: &Upload,
    number: u64,
    received: Received,
) -> errors::Result<Part> {
    let kept = received.kept.clone();
    let claimed = Some(received.checksum.clone()).filter(|claimed| Some(claimed) != kept.as_ref());
    let part = Part {
        upload: upload.id.clone(),
        number,
        size: received.size,
        etag: received.etag,
        modified: Timestamp(s3.clock.now()),
        checksum: kept,
        claimed,
        piece: received.piece,
    };
    let filed = s3
        .store
        .transact(|tx| -> errors::Result<()> {
            content::same(tx, bucket)?;
            // It may have been completed or aborted while the part came in.
            uploads::find(tx, bucket, &upload.key, &upload.id)?;
            if let Some(old) = tx.get::<Part>((upload.id.as_str(), number))? {
                versions::release_piece(tx, &old.piece)?;
            }
            versions::retain_piece(tx, &part.piece)?;
            Ok(tx.put(&part)?)
        })
        .await;
    match filed {
        Ok(()) => Ok(part),
        Err(failure) => {
            if failure.is_refusal() {
                s3.forget(&part.piece).await;
            }
            Err(failure)
        }
    }
}

async fn upload_part(
    s3: Arc<S3>,
    cx: Cx,
    mut input: UploadPartRequest,
) -> Result<UploadPartOutput> {
    let number = check_number(input.part_number)?;
    let (bucket, upload) = place(&s3, &input.bucket, &input.key, &input.upload_id)?;
    let customer = sealing::customer_key(
        cx.request.secure,
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key.as_deref(),
        input.sse_customer_key_md5.as_deref(),
    )?;
    let access = s3.keyring.open(&upload.sealing, customer.as_ref())?;
    let key = s3.key(&cx, access).await?;
    let body = std::mem::take(&mut input.body);
    let claims = Claims::read(
        input.content_md5.as_deref(),
        checksum::sent!(input),
        input.checksum_algorithm.as_deref(),
        &body.trailers(),
        upload.algorithm.unwrap_or(checksum::DEFAULT),
    )?;
    let claims = upload.fit(claims)?;
    let received = s3.receive(body, &upload.sealing, &key, &claims).await?;
    let part = file(&s3, &bucket, &upload, number, received).await?;
    let mut out = UploadPartOutput {
        e_tag: Some(format!("\"{}\"", part.etag)),
        sse_customer_algorithm: customer.as_ref().map(|_| "AES256".to_owned()),
        sse_customer_key_md5: customer.map(|customer| customer.md5),
        ..Default::default()
    };
    show_sealing!(out, &upload.sealing);
    checksum::show!(out, part.claimed.as_ref().or(part.checksum.as_ref()));
    Ok(out)
}

async fn copy_part(
    s3: Arc<S3>,
    cx: Cx,
    input: UploadPartCopyRequest,
) -> Result<UploadPartCopyOutput> {
    let number = check_number(input.part_number)?;
    let (bucket, upload) = place(&s3, &input.bucket, &input.key, &input.upload_id)?;
    let customer = sealing::customer_key(
        cx.request.secure,
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key.as_deref(),
        input.sse_customer_key_md5.as_deref(),
    )?;
    let access = s3.keyring.open(&upload.sealing, customer.as_ref())?;
    let key = s3.key(&cx, access).await?;
    let source = Source::parse(&input.copy_source)?;
    let (condition, source_key) = copy::source_terms!(cx, input);
    let opened = Opened::of(&s3, &cx, &source, &condition, source_key.as_ref())?;
    let size = opened.found.object.size;
    let wanted = match input.copy_source_range.as_deref() {
        Some(text) => range::of_source(text, size)?,
        None => 0..size,
    };
    let (found, body) = opened.body(&s3, &cx, wanted).await?;
    let algorithm = upload.algorithm.unwrap_or(checksum::DEFAULT);
    let claims = Claims::read(None, Vec::new(), None, &Trailers::default(), algorithm)?;
    let received = s3.receive(body, &upload.sealing, &key, &claims).await?;
    let part = file(&s3, &bucket, &upload, number, received).await?;
    let mut result = CopyPartResult {
        e_tag: Some(format!("\"{}\"", part.etag)),
        last_modified: Some(Timestamp::from_secs(part.modified.secs())),
        ..Default::default()
    };
    if upload.algorithm.is_some() {
        checksum::show!(result, &part.checksum);
    }
    let mut out = UploadPartCopyOutput {
        copy_source_version_id: found.bucket.shown_id(&found.version),
        copy_part_result: Some(result),
        sse_customer_algorithm: customer.as_ref().map(|_| "AES256".to_owned()),
        sse_customer_key_md5: customer.map(|customer| customer.md5),
        ..Default::default()
    };
    show_sealing!(out, &upload.sealing);
    Ok(out)
}

async fn list_parts(s3: Arc<S3>, _: Cx, input: ListPartsRequest) -> Result<ListPartsOutput> {
    let (_, upload) = place(&s3, &input.bucket, &input.key, &input.upload_id)?;
    let max = list::page_size(input.max_parts, "max-parts")?;
    let after = u64::try_from(input.part_number_marker.unwrap_or(0)).unwrap_or(0);
    let view = s3.store.read();
    let scan = Scan::<Part>::of((upload.id.as_str(),))
        .after((upload.id.as_str(), after))
        .limit(max as usize + 1);
    let mut parts = Vec::new();
    for part in view.scan(scan) {
        parts.push(part.map_err(Failure::from)?);
    }
    let truncated = parts.len() > max as usize;
    parts.truncate(max as usize);
    let last = parts.last().map_or(after, |part| part.number);
    let entry = |part: &Part| {
        let mut entry = PartEntry {
            part_number: i32::try_from(part.number).ok(),
            last_modified: Some(Timestamp::from_secs(part.modified.secs())),
            e_tag: Some(format!("\"{}\"", part.etag)),
            size: i64::try_from(part.size).ok(),
            ..Default::default()
        };
        checksum::show!(entry, part.claimed.as_ref().or(part.checksum.as_ref()));
        entry
    };
    Ok(ListPartsOutput {
        parts: Some(parts.iter().map(entry).collect()),
        part_number_marker: input.part_number_marker.or(Some(0)),
        next_part_number_marker: i32::try_from(last).ok(),
        max_parts: Some(max),
        is_truncated: Some(truncated && max > 0),
        initiator: Some(upload.shown_initiator()),
        owner: Some(upload.shown_owner()),
        storage_class: Some(upload.traits.class.name().to_owned()),
        checksum_algorithm: upload.algorithm.map(|a| checksum::name(a).to_owned()),
        checksum_type: upload
            .algorithm
            .map(|_| uploads::kind_name(upload.composite)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        ..Default::default()
    })
}
