//! Topics with a KMS key: data keys are asked for in the name of the publisher, and opened again
//! in the name of the topic's account, which its messages are delivered for.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::{Caller, Cloud, Cx};
use gureum_model_kms::op;
use gureum_model_kms::types::{DecryptRequest, GenerateDataKeyRequest};
use gureum_schema::Error;

use crate::content::{Content, DataKey};
use crate::deliver::cx_of;
use crate::errors::{Refusal, Result};
use crate::model::MessageRow;
use crate::state::Sns;
use crate::topic::Topic;

impl Sns {
    /// A data key for what is published to this topic; `None` where it has no key.
    pub(crate) async fn data_key(&self, cx: &Cx, topic: &Topic) -> Result<Option<DataKey>> {
        let Some(key) = topic.setting("KmsMasterKeyId") else {
            return Ok(None);
        };
        let input = GenerateDataKeyRequest {
            key_id: key.to_owned(),
            encryption_context: Some(context(topic)),
            key_spec: Some("AES_256".to_owned()),
            ..Default::default()
        };
        let made = cx.via("sns").call::<op::GenerateDataKey>(input).await;
        let made = made.map_err(refused)?;
        match (made.plaintext, made.ciphertext_blob) {
            (Some(plain), Some(sealed)) => Ok(Some(DataKey { plain, sealed })),
            _ => Err(Refusal::Broken("KMS made no data key".into())),
        }
    }

    /// What a waiting message says.
    pub(crate) async fn opened(
        &self,
        cloud: &Arc<Cloud>,
        topic: &Topic,
        row: &MessageRow,
    ) -> Result<Content> {
        let data_key = match &row.kms {
            None => None,
            Some(sealed) => {
                let input = DecryptRequest {
                    ciphertext_blob: Some(sealed.clone()),
                    encryption_context: Some(context(topic)),
                    ..Default::default()
                };
                let owner = Arc::new(Caller::root(topic.row.account));
                let cx = cx_of(cloud, topic).as_caller(owner).via("sns");
                let opened = cx.call::<op::Decrypt>(input).await.map_err(refused)?;
                opened.plaintext
            }
        };
        let opened = self.keys.open(row, data_key.as_deref());
        opened.ok_or_else(|| Refusal::Broken("a message cannot be opened".into()))
    }
}

fn context(topic: &Topic) -> BTreeMap<String, String> {
    BTreeMap::from([("aws:sns:topicArn".to_owned(), topic.arn.clone())])
}

/// What KMS says no with, as SNS tells it.
fn refused(error: Error) -> Refusal {
    let code = match error.code.as_ref() {
        "NotFoundException" => "KMSNotFound",
        "DisabledException" => "KMSDisabled",
        "KMSInvalidStateException" | "InvalidKeyUsageException" => "KMSInvalidState",
        "AccessDeniedException" => "KMSAccessDenied",
        "ThrottlingException" => "KMSThrottling",
        _ => return Refusal::Broken(error.to_string()),
    };
    Refusal::Kms(code, error.message)
}
