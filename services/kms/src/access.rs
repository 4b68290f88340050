//! Who may use a key: its policy, with its grants as further statements of it. So the policy
//! engine decides over both at once, and a denial in the policy outweighs every grant.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::{Caller, CallerKind, Cx, Unbound};
use gureum_kit::names::id;
use gureum_kit::{AccountId, Reader, Region, Scan};
use gureum_policy::{Kind, Policy};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::errors::{Refusal, Result};
use crate::model::{GrantRow, KeyRow};

pub(crate) type Context = BTreeMap<String, String>;

/// How many digits of a grant's id tell its grantee.
const OWNER_DIGITS: usize = 16;

/// The policy of keys that were made without one: the account decides, through IAM.
pub(crate) fn default_policy(region: &Region, account: &AccountId) -> String {
    let root = format!("arn:{}:iam::{account}:root", region.partition());
    json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": {"AWS": root},
            "Action": "kms:*",
            "Resource": "*",
        }],
    })
    .to_string()
}

/// A grant's id: 64 hexadecimal digits of which the first come from the grantee, so that a
/// caller's grants are found without looking at all others.
pub(crate) fn grant_id(grantee: &str) -> String {
    owner_digits(grantee) + &id::hex_digits(64 - OWNER_DIGITS)
}

fn owner_digits(grantee: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(grantee));
    digits.truncate(OWNER_DIGITS);
    digits
}

/// What grants may call the caller by: itself, who stands behind its session, its account.
pub(crate) fn names_of(caller: &Caller) -> Vec<String> {
    let issuer = match &caller.kind {
        CallerKind::Role { role_arn, .. } => Some(role_arn.clone()),
        CallerKind::Federated { user_arn, .. } => Some(user_arn.clone()),
        _ => None,
    };
    let account = format!("arn:aws:iam::{}:root", caller.account);
    let mut names = vec![caller.arn.clone()];
    names.extend(issuer);
    if account != caller.arn {
        names.push(account);
    }
    names
}

/// The caller's grants on a key.
pub(crate) fn grants_of(
    reader: &impl Reader,
    key: &KeyRow,
    caller: &Caller,
) -> Result<Vec<GrantRow>> {
    let mut grants = Vec::new();
    for name in names_of(caller) {
        let place = (key.region.clone(), key.account, key.id.clone());
        let scan = Scan::<GrantRow>::of(place).text(&owner_digits(&name));
        for grant in reader.scan(scan) {
            let grant = grant?;
            if grant.grantee == name {
                grants.push(grant);
            }
        }
    }
    Ok(grants)
}

/// The key policy and those grants of the caller that `counts` lets through.
pub(crate) fn policy(
    reader: &impl Reader,
    key: &KeyRow,
    caller: &Caller,
    counts: impl Fn(&GrantRow) -> bool,
) -> Result<Policy> {
    let mut policy = stored(&key.policy)?;
    for grant in grants_of(reader, key, caller)? {
        if counts(&grant) {
            let actions: Vec<_> = grant
                .operations
                .iter()
                .map(|op| format!("kms:{op}"))
                .collect();
            policy = policy.join(&statement(&grant.grantee, &json!(actions))?);
        }
    }
    Ok(policy)
}

/// Whether a grant's constraint lets this encryption context pass. Operations without one are
/// beyond its reach.
pub(crate) fn admits(grant: &GrantRow, context: Option<&Context>) -> bool {
    context.is_none_or(|context| grant.constraint.admits(context))
}

/// A policy of one statement that allows `actions` to a principal.
pub(crate) fn statement(principal: &str, actions: &serde_json::Value) -> Result<Policy> {
    let class = if principal.starts_with("arn:") {
        "AWS"
    } else {
        "Service"
    };
    let text = json!({
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {class: principal},
            "Action": actions,
            "Resource": "*",
        },
    });
    stored(&text.to_string())
}

/// A key policy that a request brings, as it is to be stored.
pub(crate) fn bind(cx: &Cx, text: &str) -> gureum_schema::Result<(String, Policy)> {
    check(text)?;
    let bound = cx.bind_principals(text).map_err(|unbound| match unbound {
        Unbound::Nobody(_) => Refusal::Policy(
            "Policy contains a statement with one or more invalid principals.".into(),
        )
        .into(),
        Unbound::Failed(error) => error,
    })?;
    let policy = stored(&bound)?;
    Ok((bound, policy))
}

/// Checks it as it is written.
fn check(text: &str) -> Result<Policy> {
    /// In bytes.
    const LIMIT: usize = 32 * 1024;
    if text.len() > LIMIT {
        return Err(Refusal::Limit(format!(
            "The key policy is larger than {LIMIT} bytes."
        )));
    }
    Policy::parse(text, Kind::Resource).map_err(|error| Refusal::Policy(error.to_string()))
}

/// Reads a policy that was checked when it was stored. Should it no longer parse, nobody may use
/// the key: leaving the policy out could leave out a denial.
pub(crate) fn stored(text: &str) -> Result<Policy> {
    Policy::parse(text, Kind::Resource).map_err(|error| {
        Refusal::Broken(format!(
            "a stored key policy can no longer be read: {error}"
        ))
    })
}

/// For asking.
pub(crate) fn shared(policy: Policy) -> Option<Arc<Policy>> {
    Some(Arc::new(policy))
}
