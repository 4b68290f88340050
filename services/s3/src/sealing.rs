//! Encryption at rest: which key an object's content is under, and who holds it.
//!
//! Every object is encrypted. By default with a random data key of its own, which is kept beside
//! the object, wrapped by the cloud's root key (SSE-S3). Or wrapped by a key of KMS, which is asked
//! in the name of whoever stores or reads the object (SSE-KMS, see `kms`). Or with a key that the
//! client brings with every request and that is never kept (SSE-C): a salted proof of it tells
//! whether it is the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gureum_blob::{Algorithm, Digests, Key};
use gureum_kit::names::id;
use ring::{aead, hmac};
use serde::{Deserialize, Serialize};

use crate::errors::{Code, Failure, Result};

/// How one object, or one multipart upload, is encrypted. Binary fields are base64.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Sealing {
    /// SSE-S3: nonce, data key and tag, sealed with AES-256-GCM under the root key.
    Managed(String),
    /// SSE-C: a salt, and the HMAC-SHA256 of it under the customer's key.
    Customer { salt: String, proof: String },
    /// SSE-KMS: the data key as KMS sealed it.
    Kms(KmsSealing),
}

/// A data key under a key of KMS.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KmsSealing {
    /// The ARN of the key.
    pub(crate) key: String,
    /// What KMS gave for the data key, in base64.
    pub(crate) sealed: String,
    /// The value of `aws:s3:arn` in the encryption context.
    pub(crate) context: String,
    pub(crate) bucket_key: bool,
}

/// What it takes to read content.
pub(crate) enum Access {
    Key(Key),
    /// KMS has to open the data key first.
    Kms(KmsSealing),
}

/// The key that a customer sent along, and its MD5 as it was written.
#[derive(Clone)]
pub(crate) struct CustomerKey {
    key: [u8; 32],
    pub(crate) md5: String,
}

/// The root key, which wraps the data keys of all objects.
pub(crate) struct Keyring(aead::LessSafeKey);

/// What every wrapped key is bound to.
const PURPOSE: &[u8] = b"gureum s3 data key";

impl Keyring {
    pub(crate) fn new(root: &[u8; 32]) -> Self {
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, root);
        // The one failure is a key of the wrong length.
        Self(aead::LessSafeKey::new(
            key.unwrap_or_else(|_| unreachable!()),
        ))
    }

    /// How new content is encrypted without KMS, and its key: the customer's, or a fresh one.
    pub(crate) fn seal(&self, customer: Option<&CustomerKey>) -> Result<(Sealing, Key)> {
        if let Some(customer) = customer {
            let salt = id::bytes::<16>();
            let sealing = Sealing::Customer {
                salt: STANDARD.encode(salt),
                proof: STANDARD.encode(prove(&customer.key, &salt)),
            };
            return Ok((sealing, customer.key.into()));
        }
        let secret = id::bytes::<32>();
        let nonce = id::bytes::<12>();
        let mut sealed = secret.to_vec();
        let nonce_ = aead::Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(nonce_, aead::Aad::from(PURPOSE), &mut sealed)
            .map_err(|_| Code::InternalError)?;
        let wrapped = [&nonce[..], &sealed].concat();
        Ok((Sealing::Managed(STANDARD.encode(wrapped)), secret.into()))
    }

    /// The way to content that is there, if the request brings what it takes.
    pub(crate) fn open(&self, sealing: &Sealing, customer: Option<&CustomerKey>) -> Result<Access> {
        match (sealing, customer) {
            (Sealing::Managed(wrapped), None) => self.unwrap(wrapped).map(Access::Key),
            (Sealing::Kms(sealing), None) => Ok(Access::Kms(sealing.clone())),
            (Sealing::Managed(_) | Sealing::Kms(_), Some(_)) => Err(Code::InvalidRequest
                .says("The encryption parameters are not applicable to this object.")),
            (Sealing::Customer { .. }, None) => Err(Code::InvalidRequest.says(
                "The object was stored using a form of Server Side Encryption. The correct \
                 parameters must be provided to retrieve the object.",
            )),
            (Sealing::Customer { salt, proof }, Some(customer)) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &customer.key);
                let decode = |text: &str| STANDARD.decode(text).map_err(|_| Code::InternalError);
                hmac::verify(&key, &decode(salt)?, &decode(proof)?)
                    .map_err(|_| Code::AccessDenied)?;
                Ok(Access::Key(customer.key.into()))
            }
        }
    }

    fn unwrap(&self, wrapped: &str) -> Result<Key> {
        let broken = |_| {
            tracing::error!("an object's data key cannot be unwrapped with this root key");
            Failure::from(Code::InternalError)
        };
        let mut bytes = STANDARD
            .decode(wrapped)
            .map_err(|_| broken(ring::error::Unspecified))?;
        let Some((nonce, sealed)) = bytes.split_first_chunk_mut::<12>() else {
            return Err(broken(ring::error::Unspecified));
        };
        let nonce = aead::Nonce::assume_unique_for_key(*nonce);
        let secret = self
            .0
            .open_in_place(nonce, aead::Aad::from(PURPOSE), sealed)
            .map_err(broken)?;
        let secret =
            <[u8; 32]>::try_from(&*secret).map_err(|_| broken(ring::error::Unspecified))?;
        Ok(secret.into())
    }
}

fn prove(key: &[u8; 32], salt: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, salt).as_ref().to_vec()
}

/// Reads the three `…-customer-…` members of a request, which must have come over TLS (`secure`).
pub(crate) fn customer_key(
    secure: bool,
    algorithm: Option<&str>,
    key: Option<&str>,
    md5: Option<&str>,
) -> Result<Option<CustomerKey>> {
    let wrong = |name: &str, message: &str| Failure::argument(name, "null", message);
    let (algorithm, key, md5) = match (algorithm, key, md5) {
        (None, None, None) => return Ok(None),
        _ if !secure => {
            return Err(Code::InvalidArgument.says(
                "Requests specifying Server Side Encryption with Customer provided keys must be \
                 made over a secure connection.",
            ));
        }
        (Some(algorithm), Some(key), Some(md5)) => (algorithm, key, md5),
        (None, ..) => {
            return Err(wrong(
                "x-amz-server-side-encryption-customer-algorithm",
                "Requests specifying Server Side Encryption with Customer provided keys must \
                 provide a valid encryption algorithm.",
            ));
        }
        (_, None, _) => {
            return Err(wrong(
                "x-amz-server-side-encryption-customer-key",
                "Requests specifying Server Side Encryption with Customer provided keys must \
                 provide an appropriate secret key.",
            ));
        }
        (.., None) => {
            return Err(wrong(
                "x-amz-server-side-encryption-customer-key-MD5",
                "Requests specifying Server Side Encryption with Customer provided keys must \
                 provide the client calculated MD5 of the secret key.",
            ));
        }
    };
    if algorithm != "AES256" {
        return Err(Code::InvalidArgument
            .says("The requested encryption algorithm is not valid, must be AES256."));
    }
    let key: [u8; 32] = STANDARD
        .decode(key)
        .ok()
        .and_then(|key| key.try_into().ok())
        .ok_or_else(|| {
            Code::InvalidArgument.says("The secret key was invalid for the specified algorithm.")
        })?;
    let computed = Digests::of(&[Algorithm::Md5], &key);
    if computed
        .values()
        .next()
        .map(|sum| STANDARD.encode(sum))
        .as_deref()
        != Some(md5)
    {
        return Err(Code::InvalidArgument
            .says("The calculated MD5 hash of the key did not match the hash that was provided."));
    }
    Ok(Some(CustomerKey {
        key,
        md5: md5.to_owned(),
    }))
}

/// What a request, or a bucket for requests that say nothing, wants done by the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wish {
    /// SSE-S3.
    #[default]
    Managed,
    Kms {
        /// As it was given; the AWS managed key where none was.
        key: Option<String>,
    },
}

impl Wish {
    /// Reads what a request says of encryption by the service; `None` if it says nothing.
    pub(crate) fn read(
        encryption: Option<&str>,
        kms_key: Option<&str>,
        customer: bool,
    ) -> Result<Option<Self>> {
        match encryption {
            None | Some("AES256") if kms_key.is_some() => Err(Code::InvalidArgument.says(
                "Server Side Encryption with AWS KMS managed key requires HTTP header \
                 x-amz-server-side-encryption : aws:kms",
            )),
            Some("AES256" | "aws:kms") if customer => Err(Code::InvalidArgument.says(
                "Server Side Encryption with Customer provided key is incompatible with the \
                 encryption method specified",
            )),
            None => Ok(None),
            Some("AES256") => Ok(Some(Self::Managed)),
            Some("aws:kms") => Ok(Some(Self::Kms {
                key: kms_key.map(str::to_owned),
            })),
            Some("aws:kms:dsse") => Err(Failure::not_implemented(
                "ServerSideEncryption aws:kms:dsse",
            )),
            Some(other) => Err(Failure::argument(
                "x-amz-server-side-encryption",
                other,
                "The encryption method specified is not supported",
            )),
        }
    }
}

/// Tells of encryption by the service, as all outputs about objects do. A macro because they share
/// no type.
macro_rules! show_sealing {
    ($out:expr, $sealing:expr) => {{
        use $crate::sealing::Sealing;
        match $sealing {
            Sealing::Managed(_) => $out.server_side_encryption = Some("AES256".to_owned()),
            Sealing::Customer { .. } => {}
            Sealing::Kms(kms) => {
                $out.server_side_encryption = Some("aws:kms".to_owned());
                $out.ssekms_key_id = Some(kms.key.clone());
                $out.bucket_key_enabled = kms.bucket_key.then_some(true);
            }
        }
    }};
}
pub(crate) use show_sealing;

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(byte: u8) -> CustomerKey {
        CustomerKey {
            key: [byte; 32],
            md5: String::new(),
        }
    }

    #[test]
    fn a_wrapped_key_opens_with_its_root_only() {
        let ring = Keyring::new(&[1; 32]);
        let (sealing, _) = ring.seal(None).expect("sealed");
        assert!(ring.open(&sealing, None).is_ok());
        assert!(Keyring::new(&[2; 32]).open(&sealing, None).is_err());
        assert!(ring.open(&sealing, Some(&customer(1))).is_err());
    }

    #[test]
    fn a_customer_key_must_come_again() {
        let ring = Keyring::new(&[1; 32]);
        let (sealing, _) = ring.seal(Some(&customer(7))).expect("sealed");
        assert!(ring.open(&sealing, Some(&customer(7))).is_ok());
        let code = |failure: Failure| failure.code().to_owned();
        assert_eq!(
            ring.open(&sealing, Some(&customer(8)))
                .map_err(code)
                .err()
                .as_deref(),
            Some("AccessDenied")
        );
        assert_eq!(
            ring.open(&sealing, None).map_err(code).err().as_deref(),
            Some("InvalidRequest")
        );
    }

    #[test]
    fn a_customer_key_is_checked_against_its_md5() {
        let key = STANDARD.encode([7; 32]);
        let md5 = STANDARD.encode(&Digests::of(&[Algorithm::Md5], &[7; 32])[&Algorithm::Md5]);
        assert!(
            customer_key(true, Some("AES256"), Some(&key), Some(&md5)).is_ok_and(|k| k.is_some())
        );
        assert!(customer_key(true, Some("AES256"), Some(&key), Some("AAAA")).is_err());
        assert!(customer_key(true, Some("AES256"), Some("AAAA"), Some(&md5)).is_err());
        assert!(customer_key(true, Some("AES128"), Some(&key), Some(&md5)).is_err());
        assert!(customer_key(true, None, Some(&key), Some(&md5)).is_err());
        assert!(customer_key(false, Some("AES256"), Some(&key), Some(&md5)).is_err());
        assert!(customer_key(false, None, None, None).is_ok_and(|k| k.is_none()));
    }
}
