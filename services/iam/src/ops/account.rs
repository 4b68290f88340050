//! What an account has one of: alias, password policy, summary.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::store::PrefixOf;
use gureum_kit::{AccountId, Reader, Row, Scan};
use gureum_model_iam::{op, types};
use gureum_schema::Result;

use crate::ask::account_row;
use crate::errors::{Fault, Outcome};
use crate::model::{
    Alias, Group, InstanceProfile, ManagedPolicy, OidcProvider, PasswordPolicy, PolicyUse, Role,
    User,
};
use crate::page::Ask as Paging;
use crate::{Iam, Table, ask};

#[rustfmt::skip]
pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::CreateAccountAlias, _>(|_, cx, _| ask::account(cx, "iam:CreateAccountAlias"), create_account_alias)
        .op::<op::DeleteAccountAlias, _>(|_, cx, _| ask::account(cx, "iam:DeleteAccountAlias"), delete_account_alias)
        .op::<op::ListAccountAliases, _>(|_, cx, _| ask::account(cx, "iam:ListAccountAliases"), list_account_aliases)
        .op::<op::GetAccountPasswordPolicy, _>(|_, cx, _| ask::account(cx, "iam:GetAccountPasswordPolicy"), get_account_password_policy)
        .op::<op::UpdateAccountPasswordPolicy, _>(|_, cx, _| ask::account(cx, "iam:UpdateAccountPasswordPolicy"), update_account_password_policy)
        .op::<op::DeleteAccountPasswordPolicy, _>(|_, cx, _| ask::account(cx, "iam:DeleteAccountPasswordPolicy"), delete_account_password_policy)
        .op::<op::GetAccountSummary, _>(|_, cx, _| ask::account(cx, "iam:GetAccountSummary"), get_account_summary)
}

fn check_alias(alias: &str) -> Outcome<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edges = !alias.starts_with('-') && !alias.ends_with('-') && !alias.contains("--");
    let account_like = alias.len() == 12 && alias.bytes().all(|b| b.is_ascii_digit());
    if (3..=63).contains(&alias.len()) && alias.bytes().all(allowed) && edges && !account_like {
        return Ok(());
    }
    Err(Fault::validation(format!(
        "1 validation error detected: Value '{alias}' at 'accountAlias' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){{1,61}}[a-z0-9]$"
    )))
}

/// A new alias takes the place of the old one.
async fn create_account_alias(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::CreateAccountAliasRequest,
) -> Result<types::CreateAccountAliasOutput> {
    let alias = &input.account_alias;
    check_alias(alias)?;
    iam.write(|tx| {
        let taken = tx.get::<Alias>(alias)?;
        if taken.is_some_and(|taken| taken.account != *cx.account()) {
            return Err(Fault::already_exists(format!(
                "The account alias {alias} already exists."
            )));
        }
        let mut row = account_row(tx, cx.account())?;
        if let Some(old) = row.alias.replace(alias.clone()) {
            tx.delete::<Alias>(old)?;
        }
        tx.put(&Alias {
            alias: alias.clone(),
            account: *cx.account(),
        })?;
        Ok(tx.put(&row)?)
    })
    .await?;
    Ok(types::CreateAccountAliasOutput {})
}

async fn delete_account_alias(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeleteAccountAliasRequest,
) -> Result<types::DeleteAccountAliasOutput> {
    iam.write(|tx| {
        let mut row = account_row(tx, cx.account())?;
        if row.alias.as_ref() != Some(&input.account_alias) {
            return Err(Fault::no_such_entity(format!(
                "The account alias {} cannot be found.",
                input.account_alias
            )));
        }
        row.alias = None;
        tx.delete::<Alias>(&input.account_alias)?;
        Ok(tx.put(&row)?)
    })
    .await?;
    Ok(types::DeleteAccountAliasOutput {})
}

async fn list_account_aliases(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ListAccountAliasesRequest,
) -> Result<types::ListAccountAliasesResponse> {
    let row = account_row(&iam.store.read(), cx.account())?;
    let paging = Paging::new(input.marker.as_deref(), input.max_items)?;
    let page = paging.page(row.alias, String::clone);
    Ok(types::ListAccountAliasesResponse {
        is_truncated: page.truncated(),
        account_aliases: page.items,
        marker: page.marker,
    })
}

fn no_policy(cx: &Cx) -> Fault {
    Fault::no_such_entity(format!(
        "The Password Policy with domain name {} cannot be found.",
        cx.account()
    ))
}

async fn get_account_password_policy(
    iam: Arc<Iam>,
    cx: Cx,
    _: types::GetAccountPasswordPolicyInput,
) -> Result<types::GetAccountPasswordPolicyResponse> {
    let row = account_row(&iam.store.read(), cx.account())?;
    let policy = row.password_policy.ok_or_else(|| no_policy(&cx))?;
    Ok(types::GetAccountPasswordPolicyResponse {
        password_policy: types::PasswordPolicy {
            minimum_password_length: Some(policy.min_length),
            require_symbols: Some(policy.symbols),
            require_numbers: Some(policy.numbers),
            require_uppercase_characters: Some(policy.uppercase),
            require_lowercase_characters: Some(policy.lowercase),
            allow_users_to_change_password: Some(policy.users_may_change),
            expire_passwords: Some(policy.max_age > 0),
            max_password_age: (policy.max_age > 0).then_some(policy.max_age),
            password_reuse_prevention: (policy.no_reuse > 0).then_some(policy.no_reuse),
            hard_expiry: Some(policy.hard_expiry),
        },
    })
}

/// The policy as a whole is replaced: what is left out gets its default.
async fn update_account_password_policy(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::UpdateAccountPasswordPolicyRequest,
) -> Result<types::UpdateAccountPasswordPolicyOutput> {
    let within = |name: &str, value: Option<i32>, default: i32, low: i32, high: i32| {
        let value = value.unwrap_or(default);
        if value == default || (low..=high).contains(&value) {
            return Ok(value);
        }
        Err(Fault::validation(format!(
            "1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must be between {low} and {high}"
        )))
    };
    let policy = PasswordPolicy {
        min_length: within(
            "minimumPasswordLength",
            input.minimum_password_length,
            6,
            6,
            128,
        )?,
        symbols: input.require_symbols.unwrap_or(false),
        numbers: input.require_numbers.unwrap_or(false),
        uppercase: input.require_uppercase_characters.unwrap_or(false),
        lowercase: input.require_lowercase_characters.unwrap_or(false),
        users_may_change: input.allow_users_to_change_password.unwrap_or(false),
        max_age: within("maxPasswordAge", input.max_password_age, 0, 1, 1095)?,
        no_reuse: within(
            "passwordReusePrevention",
            input.password_reuse_prevention,
            0,
            1,
            24,
        )?,
        hard_expiry: input.hard_expiry.unwrap_or(false),
    };
    iam.write(|tx| {
        let mut row = account_row(tx, cx.account())?;
        row.password_policy = Some(policy.clone());
        Ok(tx.put(&row)?)
    })
    .await?;
    Ok(types::UpdateAccountPasswordPolicyOutput {})
}

async fn delete_account_password_policy(
    iam: Arc<Iam>,
    cx: Cx,
    _: types::DeleteAccountPasswordPolicyInput,
) -> Result<types::DeleteAccountPasswordPolicyOutput> {
    iam.write(|tx| {
        let mut row = account_row(tx, cx.account())?;
        row.password_policy.take().ok_or_else(|| no_policy(&cx))?;
        Ok(tx.put(&row)?)
    })
    .await?;
    Ok(types::DeleteAccountPasswordPolicyOutput {})
}

fn count<R: Row>(reader: &impl Reader, account: &AccountId) -> Outcome<i32>
where
    for<'a> (&'a AccountId,): PrefixOf<R::Key>,
{
    let mut count = 0;
    for row in reader.scan(Scan::<R>::of((account,))) {
        row?;
        count += 1;
    }
    Ok(count)
}

/// Usage and quotas under the names that AWS gives them.
async fn get_account_summary(
    iam: Arc<Iam>,
    cx: Cx,
    _: types::GetAccountSummaryInput,
) -> Result<types::GetAccountSummaryResponse> {
    let (reader, account) = (iam.store.read(), cx.account());
    let root_keys = account_row(&reader, account)?.root_keys.len();
    let started_with_key = iam.root.account == *account;
    let mut versions = 0;
    for policy in reader.scan(Scan::<ManagedPolicy>::of((account,))) {
        versions += i32::try_from(policy.map_err(Fault::from)?.versions.len()).unwrap_or(0);
    }
    let summary = [
        ("Users", count::<User>(&reader, account)?),
        ("UsersQuota", 5000),
        ("Groups", count::<Group>(&reader, account)?),
        ("GroupsQuota", 300),
        ("GroupsPerUserQuota", 10),
        ("Roles", count::<Role>(&reader, account)?),
        ("RolesQuota", 1000),
        (
            "InstanceProfiles",
            count::<InstanceProfile>(&reader, account)?,
        ),
        ("InstanceProfilesQuota", 1000),
        ("Policies", count::<ManagedPolicy>(&reader, account)?),
        ("PoliciesQuota", 1500),
        ("PolicyVersionsInUse", versions),
        ("PolicyVersionsInUseQuota", 10_000),
        ("VersionsPerPolicyQuota", 5),
        ("PolicySizeQuota", 6144),
        ("UserPolicySizeQuota", 2048),
        ("GroupPolicySizeQuota", 5120),
        ("RolePolicySizeQuota", 10_240),
        ("AssumeRolePolicySizeQuota", 4096),
        ("AttachedPoliciesPerUserQuota", 10),
        ("AttachedPoliciesPerGroupQuota", 10),
        ("AttachedPoliciesPerRoleQuota", 10),
        ("PolicyAttachments", count::<PolicyUse>(&reader, account)?),
        ("AccessKeysPerUserQuota", 2),
        ("Providers", count::<OidcProvider>(&reader, account)?),
        (
            "AccountAccessKeysPresent",
            i32::from(root_keys > 0 || started_with_key),
        ),
        ("AccountPasswordPresent", 0),
        ("AccountSigningCertificatesPresent", 0),
        ("AccountMFAEnabled", 0),
        ("MFADevices", 0),
        ("MFADevicesInUse", 0),
        ("ServerCertificates", 0),
        ("ServerCertificatesQuota", 0),
        ("GlobalEndpointTokenVersion", 1),
    ];
    let named = summary.map(|(name, value)| (name.to_owned(), value));
    Ok(types::GetAccountSummaryResponse {
        summary_map: Some(BTreeMap::from(named)),
    })
}
