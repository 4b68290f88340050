//! Key pairs, of which only the public half is kept.

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::errors::Result;
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "key",
    name: "key-pair",
    label: "key pair",
    not_found: "InvalidKeyPair.NotFound",
    malformed: "InvalidKeyPairId.Malformed",
    ownerless: false,
};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeyPairRow {
    pub(crate) meta: Meta,
    pub(crate) name: String,
    /// `rsa` or `ed25519`.
    pub(crate) key_type: String,
    /// `ssh-… base64`
    pub(crate) public: String,
    pub(crate) fingerprint: String,
}

resource!(KeyPairRow, "ec2.key-pair", KIND);

impl Described for KeyPairRow {
    type Shape = t::KeyPairInfo;
    const FILTERS: Paths = &[
        ("fingerprint", "KeyFingerprint"),
        ("key-name", "KeyName"),
        ("key-pair-id", "KeyPairId"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::KeyPairInfo> {
        Ok(t::KeyPairInfo {
            key_pair_id: Some(self.meta.id.clone()),
            key_type: Some(self.key_type.clone()),
            tags: tags::shapes(&self.meta.tags),
            public_key: Some(format!("{} {}", self.public, self.name)),
            create_time: Some(Timestamp(self.meta.created)),
            key_name: Some(self.name.clone()),
            key_fingerprint: Some(self.fingerprint.clone()),
        })
    }
}
