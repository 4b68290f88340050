//! The bucket policy.
//!
//! Source: "Policies and permissions in Amazon S3" in the S3 User Guide.

use std::sync::Arc;

use gureum_dispatch::{Ask, CallerKind, Cx, Unbound};
use gureum_kit::Reader;
use gureum_model_s3::types::{
    DeleteBucketPolicyOutput, DeleteBucketPolicyRequest, GetBucketPolicyOutput,
    GetBucketPolicyRequest, GetBucketPolicyStatusOutput, GetBucketPolicyStatusRequest,
    PolicyStatus, PutBucketPolicyOutput, PutBucketPolicyRequest,
};
use gureum_policy::{Kind, Policy};
use gureum_schema::Error;
use serde_json::Value;

use super::Reply;
use super::block::Block;
use crate::S3;
use crate::asks::Door;
use crate::errors::{Code, Failure, Result};
use crate::model::{Bucket, Config};
use crate::named::NamesBucket;

/// The kind of the [`Config`] row, which holds the policy with its principals bound to unique ids.
pub(crate) const KIND: &str = "policy";

/// Bytes of the longest policy.
const MAX_SIZE: usize = 20 << 10;

/// The policy as stored.
pub(crate) fn text(from: &impl Reader, bucket: &Bucket) -> Result<Option<String>> {
    Ok(from
        .get::<Config>((bucket.id, KIND))?
        .map(|config| config.text))
}

/// The policy as stored, compiled.
pub(crate) fn load(from: &impl Reader, bucket: &Bucket) -> Result<Option<Policy>> {
    let parsed = text(from, bucket)?.map(|text| Policy::parse(&text, Kind::Resource));
    parsed.transpose().map_err(|error| {
        // It was checked when it was put. Whom it denies must not come in by accident.
        tracing::error!(bucket = bucket.name, %error, "a bucket policy cannot be read");
        Code::InternalError.error()
    })
}

/// Whoever owns the account can always mend a policy that locks everybody out.
pub(crate) fn mending(
    s3: &S3,
    cx: &Cx,
    input: &impl NamesBucket,
    action: &'static str,
) -> Reply<Vec<Ask>> {
    let door = Door::of(s3, cx, input)?;
    let ask = door.ask(action);
    let owns = cx.caller.kind == CallerKind::Root && cx.caller.account == door.bucket.owner;
    Ok(vec![if owns { ask.policy(None) } else { ask }])
}

pub(crate) async fn put(
    s3: Arc<S3>,
    cx: Cx,
    input: PutBucketPolicyRequest,
) -> Reply<PutBucketPolicyOutput> {
    let policy = check(&input.policy, &input.bucket)?;
    let bound = cx.bind_principals(&input.policy).map_err(unbound)?;
    let public = policy.is_public();
    s3.configure(&input.bucket, |tx, bucket| {
        owners_only(&cx, bucket)?;
        let block: Option<Block> = super::get(tx, bucket)?;
        if public && block.is_some_and(|block| block.public_policy) {
            return Err(Code::AccessDenied.says(format!(
                "User: {} is not authorized to perform: s3:PutBucketPolicy on resource: \
                 \"arn:aws:s3:::{}\" because public policies are prevented by the \
                 BlockPublicPolicy setting in S3 Block Public Access.",
                cx.caller.arn, bucket.name
            )));
        }
        Ok(tx.put(&Config {
            bucket: bucket.id,
            kind: KIND.to_owned(),
            text: bound.clone(),
        })?)
    })
    .await?;
    Ok(PutBucketPolicyOutput::default())
}

/// Another account may be allowed to look at a bucket policy, but not through these operations.
fn owners_only(cx: &Cx, bucket: &Bucket) -> Result<()> {
    if cx.caller.account == bucket.owner {
        Ok(())
    } else {
        Err(Code::MethodNotAllowed.error())
    }
}

pub(crate) async fn get(
    s3: Arc<S3>,
    cx: Cx,
    input: GetBucketPolicyRequest,
) -> Reply<GetBucketPolicyOutput> {
    let view = s3.store.read();
    let bucket = S3::bucket_in(&view, &input.bucket)?;
    owners_only(&cx, &bucket)?;
    let policy = text(&view, &bucket)?.ok_or_else(|| missing(&bucket.name))?;
    Ok(GetBucketPolicyOutput {
        policy: Some(cx.show_principals(&policy)?),
    })
}

pub(crate) async fn delete(
    s3: Arc<S3>,
    cx: Cx,
    input: DeleteBucketPolicyRequest,
) -> Reply<DeleteBucketPolicyOutput> {
    s3.configure(&input.bucket, |tx, bucket| {
        owners_only(&cx, bucket)?;
        Ok(tx.delete::<Config>((bucket.id, KIND))?)
    })
    .await?;
    Ok(DeleteBucketPolicyOutput::default())
}

pub(crate) async fn status(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketPolicyStatusRequest,
) -> Reply<GetBucketPolicyStatusOutput> {
    let view = s3.store.read();
    let bucket = S3::bucket_in(&view, &input.bucket)?;
    let policy = load(&view, &bucket)?.ok_or_else(|| missing(&bucket.name))?;
    Ok(GetBucketPolicyStatusOutput {
        policy_status: Some(PolicyStatus {
            is_public: Some(policy.is_public()),
        }),
    })
}

fn missing(bucket: &str) -> Failure {
    Code::NoSuchBucketPolicy.with("BucketName", bucket)
}

fn unbound(unbound: Unbound) -> Error {
    match unbound {
        Unbound::Nobody(name) => malformed("Invalid principal in policy")
            .with("Detail", format!("\"AWS\" : \"{name}\""))
            .into(),
        Unbound::Failed(error) => error,
    }
}

/// Parses a policy and checks that it speaks of this bucket only, and of things that S3 does.
fn check(text: &str, bucket: &str) -> Result<Policy> {
    if text.len() > MAX_SIZE {
        return Err(malformed(
            "Policy exceeds the maximum allowed document size.",
        ));
    }
    let policy =
        Policy::parse(text, Kind::Resource).map_err(|error| malformed(error.to_string()))?;
    // It parsed as a policy, so it is JSON, and every member has the shape it should have.
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    for statement in list(&document["Statement"]) {
        let resources = texts(&statement["Resource"]).chain(texts(&statement["NotResource"]));
        let resources: Option<Vec<Reach>> = resources.map(|arn| Reach::of(arn, bucket)).collect();
        let resources = resources.ok_or_else(|| malformed("Policy has invalid resource"))?;
        for action in texts(&statement["Action"]).chain(texts(&statement["NotAction"])) {
            if action != "*" && !action.to_ascii_lowercase().starts_with("s3:") {
                return Err(malformed("Policy has invalid action"));
            }
        }
        let negated = statement.get("NotResource").is_some();
        for action in texts(&statement["Action"]).filter(|_| !negated) {
            if !resources.iter().any(|reach| reach.fits(action)) {
                return Err(malformed(
                    "Action does not apply to any resource(s) in statement",
                ));
            }
        }
    }
    Ok(policy)
}

fn malformed(message: impl Into<String>) -> Failure {
    Code::MalformedPolicy.says(message)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    let one = (!value.is_array() && !value.is_null()).then_some(value);
    value.as_array().into_iter().flatten().chain(one)
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    list(value).filter_map(Value::as_str)
}

/// What the resource of a statement can stand for.
struct Reach {
    bucket: bool,
    objects: bool,
}

impl Reach {
    /// `None` for what is not this bucket or in it.
    fn of(arn: &str, bucket: &str) -> Option<Self> {
        let rest = arn.strip_prefix("arn:aws:s3:::")?.strip_prefix(bucket)?;
        match rest {
            "" => Some(Self {
                bucket: true,
                objects: false,
            }),
            "*" => Some(Self {
                bucket: true,
                objects: true,
            }),
            _ => rest.starts_with('/').then_some(Self {
                bucket: false,
                objects: true,
            }),
        }
    }

    fn fits(&self, action: &str) -> bool {
        if action.contains(['*', '?']) {
            return true;
        }
        if is_object_action(action) {
            self.objects
        } else {
            self.bucket
        }
    }
}

/// Whether an action is done to objects rather than to their bucket: as a rule, its name says so.
fn is_object_action(action: &str) -> bool {
    let name = action.get(3..).unwrap_or_default().to_ascii_lowercase();
    match name.as_str() {
        "abortmultipartupload" | "listmultipartuploadparts" | "bypassgovernanceretention" => true,
        name => name.contains("object") && !name.contains("bucket"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(action: &str, resource: &str) -> Option<String> {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*",
               "Action":{action},"Resource":{resource}}}}}"#
        );
        let error = gureum_schema::Error::from(check(&text, "photos").err()?);
        assert_eq!(error.code, "MalformedPolicy");
        Some(error.message)
    }

    #[test]
    fn a_policy_speaks_of_its_own_bucket() {
        let invalid = Some("Policy has invalid resource".to_owned());
        for good in ["photos/*", "photos/a?/b", "photos*"] {
            assert_eq!(
                refusal(r#""s3:GetObject""#, &format!(r#""arn:aws:s3:::{good}""#)),
                None,
                "{good}"
            );
        }
        for bad in ["other/*", "photosx/*", "*"] {
            assert_eq!(
                refusal(r#""s3:GetObject""#, &format!(r#""arn:aws:s3:::{bad}""#)),
                invalid,
                "{bad}"
            );
        }
        let one_of_two = r#"["arn:aws:s3:::photos/*","arn:aws:s3:::other/*"]"#;
        assert_eq!(refusal(r#""s3:GetObject""#, one_of_two), invalid);
    }

    #[test]
    fn actions_fit_their_resources() {
        let unfit = Some("Action does not apply to any resource(s) in statement".to_owned());
        assert_eq!(
            refusal(r#""s3:GetObject""#, r#""arn:aws:s3:::photos""#),
            unfit
        );
        assert_eq!(
            refusal(r#""s3:ListBucket""#, r#""arn:aws:s3:::photos/*""#),
            unfit
        );
        assert_eq!(refusal(r#""s3:*""#, r#""arn:aws:s3:::photos""#), None);
        let both = r#"["arn:aws:s3:::photos","arn:aws:s3:::photos/*"]"#;
        assert_eq!(refusal(r#"["s3:GetObject","s3:ListBucket"]"#, both), None);
        assert_eq!(
            refusal(r#""sqs:SendMessage""#, both).as_deref(),
            Some("Policy has invalid action")
        );
    }
}
