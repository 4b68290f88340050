//! Encryption of volumes: which key is taken, and the data keys that KMS makes and opens.
//!
//! A data key is made in the name of whoever makes a volume or copies a snapshot, and bound to its
//! own name by the encryption context. EC2 opens it for the account whenever the volume is attached,
//! so a disabled key keeps volumes from being attached, and not from being used where they are.
//! What is made of one snapshot shares its data key, and so do the volumes of one mapping of a launch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gureum_block::Key;
use gureum_dispatch::{Caller, Cloud, Cx};
use gureum_kit::names::id;
use gureum_kit::{AccountId, Reader, Region, Row};
use gureum_model_kms::op;
use gureum_model_kms::types::{
    DecryptRequest, DescribeKeyRequest, GenerateDataKeyWithoutPlaintextRequest,
};
use gureum_schema::Error;
use serde::{Deserialize, Serialize};

use crate::calls;
use crate::errors::{Refusal, Result};
use crate::machines::Keys;
use crate::resource::Here;
use crate::state::{Change, Ec2};

/// The key that is used where none is named.
const DEFAULT_KEY: &str = "alias/aws/ebs";
/// The service in whose name KMS is asked.
const VIA: &str = "ec2";
/// Bytes of a volume's key.
const KEY: usize = 64;

/// How a volume or a snapshot is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// ARN.
    pub(crate) kms_key: String,
    /// The name of the data key.
    pub(crate) data_key: String,
}

/// A data key, sealed by a key of KMS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DataKeyRow {
    pub(crate) name: String,
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    /// ARN.
    pub(crate) kms_key: String,
    pub(crate) sealed: Vec<u8>,
}

impl Row for DataKeyRow {
    const TABLE: &'static str = "ec2.data-key";
    type Key = (String,);

    fn key(&self) -> Self::Key {
        (self.name.clone(),)
    }
}

/// What a region of an account does with volumes of whose encryption nothing is said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DefaultsRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) enabled: bool,
    /// The key that is used where none is named, if it is not AWS's.
    pub(crate) kms_key: Option<String>,
}

impl Row for DefaultsRow {
    const TABLE: &'static str = "ec2.ebs-encryption";
    type Key = (Region, AccountId);

    fn key(&self) -> Self::Key {
        (self.region.clone(), self.account)
    }
}

impl DefaultsRow {
    pub(crate) fn of(reader: &impl Reader, here: &Here) -> Result<Self> {
        let row = reader.get::<Self>((&here.region, &here.account))?;
        Ok(row.unwrap_or_else(|| Self {
            region: here.region.clone(),
            account: here.account,
            enabled: false,
            kms_key: None,
        }))
    }

    pub(crate) fn key(&self) -> &str {
        self.kms_key.as_deref().unwrap_or(DEFAULT_KEY)
    }
}

/// The encryption of something new, and its data key where that is new too.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sealing {
    pub(crate) encryption: Encryption,
    fresh: Option<DataKeyRow>,
}

impl Sealing {
    /// Keeps the data key, in the transaction that makes what it seals.
    pub(crate) fn keep(&self, w: &mut Change<'_>) -> Result<()> {
        match &self.fresh {
            Some(row) => Ok(w.tx.put(row)?),
            None => Ok(()),
        }
    }
}

/// What a request says of encryption.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Secrecy {
    pub(crate) encrypted: Option<bool>,
    pub(crate) kms_key: Option<String>,
}

impl Ec2 {
    /// How a new volume is encrypted: as is asked for, or as its snapshot, or as is usual here.
    /// The keys of `foreign` snapshots seal nothing that is not their owner's.
    pub(crate) async fn seal_volume(
        &self,
        cx: &Cx,
        asked: &Secrecy,
        snapshot: Option<&Encryption>,
        foreign: bool,
    ) -> Result<Option<Sealing>> {
        // Whoever makes it must be able to read the snapshot, now.
        self.check_readable(cx, snapshot).await?;
        match (snapshot, &asked.kms_key) {
            (Some(encryption), None) if !foreign => Ok(Some(Sealing {
                encryption: encryption.clone(),
                fresh: None,
            })),
            (other, _) => self.seal_anew(cx, asked, other.is_some()).await,
        }
    }

    /// How a copy is encrypted: under a key of its own, if at all.
    pub(crate) async fn seal_anew(
        &self,
        cx: &Cx,
        asked: &Secrecy,
        must: bool,
    ) -> Result<Option<Sealing>> {
        let here = Here::of(cx);
        let defaults = DefaultsRow::of(&self.store.read(), &here)?;
        if asked.encrypted != Some(true) && !must && !defaults.enabled {
            return match asked.kms_key {
                None => Ok(None),
                Some(_) => Err(Refusal::new(
                    "InvalidParameterDependency",
                    "The parameter KmsKeyId requires the parameter Encrypted to be set.",
                )),
            };
        }
        let name = id::resource("key");
        let input = GenerateDataKeyWithoutPlaintextRequest {
            key_id: asked
                .kms_key
                .as_deref()
                .unwrap_or(defaults.key())
                .to_owned(),
            encryption_context: Some(context(&name)),
            number_of_bytes: i32::try_from(KEY).ok(),
            ..Default::default()
        };
        let cx = cx.via(VIA);
        let made = cx.call::<op::GenerateDataKeyWithoutPlaintext>(input).await;
        let made = made.map_err(refused)?;
        let row = DataKeyRow {
            name,
            region: here.region,
            account: here.account,
            kms_key: made.key_id.unwrap_or_default(),
            sealed: made.ciphertext_blob.unwrap_or_default().to_vec(),
        };
        Ok(Some(Sealing {
            encryption: Encryption {
                kms_key: row.kms_key.clone(),
                data_key: row.name.clone(),
            },
            fresh: Some(row),
        }))
    }

    /// The data keys of these names, opened by EC2 for the account that they belong to.
    pub(crate) async fn unseal(
        &self,
        cloud: &Arc<Cloud>,
        names: BTreeSet<String>,
    ) -> Result<Keys, Error> {
        let mut keys = Keys::new();
        for name in names {
            let row = data_key(&self.store.read(), &name)?;
            let root = Caller::root(row.account);
            let cx = calls::cx(cloud, &row.region, root).via(VIA);
            let key = open(&cx, &row).await.map_err(refused)?;
            keys.insert(name, key);
        }
        Ok(keys)
    }

    /// Refuses what the caller could not open now.
    pub(crate) async fn check_readable(
        &self,
        cx: &Cx,
        encryption: Option<&Encryption>,
    ) -> Result<()> {
        self.check_opens(encryption, |row| cx.in_region(row.region.clone()))
            .await
    }

    /// Refuses what its own account could not open now.
    pub(crate) async fn check_sealed(
        &self,
        cx: &Cx,
        encryption: Option<&Encryption>,
    ) -> Result<()> {
        let own = |row: &DataKeyRow| {
            let root = Caller::root(row.account);
            calls::cx(cx.cloud(), &row.region, root)
        };
        self.check_opens(encryption, own).await
    }

    async fn check_opens(
        &self,
        encryption: Option<&Encryption>,
        who: impl FnOnce(&DataKeyRow) -> Cx,
    ) -> Result<()> {
        let Some(encryption) = encryption else {
            return Ok(());
        };
        let row = data_key(&self.store.read(), &encryption.data_key)?;
        open(&who(&row).via(VIA), &row).await.map_err(refused)?;
        Ok(())
    }

    /// Whether its key is AWS's, and so this account's alone.
    pub(crate) async fn is_managed(&self, cx: &Cx, encryption: &Encryption) -> Result<bool> {
        let row = data_key(&self.store.read(), &encryption.data_key)?;
        let input = DescribeKeyRequest {
            key_id: row.kms_key,
            ..Default::default()
        };
        let own = calls::cx(cx.cloud(), &row.region, Caller::root(row.account));
        let key = own.call::<op::DescribeKey>(input).await.map_err(refused)?;
        let manager = key.key_metadata.and_then(|it| it.key_manager);
        Ok(manager.as_deref() == Some("AWS"))
    }
}

fn data_key(reader: &impl Reader, name: &str) -> Result<DataKeyRow> {
    let row = reader.get::<DataKeyRow>((name,))?;
    row.ok_or_else(|| Refusal::Broken(format!("there is no data key {name}")))
}

async fn open(cx: &Cx, row: &DataKeyRow) -> Result<Key, Error> {
    let input = DecryptRequest {
        ciphertext_blob: Some(row.sealed.clone().into()),
        encryption_context: Some(context(&row.name)),
        key_id: Some(row.kms_key.clone()),
        ..Default::default()
    };
    let opened = cx.call::<op::Decrypt>(input).await?;
    let plaintext = opened.plaintext.unwrap_or_default();
    let bytes = <[u8; KEY]>::try_from(&plaintext[..]);
    bytes
        .map(Key)
        .map_err(|_| Error::internal("a data key of another length"))
}

fn context(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("aws:ebs:id".to_owned(), name.to_owned())])
}

/// What KMS says no with, as EC2 tells it.
fn refused(error: Error) -> Refusal {
    let code = match error.code.as_ref() {
        "DisabledException" | "KMSInvalidStateException" => "InvalidKMSKey.InvalidState",
        "NotFoundException" => "InvalidKMSKey.NotFound",
        "AccessDeniedException" => "UnauthorizedOperation",
        _ if error.status >= 500 => return Refusal::Broken(error.message),
        _ => "InvalidParameterValue",
    };
    Refusal::new(code, error.message)
}
