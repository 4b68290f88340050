//! What each operation asks of the policy engine.
//!
//! A key's policy must allow, if only by delegating to the account. Condition keys: Service
//! Authorization Reference, "Actions, resources, and condition keys for AWS KMS".

mod cipher;
mod grants;

use gureum_dispatch::{Ask, Cx};
use gureum_kit::Arn;
use gureum_model_kms::types as t;
use gureum_schema::Result;

use crate::access::{self, Context};
use crate::errors::{self, Refusal};
use crate::managed;
use crate::model::{GrantRow, KeyRow};
use crate::names::{Name, Settled, Target};
use crate::state::Kms;

pub(crate) use cipher::*;
pub(crate) use grants::*;

/// The ask about a key that is there; `counts` tells which grants of the caller take part.
fn about(
    kms: &Kms,
    cx: &Cx,
    action: &'static str,
    key: &KeyRow,
    counts: impl Fn(&GrantRow) -> bool,
) -> errors::Result<Ask> {
    let policy = access::policy(&kms.store.read(), key, &cx.caller, counts)?;
    Ok(facts(cx, Ask::new(action, key.arn()), key).policy(access::shared(policy)))
}

/// What an ask says about a key in any case.
fn facts(cx: &Cx, ask: Ask, key: &KeyRow) -> Ask {
    let tags = key.tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    let via = cx
        .via
        .map(|service| managed::via_service(service, &cx.region));
    let ask = ask
        .owner(&key.account)
        .policy_must_allow()
        .resource_tags(tags)
        .key("kms:CallerAccount", cx.account())
        .key("kms:KeySpec", key.spec.name())
        .key("kms:KeyUsage", key.usage.name())
        .key("kms:KeyOrigin", "AWS_KMS")
        .key("kms:MultiRegion", false)
        .key_opt("kms:ViaService", via);
    if key.aliases.is_empty() {
        return ask;
    }
    ask.keys("kms:ResourceAliases", key.aliases.iter().cloned().collect())
}

/// Who may not know of a key of their own account is told so before they are told that it isn't
/// there; of other accounts' keys nobody learns more than that.
fn absent(cx: &Cx, action: &'static str, name: &Name) -> Result<Vec<Ask>> {
    if name.account() == *cx.account() {
        Ok(vec![Ask::new(action, name.arn())])
    } else {
        Err(name.missing().into())
    }
}

/// The asks about the key that a request names, by an alias too.
fn at(
    kms: &Kms,
    cx: &Cx,
    action: &'static str,
    target: &Target,
    context: Option<&Context>,
    tokens: Option<&Vec<String>>,
) -> Result<Vec<Ask>> {
    check_tokens(kms, tokens)?;
    let draft;
    let (key, alias) = match &target.found {
        Some(found) => (&found.row, found.alias.as_ref()),
        None => match managed::draft(cx, &target.name, action == "kms:DescribeKey") {
            Some(made) => {
                draft = made;
                (&draft, draft.aliases.first())
            }
            None => return absent(cx, action, &target.name),
        },
    };
    let ask = about(kms, cx, action, key, |grant| access::admits(grant, context))?;
    let ask = ask.key_opt("kms:RequestAlias", alias);
    Ok(vec![with_context(ask, context)])
}

/// `kms:EncryptionContext:…` and `kms:EncryptionContextKeys`.
fn with_context(mut ask: Ask, context: Option<&Context>) -> Ask {
    let Some(context) = context.filter(|context| !context.is_empty()) else {
        return ask;
    };
    for (name, value) in context {
        ask = ask.key(format!("kms:EncryptionContext:{name}"), value);
    }
    ask.keys(
        "kms:EncryptionContextKeys",
        context.keys().cloned().collect(),
    )
}

/// The asks about the key that `text` names, which must not be an alias.
fn at_key(kms: &Kms, cx: &Cx, action: &'static str, text: &str) -> Result<Vec<Ask>> {
    let name = Name::Key(Name::read_key(cx, text)?);
    match kms.find(&kms.store.read(), &name)? {
        Some(found) => Ok(vec![about(kms, cx, action, &found.row, |_| true)?]),
        None => absent(cx, action, &name),
    }
}

/// Grants are effective at once, so their tokens change nothing; but they must be real.
fn check_tokens(kms: &Kms, tokens: Option<&Vec<String>>) -> errors::Result<()> {
    let real = |token: &String| kms.root.open_token(GRANT_TOKEN, token).is_some();
    if tokens.into_iter().flatten().all(real) {
        Ok(())
    } else {
        Err(Refusal::GrantToken)
    }
}

/// The scope of grant tokens.
pub(crate) const GRANT_TOKEN: &str = "grant";

/// `at_key! { name: Input => "kms:Action" }`: an operation on the key that its `KeyId` names.
macro_rules! at_key {
    ($($name:ident: $input:ident => $action:literal;)*) => {$(
        pub(crate) fn $name(kms: &Kms, cx: &Cx, input: &t::$input) -> Result<Vec<Ask>> {
            at_key(kms, cx, $action, &input.key_id)
        }
    )*};
}

at_key! {
    cancel_deletion: CancelKeyDeletionRequest => "kms:CancelKeyDeletion";
    disable_key: DisableKeyRequest => "kms:DisableKey";
    disable_rotation: DisableKeyRotationRequest => "kms:DisableKeyRotation";
    enable_key: EnableKeyRequest => "kms:EnableKey";
    get_policy: GetKeyPolicyRequest => "kms:GetKeyPolicy";
    get_rotation_status: GetKeyRotationStatusRequest => "kms:GetKeyRotationStatus";
    list_grants: ListGrantsRequest => "kms:ListGrants";
    list_policies: ListKeyPoliciesRequest => "kms:ListKeyPolicies";
    list_rotations: ListKeyRotationsRequest => "kms:ListKeyRotations";
    list_tags: ListResourceTagsRequest => "kms:ListResourceTags";
    revoke_grant: RevokeGrantRequest => "kms:RevokeGrant";
    rotate_now: RotateKeyOnDemandRequest => "kms:RotateKeyOnDemand";
    update_description: UpdateKeyDescriptionRequest => "kms:UpdateKeyDescription";
}

pub(crate) fn schedule_deletion(
    kms: &Kms,
    cx: &Cx,
    input: &t::ScheduleKeyDeletionRequest,
) -> Result<Vec<Ask>> {
    let asks = at_key(kms, cx, "kms:ScheduleKeyDeletion", &input.key_id)?;
    let days = input.pending_window_in_days;
    let name = "kms:ScheduleKeyDeletionPendingWindowInDays";
    Ok(asks
        .into_iter()
        .map(|ask| ask.key_opt(name, days))
        .collect())
}

pub(crate) fn enable_rotation(
    kms: &Kms,
    cx: &Cx,
    input: &t::EnableKeyRotationRequest,
) -> Result<Vec<Ask>> {
    let asks = at_key(kms, cx, "kms:EnableKeyRotation", &input.key_id)?;
    let days = input.rotation_period_in_days;
    let name = "kms:RotationPeriodInDays";
    Ok(asks
        .into_iter()
        .map(|ask| ask.key_opt(name, days))
        .collect())
}

pub(crate) fn put_policy(kms: &Kms, cx: &Cx, input: &t::PutKeyPolicyRequest) -> Result<Vec<Ask>> {
    let asks = at_key(kms, cx, "kms:PutKeyPolicy", &input.key_id)?;
    let bypass = input.bypass_policy_lockout_safety_check.unwrap_or(false);
    let name = "kms:BypassPolicyLockoutSafetyCheck";
    Ok(asks.into_iter().map(|ask| ask.key(name, bypass)).collect())
}

/// Whether somebody may change this policy again: what the lockout check wants to know.
pub(crate) fn put_policy_under(cx: &Cx, key: &KeyRow, policy: gureum_policy::Policy) -> Ask {
    facts(cx, Ask::new("kms:PutKeyPolicy", key.arn()), key).policy(access::shared(policy))
}

pub(crate) fn tag(kms: &Kms, cx: &Cx, input: &t::TagResourceRequest) -> Result<Vec<Ask>> {
    let tags = input.tags.iter();
    let tags = tags.map(|tag| (tag.tag_key.as_str(), tag.tag_value.as_str()));
    let asks = at_key(kms, cx, "kms:TagResource", &input.key_id)?;
    Ok(asks
        .into_iter()
        .map(|ask| ask.request_tags(tags.clone()))
        .collect())
}

pub(crate) fn untag(kms: &Kms, cx: &Cx, input: &t::UntagResourceRequest) -> Result<Vec<Ask>> {
    let asks = at_key(kms, cx, "kms:UntagResource", &input.key_id)?;
    Ok(asks
        .into_iter()
        .map(|ask| ask.keys("aws:TagKeys", input.tag_keys.clone()))
        .collect())
}

/// Creating with tags needs the right to tag as well. There is no key yet whose policy could say
/// anything.
pub(crate) fn create_key(_: &Kms, cx: &Cx, input: &t::CreateKeyRequest) -> Result<Vec<Ask>> {
    let tags: Vec<_> = input.tags.iter().flatten().collect();
    let pairs = tags.iter();
    let pairs = pairs.map(|tag| (tag.tag_key.as_str(), tag.tag_value.as_str()));
    let spec = input.key_spec.as_ref();
    let spec = spec.or(input.customer_master_key_spec.as_ref());
    let bypass = input.bypass_policy_lockout_safety_check.unwrap_or(false);
    let via = cx
        .via
        .map(|service| managed::via_service(service, &cx.region));
    let ask = |action| {
        Ask::new(action, "*")
            .request_tags(pairs.clone())
            .key("kms:CallerAccount", cx.account())
            .key(
                "kms:KeySpec",
                spec.map_or("SYMMETRIC_DEFAULT", String::as_str),
            )
            .key(
                "kms:KeyUsage",
                input.key_usage.as_deref().unwrap_or("ENCRYPT_DECRYPT"),
            )
            .key(
                "kms:KeyOrigin",
                input.origin.as_deref().unwrap_or("AWS_KMS"),
            )
            .key("kms:BypassPolicyLockoutSafetyCheck", bypass)
            .key_opt("kms:ViaService", via.as_ref())
    };
    let mut asks = vec![ask("kms:CreateKey")];
    if !tags.is_empty() {
        asks.push(ask("kms:TagResource"));
    }
    Ok(asks)
}

pub(crate) fn describe_key(
    kms: &Kms,
    cx: &Cx,
    asked: &Settled<t::DescribeKeyRequest>,
) -> Result<Vec<Ask>> {
    let tokens = asked.input.grant_tokens.as_ref();
    at(kms, cx, "kms:DescribeKey", &asked.key, None, tokens)
}

pub(crate) fn list_keys(_: &Kms, _: &Cx, _: &t::ListKeysRequest) -> Result<Vec<Ask>> {
    Ok(vec![Ask::new("kms:ListKeys", "*")])
}

pub(crate) fn list_aliases(_: &Kms, _: &Cx, _: &t::ListAliasesRequest) -> Result<Vec<Ask>> {
    Ok(vec![Ask::new("kms:ListAliases", "*")])
}

/// Aliases have no policy of their own; what is done to them is asked about their key, too.
fn alias(cx: &Cx, action: &'static str, name: &str) -> Ask {
    Ask::new(action, Arn::new("kms", &cx.region, cx.account(), name))
}

pub(crate) fn create_alias(kms: &Kms, cx: &Cx, input: &t::CreateAliasRequest) -> Result<Vec<Ask>> {
    let mut asks = vec![alias(cx, "kms:CreateAlias", &input.alias_name)];
    asks.extend(at_key(kms, cx, "kms:CreateAlias", &input.target_key_id)?);
    Ok(asks)
}

pub(crate) fn update_alias(kms: &Kms, cx: &Cx, input: &t::UpdateAliasRequest) -> Result<Vec<Ask>> {
    let mut asks = old_key(kms, cx, "kms:UpdateAlias", &input.alias_name)?;
    asks.extend(at_key(kms, cx, "kms:UpdateAlias", &input.target_key_id)?);
    Ok(asks)
}

pub(crate) fn delete_alias(kms: &Kms, cx: &Cx, input: &t::DeleteAliasRequest) -> Result<Vec<Ask>> {
    old_key(kms, cx, "kms:DeleteAlias", &input.alias_name)
}

/// The alias, and the key that it stands for now.
fn old_key(kms: &Kms, cx: &Cx, action: &'static str, name: &str) -> Result<Vec<Ask>> {
    let mut asks = vec![alias(cx, action, name)];
    let place = (cx.region.clone(), *cx.account(), name.to_owned());
    if let Some(found) = kms.find(&kms.store.read(), &Name::Alias(place))? {
        asks.push(about(kms, cx, action, &found.row, |_| true)?);
    }
    Ok(asks)
}
