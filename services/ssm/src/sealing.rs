//! Secure strings: encrypted by KMS in the name of who writes and reads them, bound to the
//! parameter's ARN. KMS itself encrypts at most 4 KiB; a longer value is sealed with a data key.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_model_kms::op;
use gureum_model_kms::types::{DecryptRequest, EncryptRequest, GenerateDataKeyRequest};
use gureum_schema::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::errors::{Refusal, Result};
use crate::model::{Tier, Value, VersionRow};
use crate::names;

/// The key that is used where none is named.
pub(crate) const DEFAULT_KEY: &str = "alias/aws/ssm";

fn context(arn: &str) -> Option<BTreeMap<String, String>> {
    Some(BTreeMap::from([("PARAMETER_ARN".into(), arn.into())]))
}

/// Encrypts a value of the parameter `name`, as the caller.
pub(crate) async fn seal(cx: &Cx, name: &str, tier: Tier, key: &str, value: &str) -> Result<Value> {
    let arn = names::arn(&cx.region, cx.account(), name).to_string();
    let kms = cx.via("ssm");
    if tier == Tier::Standard {
        let input = EncryptRequest {
            key_id: key.into(),
            plaintext: Bytes::from(value.to_owned()),
            encryption_context: context(&arn),
            ..Default::default()
        };
        let made = kms.call::<op::Encrypt>(input).await.map_err(Refusal::Key)?;
        return Ok(Value::Encrypted {
            key: key.into(),
            sealed: STANDARD.encode(made.ciphertext_blob.unwrap_or_default()),
        });
    }
    let input = GenerateDataKeyRequest {
        key_id: key.into(),
        key_spec: Some("AES_256".into()),
        encryption_context: context(&arn),
        ..Default::default()
    };
    let made = kms
        .call::<op::GenerateDataKey>(input)
        .await
        .map_err(Refusal::Key)?;
    Ok(Value::Enveloped {
        key: key.into(),
        data_key: STANDARD.encode(made.ciphertext_blob.unwrap_or_default()),
        sealed: STANDARD.encode(encrypt(&made.plaintext.unwrap_or_default(), value)?),
    })
}

/// The value of a version, decrypted as the caller.
pub(crate) async fn open(cx: &Cx, row: &VersionRow) -> Result<String> {
    let arn = names::arn(&row.region, &row.account, &row.name).to_string();
    let (key, sealed) = match &row.value {
        Value::Plain(value) => return Ok(value.clone()),
        Value::Encrypted { key, sealed } => (key, sealed),
        Value::Enveloped { key, data_key, .. } => (key, data_key),
    };
    let input = DecryptRequest {
        ciphertext_blob: Some(decode(sealed)?.into()),
        key_id: Some(key.clone()),
        encryption_context: context(&arn),
        ..Default::default()
    };
    let opened = cx.via("ssm").call::<op::Decrypt>(input).await;
    let opened = opened.map_err(Refusal::Key)?.plaintext.unwrap_or_default();
    let plain = match &row.value {
        Value::Enveloped { sealed, .. } => decrypt(&opened, decode(sealed)?)?,
        _ => opened.to_vec(),
    };
    String::from_utf8(plain).map_err(|_| damaged())
}

fn damaged() -> Refusal {
    Refusal::Broken("a secure string cannot be opened".into())
}

fn decode(text: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).map_err(|_| damaged())
}

fn cipher(key: &[u8]) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| damaged())?;
    Ok(LessSafeKey::new(key))
}

/// A nonce, then what it sealed. A data key is used once, so any nonce will do.
fn encrypt(key: &[u8], value: &str) -> Result<Vec<u8>> {
    let nonce: [u8; NONCE_LEN] = id::bytes();
    let mut bytes = value.as_bytes().to_vec();
    cipher(key)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut bytes,
        )
        .map_err(|_| damaged())?;
    Ok([&nonce[..], &bytes[..]].concat())
}

fn decrypt(key: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>> {
    let (nonce, bytes) = sealed
        .split_first_chunk_mut::<NONCE_LEN>()
        .ok_or_else(damaged)?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = cipher(key)?.open_in_place(nonce, Aad::empty(), bytes);
    Ok(plain.map_err(|_| damaged())?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_its_key_only() {
        let (key, other) = ([1; 32], [2; 32]);
        let sealed = encrypt(&key, "sesame").unwrap();
        assert_eq!(decrypt(&key, sealed.clone()).unwrap(), b"sesame");
        assert!(decrypt(&other, sealed.clone()).is_err());
        assert!(decrypt(&key, sealed[..5].to_vec()).is_err());
        assert!(decrypt(&key[..9], sealed).is_err());
    }
}
