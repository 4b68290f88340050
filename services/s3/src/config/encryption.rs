//! Default encryption: what is done for objects whose requests say nothing of it. Every object is
//! encrypted, if nothing is said here either, with keys that S3 manages.

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
use crate::sealing::Wish;

/// What a bucket says of encryption.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    #[serde(default)]
    pub(crate) default: Wish,
    /// Whether data keys under KMS keys are bound to the bucket; see `kms`.
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
        let default = match &rule.apply_server_side_encryption_by_default {
            None if blocked.is_none() => return Err(Code::MalformedXML.error()),
            None => Wish::Managed,
            Some(default) => wish(default)?,
        };
        Ok(Self {
            default,
            bucket_key: rule.bucket_key_enabled.unwrap_or_default(),
            no_customer_keys,
        })
    }

    /// Refuses an upload with a key of its own (SSE-C) where the bucket does not take them.
    pub(crate) fn check_customer_key(&self, given: bool) -> Result<()> {
        if given && self.no_customer_keys {
            return Err(Code::AccessDenied.says(
                "Server-side encryption with customer-provided keys (SSE-C) is blocked for this bucket.",
            ));
        }
        Ok(())
    }
}

fn wish(default: &ServerSideEncryptionByDefault) -> Result<Wish> {
    match default.sse_algorithm.as_str() {
        "AES256" if default.kms_master_key_id.is_some() => Err(Code::InvalidArgument.says(
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or \
             aws:kms:dsse",
        )),
        "AES256" => Ok(Wish::Managed),
        "aws:kms" => Ok(Wish::Kms {
            key: default.kms_master_key_id.clone(),
        }),
        "aws:kms:dsse" => Err(Failure::not_implemented(
            "Default encryption with aws:kms:dsse",
        )),
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
    let (algorithm, key) = match encryption.default {
        Wish::Managed => ("AES256", None),
        Wish::Kms { key } => ("aws:kms", key),
    };
    let blocked = encryption.no_customer_keys.then(|| BlockedEncryptionTypes {
        encryption_type: Some(vec!["SSE-C".to_owned()]),
    });
    Ok(GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(ServerSideEncryptionConfiguration {
            rules: vec![ServerSideEncryptionRule {
                apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
                    sse_algorithm: algorithm.to_owned(),
                    kms_master_key_id: key,
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
