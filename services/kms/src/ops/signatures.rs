//! Sign, Verify, GetPublicKey.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_kms::types as t;

use crate::crypto::asymmetric::{self, Message, incompatible};
use crate::errors::{Refusal, Result};
use crate::model::KeyRow;
use crate::names::Settled;
use crate::spec::{EncryptionAlgorithm, KeyUsage, SigningAlgorithm, some};
use crate::state::{Kms, aside, unless_dry};

fn algorithm(key: &KeyRow, name: &str) -> Result<SigningAlgorithm> {
    let algorithm = SigningAlgorithm::parse(name)?;
    if key.spec.signing_algorithms().contains(&algorithm) {
        Ok(algorithm)
    } else {
        Err(incompatible(name, key.spec))
    }
}

/// Whether the message is a digest already.
fn is_digest(form: Option<&str>) -> Result<bool> {
    match form {
        None | Some("RAW") => Ok(false),
        Some("DIGEST") => Ok(true),
        Some(other) => Err(Refusal::NotImplemented(format!("MessageType {other}"))),
    }
}

fn message(bytes: &[u8], digest: bool) -> Message<'_> {
    if digest {
        Message::Digest(bytes)
    } else {
        Message::Raw(bytes)
    }
}

pub(crate) async fn sign(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::SignRequest>,
) -> gureum_schema::Result<t::SignResponse> {
    let Settled { input, key } = asked;
    let key = kms.at(&cx, key).await?;
    key.ready(KeyUsage::SignVerify, "Sign")?;
    let algorithm = algorithm(&key, &input.signing_algorithm)?;
    let digest = is_digest(input.message_type.as_deref())?;
    unless_dry(input.dry_run)?;
    let (_, secret) = kms.current(&key)?;
    let (spec, bytes) = (key.spec, input.message);
    let sign = move || asymmetric::sign(spec, &secret, algorithm, message(&bytes, digest));
    let signature = aside(sign).await?;
    Ok(t::SignResponse {
        key_id: Some(key.arn().to_string()),
        signature: Some(signature.into()),
        signing_algorithm: Some(algorithm.name().into()),
    })
}

pub(crate) async fn verify(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::VerifyRequest>,
) -> gureum_schema::Result<t::VerifyResponse> {
    let Settled { input, key } = asked;
    let key = kms.at(&cx, key).await?;
    key.ready(KeyUsage::SignVerify, "Verify")?;
    let algorithm = algorithm(&key, &input.signing_algorithm)?;
    let digest = is_digest(input.message_type.as_deref())?;
    unless_dry(input.dry_run)?;
    let (_, secret) = kms.current(&key)?;
    let (spec, bytes, signature) = (key.spec, input.message, input.signature);
    let verify = move || {
        let message = message(&bytes, digest);
        asymmetric::verify(spec, &secret, algorithm, message, &signature)
    };
    if !aside(verify).await? {
        return Err(Refusal::Signature.into());
    }
    Ok(t::VerifyResponse {
        key_id: Some(key.arn().to_string()),
        signature_valid: Some(true),
        signing_algorithm: Some(algorithm.name().into()),
    })
}

pub(crate) async fn public_key(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::GetPublicKeyRequest>,
) -> gureum_schema::Result<t::GetPublicKeyResponse> {
    let key = kms.at(&cx, asked.key).await?;
    key.enabled()?;
    if !key.spec.is_asymmetric() {
        return Err(Refusal::Unsupported(format!(
            "{} is symmetric and has no public key.",
            key.arn()
        ))
        .into());
    }
    let (_, secret) = kms.current(&key)?;
    let spec = key.spec;
    let public = aside(move || asymmetric::public_key(spec, &secret)).await?;
    let encrypts = key.usage == KeyUsage::EncryptDecrypt;
    let encryption = some(spec.encryption_algorithms(), EncryptionAlgorithm::name);
    let signing = some(spec.signing_algorithms(), SigningAlgorithm::name);
    Ok(t::GetPublicKeyResponse {
        key_id: Some(key.arn().to_string()),
        public_key: Some(public.into()),
        customer_master_key_spec: Some(spec.name().into()),
        key_spec: Some(spec.name().into()),
        key_usage: Some(key.usage.name().into()),
        encryption_algorithms: encryption.filter(|_| encrypts),
        signing_algorithms: signing.filter(|_| !encrypts),
        key_agreement_algorithms: None,
    })
}
