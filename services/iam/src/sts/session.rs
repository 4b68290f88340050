//! Temporary credentials as rows: how they are made and what they carry.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gureum_kit::names::id;
use gureum_kit::{AccountId, Reader};
use gureum_model_sts::types;
use gureum_policy::{Kind, quota_size};
use gureum_schema::Timestamp;

use crate::Iam;
use crate::document;
use crate::errors::{Fault, Outcome};
use crate::managed::{Managed, check_arn};
use crate::model::{Role, Session, SessionEnd, SessionOf, Tags};

/// Managed policies that a request may pass.
const MAX_POLICY_ARNS: usize = 10;
/// Characters of an inline session policy.
const MAX_POLICY: usize = 2048;

pub(crate) fn assumed_role_arn(role: &Role, session: &str) -> String {
    format!(
        "arn:aws:sts::{}:assumed-role/{}/{session}",
        role.account, role.name
    )
}

pub(crate) fn federated_arn(account: &AccountId, name: &str) -> String {
    format!("arn:aws:sts::{account}:federated-user/{name}")
}

/// The condition keys that a session brings to every request made with it.
pub(crate) fn keys(session: &Session) -> Vec<(String, Vec<String>)> {
    let mut keys = session.keys.clone();
    keys.push((
        "aws:TokenIssueTime".into(),
        vec![session.issued.to_string()],
    ));
    keys.push(("aws:MultiFactorAuthPresent".into(), vec!["false".into()]));
    if let Some(identity) = &session.source_identity {
        keys.push(("aws:SourceIdentity".into(), vec![identity.clone()]));
    }
    keys
}

/// A session of this account that begins now; what it carries beyond that is filled in after.
pub(super) fn begin(account: AccountId, of: SessionOf, now: Timestamp, seconds: i32) -> Session {
    Session {
        id: id::unique(id::Kind::SessionKey),
        account,
        secret: id::secret(),
        // Random, not signed: the row behind the key is what counts, and it can be taken away.
        token: BASE64.encode(id::bytes::<192>()),
        issued: now,
        // AWS tells expirations in whole seconds, and so do the clients that refresh by them.
        expires: Timestamp::from_secs(now.secs() + i64::from(seconds)),
        of,
        inline: None,
        policy_arns: Vec::new(),
        tags: Tags::new(),
        transitive: Default::default(),
        source_identity: None,
        keys: Vec::new(),
    }
}

/// Stores a session; its credentials work from now on.
pub(super) async fn store(iam: &Iam, session: &Session) -> Outcome<types::Credentials> {
    iam.store
        .transact(|tx| -> Outcome<()> {
            tx.put(session)?;
            Ok(tx.put(&SessionEnd {
                expires: session.expires,
                id: session.id.clone(),
            })?)
        })
        .await?;
    Ok(types::Credentials {
        access_key_id: session.id.clone(),
        secret_access_key: session.secret.clone(),
        session_token: session.token.clone(),
        expiration: session.expires,
    })
}

/// The session policies of a request, checked, and how much of the packed size they and the tags
/// take, in percent.
pub(super) struct Passed {
    pub(super) inline: Option<String>,
    pub(super) arns: Vec<String>,
    pub(super) packed: Option<i32>,
}

pub(super) fn passed(
    reader: &impl Reader,
    account: &AccountId,
    policy: Option<String>,
    arns: Option<Vec<types::PolicyDescriptorType>>,
    tags: &Tags,
) -> Outcome<Passed> {
    if let Some(text) = &policy {
        document::parse(text, Kind::Identity)?;
    }
    let arns: Vec<String> = arns
        .into_iter()
        .flatten()
        .filter_map(|policy| policy.arn)
        .collect();
    if arns.len() > MAX_POLICY_ARNS {
        return Err(Fault::validation(format!(
            "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to {MAX_POLICY_ARNS}"
        )));
    }
    for arn in &arns {
        check_arn(arn).map_err(|_| Fault::validation(format!("ARN {arn} is not valid.")))?;
        Managed::find(reader, account, arn)
            .map_err(|_| Fault::malformed_policy(format!("The policy {arn} does not exist.")))?;
    }
    let packed = packed_percent(policy.as_deref(), &arns, tags)?;
    Ok(Passed {
        inline: policy,
        arns,
        packed,
    })
}

/// AWS packs policies and tags into a binary format of unpublished size; here plain characters
/// are counted against the documented plain-text limits, so 100 % is never later than there.
fn packed_percent(policy: Option<&str>, arns: &[String], tags: &Tags) -> Outcome<Option<i32>> {
    if policy.is_none() && arns.is_empty() && tags.is_empty() {
        return Ok(None);
    }
    let texts = policy.map_or(0, quota_size) + arns.iter().map(String::len).sum::<usize>();
    if texts > MAX_POLICY {
        return Err(Fault::policy_too_large(format!(
            "Packed size of session policy consumes {}% of allotted space.",
            texts * 100 / MAX_POLICY
        )));
    }
    let percent = (texts * 100).div_ceil(MAX_POLICY).max(1);
    Ok(i32::try_from(percent).ok())
}

/// `DurationSeconds`, or what stands for it when it is left out.
pub(super) fn duration(
    given: Option<i32>,
    default: i32,
    range: std::ops::RangeInclusive<i32>,
) -> Outcome<i32> {
    let seconds = given.unwrap_or(default);
    if range.contains(&seconds) {
        return Ok(seconds);
    }
    let (bound, word) = if seconds < *range.start() {
        (range.start(), "greater")
    } else {
        (range.end(), "less")
    };
    Err(Fault::validation(format!(
        "1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value {word} than or equal to {bound}"
    )))
}

/// Session tags have the form and the number of IAM's tags.
pub(super) fn tags(given: Option<&Vec<types::Tag>>) -> Outcome<Tags> {
    let given = given.map_or(&[][..], Vec::as_slice);
    let mut tags = Tags::new();
    crate::names::put_tags(&mut tags, given.iter().map(|tag| (&*tag.key, &*tag.value)))?;
    if tags.len() < given.len() {
        return Err(Fault::invalid_input(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        ));
    }
    Ok(tags)
}
