//! Encryption at rest: every table has a data key, under which its items are sealed wherever they
//! lie, in the table, its indexes, its stream, its log of changes and its backups.
//!
//! The data key is kept beside the table, wrapped: by the service's own secret ("AWS owned key"), or
//! by a key of KMS. What is changed with the encryption of a table is this wrapping alone, so nothing
//! has to be sealed again; a copy of a table, such as a backup or a replica, has the same data key in a
//! wrapping of its own. Keys of items (and of index entries) stay readable, because rows are ordered
//! by them.
//!
//! A key of KMS is asked for in the caller's name, and again after five minutes; the service itself
//! uses it, for what nobody waits for, by a grant. That is how AWS does it:
//! <https://docs.aws.amazon.com/kms/latest/developerguide/services-dynamodb.html>

mod held;
mod kms;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gureum_kit::names::id;
use gureum_kit::remember::Remembered;
use gureum_kit::seal::{Salt, Sealer};
use gureum_model_dynamodb::types as t;
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::errors::{Refusal, Result};
use crate::model::Table;
use crate::state::new_space;

pub(crate) use held::Held;

/// How a table is encrypted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sealing {
    /// Which data key it is; copies of a table share it.
    pub(crate) id: u64,
    pub(crate) wrapped: Wrapped,
    /// The data key itself, once it has been opened. Never stored.
    #[serde(skip)]
    key: Option<Arc<DataKey>>,
}

/// A data key as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Wrapped {
    /// By the service's own secret.
    Owned {
        salt: Salt,
        sealed: Bytes,
    },
    Kms(KmsWrapped),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KmsWrapped {
    /// The ARN of the key.
    pub(crate) key: String,
    /// What KMS gave for the data key, and what it is bound to.
    sealed: Bytes,
    context: BTreeMap<String, String>,
}

/// What a table's encryption shall be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wish {
    Owned,
    /// By this key; by the account's key for DynamoDB where none is named.
    Kms(Option<String>),
}

/// A key that items are sealed under.
pub(crate) struct DataKey {
    id: u64,
    secret: [u8; 32],
    sealer: Sealer,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({:x})", self.id)
    }
}

impl DataKey {
    fn new(id: u64, secret: [u8; 32]) -> Self {
        Self {
            id,
            secret,
            sealer: Sealer::new(&secret),
        }
    }

    /// What sealed bytes are bound to: the data key, and the key of the item in its table.
    fn bound(&self, base: &[u8]) -> Vec<u8> {
        [&self.id.to_be_bytes(), base].concat()
    }
}

impl Sealing {
    /// The wish that leads to the same again.
    pub(crate) fn wish(&self) -> Wish {
        match &self.wrapped {
            Wrapped::Owned { .. } => Wish::Owned,
            Wrapped::Kms(kms) => Wish::Kms(Some(kms.key.clone())),
        }
    }
}

/// The wish in a request; `None` where it has none.
pub(crate) fn wish(given: Option<&t::SSESpecification>) -> Result<Option<Wish>> {
    let Some(given) = given else { return Ok(None) };
    let named = given.kms_master_key_id.clone();
    if given.sse_type.as_deref().is_some_and(|kind| kind != "KMS") {
        return Err(Refusal::parameters("SSEType must be KMS"));
    }
    match given.enabled {
        Some(false) if named.is_some() || given.sse_type.is_some() => Err(Refusal::parameters(
            "SSEType and KMSMasterKeyId can only be specified when SSE is enabled",
        )),
        Some(true) => Ok(Some(Wish::Kms(named))),
        None if named.is_some() || given.sse_type.is_some() => Ok(Some(Wish::Kms(named))),
        Some(false) | None => Ok(Some(Wish::Owned)),
    }
}

/// How a table's encryption is told: not at all where the key is not one of KMS. `lost` is since
/// when that one cannot be used.
pub(crate) fn told(sealing: Option<&Sealing>, lost: Option<i64>) -> Option<t::SSEDescription> {
    let Wrapped::Kms(kms) = &sealing?.wrapped else {
        return None;
    };
    Some(t::SSEDescription {
        status: Some("ENABLED".to_owned()),
        sse_type: Some("KMS".to_owned()),
        kms_master_key_arn: Some(kms.key.clone()),
        inaccessible_encryption_date_time: lost.map(Timestamp),
    })
}

impl Table {
    /// What its items are sealed under; `None` for a table from before all were.
    pub(crate) fn data_key(&self) -> Result<Option<&DataKey>> {
        key_of(self.sealing.as_ref())
    }
}

/// The data key of a sealing that was opened.
pub(crate) fn key_of(sealing: Option<&Sealing>) -> Result<Option<&DataKey>> {
    let Some(sealing) = sealing else {
        return Ok(None);
    };
    match &sealing.key {
        Some(key) => Ok(Some(key)),
        None => Err(Refusal::Broken("a table's data key is locked".into())),
    }
}

/// The data keys that are open at the moment, only ever in memory.
pub(crate) struct Vault {
    own: Sealer,
    /// By their ids. Those of KMS are good for a little longer than who asked for them.
    open: Remembered<u64, Arc<DataKey>>,
    /// Who may use which of those that KMS keeps, by ARN.
    admitted: Remembered<(u64, String), ()>,
    /// Since when KMS does not open them any more, by their ids.
    lost: Mutex<HashMap<u64, i64>>,
}

/// What data keys are sealed for.
const PURPOSE: &[u8] = b"dynamodb data key";

impl Vault {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self {
            own: Sealer::derived(secret, PURPOSE),
            open: Remembered::default(),
            admitted: Remembered::default(),
            lost: Mutex::default(),
        }
    }

    /// A new data key, wrapped by our own secret.
    pub(crate) fn make(&self) -> Result<Sealing> {
        self.wrap(Arc::new(DataKey::new(new_space(), id::bytes())))
    }

    fn wrap(&self, key: Arc<DataKey>) -> Result<Sealing> {
        let mut sealed = key.secret.to_vec();
        let salt = self.own.seal(&key.bound(b""), &mut sealed);
        let salt = salt.ok_or_else(|| Refusal::Broken("a key could not be sealed".into()))?;
        let wrapped = Wrapped::Owned {
            salt,
            sealed: sealed.into(),
        };
        Ok(Sealing {
            id: key.id,
            wrapped,
            key: Some(key),
        })
    }

    /// Opens a data key, as far as that takes nobody else: one of KMS must have been asked for
    /// before.
    pub(crate) fn unlock(&self, sealing: Option<&mut Sealing>, now: i64) -> Result<()> {
        let Some(sealing) = sealing.filter(|sealing| sealing.key.is_none()) else {
            return Ok(());
        };
        if let Some(key) = self.open.get(&sealing.id, now) {
            sealing.key = Some(key);
            return Ok(());
        }
        if let Some(key) = self.own(sealing)? {
            self.open.put(sealing.id, Arc::clone(&key), now, i64::MAX);
            sealing.key = Some(key);
        }
        Ok(())
    }

    /// Opens a data key for good, if it is wrapped by our own secret.
    pub(crate) fn unlock_own(&self, sealing: Option<&mut Sealing>) -> Result<()> {
        if let Some(sealing) = sealing {
            sealing.key = self.own(sealing)?;
        }
        Ok(())
    }

    fn own(&self, sealing: &Sealing) -> Result<Option<Arc<DataKey>>> {
        let Wrapped::Owned { salt, sealed } = &sealing.wrapped else {
            return Ok(None);
        };
        let mut secret = sealed.to_vec();
        let bound = sealing.id.to_be_bytes();
        let secret = self.own.open(&bound, salt, &mut secret);
        let secret = secret.and_then(|secret| secret.try_into().ok());
        let secret = secret.ok_or_else(|| {
            Refusal::Broken("a table's data key does not open with this secret".into())
        })?;
        Ok(Some(Arc::new(DataKey::new(sealing.id, secret))))
    }

    /// Since when KMS does not open this data key any more.
    pub(crate) fn lost_since(&self, sealing: Option<&Sealing>) -> Option<i64> {
        self.lost().get(&sealing?.id).copied()
    }

    fn lost(&self) -> MutexGuard<'_, HashMap<u64, i64>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
