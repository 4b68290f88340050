//! Queues with a KMS key: data keys that KMS makes for senders and opens for receivers, in their
//! own names, each used again for as long as the queue says.
//!
//! Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html>

use std::collections::BTreeMap;

use bytes::Bytes;
use gureum_dispatch::Cx;
use gureum_kit::remember::Remembered;
use gureum_model_kms::op;
use gureum_model_kms::types::{DecryptRequest, GenerateDataKeyRequest};
use gureum_schema::Error;

use crate::errors::{Refusal, Result};
use crate::model::KmsSealed;
use crate::queue::Queue;
use crate::state::Sqs;

/// A data key, and what KMS needs to give it again.
#[derive(Clone)]
pub(crate) struct DataKey {
    pub(crate) plain: Bytes,
    pub(crate) sealed: KmsSealed,
}

/// Data keys in use, only ever in memory.
#[derive(Default)]
pub(crate) struct DataKeys {
    /// By queue, KMS key and sender.
    made: Remembered<(u64, String, String), DataKey>,
    /// By sealed key and receiver.
    opened: Remembered<(Bytes, String), Bytes>,
}

impl Sqs {
    /// The data key for what is sent to this queue now; `None` where it has no KMS key.
    pub(crate) async fn data_key(&self, cx: &Cx, queue: &Queue) -> Result<Option<DataKey>> {
        let config = queue.config();
        let settings = &config.row.settings;
        let Some(key) = settings.kms_key.clone() else {
            return Ok(None);
        };
        let now = self.clock.now();
        let purpose = (queue.id, key.clone(), cx.caller.arn.clone());
        if let Some(known) = self.data_keys.made.get(&purpose, now) {
            return Ok(Some(known));
        }
        let context = queue.arn.to_string();
        let input = GenerateDataKeyRequest {
            key_id: key,
            encryption_context: Some(binding(&context)),
            key_spec: Some("AES_256".to_owned()),
            ..Default::default()
        };
        let made = cx.via("sqs").call::<op::GenerateDataKey>(input).await;
        let made = made.map_err(refused)?;
        let (Some(plain), Some(blob)) = (made.plaintext, made.ciphertext_blob) else {
            return Err(Refusal::Broken("KMS made no data key".into()));
        };
        let sealed = KmsSealed { blob, context };
        let made = DataKey { plain, sealed };
        let until = now + settings.data_key_reuse();
        self.data_keys.made.put(purpose, made.clone(), now, until);
        Ok(Some(made))
    }

    /// The data key of a content, for this receiver.
    pub(crate) async fn opened(&self, cx: &Cx, queue: &Queue, sealed: &KmsSealed) -> Result<Bytes> {
        let now = self.clock.now();
        let purpose = (sealed.blob.clone(), cx.caller.arn.clone());
        if let Some(known) = self.data_keys.opened.get(&purpose, now) {
            return Ok(known);
        }
        let input = DecryptRequest {
            ciphertext_blob: Some(sealed.blob.clone()),
            encryption_context: Some(binding(&sealed.context)),
            ..Default::default()
        };
        let opened = cx.via("sqs").call::<op::Decrypt>(input).await;
        let opened = opened.map_err(refused)?.plaintext;
        let opened = opened.ok_or_else(|| Refusal::Broken("KMS opened nothing".into()))?;
        let until = now + queue.config().row.settings.data_key_reuse();
        self.data_keys
            .opened
            .put(purpose, opened.clone(), now, until);
        Ok(opened)
    }
}

/// What a data key is bound to: the queue that it was made for.
fn binding(context: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("aws:sqs:arn".to_owned(), context.to_owned())])
}

/// What KMS says no with, as SQS tells it.
fn refused(error: Error) -> Refusal {
    let code = match error.code.as_ref() {
        "AccessDeniedException" => "KmsAccessDenied",
        "DisabledException" => "KmsDisabled",
        "InvalidKeyUsageException" => "KmsInvalidKeyUsage",
        "KMSInvalidStateException" => "KmsInvalidState",
        "NotFoundException" => "KmsNotFound",
        "ThrottlingException" => "KmsThrottled",
        _ => return Refusal::Broken(error.to_string()),
    };
    Refusal::Kms(code, error.message)
}
