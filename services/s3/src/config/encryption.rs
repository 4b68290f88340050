//! Default encryption. Every object is encrypted with keys that S3 manages, whatever is said here;
//! other keys are refused until there are some.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_s3::types::{
    BlockedEncryptionTypes, DeleteBucketEncryptionOutput, DeleteBucketEncryptionRequest,
    GetBucketEncryptionOutput, GetBucketEncryptionRequest, PutBucketEncryptionOutput,
    PutBucketEncryptionRequest, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
};
use serde::{Deserialize, Serialize};

use super::{Document, Reply};
use crate::S3;
use crate::errors::{Code, Failure, Result};

/// What a bucket says of encryption beyond "by S3's own keys", which goes without saying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// Has no effect without KMS keys, but is told again.
    pub(crate) bucket_key: bool,
    /// New objects may not be encrypted with keys of their uploader.
    #[serde(default)]
    pub(crate) no_customer_keys: bool,
}

impl Document for Encryption {
    const KIND: &'static str = "encryption";
}

impl Encryption {
    fn read(configuration: &ServerSideEncryptionConfiguration) -> Result<Self> {
        let [rule] = configuration.rules.as_slice() else {
            return Err(Code::MalformedXML.error());
        };
        let blocked = rule.blocked_encryption_types.as_ref();
        let blocked = blocked.and_then(|blocked| blocked.encryption_type.as_deref());
        let no_customer_keys = match blocked.unwrap_or_default() {
            [] => false,
            [one] if one == "NONE" => false,
            [one] if one == "SSE-C" => true,
            _ => return Err(Code::MalformedXML.error()),
        };
        match &rule.apply_server_side_encryption_by_default {
            None if blocked.is_none() => return Err(Code::MalformedXML.error()),
            None => {}
            Some(default) => check(default)?,
        }
        Ok(Self {
            bucket_key: rule.bucket_key_enabled.unwrap_or_default(),
            no_customer_keys,
        })
    }

    /// Refuses an upload with a key of its own (SSE-C) where the bucket does not take them.
    pub(crate) fn check_customer_key(self, given: bool) -> Result<()> {
        if given && self.no_customer_keys {
            return Err(Code::AccessDenied.says(
                "Server-side encryption with customer-provided keys (SSE-C) is blocked for this bucket.",
            ));
        }
        Ok(())
    }
}

fn check(default: &ServerSideEncryptionByDefault) -> Result<()> {
    match default.sse_algorithm.as_str() {
        "AES256" if default.kms_master_key_id.is_some() => Err(Code::InvalidArgument.says(
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or \
             aws:kms:dsse",
        )),
        "AES256" => Ok(()),
        kms @ ("aws:kms" | "aws:kms:dsse") => Err(Failure::not_implemented(format!(
            "Default encryption with {kms}"
        ))),
        _ => Err(Code::MalformedXML.error()),
    }
}

pub(crate) async fn put(
    s3: Arc<S3>,
    _: Cx,
    input: PutBucketEncryptionRequest,
) -> Reply<PutBucketEncryptionOutput> {
    let encryption = Encryption::read(&input.server_side_encryption_configuration)?;
    s3.put_config(&input.bucket, &encryption).await?;
    Ok(PutBucketEncryptionOutput::default())
}

pub(crate) async fn get(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketEncryptionRequest,
) -> Reply<GetBucketEncryptionOutput> {
    let encryption: Encryption = s3.config(&input.bucket)?.unwrap_or_default();
    let blocked = encryption.no_customer_keys.then(|| BlockedEncryptionTypes {
        encryption_type: Some(vec!["SSE-C".to_owned()]),
    });
    Ok(GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(ServerSideEncryptionConfiguration {
            rules: vec![ServerSideEncryptionRule {
                apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
                    sse_algorithm: "AES256".to_owned(),
                    kms_master_key_id: None,
                }),
                bucket_key_enabled: Some(encryption.bucket_key),
                blocked_encryption_types: blocked,
            }],
        }),
    })
}

pub(crate) async fn delete(
    s3: Arc<S3>,
    _: Cx,
    input: DeleteBucketEncryptionRequest,
) -> Reply<DeleteBucketEncryptionOutput> {
    s3.delete_config::<Encryption>(&input.bucket).await?;
    Ok(DeleteBucketEncryptionOutput::default())
}
