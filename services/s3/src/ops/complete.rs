//! CompleteMultipartUpload: the parts become one object, in one transaction and without a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_blob::{Algorithm, Digests};
use gureum_dispatch::{Cx, ServiceBuilder};
use gureum_kit::names::id;
use gureum_kit::{Reader, Scan, Tx};
use gureum_model_s3::op;
use gureum_model_s3::types::{
    CompleteMultipartUploadOutput, CompleteMultipartUploadRequest, CompletedPart,
};
use gureum_schema::Result;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::S3;
use crate::asks::Door;
use crate::checksum;
use crate::conditions::WriteIf;
use crate::errors::{self, Code};
use crate::model::{Bucket, Checksum, Content, Object, Part, PartInfo, Stored, Upload, Version};
use crate::notify::Cause;
use crate::ops::parts::MAX_PARTS;
use crate::ops::uploads;
use crate::sealing::{Sealing, show_sealing};
use crate::versions;

/// Bytes of the smallest part that is not the last one.
const MIN_PART: u64 = 5 << 20;

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder.op::<op::CompleteMultipartUpload, _>(
        |s3, cx, input| {
            let door = Door::of(s3, cx, input)?;
            Ok(vec![door.ask_object("s3:PutObject", &input.key)])
        },
        complete,
    )
}

/// A part as the client names it.
struct Named {
    number: u64,
    etag: String,
    checksums: Vec<(Algorithm, String)>,
}

/// Checks the form of the client's list: not empty, in ascending order, every part with its tag.
fn named(parts: &[CompletedPart]) -> errors::Result<Vec<Named>> {
    if parts.is_empty() || parts.len() > MAX_PARTS as usize {
        return Err(Code::MalformedXML.error());
    }
    let mut named = Vec::<Named>::with_capacity(parts.len());
    for part in parts {
        let (Some(number), Some(etag)) = (part.part_number, &part.e_tag) else {
            return Err(Code::MalformedXML.error());
        };
        let number = u64::try_from(number).map_err(|_| Code::InvalidPart)?;
        if named.last().is_some_and(|last| last.number >= number) {
            return Err(Code::InvalidPartOrder.error());
        }
        named.push(Named {
            number,
            etag: etag.trim_matches('"').to_owned(),
            checksums: checksum::sent!(part),
        });
    }
    Ok(named)
}

/// The parts that the client's list names, checked against it.
fn gather(tx: &Tx, upload: &Upload, named: &[Named]) -> errors::Result<Vec<Part>> {
    let mut there = BTreeMap::new();
    for part in tx.scan(Scan::<Part>::of((upload.id.as_str(),))) {
        let part = part?;
        there.insert(part.number, part);
    }
    let mut parts = Vec::with_capacity(named.len());
    for (at, wanted) in named.iter().enumerate() {
        let invalid = || {
            Code::InvalidPart
                .with("UploadId", &upload.id)
                .with("PartNumber", wanted.number)
                .with("ETag", &wanted.etag)
        };
        let part = there.remove(&wanted.number).ok_or_else(invalid)?;
        if part.etag != wanted.etag {
            return Err(invalid());
        }
        // Who declared an algorithm says each part's checksum again, so that a list of parts is
        // never taken for another.
        let composed = upload.algorithm.filter(|_| upload.composite);
        if let Some(algorithm) = composed
            && !wanted.checksums.iter().any(|(sent, _)| *sent == algorithm)
        {
            let name = checksum::name(algorithm).to_ascii_lowercase();
            return Err(Code::InvalidRequest.says(format!(
                "The upload was created using a {name} checksum. The complete request must include \
                 the checksum for each part. It was missing for part {} in the request.",
                wanted.number
            )));
        }
        for (algorithm, value) in &wanted.checksums {
            let own = [&part.checksum, &part.claimed];
            let own = own
                .into_iter()
                .flatten()
                .find(|own| own.algorithm == *algorithm);
            if own.is_none_or(|own| own.value != *value) {
                return Err(invalid());
            }
        }
        if part.size < MIN_PART && at + 1 < named.len() {
            return Err(Code::EntityTooSmall
                .with("ProposedSize", part.size)
                .with("MinSizeAllowed", MIN_PART)
                .with("PartNumber", part.number)
                .with("ETag", &part.etag));
        }
        parts.push(part);
    }
    Ok(parts)
}

fn etag(upload: &Upload, parts: &[Part]) -> String {
    let of_parts = match upload.sealing {
        Sealing::Customer { .. } | Sealing::Kms(_) => id::hex_digits(32),
        Sealing::Managed(_) => {
            let mut all = Digests::new(&[Algorithm::Md5]);
            for part in parts {
                // Parts under a managed key have their MD5 as tag.
                all.update(&hex::decode(&part.etag).unwrap_or_default());
            }
            all.finish().values().map(hex::encode).collect()
        }
    };
    format!("{of_parts}-{}", parts.len())
}

/// Checks what the client says of the whole, and gives the checksum that the object keeps.
fn whole_checksum(
    input: &CompleteMultipartUploadRequest,
    upload: &Upload,
    parts: &[Part],
) -> errors::Result<Option<Checksum>> {
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if let Some(said) = input.mpu_object_size
        && u64::try_from(said) != Ok(size)
    {
        return Err(Code::InvalidRequest.says(format!(
            "The provided 'x-amz-mp-object-size' header value {said} does not match what was \
             computed: {size}"
        )));
    }
    let kind = uploads::kind_name(upload.composite);
    if input
        .checksum_type
        .as_ref()
        .is_some_and(|said| *said != kind)
    {
        return Err(Code::InvalidRequest.says(format!(
            "The upload was created using the {kind} checksum mode. The complete request must use \
             the same checksum mode."
        )));
    }
    let algorithm = upload.algorithm.unwrap_or(checksum::DEFAULT);
    let sums: Vec<_> = parts
        .iter()
        .map(|part| (part.checksum.as_ref(), part.size))
        .collect();
    let computed = checksum::of_parts(algorithm, upload.composite, &sums);
    for (algorithm, value) in checksum::sent!(input) {
        let own = computed.as_ref().filter(|own| own.algorithm == algorithm);
        if own.is_none_or(|own| own.value != value) {
            return Err(checksum::mismatch(algorithm));
        }
    }
    Ok(computed)
}

/// Makes the object, inside the transaction.
fn assemble(
    (s3, cx): (&S3, &Cx),
    tx: &mut Tx,
    input: &CompleteMultipartUploadRequest,
    named: &[Named],
    condition: &WriteIf,
) -> errors::Result<(Bucket, Version)> {
    let bucket = S3::bucket_in(tx, &input.bucket)?;
    let there = versions::newest(tx, &bucket, &input.key)?;
    let upload = match uploads::find(tx, &bucket, &input.key, &input.upload_id) {
        Ok(upload) => upload,
        // A client that missed our first answer asks again.
        Err(failure) => {
            return there
                .filter(|v| v.is_of(&input.upload_id))
                .map(|v| (bucket, v))
                .ok_or(failure);
        }
    };
    let parts = gather(tx, &upload, named)?;
    let checksum = whole_checksum(input, &upload, &parts)?;
    condition.check(there.as_ref(), &input.key)?;
    let object = Object {
        size: parts.iter().map(|part| part.size).sum(),
        etag: etag(&upload, &parts),
        stored: Stored::Parts,
        sealing: upload.sealing.clone(),
        checksum,
        traits: upload.traits.clone(),
        parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
        upload: Some(upload.id.clone()),
        restore: None,
    };
    let kept = |number| {
        named
            .binary_search_by_key(&number, |part| part.number)
            .is_ok()
    };
    versions::release_parts(tx, &upload.id, kept)?;
    tx.delete::<Upload>((bucket.id, upload.key.as_str(), upload.id.as_str()))?;
    let heavy = Content {
        bucket: bucket.id,
        key: input.key.clone(),
        seq: 0,
        parts: parts.iter().map(Part::info).collect(),
        pieces: parts.into_iter().map(|part| part.piece).collect(),
    };
    let version = s3.version(&bucket, &input.key, object);
    let version = versions::file(tx, &bucket, version, Some(heavy))?;
    let event = "ObjectCreated:CompleteMultipartUpload";
    s3.tell_of(tx, Cause::Request(cx), &bucket, &version, event)?;
    Ok((bucket, version))
}

impl Part {
    fn info(&self) -> PartInfo {
        PartInfo {
            number: u32::try_from(self.number).unwrap_or(u32::MAX),
            size: self.size,
            checksum: self.checksum.clone(),
        }
    }
}

impl Version {
    fn is_of(&self, upload: &str) -> bool {
        let object = self.object.as_ref();
        object.is_some_and(|object| object.upload.as_deref() == Some(upload))
    }
}

async fn complete(
    s3: Arc<S3>,
    cx: Cx,
    input: CompleteMultipartUploadRequest,
) -> Result<CompleteMultipartUploadOutput> {
    let list = input
        .multipart_upload
        .as_ref()
        .and_then(|list| list.parts.as_deref());
    let named = named(list.unwrap_or_default())?;
    let condition = WriteIf::read(input.if_match.as_deref(), input.if_none_match.as_deref())?;
    let (bucket, version) = s3
        .store
        .transact(|tx| assemble((&s3, &cx), tx, &input, &named, &condition))
        .await?;
    let object = version
        .object
        .as_ref()
        .ok_or(Code::InternalError)
        .map_err(errors::Failure::from)?;
    const PATH: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    let path = utf8_percent_encode(&input.key, PATH);
    let mut out = CompleteMultipartUploadOutput {
        location: Some(format!("{}/{}/{path}", cx.request.endpoint, bucket.name)),
        key: Some(input.key.clone()),
        e_tag: Some(format!("\"{}\"", object.etag)),
        checksum_type: object.checksum.as_ref().map(|checksum| checksum.kind()),
        version_id: bucket.shown_id(&version),
        expiration: s3.expiration(&bucket, &version)?,
        bucket: Some(bucket.name),
        ..Default::default()
    };
    checksum::show!(out, &object.checksum);
    show_sealing!(out, &object.sealing);
    Ok(out)
}
