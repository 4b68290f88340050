//! Buckets: making, finding, listing, deleting.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx, ServiceBuilder};
use gureum_kit::names::id;
use gureum_kit::{Reader, Region, Scan, Tx};
use gureum_model_s3::op;
use gureum_model_s3::types::{
    Bucket as BucketEntry, CreateBucketOutput, CreateBucketRequest, DeleteBucketOutput,
    DeleteBucketRequest, GetBucketLocationOutput, GetBucketLocationRequest, HeadBucketOutput,
    HeadBucketRequest, ListBucketsOutput, ListBucketsRequest, Owner,
};
use gureum_schema::{Result, Timestamp};

use crate::S3;
use crate::asks::Door;
use crate::config;
use crate::errors::{self, Code, Failure};
use crate::list::Place;
use crate::model::{Bucket, Current, Past, Upload, Versioning};
use crate::names;

/// Where a bucket is made without a location, and where AWS's rules differ for history's sake.
const CLASSIC: &str = "us-east-1";
/// Buckets of an account; AWS's default quota.
const MAX_BUCKETS: i32 = 10_000;

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder
        .op_refusing::<op::CreateBucket, _>(
            &["BucketNamespace"],
            |_, cx, input| {
                let ask = Ask::new("s3:CreateBucket", names::bucket_arn(&input.bucket));
                let ask = ask.key_opt("s3:x-amz-acl", input.acl.as_deref());
                let location = location(cx, input);
                Ok(vec![ask.key_opt("s3:locationconstraint", location)])
            },
            create,
        )
        .op::<op::HeadBucket, _>(
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                Ok(vec![door.ask("s3:ListBucket")])
            },
            head,
        )
        .op::<op::GetBucketLocation, _>(
            |s3, cx, input| {
                let owner = input.expected_bucket_owner.as_deref();
                let door = Door::abroad(s3, cx, &input.bucket, owner)?;
                Ok(vec![door.ask("s3:GetBucketLocation")])
            },
            location_of,
        )
        .op::<op::ListBuckets, _>(
            |_, _, _| Ok(vec![Ask::new("s3:ListAllMyBuckets", "*")]),
            list,
        )
        .op::<op::DeleteBucket, _>(
            |s3, cx, input| {
                let door = Door::of(s3, cx, input)?;
                Ok(vec![door.ask("s3:DeleteBucket")])
            },
            delete,
        )
}

fn location(cx: &Cx, input: &CreateBucketRequest) -> Option<String> {
    let said = input.create_bucket_configuration.as_ref();
    let said = said.and_then(|said| said.location_constraint.clone());
    said.or_else(|| (cx.region != CLASSIC).then(|| cx.region.to_string()))
}

/// The region of a new bucket. `us-east-1` takes requests for every region, others only their own.
fn region(cx: &Cx, constraint: Option<&str>) -> errors::Result<Region> {
    let illegal = |named: &str| {
        Code::IllegalLocationConstraintException.says(format!(
            "The {named} location constraint is incompatible for the region specific endpoint \
             this request was sent to."
        ))
    };
    let at_home = cx.region == CLASSIC;
    match constraint.filter(|text| !text.is_empty()) {
        None if at_home => Ok(cx.region.clone()),
        None => Err(illegal("unspecified")),
        Some(named @ CLASSIC) => {
            Err(Code::InvalidLocationConstraint.with("LocationConstraint", named))
        }
        Some(named) => {
            let named = if named == "EU" { "eu-west-1" } else { named };
            let invalid = |_| Code::InvalidLocationConstraint.with("LocationConstraint", named);
            let region: Region = named.parse().map_err(invalid)?;
            if at_home || region == cx.region {
                Ok(region)
            } else {
                Err(illegal(named))
            }
        }
    }
}

async fn create(s3: Arc<S3>, cx: Cx, input: CreateBucketRequest) -> Result<CreateBucketOutput> {
    names::check_bucket(&input.bucket)?;
    check_create(&input)?;
    let configuration = input.create_bucket_configuration.as_ref();
    let constraint = configuration.and_then(|said| said.location_constraint.as_deref());
    let region = region(&cx, constraint)?;
    let object_lock = input.object_lock_enabled_for_bucket.unwrap_or(false);
    let bucket = Bucket {
        name: input.bucket.clone(),
        id: u64::from_be_bytes(id::bytes()),
        owner: *cx.account(),
        region,
        created: Timestamp(s3.clock.now()),
        versioning: if object_lock {
            Versioning::Enabled
        } else {
            Versioning::Never
        },
        object_lock,
        revision: 0,
    };
    s3.store.transact(|tx| make(tx, &bucket, &input)).await?;
    let location = if bucket.region == CLASSIC {
        format!("/{}", bucket.name)
    } else {
        format!("{}/{}", cx.request.endpoint, bucket.name)
    };
    Ok(CreateBucketOutput {
        location: Some(location),
        bucket_arn: Some(names::bucket_arn(&bucket.name)),
    })
}

fn make(tx: &mut Tx, bucket: &Bucket, input: &CreateBucketRequest) -> errors::Result<()> {
    match tx.get::<Bucket>(bucket.name.as_str())? {
        None => {
            tx.put(bucket)?;
            config::begin(tx, bucket, input)
        }
        Some(there) if there.owner != bucket.owner => {
            Err(Code::BucketAlreadyExists.with("BucketName", &bucket.name))
        }
        // In the oldest region alone, making one's own bucket again changes nothing.
        Some(there) if there.region == CLASSIC && bucket.region == CLASSIC => Ok(()),
        Some(_) => Err(Code::BucketAlreadyOwnedByYou.with("BucketName", &bucket.name)),
    }
}

fn check_create(input: &CreateBucketRequest) -> errors::Result<()> {
    match &input.create_bucket_configuration {
        Some(said) if said.location.is_some() || said.bucket.is_some() => {
            Err(Failure::not_implemented("A directory bucket"))
        }
        _ => Ok(()),
    }
}

async fn head(s3: Arc<S3>, _: Cx, input: HeadBucketRequest) -> Result<HeadBucketOutput> {
    let bucket = s3.bucket(&input.bucket)?;
    Ok(HeadBucketOutput {
        bucket_arn: Some(names::bucket_arn(&bucket.name)),
        bucket_region: Some(bucket.region.to_string()),
        access_point_alias: Some(false),
        ..Default::default()
    })
}

async fn location_of(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketLocationRequest,
) -> Result<GetBucketLocationOutput> {
    let bucket = s3.bucket(&input.bucket)?;
    let elsewhere = bucket.region != CLASSIC;
    Ok(GetBucketLocationOutput {
        location_constraint: elsewhere.then(|| bucket.region.to_string()),
    })
}

async fn list(s3: Arc<S3>, cx: Cx, input: ListBucketsRequest) -> Result<ListBucketsOutput> {
    let max = match input.max_buckets {
        Some(max) if !(1..=MAX_BUCKETS).contains(&max) => {
            let message =
                format!("Argument max-buckets must be an integer between 1 and {MAX_BUCKETS}");
            return Err(Failure::argument("max-buckets", max, message).into());
        }
        max => max.unwrap_or(MAX_BUCKETS) as usize,
    };
    let mut scan = Scan::<Bucket>::of(()).text(input.prefix.as_deref().unwrap_or_default());
    if let Some(token) = &input.continuation_token {
        scan = match Place::of_token(token)? {
            Place::Behind(name) | Place::BehindPrefix(name) => scan.after(name),
        };
    }
    let (buckets, more) = own(&s3, &cx, scan, input.bucket_region.as_deref(), max)?;
    let last = buckets.last().and_then(|bucket| bucket.name.clone());
    Ok(ListBucketsOutput {
        buckets: Some(buckets),
        owner: Some(Owner {
            id: Some(cx.account().canonical_user()),
            ..Default::default()
        }),
        continuation_token: last
            .filter(|_| more)
            .map(|name| Place::Behind(name).token()),
        prefix: input.prefix,
    })
}

/// Up to `max` of the caller's buckets in a scan, and whether there are more.
fn own(
    s3: &S3,
    cx: &Cx,
    scan: Scan<Bucket>,
    region: Option<&str>,
    max: usize,
) -> errors::Result<(Vec<BucketEntry>, bool)> {
    let mut buckets = Vec::new();
    for bucket in s3.store.read().scan(scan) {
        let bucket = bucket?;
        if bucket.owner != *cx.account() || region.is_some_and(|region| bucket.region != region) {
            continue;
        }
        if buckets.len() == max {
            return Ok((buckets, true));
        }
        buckets.push(BucketEntry {
            bucket_arn: Some(names::bucket_arn(&bucket.name)),
            name: Some(bucket.name),
            creation_date: Some(Timestamp::from_secs(bucket.created.secs())),
            bucket_region: Some(bucket.region.to_string()),
        });
    }
    Ok((buckets, false))
}

async fn delete(s3: Arc<S3>, _: Cx, input: DeleteBucketRequest) -> Result<DeleteBucketOutput> {
    s3.store.transact(|tx| remove(tx, &input.bucket)).await?;
    Ok(DeleteBucketOutput::default())
}

fn remove(tx: &mut Tx, name: &str) -> errors::Result<()> {
    let bucket = S3::bucket_in(tx, name)?;
    let empty = tx
        .scan(Scan::<Current>::of((bucket.id,)).limit(1))
        .next()
        .is_none()
        && tx
            .scan(Scan::<Past>::of((bucket.id,)).limit(1))
            .next()
            .is_none()
        && tx
            .scan(Scan::<Upload>::of((bucket.id,)).limit(1))
            .next()
            .is_none();
    if !empty {
        return Err(Code::BucketNotEmpty.with("BucketName", name));
    }
    config::end(tx, &bucket)?;
    Ok(tx.delete::<Bucket>(name)?)
}
