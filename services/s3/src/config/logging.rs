//! Server access logging: where a bucket's log goes. `crate::access_log` writes it.
//!
//! Source: "Logging requests with server access logging" in the S3 User Guide.

use std::sync::Arc;

use gureum_dispatch::{Ask, Caller, Cx};
use gureum_kit::Reader;
use gureum_model_s3::types::{
    GetBucketLoggingOutput, GetBucketLoggingRequest, LoggingEnabled, PartitionedPrefix,
    PutBucketLoggingOutput, PutBucketLoggingRequest, SimplePrefix, TargetObjectKeyFormat,
};
use serde::{Deserialize, Serialize};

use super::{Document, Reply};
use crate::S3;
use crate::errors::{Code, Failure, Result};
use crate::model::Bucket;
use crate::names;
use crate::rules::Rules;

/// In whose name log objects are written.
pub(crate) const PRINCIPAL: &str = "logging.s3.amazonaws.com";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logging {
    pub(crate) target: String,
    pub(crate) prefix: String,
    pub(crate) keys: KeyFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyFormat {
    /// Clients that say nothing are told nothing.
    #[default]
    Unsaid,
    Simple,
    /// `…/ACCOUNT/REGION/BUCKET/YYYY/MM/DD/…` by the time of the events.
    EventTime,
    /// The same by the time of delivery.
    DeliveryTime,
}

impl Document for Logging {
    const KIND: &'static str = "logging";
}

impl Logging {
    fn read(asked: LoggingEnabled) -> Result<Self> {
        if asked.target_grants.is_some_and(|grants| !grants.is_empty()) {
            return Err(Failure::not_implemented(
                "Parameter TargetGrants of LoggingEnabled",
            ));
        }
        let keys = match asked.target_object_key_format {
            None => KeyFormat::Unsaid,
            Some(TargetObjectKeyFormat {
                simple_prefix: Some(_),
                partitioned_prefix: None,
            }) => KeyFormat::Simple,
            Some(TargetObjectKeyFormat {
                simple_prefix: None,
                partitioned_prefix:
                    Some(PartitionedPrefix {
                        partition_date_source,
                    }),
            }) => match partition_date_source.as_deref() {
                None | Some("DeliveryTime") => KeyFormat::DeliveryTime,
                Some("EventTime") => KeyFormat::EventTime,
                Some(_) => return Err(Code::MalformedXML.error()),
            },
            Some(_) => return Err(Code::MalformedXML.error()),
        };
        Ok(Self {
            target: asked.target_bucket,
            prefix: asked.target_prefix,
            keys,
        })
    }

    fn shown(self) -> LoggingEnabled {
        let simple = TargetObjectKeyFormat {
            simple_prefix: Some(SimplePrefix::default()),
            partitioned_prefix: None,
        };
        let partitioned = |source: &str| TargetObjectKeyFormat {
            simple_prefix: None,
            partitioned_prefix: Some(PartitionedPrefix {
                partition_date_source: Some(source.to_owned()),
            }),
        };
        LoggingEnabled {
            target_bucket: self.target,
            target_prefix: self.prefix,
            target_grants: None,
            target_object_key_format: match self.keys {
                KeyFormat::Unsaid => None,
                KeyFormat::Simple => Some(simple),
                KeyFormat::EventTime => Some(partitioned("EventTime")),
                KeyFormat::DeliveryTime => Some(partitioned("DeliveryTime")),
            },
        }
    }
}

/// Checks that the log of `source` can be written to its target: a bucket of the same owner and
/// region that lets the log service put objects.
fn check_target(cx: &Cx, from: &impl Reader, source: &Bucket, logging: &Logging) -> Result<()> {
    let invalid = |why: &str| {
        let refusal = Code::InvalidTargetBucketForLogging.says(why);
        Err(refusal.with("TargetBucket", &logging.target))
    };
    let Some(target) = from.get::<Bucket>(logging.target.as_str())? else {
        return invalid("The target bucket for logging does not exist");
    };
    if target.owner != source.owner {
        return invalid(
            "The owner for the bucket to be logged and the target bucket must be the same.",
        );
    }
    if target.region != source.region {
        return Err(Code::CrossLocationLoggingProhibited.error());
    }
    if Rules::load(from, &target)?.lock.is_some() {
        return invalid("The target bucket for logging has a default retention period.");
    }
    if !cx
        .as_caller(Arc::new(writer(source)))
        .allows(&write_ask(&target, &logging.prefix, from)?)
    {
        return invalid(
            "You must give the log-delivery group WRITE and READ_ACP permissions to the target bucket",
        );
    }
    Ok(())
}

/// The log service, acting for the bucket whose log it is.
pub(crate) fn writer(source: &Bucket) -> Caller {
    Caller::service(PRINCIPAL, &names::bucket_arn(&source.name), &source.owner)
}

fn write_ask(target: &Bucket, prefix: &str, from: &impl Reader) -> Result<Ask> {
    let rules = Rules::load(from, target)?;
    Ok(
        Ask::new("s3:PutObject", names::object_arn(&target.name, prefix))
            .owner(&target.owner)
            .policy(rules.policy),
    )
}

pub(crate) async fn put(
    s3: Arc<S3>,
    cx: Cx,
    input: PutBucketLoggingRequest,
) -> Reply<PutBucketLoggingOutput> {
    let asked = input.bucket_logging_status.logging_enabled;
    let logging = asked.map(Logging::read).transpose()?;
    s3.configure(&input.bucket, |tx, bucket| match &logging {
        None => super::delete::<Logging>(tx, bucket),
        Some(logging) => {
            check_target(&cx, tx, bucket, logging)?;
            super::put(tx, bucket, logging)
        }
    })
    .await?;
    Ok(PutBucketLoggingOutput::default())
}

pub(crate) async fn get(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketLoggingRequest,
) -> Reply<GetBucketLoggingOutput> {
    let logging: Option<Logging> = s3.config(&input.bucket)?;
    Ok(GetBucketLoggingOutput {
        logging_enabled: logging.map(Logging::shown),
    })
}
