//! CreateKey, DescribeKey, ListKeys, UpdateKeyDescription.

use std::collections::BTreeSet;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_kit::{Reader, Scan};
use gureum_model_kms::types as t;
use gureum_schema::Timestamp;

use super::{policies, tags};
use crate::access;
use crate::crypto;
use crate::errors::{Refusal, Result};
use crate::model::{KeyRow, State, Why};
use crate::names::{Name, Settled};
use crate::page::{self, Page};
use crate::spec::{EncryptionAlgorithm, Hash, KeySpec, KeyUsage, SigningAlgorithm, some};
use crate::state::{Kms, aside};

pub(crate) async fn create_key(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::CreateKeyRequest,
) -> gureum_schema::Result<t::CreateKeyResponse> {
    let (spec, usage) = kind(&input)?;
    let tags = tags::read(input.tags.as_deref().unwrap_or_default())?;
    let policy = input.policy;
    let policy = policy.unwrap_or_else(|| access::default_policy(&cx.region, cx.account()));
    let (policy, parsed) = access::bind(&cx, &policy)?;
    let mut row = KeyRow {
        region: cx.region.clone(),
        account: *cx.account(),
        id: id::uuid(),
        created: cx.now.0,
        description: input.description.unwrap_or_default(),
        spec,
        usage,
        state: State::Enabled,
        policy,
        tags,
        aliases: BTreeSet::new(),
        managed_by: None,
        rotation: None,
        materials: Vec::new(),
    };
    if input.bypass_policy_lockout_safety_check != Some(true) {
        policies::check_lockout(&cx, &row, parsed)?;
    }
    let secret = aside(move || crypto::generate(spec)).await?;
    let material = kms.material(&row.id, Why::Created, row.created, &secret)?;
    row.materials.push(material);
    kms.store
        .transact(|tx| tx.put(&row).map_err(Refusal::from))
        .await?;
    Ok(t::CreateKeyResponse {
        key_metadata: Some(metadata(&row)),
    })
}

/// Spec and usage, where we can make such keys.
fn kind(input: &t::CreateKeyRequest) -> Result<(KeySpec, KeyUsage)> {
    match input.origin.as_deref() {
        None | Some("AWS_KMS") => {}
        Some(origin) => return Err(Refusal::NotImplemented(format!("Origin {origin}"))),
    }
    if input.multi_region == Some(true) {
        return Err(Refusal::NotImplemented("A multi-Region key".into()));
    }
    let (new, old) = (&input.key_spec, &input.customer_master_key_spec);
    if new.is_some() && old.is_some() {
        return Err(Refusal::validation(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.",
        ));
    }
    let spec = new.as_ref().or(old.as_ref()).map(String::as_str);
    let spec = KeySpec::parse(spec.unwrap_or("SYMMETRIC_DEFAULT"))?;
    let usage = match input.key_usage.as_deref() {
        Some(usage) => KeyUsage::parse(usage)?,
        None if spec == KeySpec::Symmetric => KeyUsage::EncryptDecrypt,
        None => {
            return Err(Refusal::validation(
                "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
            ));
        }
    };
    if !spec.usages().contains(&usage) {
        return Err(Refusal::validation(format!(
            "KeyUsage {} is not compatible with KeySpec {}",
            usage.name(),
            spec.name()
        )));
    }
    Ok((spec, usage))
}

/// A key as `DescribeKey` tells of it.
pub(crate) fn metadata(row: &KeyRow) -> t::KeyMetadata {
    let encrypts = row.usage == KeyUsage::EncryptDecrypt;
    let signs = row.usage == KeyUsage::SignVerify;
    let algorithms = |wanted: bool, names: Option<Vec<String>>| names.filter(|_| wanted);
    let mac = match row.spec {
        KeySpec::Hmac(hash) => some(vec![hash], Hash::mac_name),
        _ => None,
    };
    let material = row.current().filter(|_| row.spec == KeySpec::Symmetric);
    let deletion_date = match row.state {
        State::PendingDeletion { at, .. } => Some(Timestamp(at)),
        State::Enabled | State::Disabled => None,
    };
    let manager = if row.managed_by.is_some() {
        "AWS"
    } else {
        "CUSTOMER"
    };
    t::KeyMetadata {
        aws_account_id: Some(row.account.to_string()),
        key_id: row.id.clone(),
        arn: Some(row.arn().to_string()),
        creation_date: Some(Timestamp(row.created)),
        enabled: Some(row.state == State::Enabled),
        description: Some(row.description.clone()),
        key_usage: Some(row.usage.name().into()),
        key_state: Some(row.state.name().into()),
        deletion_date,
        origin: Some("AWS_KMS".into()),
        key_manager: Some(manager.into()),
        customer_master_key_spec: Some(row.spec.name().into()),
        key_spec: Some(row.spec.name().into()),
        encryption_algorithms: algorithms(
            encrypts,
            some(row.spec.encryption_algorithms(), EncryptionAlgorithm::name),
        ),
        signing_algorithms: algorithms(
            signs,
            some(row.spec.signing_algorithms(), SigningAlgorithm::name),
        ),
        mac_algorithms: mac,
        multi_region: Some(false),
        current_key_material_id: material.map(|material| material.id.clone()),
        ..t::KeyMetadata::default()
    }
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion { .. } => "PendingDeletion",
        }
    }
}

pub(crate) async fn describe_key(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::DescribeKeyRequest>,
) -> gureum_schema::Result<t::DescribeKeyResponse> {
    let key = kms.find_or_make(&cx, asked.key, true).await?;
    Ok(t::DescribeKeyResponse {
        key_metadata: Some(metadata(&key)),
    })
}

pub(crate) async fn list_keys(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::ListKeysRequest,
) -> gureum_schema::Result<t::ListKeysResponse> {
    let marker = input.marker.as_deref();
    let page = Page::read(&kms, &cx, "ListKeys", &page::KEYS, input.limit, marker)?;
    let mut scan = Scan::<KeyRow>::of((&cx.region, cx.account()));
    if let Some(after) = &page.after {
        scan = scan.after((&cx.region, cx.account(), after));
    }
    let snapshot = kms.store.read();
    let paged = page.cut(&kms, snapshot.scan(scan), |row| row.id.clone())?;
    let entry = |row: &KeyRow| t::KeyListEntry {
        key_id: Some(row.id.clone()),
        key_arn: Some(row.arn().to_string()),
    };
    Ok(t::ListKeysResponse {
        keys: Some(paged.items.iter().map(entry).collect()),
        truncated: paged.truncated(),
        next_marker: paged.marker,
    })
}

pub(crate) async fn update_description(
    kms: Arc<Kms>,
    cx: Cx,
    input: t::UpdateKeyDescriptionRequest,
) -> gureum_schema::Result<t::UpdateKeyDescriptionOutput> {
    let key = Name::read_key(&cx, &input.key_id)?;
    kms.change(&key, |row| {
        row.alive()?;
        row.description.clone_from(&input.description);
        Ok(())
    })
    .await?;
    Ok(t::UpdateKeyDescriptionOutput {})
}
