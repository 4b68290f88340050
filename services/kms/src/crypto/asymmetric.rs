//! RSA and elliptic-curve keys, kept as PKCS #8 (RFC 5208).

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    self, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm,
    OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{self as sig, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey};

use super::broken;
use crate::errors::{Refusal, Result};
use crate::spec::{Curve, EncryptionAlgorithm, Hash, KeySpec, RsaSize, SigningAlgorithm};

/// What is signed: the message, or its digest.
#[derive(Clone, Copy)]
pub(crate) enum Message<'a> {
    Raw(&'a [u8]),
    Digest(&'a [u8]),
}

pub(crate) fn generate(spec: KeySpec) -> Result<Vec<u8>> {
    match spec {
        KeySpec::Rsa(size) => {
            let size = match size {
                RsaSize::Rsa2048 => KeySize::Rsa2048,
                RsaSize::Rsa3072 => KeySize::Rsa3072,
                RsaSize::Rsa4096 => KeySize::Rsa4096,
            };
            let pair = rsa::KeyPair::generate(size).map_err(|_| broken("making an RSA key"))?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| broken("PKCS #8"))?;
            Ok(der.as_ref().to_vec())
        }
        KeySpec::Ec(curve) => {
            let pair = EcdsaKeyPair::generate(signing(curve));
            let pair = pair.map_err(|_| broken("making an EC key"))?;
            let der = pair.to_pkcs8v1().map_err(|_| broken("PKCS #8"))?;
            Ok(der.as_ref().to_vec())
        }
        KeySpec::Symmetric | KeySpec::Hmac(_) => Err(broken("making a key pair of a secret")),
    }
}

/// The public half as `SubjectPublicKeyInfo` (RFC 5280).
pub(crate) fn public_key(spec: KeySpec, private: &[u8]) -> Result<Vec<u8>> {
    let der: PublicKeyX509Der<'_> = match spec {
        KeySpec::Rsa(_) => rsa_pair(private)?.public_key().as_der(),
        KeySpec::Ec(curve) => ec_pair(curve, private)?.public_key().as_der(),
        KeySpec::Symmetric | KeySpec::Hmac(_) => return Err(broken("the public half of a secret")),
    }
    .map_err(|_| broken("writing a public key"))?;
    Ok(der.as_ref().to_vec())
}

/// Hashes the message with the algorithm's hash, unless it is a digest already.
fn digested(algorithm: SigningAlgorithm, message: Message<'_>) -> Result<Digest> {
    let hash = match algorithm.hash() {
        Hash::Sha224 => &digest::SHA224,
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    };
    match message {
        Message::Raw(message) => Ok(digest::digest(hash, message)),
        Message::Digest(digest) => Digest::import_less_safe(digest, hash).map_err(|_| {
            Refusal::validation(format!(
                "Digest is invalid length for algorithm {}.",
                algorithm.name()
            ))
        }),
    }
}

/// A signature: PKCS #1 or PSS of the modulus' length, or ECDSA as DER.
pub(crate) fn sign(
    spec: KeySpec,
    private: &[u8],
    algorithm: SigningAlgorithm,
    message: Message<'_>,
) -> Result<Vec<u8>> {
    let digest = digested(algorithm, message)?;
    let failed = |_| broken("signing");
    match (spec, algorithm) {
        (KeySpec::Rsa(_), SigningAlgorithm::Pss(_) | SigningAlgorithm::Pkcs1(_)) => {
            let pair = rsa_pair(private)?;
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign_digest(padding(algorithm), &digest, &mut signature)
                .map_err(failed)?;
            Ok(signature)
        }
        (KeySpec::Ec(curve), SigningAlgorithm::Ecdsa(_)) => {
            let signature = ec_pair(curve, private)?.sign_digest(&digest);
            Ok(signature.map_err(failed)?.as_ref().to_vec())
        }
        _ => Err(incompatible(algorithm.name(), spec)),
    }
}

pub(crate) fn verify(
    spec: KeySpec,
    private: &[u8],
    algorithm: SigningAlgorithm,
    message: Message<'_>,
    signature: &[u8],
) -> Result<bool> {
    let digest = digested(algorithm, message)?;
    let how: &'static dyn sig::VerificationAlgorithm = match (spec, algorithm) {
        (KeySpec::Ec(curve), SigningAlgorithm::Ecdsa(_)) => match curve {
            Curve::P256 => &sig::ECDSA_P256_SHA256_ASN1,
            Curve::P384 => &sig::ECDSA_P384_SHA384_ASN1,
            Curve::P521 => &sig::ECDSA_P521_SHA512_ASN1,
            Curve::K256 => &sig::ECDSA_P256K1_SHA256_ASN1,
        },
        (KeySpec::Rsa(_), SigningAlgorithm::Pss(hash)) => match hash {
            Hash::Sha384 => &sig::RSA_PSS_2048_8192_SHA384,
            Hash::Sha512 => &sig::RSA_PSS_2048_8192_SHA512,
            Hash::Sha224 | Hash::Sha256 => &sig::RSA_PSS_2048_8192_SHA256,
        },
        (KeySpec::Rsa(_), SigningAlgorithm::Pkcs1(hash)) => match hash {
            Hash::Sha384 => &sig::RSA_PKCS1_2048_8192_SHA384,
            Hash::Sha512 => &sig::RSA_PKCS1_2048_8192_SHA512,
            Hash::Sha224 | Hash::Sha256 => &sig::RSA_PKCS1_2048_8192_SHA256,
        },
        _ => return Err(incompatible(algorithm.name(), spec)),
    };
    let public = public_key(spec, private)?;
    let key = UnparsedPublicKey::new(how, public);
    Ok(key.verify_digest(&digest, signature).is_ok())
}

pub(crate) fn encrypt(
    spec: KeySpec,
    private: &[u8],
    algorithm: EncryptionAlgorithm,
    plaintext: &[u8],
) -> Result<Vec<u8>> {
    let oaep = oaep(spec, algorithm)?;
    let public = public_key(spec, private)?;
    let failed = |_| broken("encrypting");
    let key = PublicEncryptingKey::from_der(&public).map_err(|_| broken("reading a public key"))?;
    let key = OaepPublicEncryptingKey::new(key).map_err(failed)?;
    let most = key.max_plaintext_size(oaep);
    if plaintext.len() > most {
        return Err(Refusal::validation(format!(
            "Algorithm {} and key spec {} cannot encrypt data larger than {most} bytes.",
            algorithm.name(),
            spec.name()
        )));
    }
    let mut out = vec![0; key.ciphertext_size()];
    let len = key.encrypt(oaep, plaintext, &mut out, None);
    let len = len.map_err(failed)?.len();
    out.truncate(len);
    Ok(out)
}

/// `None` when it is not a ciphertext of this key and algorithm.
pub(crate) fn decrypt(
    spec: KeySpec,
    private: &[u8],
    algorithm: EncryptionAlgorithm,
    ciphertext: &[u8],
) -> Result<Option<Vec<u8>>> {
    let oaep = oaep(spec, algorithm)?;
    let failed = |_| broken("reading a private key");
    let key = PrivateDecryptingKey::from_pkcs8(private).map_err(failed)?;
    let key = OaepPrivateDecryptingKey::new(key).map_err(|_| broken("reading a private key"))?;
    let mut out = vec![0; key.min_output_size()];
    let Ok(len) = key
        .decrypt(oaep, ciphertext, &mut out, None)
        .map(|p| p.len())
    else {
        return Ok(None);
    };
    out.truncate(len);
    Ok(Some(out))
}

fn oaep(spec: KeySpec, algorithm: EncryptionAlgorithm) -> Result<&'static OaepAlgorithm> {
    match (spec, algorithm) {
        (KeySpec::Rsa(_), EncryptionAlgorithm::OaepSha1) => Ok(&OAEP_SHA1_MGF1SHA1),
        (KeySpec::Rsa(_), EncryptionAlgorithm::OaepSha256) => Ok(&OAEP_SHA256_MGF1SHA256),
        _ => Err(incompatible(algorithm.name(), spec)),
    }
}

pub(crate) fn incompatible(algorithm: &str, spec: KeySpec) -> Refusal {
    Refusal::Algorithm {
        algorithm: algorithm.to_owned(),
        spec: spec.name(),
    }
}

fn rsa_pair(private: &[u8]) -> Result<rsa::KeyPair> {
    rsa::KeyPair::from_pkcs8(private).map_err(|_| broken("reading a private key"))
}

fn ec_pair(curve: Curve, private: &[u8]) -> Result<EcdsaKeyPair> {
    let pair = EcdsaKeyPair::from_pkcs8(signing(curve), private);
    pair.map_err(|_| broken("reading a private key"))
}

fn signing(curve: Curve) -> &'static sig::EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &sig::ECDSA_P256_SHA256_ASN1_SIGNING,
        Curve::P384 => &sig::ECDSA_P384_SHA384_ASN1_SIGNING,
        Curve::P521 => &sig::ECDSA_P521_SHA512_ASN1_SIGNING,
        Curve::K256 => &sig::ECDSA_P256K1_SHA256_ASN1_SIGNING,
    }
}

fn padding(algorithm: SigningAlgorithm) -> &'static dyn sig::RsaEncoding {
    match algorithm {
        SigningAlgorithm::Pss(Hash::Sha384) => &sig::RSA_PSS_SHA384,
        SigningAlgorithm::Pss(Hash::Sha512) => &sig::RSA_PSS_SHA512,
        SigningAlgorithm::Pss(_) => &sig::RSA_PSS_SHA256,
        SigningAlgorithm::Pkcs1(Hash::Sha384) => &sig::RSA_PKCS1_SHA384,
        SigningAlgorithm::Pkcs1(Hash::Sha512) => &sig::RSA_PKCS1_SHA512,
        SigningAlgorithm::Pkcs1(_) | SigningAlgorithm::Ecdsa(_) => &sig::RSA_PKCS1_SHA256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: [KeySpec; 5] = [
        KeySpec::Rsa(RsaSize::Rsa2048),
        KeySpec::Ec(Curve::P256),
        KeySpec::Ec(Curve::P384),
        KeySpec::Ec(Curve::P521),
        KeySpec::Ec(Curve::K256),
    ];

    #[test]
    fn a_signature_holds_for_its_message_only() {
        for spec in SPECS {
            let key = generate(spec).expect("key");
            for algorithm in spec.signing_algorithms() {
                let raw = Message::Raw(b"message");
                let digest = digested(algorithm, raw).expect("digest");
                let digest = Message::Digest(digest.as_ref());
                for (signed, verified) in [(raw, digest), (digest, raw)] {
                    let signature = sign(spec, &key, algorithm, signed).expect("signature");
                    let holds = |message| {
                        verify(spec, &key, algorithm, message, &signature).expect("verified")
                    };
                    assert!(holds(verified), "{spec:?} {algorithm:?}");
                    assert!(!holds(Message::Raw(b"other")), "{spec:?} {algorithm:?}");
                }
            }
        }
    }

    #[test]
    fn what_rsa_encrypts_it_decrypts_unless_altered() {
        let spec = KeySpec::Rsa(RsaSize::Rsa2048);
        let key = generate(spec).expect("key");
        for algorithm in spec.encryption_algorithms() {
            let mut blob = encrypt(spec, &key, algorithm, b"text").expect("encrypted");
            let open = |blob: &[u8]| decrypt(spec, &key, algorithm, blob).expect("no failure");
            assert_eq!(open(&blob).as_deref(), Some(&b"text"[..]));
            blob[10] ^= 1;
            assert_eq!(open(&blob), None);
            assert!(encrypt(spec, &key, algorithm, &[0; 256]).is_err());
        }
    }

    #[test]
    fn a_digest_has_the_length_of_its_hash() {
        let spec = KeySpec::Ec(Curve::P256);
        let key = generate(spec).expect("key");
        let algorithm = SigningAlgorithm::Ecdsa(Hash::Sha256);
        let refused = sign(spec, &key, algorithm, Message::Digest(&[0; 31]));
        assert!(matches!(refused, Err(Refusal::Validation(_))));
    }
}
