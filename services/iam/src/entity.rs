//! What users, groups and roles have in common, written once; and what everything with a name, a
//! path and tags has in common.

use gureum_kit::{AccountId, Reader, Row};

use crate::errors::{Fault, Outcome};
use crate::model::{
    EntityKind, Grants, Group, InstanceProfile, ManagedPolicy, OidcProvider, Role, Tags, User, fold,
};

/// A row with a name, a path and an ARN, keyed by account and name.
pub(crate) trait Named: Row<Key = (AccountId, String)> + Clone + Sync {
    /// As in the ARN: `user`, `instance-profile`.
    const LABEL: &'static str;

    fn account(&self) -> &AccountId;
    fn name(&self) -> &str;
    fn path(&self) -> &str;

    fn arn(&self) -> String {
        arn(self.account(), Self::LABEL, self.path(), self.name())
    }

    fn missing(name: &str) -> Fault {
        Fault::not_found(Self::LABEL, name)
    }

    fn lookup(reader: &impl Reader, account: &AccountId, name: &str) -> Outcome<Option<Self>> {
        Ok(reader.get::<Self>((account, fold(name)))?)
    }

    /// The row, or `NoSuchEntity`.
    fn find(reader: &impl Reader, account: &AccountId, name: &str) -> Outcome<Self> {
        Self::lookup(reader, account, name)?.ok_or_else(|| Self::missing(name))
    }
}

/// A row that can carry tags.
pub(crate) trait Tagged: Row + Sync {
    fn tags(&self) -> &Tags;
    fn tags_mut(&mut self) -> &mut Tags;
}

/// A user, group or role: what policies can be attached to.
pub(crate) trait Entity: Named {
    const KIND: EntityKind;
    /// Characters that all inline policies may have together.
    const INLINE_LIMIT: usize;
    /// The quota's name for attached policies.
    const ATTACHED_QUOTA: &'static str;

    fn grants(&self) -> &Grants;
    fn grants_mut(&mut self) -> &mut Grants;

    /// Its tags; groups have none.
    fn entity_tags(&self) -> &Tags;

    /// Whether users may change its policies; a service-linked role is its service's alone.
    fn modifiable(&self) -> Outcome<()> {
        Ok(())
    }
}

/// `arn:aws:iam::ACCOUNT:LABEL/path/name`
pub(crate) fn arn(account: &AccountId, label: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{label}{path}{name}")
}

macro_rules! named {
    ($($row:ident $label:literal;)*) => {$(
        impl Named for $row {
            const LABEL: &'static str = $label;
            fn account(&self) -> &AccountId {
                &self.account
            }
            fn name(&self) -> &str {
                &self.name
            }
            fn path(&self) -> &str {
                &self.path
            }
        }
    )*};
}

named! {
    User "user";
    Group "group";
    Role "role";
    ManagedPolicy "policy";
}

impl Named for InstanceProfile {
    const LABEL: &'static str = "instance-profile";

    fn account(&self) -> &AccountId {
        &self.account
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn missing(name: &str) -> Fault {
        Fault::no_such_entity(format!("Instance Profile {name} cannot be found."))
    }
}

macro_rules! tagged {
    ($($row:ident)*) => {$(
        impl Tagged for $row {
            fn tags(&self) -> &Tags {
                &self.tags
            }
            fn tags_mut(&mut self) -> &mut Tags {
                &mut self.tags
            }
        }
    )*};
}

tagged!(User Role InstanceProfile ManagedPolicy OidcProvider);

macro_rules! grants {
    () => {
        fn grants(&self) -> &Grants {
            &self.grants
        }
        fn grants_mut(&mut self) -> &mut Grants {
            &mut self.grants
        }
    };
    (tagged) => {
        grants!();
        fn entity_tags(&self) -> &Tags {
            &self.tags
        }
    };
}

impl Entity for User {
    const KIND: EntityKind = EntityKind::User;
    const INLINE_LIMIT: usize = 2048;
    const ATTACHED_QUOTA: &'static str = "PoliciesPerUser";
    grants!(tagged);
}

impl Entity for Group {
    const KIND: EntityKind = EntityKind::Group;
    const INLINE_LIMIT: usize = 5120;
    const ATTACHED_QUOTA: &'static str = "PoliciesPerGroup";
    grants!();

    fn entity_tags(&self) -> &Tags {
        static NONE: Tags = Tags::new();
        &NONE
    }
}

impl Entity for Role {
    const KIND: EntityKind = EntityKind::Role;
    const INLINE_LIMIT: usize = 10_240;
    const ATTACHED_QUOTA: &'static str = "PoliciesPerRole";
    grants!(tagged);

    fn modifiable(&self) -> Outcome<()> {
        match &self.linked_service {
            None => Ok(()),
            Some(_) => Err(Fault::unmodifiable(format!(
                "Cannot perform the operation on the protected role '{}' - this role is only modifiable by AWS",
                self.name
            ))),
        }
    }
}

impl OidcProvider {
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:iam::{}:oidc-provider/{}", self.account, self.host)
    }
}
