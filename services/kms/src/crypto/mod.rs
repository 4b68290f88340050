//! The cryptography of KMS: pure functions over bytes, all of it from AWS-LC.
//!
//! AWS-LC was chosen because it is one library that has everything that the key specs need (OAEP
//! and PSS, signing given digests, secp256k1, SHA-224) with constant-time RSA; pure Rust crates
//! would be eight, with an RSA that leaks through timing (RUSTSEC-2023-0071).

pub(crate) mod asymmetric;
pub(crate) mod envelope;
pub(crate) mod mac;
pub(crate) mod root;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use gureum_kit::names::id;

use crate::errors::{Refusal, Result};
use crate::spec::{Hash, KeySpec};

/// A failure that has no cause on the caller's side.
fn broken(what: &str) -> Refusal {
    Refusal::Broken(format!("{what} failed"))
}

/// New key material: secret bytes, or a private key as PKCS #8. Takes up to seconds for RSA.
pub(crate) fn generate(spec: KeySpec) -> Result<Vec<u8>> {
    match spec {
        KeySpec::Symmetric => Ok(id::bytes::<32>().to_vec()),
        KeySpec::Hmac(hash) => Ok(random(hash.len())),
        KeySpec::Rsa(_) | KeySpec::Ec(_) => asymmetric::generate(spec),
    }
}

pub(crate) fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    id::fill(&mut bytes);
    bytes
}

/// AES-256-GCM under a key that is used for this one message only: it is derived from `secret`
/// and a random `salt`, so the nonce may stay the same and no limit on messages per key is met.
fn cipher(secret: &[u8], salt: &[u8; 16]) -> Result<LessSafeKey> {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let key = hmac::sign(&secret, salt);
    let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).map_err(|_| broken("AES"))?;
    Ok(LessSafeKey::new(key))
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Encrypts; returns the salt and the ciphertext with its tag.
fn seal(secret: &[u8], aad: &[u8], plaintext: &[u8]) -> Result<([u8; 16], Vec<u8>)> {
    let salt = id::bytes();
    let mut data = plaintext.to_vec();
    cipher(secret, &salt)?
        .seal_in_place_append_tag(nonce(), Aad::from(aad), &mut data)
        .map_err(|_| broken("AES"))?;
    Ok((salt, data))
}

/// `None` when this is not what was sealed with the same secret and `aad`.
fn open(secret: &[u8], salt: &[u8; 16], aad: &[u8], data: &[u8]) -> Result<Option<Vec<u8>>> {
    let cipher = cipher(secret, salt)?;
    let mut data = data.to_vec();
    let opened = cipher.open_in_place(nonce(), Aad::from(aad), &mut data);
    let Ok(len) = opened.map(|plaintext| plaintext.len()) else {
        return Ok(None);
    };
    data.truncate(len);
    Ok(Some(data))
}

fn hmac_algorithm(hash: Hash) -> hmac::Algorithm {
    match hash {
        Hash::Sha224 => hmac::HMAC_SHA224,
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
        Hash::Sha512 => hmac::HMAC_SHA512,
    }
}
