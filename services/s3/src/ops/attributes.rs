//! GetObjectAttributes.

use std::sync::Arc;

use gureum_dispatch::{Cx, ServiceBuilder};
use gureum_model_s3::op;
use gureum_model_s3::types::{
    Checksum as ChecksumEntry, GetObjectAttributesOutput, GetObjectAttributesParts,
    GetObjectAttributesRequest, ObjectPart,
};
use gureum_schema::{Result, Timestamp};

use crate::S3;
use crate::asks::Door;
use crate::checksum;
use crate::content;
use crate::errors::{self, Failure};
use crate::list;
use crate::named::{self, NamesObject};
use crate::ops::get::{self, Found};
use crate::sealing;

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder.op::<op::GetObjectAttributes, _>(
        |s3, cx, input| {
            let door = Door::of(s3, cx, input)?;
            let (_, key, version) = input.place();
            let ask = |actions| door.ask_existing(named::either(actions, version), key, version);
            let attributes = ["s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"];
            Ok(vec![ask(get::ACTIONS)?, ask(attributes)?])
        },
        attributes,
    )
}

async fn attributes(
    s3: Arc<S3>,
    cx: Cx,
    input: GetObjectAttributesRequest,
) -> Result<GetObjectAttributesOutput> {
    const KNOWN: [&str; 5] = [
        "ETag",
        "Checksum",
        "ObjectParts",
        "StorageClass",
        "ObjectSize",
    ];
    let wants = |name: &str| input.object_attributes.iter().any(|wanted| wanted == name);
    let strange = input
        .object_attributes
        .iter()
        .find(|name| !KNOWN.contains(&name.as_str()));
    if let Some(name) = strange {
        let message = "Invalid attribute name specified.";
        return Err(Failure::argument("x-amz-object-attributes", name, message).into());
    }
    let version = input.version_id.as_deref();
    let found = get::find(&s3, &cx, &input.bucket, &input.key, version)?;
    let customer = sealing::customer_key(
        cx.request.secure,
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key.as_deref(),
        input.sse_customer_key_md5.as_deref(),
    )?;
    let object = &found.object;
    s3.keyring.open(&object.sealing, customer.as_ref())?;
    let mut out = GetObjectAttributesOutput {
        last_modified: Some(Timestamp::from_secs(found.version.modified.secs())),
        version_id: found.bucket.shown_id(&found.version),
        ..Default::default()
    };
    if wants("ETag") {
        out.e_tag = Some(object.etag.clone());
    }
    if wants("Checksum")
        && let Some(checksum) = &object.checksum
    {
        let mut entry = ChecksumEntry {
            checksum_type: Some(checksum.kind()),
            ..Default::default()
        };
        checksum::show!(entry, Some(checksum));
        out.checksum = Some(entry);
    }
    if wants("ObjectParts") && object.parts > 0 {
        out.object_parts = Some(parts(&found, &input)?);
    }
    if wants("StorageClass") {
        out.storage_class = Some(object.traits.class.name().to_owned());
    }
    if wants("ObjectSize") {
        out.object_size = i64::try_from(object.size).ok();
    }
    Ok(out)
}

fn parts(
    found: &Found,
    input: &GetObjectAttributesRequest,
) -> errors::Result<GetObjectAttributesParts> {
    let Found {
        view,
        version,
        object,
        ..
    } = found;
    let max = list::page_size(input.max_parts, "max-parts")?;
    let after = input.part_number_marker.unwrap_or(0);
    let mut rest = content::heavy(view, version)?
        .parts
        .into_iter()
        .filter(|part| i64::from(part.number) > i64::from(after));
    let shown: Vec<_> = rest.by_ref().take(max as usize).collect();
    let truncated = rest.next().is_some();
    let entries = shown.iter().map(|part| {
        let mut entry = ObjectPart {
            part_number: i32::try_from(part.number).ok(),
            size: i64::try_from(part.size).ok(),
            ..Default::default()
        };
        checksum::show!(entry, &part.checksum);
        entry
    });
    Ok(GetObjectAttributesParts {
        total_parts_count: i32::try_from(object.parts).ok(),
        part_number_marker: Some(after),
        next_part_number_marker: shown
            .last()
            .and_then(|part| i32::try_from(part.number).ok()),
        max_parts: Some(max),
        is_truncated: Some(truncated),
        parts: Some(entries.collect()),
    })
}
