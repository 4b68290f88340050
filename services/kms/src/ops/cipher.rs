//! Encrypt, Decrypt, ReEncrypt.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_kms::types as t;
use gureum_schema::Bytes;

use crate::access::Context;
use crate::crypto::asymmetric::{self, incompatible};
use crate::crypto::envelope::{self, Address};
use crate::errors::{Refusal, Result};
use crate::model::{KeyRow, Material};
use crate::names::{Pair, Settled, Target};
use crate::spec::{EncryptionAlgorithm, KeySpec, KeyUsage};
use crate::state::{Kms, aside, unless_dry};

fn algorithm(key: &KeyRow, name: Option<&str>) -> Result<EncryptionAlgorithm> {
    let name = name.unwrap_or("SYMMETRIC_DEFAULT");
    let algorithm = EncryptionAlgorithm::parse(name)?;
    if key.spec.encryption_algorithms().contains(&algorithm) {
        Ok(algorithm)
    } else {
        Err(incompatible(name, key.spec))
    }
}

/// Only symmetric encryption can bind a context.
fn check_context(key: &KeyRow, context: &Context) -> Result<()> {
    if key.spec == KeySpec::Symmetric || context.is_empty() {
        return Ok(());
    }
    Err(Refusal::validation(
        "EncryptionContext can only be used with symmetric encryption keys.",
    ))
}

impl Kms {
    /// Encrypts with the current material of a symmetric key.
    pub(crate) fn seal<'a>(
        &self,
        key: &'a KeyRow,
        context: &Context,
        plaintext: &[u8],
    ) -> Result<(Bytes, &'a Material)> {
        let (material, secret) = self.current(key)?;
        let address = Address {
            account: key.account.to_string(),
            key: key.id.clone(),
            material: material.id.clone(),
        };
        let blob = envelope::encrypt(&secret, &address, context, plaintext)?;
        Ok((blob.into(), material))
    }

    async fn encrypt(
        &self,
        key: &KeyRow,
        algorithm: EncryptionAlgorithm,
        context: &Context,
        plaintext: Bytes,
    ) -> Result<(Bytes, Option<String>)> {
        check_context(key, context)?;
        if algorithm == EncryptionAlgorithm::Symmetric {
            let (blob, material) = self.seal(key, context, &plaintext)?;
            return Ok((blob, Some(material.id.clone())));
        }
        let (_, secret) = self.current(key)?;
        let spec = key.spec;
        let seal = move || asymmetric::encrypt(spec, &secret, algorithm, &plaintext);
        Ok((aside(seal).await?.into(), None))
    }

    async fn decrypt(
        &self,
        key: &KeyRow,
        algorithm: EncryptionAlgorithm,
        context: &Context,
        blob: Bytes,
    ) -> Result<(Bytes, Option<String>)> {
        check_context(key, context)?;
        if algorithm != EncryptionAlgorithm::Symmetric {
            let (_, secret) = self.current(key)?;
            let spec = key.spec;
            let open = move || asymmetric::decrypt(spec, &secret, algorithm, &blob);
            let plaintext = aside(open).await?.ok_or(Refusal::Ciphertext)?;
            return Ok((plaintext.into(), None));
        }
        let address = envelope::address(&blob).ok_or(Refusal::Ciphertext)?;
        if address.key != key.id || key.account != *address.account.as_str() {
            return Err(Refusal::IncorrectKey);
        }
        let material = key.material(&address.material);
        let material = material.ok_or(Refusal::Ciphertext)?;
        let secret = self.secret(key, material)?;
        let plaintext = envelope::decrypt(&secret, context, &blob)?;
        let plaintext = plaintext.ok_or(Refusal::Ciphertext)?;
        Ok((plaintext.into(), Some(address.material)))
    }

    /// The key for decrypting with; if the ciphertext named it, whether it exists is not told.
    async fn opening(&self, cx: &Cx, key: Target, named: bool) -> Result<KeyRow> {
        match self.at(cx, key).await {
            Err(Refusal::NoSuchKey(_)) if !named => Err(Refusal::foreign_ciphertext()),
            found => found,
        }
    }
}

pub(crate) async fn encrypt(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::EncryptRequest>,
) -> gureum_schema::Result<t::EncryptResponse> {
    let Settled { input, key } = asked;
    let key = kms.at(&cx, key).await?;
    key.ready(KeyUsage::EncryptDecrypt, "Encrypt")?;
    let algorithm = algorithm(&key, input.encryption_algorithm.as_deref())?;
    let context = input.encryption_context.unwrap_or_default();
    unless_dry(input.dry_run)?;
    let (blob, _) = kms
        .encrypt(&key, algorithm, &context, input.plaintext)
        .await?;
    Ok(t::EncryptResponse {
        ciphertext_blob: Some(blob),
        key_id: Some(key.arn().to_string()),
        encryption_algorithm: Some(algorithm.name().into()),
    })
}

pub(crate) async fn decrypt(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::DecryptRequest>,
) -> gureum_schema::Result<t::DecryptResponse> {
    let Settled { input, key } = asked;
    let key = kms.opening(&cx, key, input.key_id.is_some()).await?;
    key.ready(KeyUsage::EncryptDecrypt, "Decrypt")?;
    let algorithm = algorithm(&key, input.encryption_algorithm.as_deref())?;
    let context = input.encryption_context.unwrap_or_default();
    let blob = input.ciphertext_blob.unwrap_or_default();
    let (plaintext, material) = kms.decrypt(&key, algorithm, &context, blob).await?;
    unless_dry(input.dry_run)?;
    Ok(t::DecryptResponse {
        key_id: Some(key.arn().to_string()),
        plaintext: Some(plaintext),
        encryption_algorithm: Some(algorithm.name().into()),
        key_material_id: material,
        ..t::DecryptResponse::default()
    })
}

pub(crate) async fn re_encrypt(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::ReEncryptRequest, Pair>,
) -> gureum_schema::Result<t::ReEncryptResponse> {
    let Settled { input, key } = asked;
    let named = input.source_key_id.is_some();
    let from = kms.opening(&cx, key.from, named).await?;
    from.ready(KeyUsage::EncryptDecrypt, "ReEncryptFrom")?;
    let to = kms.at(&cx, key.to).await?;
    to.ready(KeyUsage::EncryptDecrypt, "ReEncryptTo")?;
    let source = algorithm(&from, input.source_encryption_algorithm.as_deref())?;
    let destination = algorithm(&to, input.destination_encryption_algorithm.as_deref())?;
    let context = input.source_encryption_context.unwrap_or_default();
    let blob = input.ciphertext_blob.unwrap_or_default();
    let (plaintext, old) = kms.decrypt(&from, source, &context, blob).await?;
    unless_dry(input.dry_run)?;
    let context = input.destination_encryption_context.unwrap_or_default();
    let (blob, new) = kms.encrypt(&to, destination, &context, plaintext).await?;
    Ok(t::ReEncryptResponse {
        ciphertext_blob: Some(blob),
        source_key_id: Some(from.arn().to_string()),
        key_id: Some(to.arn().to_string()),
        source_encryption_algorithm: Some(source.name().into()),
        destination_encryption_algorithm: Some(destination.name().into()),
        source_key_material_id: old,
        destination_key_material_id: new,
    })
}
