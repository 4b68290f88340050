//! Rows: parameters, and each version that they had.

use std::collections::BTreeMap;

use gureum_kit::{AccountId, Region, Row};
use serde::{Deserialize, Serialize};

pub(crate) type Tags = BTreeMap<String, String>;
/// Region, account, name as it was given (`/a/b` or `a`).
pub(crate) type ParameterRef = (Region, AccountId, String);

/// What stays when a parameter gets a new value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ParameterRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) name: String,
    /// The current version; the first one is 1.
    pub(crate) version: i64,
    /// The oldest version that is still there.
    pub(crate) oldest: i64,
    pub(crate) tags: Tags,
    /// Which version each label is at.
    pub(crate) labels: BTreeMap<String, i64>,
}

/// One version of a parameter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VersionRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) version: i64,
    pub(crate) kind: Kind,
    pub(crate) tier: Tier,
    pub(crate) value: Value,
    pub(crate) description: Option<String>,
    pub(crate) allowed_pattern: Option<String>,
    pub(crate) data_type: String,
    /// Milliseconds since the epoch, and the ARN of who wrote it.
    pub(crate) modified: i64,
    pub(crate) modified_by: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    String,
    StringList,
    SecureString,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tier {
    Standard,
    Advanced,
}

/// A value as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Value {
    Plain(String),
    /// What KMS made of it under this key: base64 of its ciphertext.
    Encrypted {
        key: String,
        sealed: String,
    },
    /// Longer than KMS encrypts: sealed with a data key, which KMS has sealed.
    Enveloped {
        key: String,
        data_key: String,
        sealed: String,
    },
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value(…)")
    }
}

impl Value {
    /// The name of the KMS key, as the writer named it.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Encrypted { key, .. } | Self::Enveloped { key, .. } => Some(key),
        }
    }

    /// What is told to those who do not ask for decryption.
    pub(crate) fn as_kept(&self) -> &str {
        match self {
            Self::Plain(value) => value,
            Self::Encrypted { sealed, .. } | Self::Enveloped { sealed, .. } => sealed,
        }
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::String, Self::StringList, Self::SecureString];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::StringList => "StringList",
            Self::SecureString => "SecureString",
        }
    }
}

impl Tier {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Advanced => "Advanced",
        }
    }

    /// The longest value, in bytes.
    pub(crate) fn longest(self) -> usize {
        match self {
            Self::Standard => 4096,
            Self::Advanced => 8192,
        }
    }
}

impl ParameterRow {
    pub(crate) fn labels_of(&self, version: i64) -> impl Iterator<Item = &String> {
        let at = move |(_, labelled): &(&String, &i64)| **labelled == version;
        self.labels.iter().filter(at).map(|(label, _)| label)
    }
}

impl Row for ParameterRow {
    const TABLE: &'static str = "ssm.parameter";
    type Key = ParameterRef;

    fn key(&self) -> Self::Key {
        (self.region.clone(), self.account, self.name.clone())
    }
}

impl Row for VersionRow {
    const TABLE: &'static str = "ssm.version";
    /// Region, account, name, version.
    type Key = (Region, AccountId, String, i64);

    fn key(&self) -> Self::Key {
        (
            self.region.clone(),
            self.account,
            self.name.clone(),
            self.version,
        )
    }
}
