//! GenerateDataKey, GenerateDataKeyPair (both also without plaintext), GenerateRandom.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_kms::types as t;
use gureum_schema::Bytes;

use crate::access::Context;
use crate::crypto;
use crate::crypto::asymmetric::{self, incompatible};
use crate::errors::{Refusal, Result};
use crate::model::KeyRow;
use crate::names::{Settled, Target};
use crate::spec::{EncryptionAlgorithm, KeySpec, KeyUsage};
use crate::state::{Kms, aside, unless_dry};

/// A key that can protect data keys: only symmetric ones do.
async fn protector(kms: &Kms, cx: &Cx, key: Target, operation: &'static str) -> Result<KeyRow> {
    let key = kms.at(cx, key).await?;
    key.ready(KeyUsage::EncryptDecrypt, operation)?;
    if key.spec != KeySpec::Symmetric {
        return Err(incompatible(
            EncryptionAlgorithm::Symmetric.name(),
            key.spec,
        ));
    }
    Ok(key)
}

/// The length of a data key, in bytes.
fn length(spec: Option<&str>, bytes: Option<i32>) -> Result<usize> {
    match (spec, bytes) {
        (Some("AES_256"), None) => Ok(32),
        (Some("AES_128"), None) => Ok(16),
        // The model has checked that it is between 1 and 1024.
        (None, Some(bytes)) => usize::try_from(bytes)
            .map_err(|_| Refusal::validation("NumberOfBytes must be between 1 and 1024.")),
        _ => Err(Refusal::validation(
            "Please specify either number of bytes or key spec.",
        )),
    }
}

struct DataKey {
    plaintext: Bytes,
    blob: Bytes,
    key_id: String,
    material: String,
}

fn seal(kms: &Kms, key: &KeyRow, context: &Context, plaintext: Vec<u8>) -> Result<DataKey> {
    let (blob, material) = kms.seal(key, context, &plaintext)?;
    Ok(DataKey {
        plaintext: plaintext.into(),
        blob,
        key_id: key.arn().to_string(),
        material: material.id.clone(),
    })
}

pub(crate) async fn data_key(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::GenerateDataKeyRequest>,
) -> gureum_schema::Result<t::GenerateDataKeyResponse> {
    let Settled { input, key } = asked;
    let key = protector(&kms, &cx, key, "GenerateDataKey").await?;
    let length = length(input.key_spec.as_deref(), input.number_of_bytes)?;
    unless_dry(input.dry_run)?;
    let context = input.encryption_context.unwrap_or_default();
    let made = seal(&kms, &key, &context, crypto::random(length))?;
    Ok(t::GenerateDataKeyResponse {
        ciphertext_blob: Some(made.blob),
        plaintext: Some(made.plaintext),
        key_id: Some(made.key_id),
        key_material_id: Some(made.material),
        ciphertext_for_recipient: None,
    })
}

pub(crate) async fn data_key_sealed(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::GenerateDataKeyWithoutPlaintextRequest>,
) -> gureum_schema::Result<t::GenerateDataKeyWithoutPlaintextResponse> {
    let Settled { input, key } = asked;
    let operation = "GenerateDataKeyWithoutPlaintext";
    let key = protector(&kms, &cx, key, operation).await?;
    let length = length(input.key_spec.as_deref(), input.number_of_bytes)?;
    unless_dry(input.dry_run)?;
    let context = input.encryption_context.unwrap_or_default();
    let made = seal(&kms, &key, &context, crypto::random(length))?;
    Ok(t::GenerateDataKeyWithoutPlaintextResponse {
        ciphertext_blob: Some(made.blob),
        key_id: Some(made.key_id),
        key_material_id: Some(made.material),
    })
}

/// A new key pair: PKCS #8 under the key, and `SubjectPublicKeyInfo`.
async fn pair(kms: &Kms, key: &KeyRow, spec: &str, context: &Context) -> Result<(DataKey, Bytes)> {
    let spec = KeySpec::parse(spec)?;
    if !spec.is_asymmetric() {
        return Err(Refusal::validation(format!(
            "{} is no spec of a key pair.",
            spec.name()
        )));
    }
    let make = move || {
        let private = asymmetric::generate(spec)?;
        let public = asymmetric::public_key(spec, &private)?;
        Ok((private, public))
    };
    let (private, public) = aside(make).await?;
    Ok((seal(kms, key, context, private)?, public.into()))
}

pub(crate) async fn data_key_pair(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::GenerateDataKeyPairRequest>,
) -> gureum_schema::Result<t::GenerateDataKeyPairResponse> {
    let Settled { input, key } = asked;
    let key = protector(&kms, &cx, key, "GenerateDataKeyPair").await?;
    unless_dry(input.dry_run)?;
    let context = input.encryption_context.unwrap_or_default();
    let (made, public) = pair(&kms, &key, &input.key_pair_spec, &context).await?;
    Ok(t::GenerateDataKeyPairResponse {
        private_key_ciphertext_blob: Some(made.blob),
        private_key_plaintext: Some(made.plaintext),
        public_key: Some(public),
        key_id: Some(made.key_id),
        key_pair_spec: Some(input.key_pair_spec),
        key_material_id: Some(made.material),
        ciphertext_for_recipient: None,
    })
}

pub(crate) async fn data_key_pair_sealed(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::GenerateDataKeyPairWithoutPlaintextRequest>,
) -> gureum_schema::Result<t::GenerateDataKeyPairWithoutPlaintextResponse> {
    let Settled { input, key } = asked;
    let operation = "GenerateDataKeyPairWithoutPlaintext";
    let key = protector(&kms, &cx, key, operation).await?;
    unless_dry(input.dry_run)?;
    let context = input.encryption_context.unwrap_or_default();
    let (made, public) = pair(&kms, &key, &input.key_pair_spec, &context).await?;
    Ok(t::GenerateDataKeyPairWithoutPlaintextResponse {
        private_key_ciphertext_blob: Some(made.blob),
        public_key: Some(public),
        key_id: Some(made.key_id),
        key_pair_spec: Some(input.key_pair_spec),
        key_material_id: Some(made.material),
    })
}

pub(crate) async fn random(
    _: Arc<Kms>,
    _: Cx,
    input: t::GenerateRandomRequest,
) -> gureum_schema::Result<t::GenerateRandomResponse> {
    let none = || Refusal::validation("NumberOfBytes must be there.");
    let length = length(None, Some(input.number_of_bytes.ok_or_else(none)?))?;
    Ok(t::GenerateRandomResponse {
        plaintext: Some(crypto::random(length).into()),
        ciphertext_for_recipient: None,
    })
}
