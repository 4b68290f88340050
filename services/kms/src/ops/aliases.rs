//! CreateAlias, UpdateAlias, DeleteAlias, ListAliases.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Scan, Tx};
use gureum_model_kms::types as t;
use gureum_schema::Timestamp;

use crate::errors::{Refusal, Result};
use crate::managed;
use crate::model::{AliasRow, KeyRef, KeyRow};
use crate::names::{Name, key_arn};
use crate::page::{self, Page};
use crate::state::Kms;

/// The most aliases that one key can have.
const MAX_ALIASES: usize = 50;

/// The place of an alias that the caller may manage. The model has checked its characters.
fn place(cx: &Cx, name: &str) -> Result<KeyRef> {
    let rest = name.strip_prefix("alias/");
    let rest = rest.ok_or_else(|| Refusal::validation("Invalid identifier"))?;
    if rest.is_empty() || rest.ends_with('/') || rest.contains(':') {
        return Err(Refusal::AliasName(format!(
            "{name} is no name of an alias."
        )));
    }
    if name.starts_with(managed::RESERVED) || rest == "aws" {
        return Err(Refusal::AliasReserved);
    }
    Ok((cx.region.clone(), *cx.account(), name.to_owned()))
}

/// The key that an alias is to stand for. It must be the caller's own.
fn target(tx: &Tx, cx: &Cx, key: &KeyRef) -> Result<KeyRow> {
    let row = tx.get::<KeyRow>(key)?;
    let row = row.filter(|row| row.account == *cx.account());
    let row = row.ok_or_else(|| Refusal::no_such_key(&key_arn(key)))?;
    row.alive()?;
    if row.managed_by.is_some() {
        return Err(Refusal::AliasReserved);
    }
    Ok(row)
}

fn attach(tx: &mut Tx, mut key: KeyRow, alias: &AliasRow) -> Result<()> {
    key.aliases.insert(alias.name.clone());
    if key.aliases.len() > MAX_ALIASES {
        return Err(Refusal::Limit(format!(
            "A key can have at most {MAX_ALIASES} aliases."
        )));
    }
    tx.put(&key)?;
    tx.put(alias)?;
    Ok(())
}

/// Removes the alias from the row of the key that it stands for.
fn detach(tx: &mut Tx, alias: &AliasRow) -> Result<()> {
    let key = (alias.region.clone(), alias.account, alias.key.clone());
    if let Some(mut key) = tx.get::<KeyRow>(key)? {
        key.aliases.remove(&alias.name);
        tx.put(&key)?;
    }
    Ok(())
}

pub(crate) async fn create_alias(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::CreateAliasRequest,
) -> gureum_schema::Result<t::CreateAliasOutput> {
    let place = place(&cx, &input.alias_name)?;
    let key = Name::read_key(&cx, &input.target_key_id)?;
    kms.store
        .transact(|tx| {
            if let Some(alias) = tx.get::<AliasRow>(&place)? {
                return Err(Refusal::AliasExists(alias.arn().to_string()));
            }
            let key = target(tx, &cx, &key)?;
            let (region, account, name) = place.clone();
            let alias = AliasRow {
                region,
                account,
                name,
                key: key.id.clone(),
                created: cx.now.0,
                updated: cx.now.0,
            };
            attach(tx, key, &alias)
        })
        .await?;
    Ok(t::CreateAliasOutput {})
}

/// An alias can only go over to a key that does the same: else what it is used for would break.
pub(crate) async fn update_alias(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::UpdateAliasRequest,
) -> gureum_schema::Result<t::UpdateAliasOutput> {
    let place = place(&cx, &input.alias_name)?;
    let key = Name::read_key(&cx, &input.target_key_id)?;
    kms.store
        .transact(|tx| {
            let missing = || Name::Alias(place.clone()).missing();
            let mut alias = tx.get::<AliasRow>(&place)?.ok_or_else(missing)?;
            let new = target(tx, &cx, &key)?;
            let old = (alias.region.clone(), alias.account, alias.key.clone());
            if let Some(old) = tx.get::<KeyRow>(old)? {
                check_same_kind(&old, &new)?;
            }
            if alias.key != new.id {
                detach(tx, &alias)?;
            }
            alias.key.clone_from(&new.id);
            alias.updated = cx.now.0;
            attach(tx, new, &alias)
        })
        .await?;
    Ok(t::UpdateAliasOutput {})
}

fn check_same_kind(old: &KeyRow, new: &KeyRow) -> Result<()> {
    let asymmetric = |row: &KeyRow| row.spec.is_asymmetric();
    if old.usage == new.usage && asymmetric(old) == asymmetric(new) {
        return Ok(());
    }
    Err(Refusal::validation(format!(
        "The alias stands for a key with the usage {} and cannot go over to one with the usage {}: both must be symmetric or both asymmetric, with the same usage.",
        old.usage.name(),
        new.usage.name()
    )))
}

pub(crate) async fn delete_alias(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::DeleteAliasRequest,
) -> gureum_schema::Result<t::DeleteAliasOutput> {
    let place = place(&cx, &input.alias_name)?;
    kms.store
        .transact(|tx| {
            let missing = || Name::Alias(place.clone()).missing();
            let alias = tx.get::<AliasRow>(&place)?.ok_or_else(missing)?;
            detach(tx, &alias)?;
            tx.delete::<AliasRow>(&place)?;
            Ok::<_, Refusal>(())
        })
        .await?;
    Ok(t::DeleteAliasOutput {})
}

pub(crate) async fn list_aliases(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::ListAliasesRequest,
) -> gureum_schema::Result<t::ListAliasesResponse> {
    let key = input.key_id.as_deref();
    let key = key.map(|key| kms.row(&cx, key)).transpose()?;
    let of = key.as_ref().map_or("all", |key| key.id.as_str());
    let scope = format!("ListAliases {of}");
    let marker = input.marker.as_deref();
    let page = Page::read(&kms, &cx, &scope, &page::OTHERS, input.limit, marker)?;
    let mut scan = Scan::<AliasRow>::of((&cx.region, cx.account()));
    if let Some(after) = &page.after {
        scan = scan.after((&cx.region, cx.account(), after));
    }
    let snapshot = kms.store.read();
    let rows = snapshot.scan(scan).filter(|row| match (row, &key) {
        (Ok(row), Some(key)) => row.key == key.id,
        _ => true,
    });
    let paged = page.cut(&kms, rows, |row| row.name.clone())?;
    Ok(t::ListAliasesResponse {
        truncated: paged.truncated(),
        aliases: Some(paged.items.into_iter().map(entry).collect()),
        next_marker: paged.marker,
    })
}

fn entry(row: AliasRow) -> t::AliasListEntry {
    t::AliasListEntry {
        alias_arn: Some(row.arn().to_string()),
        alias_name: Some(row.name),
        target_key_id: Some(row.key),
        creation_date: Some(Timestamp(row.created)),
        last_updated_date: Some(Timestamp(row.updated)),
    }
}
