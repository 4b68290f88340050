//! Which condition keys policies refer to, for those who are about to simulate them.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx};
use gureum_model_iam::{op, types};
use gureum_policy::{Kind, Policy};
use gureum_schema::Result;

use crate::errors::{Fault, Outcome};
use crate::ops::simulate::Source;
use crate::{Iam, Table, ask, document};

pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::GetContextKeysForCustomPolicy, _>(
            |_, cx, _| ask::account(cx, "iam:GetContextKeysForCustomPolicy"),
            for_custom_policy,
        )
        .op::<op::GetContextKeysForPrincipalPolicy, _>(
            |_, cx, i| {
                let ask = Ask::new("iam:GetContextKeysForPrincipalPolicy", &i.policy_source_arn);
                ask::one(cx, ask)
            },
            for_principal_policy,
        )
}

async fn for_custom_policy(
    _: Arc<Iam>,
    _: Cx,
    input: types::GetContextKeysForCustomPolicyRequest,
) -> Result<types::GetContextKeysForPolicyResponse> {
    Ok(reply(&parse(&input.policy_input_list)?))
}

async fn for_principal_policy(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetContextKeysForPrincipalPolicyRequest,
) -> Result<types::GetContextKeysForPolicyResponse> {
    let source = Source::find(&iam.store.read(), &cx, &input.policy_source_arn)?;
    let mut policies = parse(input.policy_input_list.as_deref().unwrap_or_default())?;
    policies.extend(
        source
            .policies
            .identity
            .into_iter()
            .map(|(_, policy)| policy),
    );
    policies.extend(source.policies.boundary.map(|(_, policy)| policy));
    Ok(reply(&policies))
}

fn parse(texts: &[String]) -> Outcome<Vec<Arc<Policy>>> {
    let parsed = texts.iter().map(|text| {
        document::parse(text, Kind::Identity)
            .map_err(|fault| Fault::invalid_input(fault.message().to_owned()))
    });
    parsed.collect()
}

fn reply(policies: &[Arc<Policy>]) -> types::GetContextKeysForPolicyResponse {
    let mut keys: Vec<String> = Vec::new();
    for key in policies.iter().flat_map(|policy| policy.context_keys()) {
        if !keys.iter().any(|known| known.eq_ignore_ascii_case(key)) {
            keys.push(key.to_owned());
        }
    }
    types::GetContextKeysForPolicyResponse {
        context_key_names: Some(keys),
    }
}
