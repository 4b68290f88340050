//! Rows: keys with their material, aliases, grants.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use gureum_kit::{AccountId, Arn, Region, Row};
use serde::{Deserialize, Serialize};

use crate::spec::{KeySpec, KeyUsage};

pub(crate) type Tags = BTreeMap<String, String>;
/// Region, account, key id (a UUID).
pub(crate) type KeyRef = (Region, AccountId, String);

/// A day in milliseconds.
pub(crate) const DAY: i64 = 86_400_000;

/// A KMS key. Times are milliseconds since the epoch.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeyRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) description: String,
    pub(crate) spec: KeySpec,
    pub(crate) usage: KeyUsage,
    pub(crate) state: State,
    /// The key policy's text, as it was given.
    pub(crate) policy: String,
    pub(crate) tags: Tags,
    /// The names of the aliases that stand for it, in step with their rows.
    pub(crate) aliases: BTreeSet<String>,
    /// The service (`s3`) whose AWS managed key this is.
    pub(crate) managed_by: Option<String>,
    pub(crate) rotation: Option<Rotation>,
    /// Oldest first; the last one is current. Never empty.
    pub(crate) materials: Vec<Material>,
}

/// What a key can be used for right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Enabled,
    Disabled,
    PendingDeletion { at: i64, window_days: i32 },
}

/// Automatic rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rotation {
    pub(crate) period_days: i32,
    pub(crate) next: i64,
}

/// One version of a key's material.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Material {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) why: Why,
    /// Secret bytes or PKCS #8, under the root key.
    pub(crate) sealed: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Why {
    Created,
    Automatic,
    OnDemand,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AliasRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    /// With its prefix, `alias/…`.
    pub(crate) name: String,
    /// The id of the key that it stands for.
    pub(crate) key: String,
    pub(crate) created: i64,
    pub(crate) updated: i64,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct GrantRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    /// The id of the key that it is about.
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) created: i64,
    pub(crate) grantee: String,
    pub(crate) retiring: Option<String>,
    pub(crate) issuing_account: AccountId,
    pub(crate) operations: Vec<String>,
    pub(crate) constraint: Constraint,
}

/// Which encryption contexts a grant is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Constraint {
    #[default]
    None,
    Subset(BTreeMap<String, String>),
    Equals(BTreeMap<String, String>),
}

impl KeyRow {
    pub(crate) fn arn(&self) -> Arn {
        let resource = format!("key/{}", self.id);
        Arn::new("kms", &self.region, &self.account, resource)
    }

    /// The material that new ciphertexts, signatures and MACs are made with.
    pub(crate) fn current(&self) -> Option<&Material> {
        self.materials.last()
    }

    pub(crate) fn material(&self, id: &str) -> Option<&Material> {
        self.materials.iter().find(|material| material.id == id)
    }

    /// Takes new material into use and plans the next automatic rotation.
    pub(crate) fn rotate(&mut self, material: Material) {
        if let (Some(rotation), Why::Automatic) = (&mut self.rotation, material.why) {
            rotation.next = material.created + i64::from(rotation.period_days) * DAY;
        }
        self.materials.push(material);
    }

    /// Whether automatic rotation is due. Only enabled keys are rotated; the others catch up.
    pub(crate) fn rotation_due(&self, now: i64) -> bool {
        self.state == State::Enabled && self.rotation.is_some_and(|rotation| rotation.next <= now)
    }

    pub(crate) fn deletion_due(&self, now: i64) -> bool {
        matches!(self.state, State::PendingDeletion { at, .. } if at <= now)
    }
}

impl Constraint {
    /// Whether a request with this encryption context is within the constraint. Names and values
    /// are compared with regard to case, unlike condition keys.
    pub(crate) fn admits(&self, context: &BTreeMap<String, String>) -> bool {
        match self {
            Self::None => true,
            Self::Equals(pairs) => pairs == context,
            Self::Subset(pairs) => includes(context, pairs),
        }
    }

    /// Whether a grant with this constraint allows nothing that one with `other` doesn't.
    pub(crate) fn at_least_as_strict_as(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::None) => true,
            (Self::None, _) => false,
            (Self::Equals(mine), other) => other.admits(mine),
            (Self::Subset(mine), Self::Subset(theirs)) => includes(mine, theirs),
            (Self::Subset(_), Self::Equals(_)) => false,
        }
    }
}

fn includes(whole: &BTreeMap<String, String>, part: &BTreeMap<String, String>) -> bool {
    part.iter()
        .all(|(name, value)| whole.get(name) == Some(value))
}

impl Row for KeyRow {
    const TABLE: &'static str = "kms.key";
    type Key = KeyRef;

    fn key(&self) -> KeyRef {
        (self.region.clone(), self.account, self.id.clone())
    }
}

impl Row for AliasRow {
    const TABLE: &'static str = "kms.alias";
    /// Region, account, name.
    type Key = (Region, AccountId, String);

    fn key(&self) -> Self::Key {
        (self.region.clone(), self.account, self.name.clone())
    }
}

impl AliasRow {
    pub(crate) fn arn(&self) -> Arn {
        Arn::new("kms", &self.region, &self.account, self.name.clone())
    }
}

impl Row for GrantRow {
    const TABLE: &'static str = "kms.grant";
    /// Region, account, key id, grant id.
    type Key = (Region, AccountId, String, String);

    fn key(&self) -> Self::Key {
        let key = self.key.clone();
        (self.region.clone(), self.account, key, self.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs() -> impl Strategy<Value = BTreeMap<String, String>> {
        prop::collection::btree_map("[aA]", "[xy]", 0..3)
    }

    fn constraint() -> impl Strategy<Value = Constraint> {
        prop_oneof![
            Just(Constraint::None),
            pairs().prop_map(Constraint::Subset),
            pairs().prop_map(Constraint::Equals),
        ]
    }

    proptest! {
        #[test]
        fn a_stricter_constraint_admits_nothing_more(
            child in constraint(), parent in constraint(), context in pairs(),
        ) {
            if child.at_least_as_strict_as(&parent) && child.admits(&context) {
                prop_assert!(parent.admits(&context));
            }
        }
    }

    #[test]
    fn constraints_mind_the_case() {
        let of = |name: &str| BTreeMap::from([(name.to_owned(), "x".to_owned())]);
        assert!(Constraint::Subset(of("Dept")).admits(&of("Dept")));
        assert!(!Constraint::Subset(of("Dept")).admits(&of("dept")));
        assert!(!Constraint::Equals(BTreeMap::new()).admits(&of("dept")));
    }
}
