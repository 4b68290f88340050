//! SSE-KMS: data keys that KMS makes and opens, asked in the name of whoever stores or reads.
//!
//! So a reader needs `kms:Decrypt` on the object's key beside `s3:GetObject`, and a writer
//! `kms:GenerateDataKey`. The encryption context binds a data key to its object, or to its bucket
//! where a bucket key is wanted. Bucket keys are told again and set the context as on AWS, but they
//! save no calls here: every object has a data key of its own.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gureum_blob::Key;
use gureum_dispatch::Cx;
use gureum_model_kms::op;
use gureum_model_kms::types::{DecryptRequest, GenerateDataKeyRequest};
use gureum_schema::{Bytes, Error};

use crate::S3;
use crate::errors::{Code, Failure, Result};
use crate::model::Bucket;
use crate::names;
use crate::sealing::{Access, CustomerKey, KmsSealing, Sealing, Wish};

/// The key that is used where none is named.
const DEFAULT_KEY: &str = "alias/aws/s3";

/// What a request says of the encryption of an object.
pub(crate) struct Wanted {
    pub(crate) wish: Option<Wish>,
    pub(crate) bucket_key: Option<bool>,
}

impl S3 {
    /// How new content is encrypted, and its key: as the request says, or else as the bucket does.
    pub(crate) async fn seal(
        &self,
        cx: &Cx,
        (bucket, key): (&Bucket, &str),
        customer: Option<&CustomerKey>,
        wanted: Wanted,
    ) -> Result<(Sealing, Key)> {
        if customer.is_some() {
            return self.keyring.seal(customer);
        }
        let rules = self.rules.get(&self.store, bucket)?;
        let wish = wanted.wish.as_ref().unwrap_or(&rules.encryption.default);
        let Wish::Kms { key: kms_key } = wish else {
            return self.keyring.seal(None);
        };
        let bucket_key = wanted.bucket_key.unwrap_or(rules.encryption.bucket_key);
        let kms_key = kms_key.as_deref().unwrap_or(DEFAULT_KEY);
        let mut context = names::bucket_arn(&bucket.name).to_string();
        if !bucket_key {
            context = format!("{context}/{key}");
        }
        let input = GenerateDataKeyRequest {
            key_id: kms_key.to_owned(),
            encryption_context: Some(binding(&context)),
            key_spec: Some("AES_256".to_owned()),
            ..Default::default()
        };
        let made = cx.via("s3").call::<op::GenerateDataKey>(input).await;
        let made = made.map_err(refused)?;
        let sealing = KmsSealing {
            key: made.key_id.unwrap_or_default(),
            sealed: STANDARD.encode(made.ciphertext_blob.unwrap_or_default()),
            context,
            bucket_key,
        };
        Ok((Sealing::Kms(sealing), secret(made.plaintext)?))
    }

    /// The key of content that is there; asks KMS where it takes that.
    pub(crate) async fn key(&self, cx: &Cx, access: Access) -> Result<Key> {
        let sealing = match access {
            Access::Key(key) => return Ok(key),
            Access::Kms(sealing) => sealing,
        };
        let sealed = STANDARD.decode(&sealing.sealed);
        let sealed = sealed.map_err(|_| Code::InternalError)?;
        let input = DecryptRequest {
            ciphertext_blob: Some(sealed.into()),
            encryption_context: Some(binding(&sealing.context)),
            key_id: Some(sealing.key),
            ..Default::default()
        };
        let opened = cx.via("s3").call::<op::Decrypt>(input).await;
        secret(opened.map_err(refused)?.plaintext)
    }
}

fn binding(context: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("aws:s3:arn".to_owned(), context.to_owned())])
}

fn secret(plaintext: Option<Bytes>) -> Result<Key> {
    let plaintext = plaintext.unwrap_or_default();
    let secret = <[u8; 32]>::try_from(&plaintext[..]).map_err(|_| Code::InternalError)?;
    Ok(secret.into())
}

/// What KMS says no with, as S3 tells it.
fn refused(error: Error) -> Failure {
    match error.code.as_ref() {
        "AccessDeniedException" => Code::AccessDenied.says(error.message),
        _ if error.status >= 500 => error.into(),
        code => Error::new(format!("KMS.{code}"), 400, error.message).into(),
    }
}
