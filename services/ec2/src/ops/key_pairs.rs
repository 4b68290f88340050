//! Key pairs.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::describe::{Query, chosen};
use crate::errors::{Refusal, Result};
use crate::keys::{self, Public};
use crate::model::key_pair::{self, KeyPairRow};
use crate::resource::{Described as _, Tags};
use crate::state::{Change, Ec2};
use crate::tags;

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateKeyPairRequest,
) -> Reply<t::KeyPair> {
    let tags = tags::on_create(&key_pair::KIND, &input.tag_specifications)?;
    check_name(&input.key_name)?;
    match input.key_format.as_deref() {
        None | Some("pem") => {}
        Some(other) => Err(Refusal::NotImplemented(format!("KeyFormat = {other}")))?,
    }
    let make = match input.key_type.as_deref() {
        None | Some("rsa") => keys::make_rsa,
        Some("ed25519") => keys::make_ed25519,
        Some(other) => Err(Refusal::wrong("KeyType", other))?,
    };
    // Looking for primes takes long enough to be done beside the threads that serve requests.
    let made = tokio::task::spawn_blocking(make).await;
    let made = made.map_err(|error| Refusal::Broken(error.to_string()))??;
    let row = ec2
        .write(&cx, input.dry_run, |w| {
            keep(w, &input.key_name, &made.public, &tags)
        })
        .await?;
    Ok(t::KeyPair {
        key_pair_id: Some(row.meta.id),
        tags: tags::shapes(&row.meta.tags),
        key_name: Some(row.name),
        key_fingerprint: Some(row.fingerprint),
        key_material: Some(made.private),
    })
}

pub(crate) async fn import(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ImportKeyPairRequest,
) -> Reply<t::ImportKeyPairResult> {
    let tags = tags::on_create(&key_pair::KIND, &input.tag_specifications)?;
    check_name(&input.key_name)?;
    let public = keys::read(&input.public_key_material)?;
    let row = ec2
        .write(&cx, input.dry_run, |w| {
            keep(w, &input.key_name, &public, &tags)
        })
        .await?;
    Ok(t::ImportKeyPairResult {
        key_pair_id: Some(row.meta.id),
        tags: tags::shapes(&row.meta.tags),
        key_name: Some(row.name),
        key_fingerprint: Some(row.fingerprint),
    })
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 255 || !name.is_ascii() {
        return Err(Refusal::wrong("keyName", name));
    }
    Ok(())
}

fn keep(w: &mut Change<'_>, name: &str, public: &Public, tags: &Tags) -> Result<KeyPairRow> {
    if named(w, name)?.is_some() {
        return Err(Refusal::new(
            "InvalidKeyPair.Duplicate",
            format!("The keypair '{name}' already exists."),
        ));
    }
    let row = KeyPairRow {
        meta: w.here.new_meta(&key_pair::KIND, tags.clone()),
        name: name.to_owned(),
        key_type: public.kind.name().to_owned(),
        public: public.line.clone(),
        fingerprint: public.fingerprint.clone(),
    };
    w.put(&row)?;
    Ok(row)
}

/// The key pair with this name.
pub(crate) fn named(w: &Change<'_>, name: &str) -> Result<Option<KeyPairRow>> {
    Ok(w.all::<KeyPairRow>()?
        .into_iter()
        .find(|row| row.name == name))
}

pub(crate) fn absent(name: &str) -> Refusal {
    Refusal::new(
        key_pair::KIND.not_found,
        format!("The key pair '{name}' does not exist"),
    )
}

/// Deleting one that isn't there is no error.
pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteKeyPairRequest,
) -> Reply<t::DeleteKeyPairResult> {
    let id = ec2
        .write(&cx, input.dry_run, |w| {
            let row = match (&input.key_pair_id, &input.key_name) {
                (Some(id), _) => w.find::<KeyPairRow>(id)?,
                (None, Some(name)) => named(w, name)?,
                (None, None) => return Err(Refusal::missing("KeyName or KeyPairId")),
            };
            if let Some(row) = &row {
                w.delete(row)?;
            }
            Ok(row.map(|row| row.meta.id))
        })
        .await?;
    Ok(t::DeleteKeyPairResult {
        return_: Some(true),
        key_pair_id: id,
    })
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeKeyPairsRequest,
) -> Reply<t::DescribeKeyPairsResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let mut rows = chosen::<KeyPairRow>(&snapshot, &here, input.key_pair_ids.as_ref())?;
    if let Some(names) = input.key_names.as_ref().filter(|names| !names.is_empty()) {
        rows.retain(|row| names.contains(&row.name));
        if let Some(name) = names
            .iter()
            .find(|name| rows.iter().all(|row| row.name != **name))
        {
            Err(absent(name))?;
        }
    }
    let with_key = input.include_public_key == Some(true);
    let shapes = rows.into_iter().map(|row| {
        let mut shape = row.shape(&snapshot, &ec2.names)?;
        if !with_key {
            shape.public_key = None;
        }
        Ok((row.meta.id, shape))
    });
    let query = Query {
        operation: "DescribeKeyPairs",
        filters: input.filters.as_ref(),
        dry_run: input.dry_run,
        ..Default::default()
    };
    let page = ec2.page(&cx, query, KeyPairRow::FILTERS, shapes)?;
    Ok(t::DescribeKeyPairsResult {
        key_pairs: Some(page.items),
    })
}
