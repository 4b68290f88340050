//! RestoreObject: objects of the archive classes become readable for a while.
//!
//! What AWS does in minutes to hours is done here in seconds to minutes, but it is done: until
//! then, and after the copy has expired, the object cannot be read. The object's content stays
//! where it is; its state follows from the time alone.

use std::sync::Arc;

use gureum_dispatch::{Cx, ServiceBuilder};
use gureum_model_s3::op;
use gureum_model_s3::types::{RestoreObjectOutput, RestoreObjectRequest, RestoreRequest};
use gureum_schema::{Result, Timestamp};

use crate::S3;
use crate::errors::{self, Code, Failure};
use crate::model::{Object, Restore, StorageClass};
use crate::named;
use crate::ops::edit;

const DAY: i64 = 24 * 60 * 60 * 1000;
/// The longest that a copy may be kept, in days.
const MAX_DAYS: i32 = 30_000;

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder.op::<op::RestoreObject, _>(
        |s3, cx, input| Ok(vec![named::ask(s3, cx, input, "s3:RestoreObject")?]),
        restore,
    )
}

/// Milliseconds until the copy is there.
fn delay(tier: &str, class: StorageClass) -> errors::Result<i64> {
    match (tier, class) {
        ("Expedited", StorageClass::DeepArchive) => Err(Code::InvalidArgument
            .says("Expedited tier is not available for objects in the DEEP_ARCHIVE storage class")),
        ("Expedited", _) => Ok(2_000),
        ("Standard", _) => Ok(15_000),
        ("Bulk", _) => Ok(60_000),
        (other, _) => Err(Failure::argument("Tier", other, "Unknown retrieval tier")),
    }
}

/// How long, and how urgently.
fn terms(request: Option<&RestoreRequest>) -> errors::Result<(i32, &str)> {
    let request = request.ok_or(Code::MalformedXML)?;
    if request.type_.is_some()
        || request.select_parameters.is_some()
        || request.output_location.is_some()
    {
        return Err(Failure::not_implemented("A restore that selects"));
    }
    let days = request.days.ok_or(Code::MalformedXML)?;
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(Failure::argument(
            "Days",
            days,
            "restoration days should be at least 1",
        ));
    }
    let job = request
        .glacier_job_parameters
        .as_ref()
        .map(|job| job.tier.as_str());
    Ok((days, job.or(request.tier.as_deref()).unwrap_or("Standard")))
}

/// Returns the status of the answer: 202 when a copy is on its way, 200 when it is there already.
fn change(object: &mut Object, now: Timestamp, days: i32, tier: &str) -> errors::Result<i32> {
    let class = object.traits.class;
    if !class.archived() {
        return Err(Code::InvalidObjectState
            .says("Restore is not allowed for the object's current storage class")
            .with("StorageClass", class.name()));
    }
    let (ready, status) = match object.restore {
        Some(restore) if now < restore.ready => {
            return Err(Code::RestoreAlreadyInProgress.error());
        }
        // Restoring again what is there only changes how long it is kept.
        Some(restore) if restore.readable(now) => (restore.ready, 200),
        _ => (Timestamp(now.0 + delay(tier, class)?), 202),
    };
    // The copy is kept to the end, in UTC, of the last day.
    let last = now.0 + i64::from(days) * DAY;
    let expires = Timestamp((last / DAY + 1) * DAY);
    object.restore = Some(Restore { ready, expires });
    Ok(status)
}

async fn restore(s3: Arc<S3>, cx: Cx, input: RestoreObjectRequest) -> Result<RestoreObjectOutput> {
    let (days, tier) = terms(input.restore_request.as_ref())?;
    let version = input.version_id.as_deref();
    let (_, status) = edit::edit(
        &s3,
        (&cx, Some("ObjectRestore:Post")),
        &input.bucket,
        &input.key,
        version,
        |object, _| change(object, cx.now, days, tier),
    )
    .await?;
    Ok(RestoreObjectOutput {
        status_code: Some(status),
        ..Default::default()
    })
}
