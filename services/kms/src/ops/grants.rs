//! CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant.
//!
//! A grant is in effect when `CreateGrant` answers; its token is there for clients that pass it on.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Arn, Reader, Scan};
use gureum_model_kms::types as t;
use gureum_schema::Timestamp;

use crate::access;
use crate::asks::GRANT_TOKEN;
use crate::errors::{Refusal, Result};
use crate::model::{Constraint, GrantRow, KeyRow};
use crate::names::{Name, key_arn};
use crate::page::{self, Page, Paged};
use crate::spec::{KeySpec, KeyUsage};
use crate::state::{Kms, unless_dry};

/// The most grants on one key.
const MAX_GRANTS: usize = 50_000;

/// What grants on this key can allow.
fn grantable(key: &KeyRow) -> &'static [&'static str] {
    match (key.spec, key.usage) {
        (KeySpec::Symmetric, _) => &[
            "Decrypt",
            "Encrypt",
            "GenerateDataKey",
            "GenerateDataKeyWithoutPlaintext",
            "GenerateDataKeyPair",
            "GenerateDataKeyPairWithoutPlaintext",
            "ReEncryptFrom",
            "ReEncryptTo",
        ],
        (_, KeyUsage::EncryptDecrypt) => &[
            "Decrypt",
            "Encrypt",
            "ReEncryptFrom",
            "ReEncryptTo",
            "GetPublicKey",
        ],
        (_, KeyUsage::SignVerify) => &["Sign", "Verify", "GetPublicKey"],
        (_, KeyUsage::Mac) => &["GenerateMac", "VerifyMac"],
    }
}

/// A request's constraint, and its `kms:GrantConstraintType`.
pub(crate) fn constraint(
    input: Option<&t::GrantConstraints>,
) -> Result<(Constraint, Option<&'static str>)> {
    let Some(input) = input else {
        return Ok((Constraint::None, None));
    };
    match (
        &input.encryption_context_equals,
        &input.encryption_context_subset,
    ) {
        (None, None) => Ok((Constraint::None, None)),
        (Some(equals), None) => Ok((
            Constraint::Equals(equals.clone()),
            Some("EncryptionContextEquals"),
        )),
        (None, Some(subset)) => Ok((
            Constraint::Subset(subset.clone()),
            Some("EncryptionContextSubset"),
        )),
        (Some(_), Some(_)) => Err(Refusal::validation(
            "A grant can have EncryptionContextEquals or EncryptionContextSubset, not both.",
        )),
    }
}

/// A principal of IAM or STS, by its ARN; or the service that asks for a grant to itself.
fn check_principal(cx: &Cx, arn: &str) -> Result<()> {
    let service = arn.strip_suffix(".amazonaws.com");
    if service.is_some() && service == cx.via {
        return Ok(());
    }
    let wrong = || Refusal::Arn(arn.to_owned());
    let parsed: Arn = arn.parse().map_err(|_| wrong())?;
    let known = matches!(parsed.service.as_str(), "iam" | "sts");
    if known && access::statement(arn, &"kms:Decrypt".into()).is_ok() {
        Ok(())
    } else {
        Err(wrong())
    }
}

fn check_operations(key: &KeyRow, operations: &[String], constraint: &Constraint) -> Result<()> {
    let common = ["CreateGrant", "RetireGrant", "DescribeKey"];
    let known = |op: &String| {
        let op = op.as_str();
        common.contains(&op) || grantable(key).contains(&op)
    };
    if let Some(wrong) = operations.iter().find(|op| !known(op)) {
        return Err(Refusal::validation(format!(
            "The operation {wrong} cannot be granted for a key with the key spec {} and the usage {}.",
            key.spec.name(),
            key.usage.name()
        )));
    }
    if key.spec != KeySpec::Symmetric && *constraint != Constraint::None {
        return Err(Refusal::validation(
            "Only grants on symmetric encryption keys can have encryption context constraints.",
        ));
    }
    Ok(())
}

pub(crate) async fn create_grant(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::CreateGrantRequest,
) -> gureum_schema::Result<t::CreateGrantResponse> {
    check_principal(&cx, &input.grantee_principal)?;
    input
        .retiring_principal
        .as_deref()
        .map_or(Ok(()), |arn| check_principal(&cx, arn))?;
    let key = kms.row(&cx, &input.key_id)?;
    key.enabled()?;
    let (constraint, _) = constraint(input.constraints.as_ref())?;
    check_operations(&key, &input.operations, &constraint)?;
    unless_dry(input.dry_run)?;
    let grant = GrantRow {
        region: key.region.clone(),
        account: key.account,
        key: key.id.clone(),
        id: access::grant_id(&input.grantee_principal),
        name: input.name,
        created: cx.now.0,
        grantee: input.grantee_principal,
        retiring: input.retiring_principal,
        issuing_account: *cx.account(),
        operations: input.operations,
        constraint,
    };
    let id = kms.add_grant(&grant).await?;
    let place = format!("{} {} {} {id}", grant.region, grant.account, grant.key);
    Ok(t::CreateGrantResponse {
        grant_token: Some(kms.root.token(GRANT_TOKEN, &place)),
        grant_id: Some(id),
    })
}

impl Kms {
    /// Stores a grant. One with the same name that says the same is left as it is: its id is
    /// returned.
    async fn add_grant(&self, grant: &GrantRow) -> Result<String> {
        self.store
            .transact(|tx| {
                let key = (&grant.region, &grant.account, &grant.key);
                let missing = || Refusal::no_such_key(&key_arn(&grant.place()));
                let row = tx.get::<KeyRow>(key)?.ok_or_else(missing)?;
                row.enabled()?;
                let mut count = 0;
                for other in tx.scan(Scan::<GrantRow>::of(grant.place())) {
                    let other = other?;
                    if grant.name.is_some() && other.repeats(grant) {
                        return Ok(other.id);
                    }
                    count += 1;
                }
                if count >= MAX_GRANTS {
                    return Err(Refusal::Limit(format!(
                        "A key can have at most {MAX_GRANTS} grants."
                    )));
                }
                tx.put(grant)?;
                Ok(grant.id.clone())
            })
            .await
    }

    async fn remove_grant(&self, grant: &GrantRow) -> Result<()> {
        use gureum_kit::Row;
        let key = grant.key();
        self.store
            .transact(|tx| {
                if tx.get::<GrantRow>(&key)?.is_none() {
                    return Err(Refusal::NoSuchGrant);
                }
                Ok(tx.delete::<GrantRow>(&key)?)
            })
            .await
    }

    fn grant(&self, key: &KeyRow, id: &str) -> Result<GrantRow> {
        let place = (&key.region, &key.account, &key.id, id);
        let grant = self.store.read().get::<GrantRow>(place)?;
        grant.ok_or(Refusal::NoSuchGrant)
    }
}

impl GrantRow {
    /// The key that it is on.
    fn place(&self) -> crate::model::KeyRef {
        (self.region.clone(), self.account, self.key.clone())
    }

    fn repeats(&self, other: &Self) -> bool {
        self.name == other.name
            && self.grantee == other.grantee
            && self.retiring == other.retiring
            && self.operations == other.operations
            && self.constraint == other.constraint
    }
}

/// The grant that a request wants to retire, named by its token or by key and id.
pub(crate) fn find_retired(
    kms: &Kms,
    cx: &Cx,
    input: &t::RetireGrantRequest,
) -> Result<(KeyRow, GrantRow)> {
    let (key, id) = match (&input.grant_token, &input.key_id, &input.grant_id) {
        (Some(token), None, None) => {
            let place = kms.root.open_token(GRANT_TOKEN, token);
            let place = place.ok_or(Refusal::GrantToken)?;
            let parts: Vec<&str> = place.split(' ').collect();
            let [region, account, key, id] = parts[..] else {
                return Err(Refusal::GrantToken);
            };
            let arn = format!(
                "arn:{}:kms:{region}:{account}:key/{key}",
                cx.region.partition()
            );
            (kms.row(cx, &arn)?, id.to_owned())
        }
        (None, Some(key), Some(id)) => (kms.row(cx, key)?, id.clone()),
        _ => {
            return Err(Refusal::validation(
                "RetireGrant takes either a GrantToken, or a KeyId and a GrantId.",
            ));
        }
    };
    let grant = kms.grant(&key, &id)?;
    Ok((key, grant))
}

pub(crate) async fn retire_grant(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::RetireGrantRequest,
) -> gureum_schema::Result<t::RetireGrantOutput> {
    let (_, grant) = find_retired(&kms, &cx, &input)?;
    unless_dry(input.dry_run)?;
    kms.remove_grant(&grant).await?;
    Ok(t::RetireGrantOutput {})
}

pub(crate) async fn revoke_grant(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::RevokeGrantRequest,
) -> gureum_schema::Result<t::RevokeGrantOutput> {
    let key = kms.row(&cx, &input.key_id)?;
    let grant = kms.grant(&key, &input.grant_id)?;
    unless_dry(input.dry_run)?;
    kms.remove_grant(&grant).await?;
    Ok(t::RevokeGrantOutput {})
}

pub(crate) async fn list_grants(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::ListGrantsRequest,
) -> gureum_schema::Result<t::ListGrantsResponse> {
    let key = Name::read_key(&cx, &input.key_id)?;
    kms.row(&cx, &input.key_id)?;
    let (id, grantee) = (input.grant_id, input.grantee_principal);
    let scope = format!("ListGrants {} {id:?} {grantee:?}", key.2);
    let marker = input.marker.as_deref();
    let page = Page::read(&kms, &cx, &scope, &page::OTHERS, input.limit, marker)?;
    let mut scan = Scan::<GrantRow>::of(key.clone());
    if let Some(after) = &page.after {
        scan = scan.after((&key.0, &key.1, &key.2, after));
    }
    let snapshot = kms.store.read();
    let wanted = |grant: &GrantRow| {
        id.as_ref().is_none_or(|id| grant.id == *id)
            && grantee.as_ref().is_none_or(|arn| grant.grantee == *arn)
    };
    let rows = snapshot.scan(scan);
    let rows = rows.filter(|row| row.as_ref().map_or(true, wanted));
    let paged = page.cut(&kms, rows, |grant| grant.id.clone())?;
    Ok(listed(paged))
}

pub(crate) async fn list_retirable(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::ListRetirableGrantsRequest,
) -> gureum_schema::Result<t::ListGrantsResponse> {
    let retiring = input.retiring_principal;
    let scope = format!("ListRetirableGrants {retiring}");
    let marker = input.marker.as_deref();
    let page = Page::read(&kms, &cx, &scope, &page::OTHERS, input.limit, marker)?;
    let mut scan = Scan::<GrantRow>::of((&cx.region, cx.account()));
    let after = page
        .after
        .as_deref()
        .and_then(|after| after.split_once(' '));
    if let Some((key, id)) = after {
        scan = scan.after((&cx.region, cx.account(), key, id));
    }
    let snapshot = kms.store.read();
    let wanted = |grant: &GrantRow| grant.retiring.as_ref() == Some(&retiring);
    let rows = snapshot.scan(scan);
    let rows = rows.filter(|row| row.as_ref().map_or(true, wanted));
    let paged = page.cut(&kms, rows, |grant| format!("{} {}", grant.key, grant.id))?;
    Ok(listed(paged))
}

fn listed(paged: Paged<GrantRow>) -> t::ListGrantsResponse {
    t::ListGrantsResponse {
        truncated: paged.truncated(),
        grants: Some(paged.items.into_iter().map(entry).collect()),
        next_marker: paged.marker,
    }
}

fn entry(grant: GrantRow) -> t::GrantListEntry {
    let key = key_arn(&grant.place()).to_string();
    let (equals, subset) = match grant.constraint {
        Constraint::None => (None, None),
        Constraint::Equals(pairs) => (Some(pairs), None),
        Constraint::Subset(pairs) => (None, Some(pairs)),
    };
    let constrained = equals.is_some() || subset.is_some();
    t::GrantListEntry {
        key_id: Some(key),
        grant_id: Some(grant.id),
        name: grant.name,
        creation_date: Some(Timestamp(grant.created)),
        grantee_principal: Some(grant.grantee),
        retiring_principal: grant.retiring,
        issuing_account: Some(format!("arn:aws:iam::{}:root", grant.issuing_account)),
        operations: Some(grant.operations),
        constraints: constrained.then_some(t::GrantConstraints {
            encryption_context_subset: subset,
            encryption_context_equals: equals,
        }),
    }
}
