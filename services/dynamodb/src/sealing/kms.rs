//! Data keys under keys of KMS: wrapped and opened in the name of whoever asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::{Caller, Cx, RequestInfo};
use gureum_kit::AccountId;
use gureum_model_kms::op;
use gureum_model_kms::types::{CreateGrantRequest, DecryptRequest, EncryptRequest};
use gureum_schema::Error;

use super::{DataKey, KmsWrapped, Sealing, Wish, Wrapped};
use crate::errors::{Refusal, Result};
use crate::model::Table;
use crate::state::{DynamoDb, Live};

/// DynamoDB in its own name.
const PRINCIPAL: &str = "dynamodb.amazonaws.com";
/// The key that is used where none is named.
const DEFAULT_KEY: &str = "alias/aws/dynamodb";
/// How long a caller may use a data key before KMS is asked again.
const ADMITTED: i64 = 5 * 60 * 1000;
/// How much longer the data key itself stays at hand, for what began before that.
const MARGIN: i64 = 60 * 1000;

impl DynamoDb {
    /// The table that a request names, with its data key opened for the caller.
    pub(crate) async fn opened(&self, cx: &Cx, name: &str) -> Result<Arc<Live>> {
        self.opened_for(cx, self.table(cx, name)?).await
    }

    /// The same for a table that has been found.
    pub(crate) async fn opened_for(&self, cx: &Cx, live: Arc<Live>) -> Result<Arc<Live>> {
        self.open_key(cx, live.table.sealing.as_ref()).await?;
        self.unlocked(live)
    }

    /// A table with its data key, which must be at hand.
    pub(crate) fn unlocked(&self, live: Arc<Live>) -> Result<Arc<Live>> {
        if live.table.data_key().is_ok() {
            return Ok(live);
        }
        let mut live = Live::clone(&live);
        self.unlock(&mut live.table)?;
        Ok(Arc::new(live))
    }

    /// Puts a table's data key into it, if it is at hand.
    pub(crate) fn unlock(&self, table: &mut Table) -> Result<()> {
        let now = self.clock.now();
        self.vault.unlock(table.sealing.as_mut(), now)
    }

    /// Sees to it that a data key is at hand: the caller must be allowed to use the key of KMS that
    /// it is wrapped by.
    pub(crate) async fn open_key(&self, cx: &Cx, sealing: Option<&Sealing>) -> Result<()> {
        let Some((id, kms)) = sealing.and_then(|sealing| match &sealing.wrapped {
            Wrapped::Owned { .. } => None,
            Wrapped::Kms(kms) => Some((sealing.id, kms)),
        }) else {
            return Ok(());
        };
        let now = self.clock.now();
        let purpose = (id, cx.caller.arn.clone());
        if self.vault.admitted.get(&purpose, now).is_some()
            && self.vault.open.get(&id, now).is_some()
        {
            return Ok(());
        }
        let input = DecryptRequest {
            ciphertext_blob: Some(kms.sealed.clone()),
            encryption_context: Some(kms.context.clone()),
            key_id: Some(kms.key.clone()),
            ..Default::default()
        };
        let opened = cx.via("dynamodb").call::<op::Decrypt>(input).await;
        let opened = opened.map_err(|error| {
            if is_lost(&error) {
                self.vault.open.forget(&id);
                self.vault.lost().entry(id).or_insert(now);
            }
            refused(&error)
        })?;
        let secret = opened.plaintext.unwrap_or_default();
        let secret = <[u8; 32]>::try_from(&secret[..]);
        let secret = secret.map_err(|_| Refusal::Broken("KMS opened no data key".into()))?;
        self.vault.lost().remove(&id);
        let key = Arc::new(DataKey::new(id, secret));
        let until = now + ADMITTED;
        self.vault.open.put(id, key, now, until + MARGIN);
        self.vault.admitted.put(purpose, (), now, until);
        Ok(())
    }

    /// Opens a table's data key for the service itself.
    pub(crate) async fn open_own(&self, table: &Table) -> Result<()> {
        if table.data_key().is_ok() {
            return Ok(());
        }
        let cloud = self.cloud.get().and_then(std::sync::Weak::upgrade);
        let cloud = cloud.ok_or_else(|| Refusal::Broken("there is no KMS to ask".into()))?;
        let caller = Caller::service(PRINCIPAL, &table.arn().to_string(), &table.account);
        let request = RequestInfo::inside(PRINCIPAL);
        let cx = cloud.cx(Arc::new(caller), table.region.clone(), request);
        self.open_key(&cx, table.sealing.as_ref()).await
    }

    /// The encryption of a table that is to be made, in the region of `cx`.
    pub(crate) async fn new_sealing(&self, cx: &Cx, name: &str, wish: &Wish) -> Result<Sealing> {
        let made = self.vault.make()?;
        self.rewrap(cx, name, &made, wish).await
    }

    /// The same data key as `before` for this table, wrapped as wished. The caller must be allowed to
    /// open it, and to use the new key.
    pub(crate) async fn rewrap(
        &self,
        cx: &Cx,
        name: &str,
        before: &Sealing,
        wish: &Wish,
    ) -> Result<Sealing> {
        let mut before = before.clone();
        self.open_key(cx, Some(&before)).await?;
        self.vault.unlock(Some(&mut before), self.clock.now())?;
        let key = before.key.clone();
        let key = key.ok_or_else(|| Refusal::Broken("a data key is locked".into()))?;
        let Wish::Kms(named) = wish else {
            return self.vault.wrap(key);
        };
        let key_id = named.as_deref().unwrap_or(DEFAULT_KEY).to_owned();
        let context = context(cx.account(), name);
        let input = EncryptRequest {
            key_id,
            plaintext: key.secret.to_vec().into(),
            encryption_context: Some(context.clone()),
            ..Default::default()
        };
        let cx = cx.via("dynamodb");
        let sealed = cx.call::<op::Encrypt>(input).await;
        let sealed = sealed.map_err(|error| refused(&error))?;
        let (Some(blob), Some(arn)) = (sealed.ciphertext_blob, sealed.key_id) else {
            return Err(Refusal::Broken("KMS wrapped no data key".into()));
        };
        grant(&cx, &arn).await?;
        let wrapped = Wrapped::Kms(KmsWrapped {
            key: arn,
            sealed: blob,
            context,
        });
        Ok(Sealing {
            id: key.id,
            wrapped,
            key: None,
        })
    }
}

/// Lets DynamoDB itself use the key. There is one such grant on a key, whatever the number of tables;
/// it stays when they go.
async fn grant(cx: &Cx, key: &str) -> Result<()> {
    let input = CreateGrantRequest {
        key_id: key.to_owned(),
        grantee_principal: PRINCIPAL.to_owned(),
        operations: ["Decrypt", "DescribeKey"].map(str::to_owned).to_vec(),
        name: Some("dynamodb".to_owned()),
        ..Default::default()
    };
    let granted = cx.call::<op::CreateGrant>(input).await;
    granted.map(drop).map_err(|error| refused(&error))
}

/// What a data key is bound to.
fn context(account: &AccountId, table: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("aws:dynamodb:subscriberId".to_owned(), account.to_string()),
        ("aws:dynamodb:tableName".to_owned(), table.to_owned()),
    ])
}

/// Whether nobody can use the key any more, or for the time being.
fn is_lost(error: &Error) -> bool {
    matches!(
        error.code.as_ref(),
        "DisabledException" | "KMSInvalidStateException" | "NotFoundException"
    )
}

/// What KMS says no with, as DynamoDB tells it.
fn refused(error: &Error) -> Refusal {
    let message = &error.message;
    let model = "com.amazonaws.services.kms.model";
    match error.code.as_ref() {
        _ if error.status >= 500 => Refusal::Broken(error.to_string()),
        "AccessDeniedException" => Refusal::Special(
            "AccessDeniedException",
            format!("KMS key access denied error: {model}.AWSKMSException: {message}"),
        ),
        "DisabledException" => Refusal::Validation(format!(
            "KMS key disabled error: {model}.DisabledException: {message}"
        )),
        code => Refusal::Validation(format!("KMS validation error: {model}.{code}: {message}")),
    }
}
