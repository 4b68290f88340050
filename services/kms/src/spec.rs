//! Which sorts of keys there are, what each is for, and with which algorithms.
//!
//! Source: KMS Developer Guide, "Key spec reference".

use serde::{Deserialize, Serialize};

use crate::errors::{Refusal, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeySpec {
    Symmetric,
    Rsa(RsaSize),
    Ec(Curve),
    Hmac(Hash),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RsaSize {
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
    K256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyUsage {
    EncryptDecrypt,
    SignVerify,
    Mac,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EncryptionAlgorithm {
    Symmetric,
    OaepSha1,
    OaepSha256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SigningAlgorithm {
    Pss(Hash),
    Pkcs1(Hash),
    Ecdsa(Hash),
}

/// `names!(Type { Variant => "NAME" … })`: both ways between values and AWS's names.
macro_rules! names {
    ($type:ident, $parameter:literal { $($value:expr => $name:literal,)* }) => {
        impl $type {
            pub(crate) const ALL: &'static [(Self, &'static str)] = &[$(($value, $name),)*];

            pub(crate) fn name(self) -> &'static str {
                let found = Self::ALL.iter().find(|(value, _)| *value == self);
                found.map_or("", |(_, name)| name)
            }

            /// Names of the model that are not in the table are known and not honoured.
            pub(crate) fn parse(name: &str) -> Result<Self> {
                let found = Self::ALL.iter().find(|(_, known)| *known == name);
                found
                    .map(|(value, _)| *value)
                    .ok_or_else(|| Refusal::NotImplemented(format!("{} {name}", $parameter)))
            }
        }
    };
}

names!(KeySpec, "KeySpec" {
    KeySpec::Symmetric => "SYMMETRIC_DEFAULT",
    KeySpec::Rsa(RsaSize::Rsa2048) => "RSA_2048",
    KeySpec::Rsa(RsaSize::Rsa3072) => "RSA_3072",
    KeySpec::Rsa(RsaSize::Rsa4096) => "RSA_4096",
    KeySpec::Ec(Curve::P256) => "ECC_NIST_P256",
    KeySpec::Ec(Curve::P384) => "ECC_NIST_P384",
    KeySpec::Ec(Curve::P521) => "ECC_NIST_P521",
    KeySpec::Ec(Curve::K256) => "ECC_SECG_P256K1",
    KeySpec::Hmac(Hash::Sha224) => "HMAC_224",
    KeySpec::Hmac(Hash::Sha256) => "HMAC_256",
    KeySpec::Hmac(Hash::Sha384) => "HMAC_384",
    KeySpec::Hmac(Hash::Sha512) => "HMAC_512",
});

names!(KeyUsage, "KeyUsage" {
    KeyUsage::EncryptDecrypt => "ENCRYPT_DECRYPT",
    KeyUsage::SignVerify => "SIGN_VERIFY",
    KeyUsage::Mac => "GENERATE_VERIFY_MAC",
});

names!(EncryptionAlgorithm, "EncryptionAlgorithm" {
    EncryptionAlgorithm::Symmetric => "SYMMETRIC_DEFAULT",
    EncryptionAlgorithm::OaepSha1 => "RSAES_OAEP_SHA_1",
    EncryptionAlgorithm::OaepSha256 => "RSAES_OAEP_SHA_256",
});

names!(SigningAlgorithm, "SigningAlgorithm" {
    SigningAlgorithm::Pss(Hash::Sha256) => "RSASSA_PSS_SHA_256",
    SigningAlgorithm::Pss(Hash::Sha384) => "RSASSA_PSS_SHA_384",
    SigningAlgorithm::Pss(Hash::Sha512) => "RSASSA_PSS_SHA_512",
    SigningAlgorithm::Pkcs1(Hash::Sha256) => "RSASSA_PKCS1_V1_5_SHA_256",
    SigningAlgorithm::Pkcs1(Hash::Sha384) => "RSASSA_PKCS1_V1_5_SHA_384",
    SigningAlgorithm::Pkcs1(Hash::Sha512) => "RSASSA_PKCS1_V1_5_SHA_512",
    SigningAlgorithm::Ecdsa(Hash::Sha256) => "ECDSA_SHA_256",
    SigningAlgorithm::Ecdsa(Hash::Sha384) => "ECDSA_SHA_384",
    SigningAlgorithm::Ecdsa(Hash::Sha512) => "ECDSA_SHA_512",
});

impl KeySpec {
    /// Whether there is a public half.
    pub(crate) fn is_asymmetric(self) -> bool {
        matches!(self, Self::Rsa(_) | Self::Ec(_))
    }

    /// The usages that keys of this spec can be made for.
    pub(crate) fn usages(self) -> &'static [KeyUsage] {
        match self {
            Self::Symmetric => &[KeyUsage::EncryptDecrypt],
            Self::Rsa(_) => &[KeyUsage::EncryptDecrypt, KeyUsage::SignVerify],
            Self::Ec(_) => &[KeyUsage::SignVerify],
            Self::Hmac(_) => &[KeyUsage::Mac],
        }
    }

    pub(crate) fn encryption_algorithms(self) -> Vec<EncryptionAlgorithm> {
        match self {
            Self::Symmetric => vec![EncryptionAlgorithm::Symmetric],
            Self::Rsa(_) => vec![
                EncryptionAlgorithm::OaepSha1,
                EncryptionAlgorithm::OaepSha256,
            ],
            Self::Ec(_) | Self::Hmac(_) => Vec::new(),
        }
    }

    pub(crate) fn signing_algorithms(self) -> Vec<SigningAlgorithm> {
        use SigningAlgorithm::{Ecdsa, Pkcs1, Pss};
        let hashes = [Hash::Sha256, Hash::Sha384, Hash::Sha512];
        match self {
            Self::Rsa(_) => {
                let pkcs1 = hashes.into_iter().map(Pkcs1);
                pkcs1.chain(hashes.into_iter().map(Pss)).collect()
            }
            Self::Ec(curve) => vec![Ecdsa(curve.hash())],
            Self::Symmetric | Self::Hmac(_) => Vec::new(),
        }
    }
}

impl Curve {
    /// The one hash that KMS signs with on this curve.
    pub(crate) fn hash(self) -> Hash {
        match self {
            Self::P256 | Self::K256 => Hash::Sha256,
            Self::P384 => Hash::Sha384,
            Self::P521 => Hash::Sha512,
        }
    }
}

impl Hash {
    /// As algorithm of HMAC keys.
    pub(crate) fn mac_name(self) -> &'static str {
        match self {
            Self::Sha224 => "HMAC_SHA_224",
            Self::Sha256 => "HMAC_SHA_256",
            Self::Sha384 => "HMAC_SHA_384",
            Self::Sha512 => "HMAC_SHA_512",
        }
    }

    /// In bytes.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl SigningAlgorithm {
    pub(crate) fn hash(self) -> Hash {
        match self {
            Self::Pss(hash) | Self::Pkcs1(hash) | Self::Ecdsa(hash) => hash,
        }
    }
}

/// The names of some values, for metadata; absent where there are none.
pub(crate) fn some<T>(values: Vec<T>, name: impl Fn(T) -> &'static str) -> Option<Vec<String>> {
    let names: Vec<String> = values.into_iter().map(|v| name(v).to_owned()).collect();
    (!names.is_empty()).then_some(names)
}
