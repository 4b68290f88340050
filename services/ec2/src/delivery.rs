//! Putting logs into buckets, in the name of the service that delivers them.
//!
//! Source: "Publish flow logs to Amazon S3" in the Amazon VPC User Guide.

use std::sync::Arc;

use bytes::Bytes;
use gureum_dispatch::{Caller, Cloud, Cx, RequestInfo};
use gureum_kit::{AccountId, Region};
use gureum_model_s3::op;
use gureum_model_s3::types::{
    GetBucketAclRequest, GetBucketPolicyRequest, PutBucketPolicyRequest, PutObjectRequest,
};
use gureum_schema::{Body, Error};
use serde_json::{Value, json};

const PRINCIPAL: &str = "delivery.logs.amazonaws.com";
/// What the bucket's owner may do with what is delivered: everything.
const ACL: &str = "bucket-owner-full-control";

fn deliverer(region: &Region, account: &AccountId) -> Arc<Caller> {
    let source = source(region, account);
    Arc::new(Caller::service(PRINCIPAL, &source, account))
}

fn source(region: &Region, account: &AccountId) -> String {
    format!("arn:aws:logs:{region}:{account}:*")
}

/// Puts an object into a bucket.
pub(crate) async fn put(
    cloud: &Arc<Cloud>,
    (region, account): (&Region, &AccountId),
    bucket: &str,
    key: String,
    content: Vec<u8>,
) -> Result<(), Error> {
    let caller = deliverer(region, account);
    let cx = cloud.cx(caller, region.clone(), RequestInfo::inside(PRINCIPAL));
    let input = PutObjectRequest {
        bucket: bucket.to_owned(),
        key,
        content_length: Some(content.len() as i64),
        body: Body::from(Bytes::from(content)),
        content_type: Some("application/octet-stream".to_owned()),
        acl: Some(ACL.to_owned()),
        ..Default::default()
    };
    cx.call::<op::PutObject>(input).await.map(drop)
}

/// Whether logs can be delivered to a bucket; else why not, in AWS's words. Where its policy says
/// nothing of it, and whoever asks may change the policy, it is told to allow it.
pub(crate) async fn may_write(cx: &Cx, bucket: &str) -> Result<Result<(), String>, Error> {
    let denied = || {
        Err(format!(
            "Access Denied for LogDestination: {bucket}. Please check LogDestination permission"
        ))
    };
    let there = look(cx, bucket).await;
    match there {
        Ok(()) => return Ok(Ok(())),
        Err(error) if error.code == "NoSuchBucket" => {
            return Ok(Err(format!("LogDestination: {bucket} does not exist")));
        }
        Err(error) if error.status >= 500 => return Err(error),
        Err(_) => {}
    }
    Ok(match allow(cx, bucket).await {
        Ok(()) => look(cx, bucket).await.or_else(|_| denied()),
        Err(error) if error.status >= 500 => return Err(error),
        Err(_) => denied(),
    })
}

/// Whether the delivering service may look at the bucket's access list, which it asks for first.
async fn look(cx: &Cx, bucket: &str) -> Result<(), Error> {
    let input = GetBucketAclRequest {
        bucket: bucket.to_owned(),
        ..Default::default()
    };
    let delivering = cx.as_caller(deliverer(&cx.region, cx.account()));
    delivering.call::<op::GetBucketAcl>(input).await.map(drop)
}

/// Adds to the bucket's policy what delivering needs, in the caller's name.
async fn allow(cx: &Cx, bucket: &str) -> Result<(), Error> {
    let input = GetBucketPolicyRequest {
        bucket: bucket.to_owned(),
        ..Default::default()
    };
    let policy = match cx.call::<op::GetBucketPolicy>(input).await {
        Ok(found) => found.policy,
        Err(error) if error.code == "NoSuchBucketPolicy" => None,
        Err(error) => return Err(error),
    };
    let policy = extended(policy.as_deref(), bucket, &cx.region, cx.account());
    let input = PutBucketPolicyRequest {
        bucket: bucket.to_owned(),
        policy: policy.to_string(),
        ..Default::default()
    };
    cx.call::<op::PutBucketPolicy>(input).await.map(drop)
}

/// A policy with two more statements.
fn extended(policy: Option<&str>, bucket: &str, region: &Region, account: &AccountId) -> Value {
    let parsed = policy.and_then(|text| serde_json::from_str(text).ok());
    let mut policy: Value = parsed.unwrap_or_else(|| json!({ "Version": "2012-10-17" }));
    let mut statements = match policy["Statement"].take() {
        Value::Array(statements) => statements,
        Value::Null => Vec::new(),
        one => vec![one],
    };
    let unit = id_of(region, account);
    let from = json!({ "aws:SourceArn": source(region, account) });
    statements.push(json!({
        "Sid": format!("AWSLogDeliveryWrite{unit}"),
        "Effect": "Allow",
        "Principal": { "Service": PRINCIPAL },
        "Action": "s3:PutObject",
        "Resource": format!("arn:aws:s3:::{bucket}/*"),
        "Condition": {
            "StringEquals": { "s3:x-amz-acl": ACL, "aws:SourceAccount": account.to_string() },
            "ArnLike": from,
        },
    }));
    statements.push(json!({
        "Sid": format!("AWSLogDeliveryAclCheck{unit}"),
        "Effect": "Allow",
        "Principal": { "Service": PRINCIPAL },
        "Action": "s3:GetBucketAcl",
        "Resource": format!("arn:aws:s3:::{bucket}"),
        "Condition": {
            "StringEquals": { "aws:SourceAccount": account.to_string() },
            "ArnLike": from,
        },
    }));
    policy["Statement"] = Value::Array(statements);
    policy
}

/// Tells the statements of one region and account from those of others.
fn id_of(region: &Region, account: &AccountId) -> String {
    let letters = region.as_str().chars().filter(char::is_ascii_alphanumeric);
    format!("{account}{}", letters.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_policy_says_already_stays() {
        let region = "us-east-1".parse().expect("region");
        let account = "123456789012".parse().expect("account");
        let one = r#"{"Version":"2012-10-17","Id":"mine","Statement":{"Sid":"a"}}"#;
        let policy = extended(Some(one), "bucket", &region, &account);
        assert_eq!(policy["Id"], "mine");
        assert_eq!(policy["Statement"][0]["Sid"], "a");
        assert_eq!(policy["Statement"].as_array().map(Vec::len), Some(3));
        let policy = extended(None, "bucket", &region, &account);
        assert_eq!(policy["Statement"].as_array().map(Vec::len), Some(2));
    }
}
