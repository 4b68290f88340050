//! PutKeyPolicy, GetKeyPolicy, ListKeyPolicies.

use std::sync::Arc;

use gureum_dispatch::{Caller, Cx};
use gureum_kit::Reader;
use gureum_model_kms::types as t;
use gureum_policy::Policy;

use crate::access;
use crate::asks;
use crate::errors::{Refusal, Result};
use crate::model::KeyRow;
use crate::names::{Name, key_arn};
use crate::page::{self, Page};
use crate::state::Kms;

/// The only name that a key policy can have.
const DEFAULT: &str = "default";

/// Refuses a policy under which neither the caller nor the account could put another one.
pub(crate) fn check_lockout(cx: &Cx, row: &KeyRow, policy: Policy) -> Result<()> {
    let ask = asks::put_policy_under(cx, row, policy);
    let account = cx.as_caller(Arc::new(Caller::root(row.account)));
    if cx.allows(&ask) || account.allows(&ask) {
        return Ok(());
    }
    Err(Refusal::Policy(
        "The new key policy will not allow you to update the key policy in the future.".into(),
    ))
}

fn check_name(name: Option<&str>) -> Result<()> {
    if name.is_none_or(|name| name == DEFAULT) {
        Ok(())
    } else {
        Err(Refusal::NoSuchPolicy)
    }
}

impl Kms {
    /// The key with this id.
    pub(crate) fn row(&self, cx: &Cx, key_id: &str) -> Result<KeyRow> {
        let key = Name::read_key(cx, key_id)?;
        let row = self.store.read().get::<KeyRow>(&key)?;
        row.ok_or_else(|| Refusal::no_such_key(&key_arn(&key)))
    }
}

pub(crate) async fn put_policy(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::PutKeyPolicyRequest,
) -> gureum_schema::Result<t::PutKeyPolicyOutput> {
    check_name(input.policy_name.as_deref())?;
    let key = Name::read_key(&cx, &input.key_id)?;
    let (text, policy) = access::bind(&cx, &input.policy)?;
    let careful = input.bypass_policy_lockout_safety_check != Some(true);
    kms.change(&key, |row| {
        row.alive()?;
        if careful {
            check_lockout(&cx, row, policy.clone())?;
        }
        row.policy.clone_from(&text);
        Ok(())
    })
    .await?;
    Ok(t::PutKeyPolicyOutput {})
}

pub(crate) async fn get_policy(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::GetKeyPolicyRequest,
) -> gureum_schema::Result<t::GetKeyPolicyResponse> {
    check_name(input.policy_name.as_deref())?;
    let row = kms.row(&cx, &input.key_id)?;
    Ok(t::GetKeyPolicyResponse {
        policy: Some(cx.show_principals(&row.policy)?),
        policy_name: Some(DEFAULT.into()),
    })
}

pub(crate) async fn list_policies(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::ListKeyPoliciesRequest,
) -> gureum_schema::Result<t::ListKeyPoliciesResponse> {
    let row = kms.row(&cx, &input.key_id)?;
    let scope = format!("ListKeyPolicies {}", row.id);
    let marker = input.marker.as_deref();
    let page = Page::read(&kms, &cx, &scope, &page::KEYS, input.limit, marker)?;
    let paged = page.of(&kms, [DEFAULT.to_owned()], Clone::clone)?;
    Ok(t::ListKeyPoliciesResponse {
        truncated: paged.truncated(),
        policy_names: Some(paged.items),
        next_marker: paged.marker,
    })
}
