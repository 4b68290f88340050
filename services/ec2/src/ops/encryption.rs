//! Whether new volumes are encrypted, and by which key, where nothing is said.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::errors::Result;
use crate::sealing::{DefaultsRow, Secrecy};
use crate::state::Ec2;

impl Ec2 {
    async fn change_defaults(
        &self,
        cx: &Cx,
        dry_run: Option<bool>,
        change: impl Fn(&mut DefaultsRow) + Send + Sync,
    ) -> Result<DefaultsRow> {
        self.write(cx, dry_run, |w| {
            let mut row = DefaultsRow::of(w.tx, w.here)?;
            change(&mut row);
            w.tx.put(&row)?;
            Ok(row)
        })
        .await
    }
}

pub(crate) async fn get(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::GetEbsEncryptionByDefaultRequest,
) -> Reply<t::GetEbsEncryptionByDefaultResult> {
    let row = ec2.change_defaults(&cx, input.dry_run, |_| ()).await?;
    Ok(t::GetEbsEncryptionByDefaultResult {
        ebs_encryption_by_default: Some(row.enabled),
        sse_type: Some(if row.enabled { "sse-kms" } else { "none" }.into()),
    })
}

pub(crate) async fn enable(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::EnableEbsEncryptionByDefaultRequest,
) -> Reply<t::EnableEbsEncryptionByDefaultResult> {
    let row = ec2.change_defaults(&cx, input.dry_run, |row| row.enabled = true);
    Ok(t::EnableEbsEncryptionByDefaultResult {
        ebs_encryption_by_default: Some(row.await?.enabled),
    })
}

pub(crate) async fn disable(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DisableEbsEncryptionByDefaultRequest,
) -> Reply<t::DisableEbsEncryptionByDefaultResult> {
    let row = ec2.change_defaults(&cx, input.dry_run, |row| row.enabled = false);
    Ok(t::DisableEbsEncryptionByDefaultResult {
        ebs_encryption_by_default: Some(row.await?.enabled),
    })
}

pub(crate) async fn get_key(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::GetEbsDefaultKmsKeyIdRequest,
) -> Reply<t::GetEbsDefaultKmsKeyIdResult> {
    let row = ec2.change_defaults(&cx, input.dry_run, |_| ()).await?;
    Ok(t::GetEbsDefaultKmsKeyIdResult {
        kms_key_id: Some(row.key().to_owned()),
    })
}

/// A key that volumes cannot be encrypted with is refused at once.
pub(crate) async fn modify_key(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyEbsDefaultKmsKeyIdRequest,
) -> Reply<t::ModifyEbsDefaultKmsKeyIdResult> {
    let asked = Secrecy {
        encrypted: Some(true),
        kms_key: Some(input.kms_key_id.clone()),
    };
    let sealing = ec2.seal_anew(&cx, &asked, true).await?;
    let key = sealing.map(|sealing| sealing.encryption.kms_key);
    let row = ec2.change_defaults(&cx, input.dry_run, |row| row.kms_key.clone_from(&key));
    Ok(t::ModifyEbsDefaultKmsKeyIdResult {
        kms_key_id: Some(row.await?.key().to_owned()),
    })
}

pub(crate) async fn reset_key(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ResetEbsDefaultKmsKeyIdRequest,
) -> Reply<t::ResetEbsDefaultKmsKeyIdResult> {
    let row = ec2.change_defaults(&cx, input.dry_run, |row| row.kms_key = None);
    Ok(t::ResetEbsDefaultKmsKeyIdResult {
        kms_key_id: Some(row.await?.key().to_owned()),
    })
}
