//! Asks about grants.

use gureum_dispatch::{Ask, Cx};
use gureum_model_kms::types as t;
use gureum_schema::Result;
use serde_json::json;

use super::{about, absent, check_tokens, facts};
use crate::access;
use crate::model::GrantRow;
use crate::names::Name;
use crate::ops::grants::{constraint, find_retired};
use crate::state::Kms;

/// Who may create grants by a grant only, may hand on what that grant allows and no more.
pub(crate) fn create_grant(kms: &Kms, cx: &Cx, input: &t::CreateGrantRequest) -> Result<Vec<Ask>> {
    check_tokens(kms, input.grant_tokens.as_ref())?;
    let name = Name::Key(Name::read_key(cx, &input.key_id)?);
    let Some(found) = kms.find(&kms.store.read(), &name)? else {
        return absent(cx, "kms:CreateGrant", &name);
    };
    let (constraint, kind) = constraint(input.constraints.as_ref())?;
    let within = |grant: &GrantRow| {
        let operations = &mut input.operations.iter();
        operations.all(|operation| grant.operations.contains(operation))
            && constraint.at_least_as_strict_as(&grant.constraint)
    };
    let ask = about(kms, cx, "kms:CreateGrant", &found.row, within)?
        .keys("kms:GrantOperations", input.operations.clone())
        .key("kms:GranteePrincipal", &input.grantee_principal)
        .key_opt("kms:RetiringPrincipal", input.retiring_principal.as_ref())
        .key_opt("kms:GrantConstraintType", kind)
        .key("kms:GrantIsForAWSResource", cx.via.is_some());
    Ok(vec![ask])
}

/// A grant's retiring principal may retire it, and so may its grantee if the grant says so.
pub(crate) fn retire_grant(kms: &Kms, cx: &Cx, input: &t::RetireGrantRequest) -> Result<Vec<Ask>> {
    let (key, grant) = find_retired(kms, cx, input)?;
    let mut policy = access::stored(&key.policy)?;
    let retire = json!("kms:RetireGrant");
    if let Some(principal) = &grant.retiring {
        policy = policy.join(&access::statement(principal, &retire)?);
    }
    if grant
        .operations
        .iter()
        .any(|operation| operation == "RetireGrant")
    {
        policy = policy.join(&access::statement(&grant.grantee, &retire)?);
    }
    let ask = Ask::new("kms:RetireGrant", key.arn());
    Ok(vec![facts(cx, ask, &key).policy(access::shared(policy))])
}

pub(crate) fn list_retirable(
    _: &Kms,
    _: &Cx,
    _: &t::ListRetirableGrantsRequest,
) -> Result<Vec<Ask>> {
    Ok(vec![Ask::new("kms:ListRetirableGrants", "*")])
}
