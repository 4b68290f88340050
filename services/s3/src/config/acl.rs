//! Access control lists, and their translation into policies: one engine decides over everything.
//!
//! Source: "Access control list (ACL) overview" in the S3 User Guide.

use gureum_kit::AccountId;
use gureum_model_s3::types::{self, Owner};
use gureum_policy::{Kind, Policy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Document;
use crate::errors::{Code, Failure, Result};
use crate::model::Bucket;
use crate::names;

/// Grants of one list, at most.
pub(crate) const MAX_GRANTS: usize = 100;

/// Who may do what, beyond what policies say. The list of a bucket, or of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Acl(pub(crate) Vec<Grant>);

impl Document for Acl {
    const KIND: &'static str = "acl";
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) to: Grantee,
    pub(crate) permission: Permission,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Grantee {
    /// An account by its canonical user id.
    User(String),
    AllUsers,
    /// Anybody who signs.
    AuthenticatedUsers,
    /// S3's own access log.
    LogDelivery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Permission {
    FullControl,
    Read,
    Write,
    ReadAcp,
    WriteAcp,
}

const GROUPS: [(Grantee, &str); 3] = [
    (
        Grantee::AllUsers,
        "http://acs.amazonaws.com/groups/global/AllUsers",
    ),
    (
        Grantee::AuthenticatedUsers,
        "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
    ),
    (
        Grantee::LogDelivery,
        "http://acs.amazonaws.com/groups/s3/LogDelivery",
    ),
];

impl Grantee {
    pub(crate) fn user(id: &str) -> Result<Self> {
        if id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self::User(id.to_ascii_lowercase()))
        } else {
            Err(Failure::argument("CanonicalUser/ID", id, "Invalid id"))
        }
    }

    pub(crate) fn group(uri: &str) -> Result<Self> {
        let known = GROUPS.into_iter().find(|(_, name)| *name == uri);
        known
            .map(|(group, _)| group)
            .ok_or_else(|| Failure::argument("uri", uri, "Invalid group uri"))
    }

    pub(crate) fn owner(account: &AccountId) -> Self {
        Self::User(account.canonical_user())
    }

    fn uri(&self) -> Option<&'static str> {
        let group = GROUPS.into_iter().find(|(group, _)| group == self);
        group.map(|(_, uri)| uri)
    }

    fn is_public(&self) -> bool {
        matches!(self, Self::AllUsers | Self::AuthenticatedUsers)
    }

    /// As the `Principal` of a policy, and the condition that narrows it.
    fn principal(&self) -> (Value, Option<Value>) {
        match self {
            Self::User(id) => (json!({ "CanonicalUser": id }), None),
            Self::AllUsers => (json!("*"), None),
            Self::AuthenticatedUsers => (
                json!("*"),
                Some(json!({ "StringNotEquals": { "aws:PrincipalType": "Anonymous" } })),
            ),
            Self::LogDelivery => (json!({ "Service": "logging.s3.amazonaws.com" }), None),
        }
    }
}

impl Permission {
    const ALL: [(Self, &'static str); 5] = [
        (Self::FullControl, "FULL_CONTROL"),
        (Self::Read, "READ"),
        (Self::Write, "WRITE"),
        (Self::ReadAcp, "READ_ACP"),
        (Self::WriteAcp, "WRITE_ACP"),
    ];

    pub(crate) fn named(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|(_, known)| *known == name);
        known
            .map(|(permission, _)| permission)
            .ok_or_else(|| Code::MalformedACLError.error())
    }

    fn name(self) -> &'static str {
        let known = Self::ALL.into_iter().find(|(known, _)| *known == self);
        known.map_or("", |(_, name)| name)
    }

    /// The actions that this permission on a bucket stands for: on the bucket, on its objects.
    fn on_bucket(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Read => (
                &[
                    "s3:ListBucket",
                    "s3:ListBucketVersions",
                    "s3:ListBucketMultipartUploads",
                ],
                &[],
            ),
            Self::Write => (&[], &["s3:PutObject", "s3:DeleteObject"]),
            Self::ReadAcp => (&["s3:GetBucketAcl"], &[]),
            Self::WriteAcp => (&["s3:PutBucketAcl"], &[]),
            Self::FullControl => (&[], &[]),
        }
    }

    /// The actions that this permission on an object stands for.
    fn on_object(self) -> &'static [&'static str] {
        match self {
            Self::Read => &["s3:GetObject", "s3:GetObjectVersion"],
            Self::ReadAcp => &["s3:GetObjectAcl", "s3:GetObjectVersionAcl"],
            Self::WriteAcp => &["s3:PutObjectAcl", "s3:PutObjectVersionAcl"],
            Self::Write | Self::FullControl => &[],
        }
    }

    /// What a permission is made of.
    fn parts(self) -> impl Iterator<Item = Self> {
        let all = [Self::Read, Self::Write, Self::ReadAcp, Self::WriteAcp];
        all.into_iter()
            .filter(move |part| self == Self::FullControl || self == *part)
    }
}

impl Acl {
    /// The list of what nobody but its owner may use.
    pub(crate) fn private(owner: &AccountId) -> Self {
        Self(vec![Grant {
            to: Grantee::owner(owner),
            permission: Permission::FullControl,
        }])
    }

    pub(crate) fn is_private(&self, owner: &AccountId) -> bool {
        *self == Self::private(owner)
    }

    pub(crate) fn is_public(&self) -> bool {
        self.0.iter().any(|grant| grant.to.is_public())
    }

    /// Whether this account is given everything.
    pub(crate) fn gives_all_to(&self, account: &AccountId) -> bool {
        let all = Grant {
            to: Grantee::owner(account),
            permission: Permission::FullControl,
        };
        self.0.contains(&all)
    }

    pub(crate) fn shown(&self) -> Vec<types::Grant> {
        let show = |grant: &Grant| types::Grant {
            permission: Some(grant.permission.name().to_owned()),
            grantee: Some(match &grant.to {
                Grantee::User(id) => types::Grantee {
                    type_: "CanonicalUser".to_owned(),
                    id: Some(id.clone()),
                    ..Default::default()
                },
                group => types::Grantee {
                    type_: "Group".to_owned(),
                    uri: group.uri().map(str::to_owned),
                    ..Default::default()
                },
            }),
        };
        self.0.iter().map(show).collect()
    }

    /// A bucket's list as a policy. What it grants to the public is left out where `no_public`.
    pub(crate) fn bucket_policy(&self, bucket: &Bucket, no_public: bool) -> Result<Option<Policy>> {
        let arn = names::bucket_arn(&bucket.name);
        let objects = names::object_arn(&bucket.name, "*");
        let statements = self.statements(no_public, |permission| {
            let (on_bucket, on_objects) = permission.on_bucket();
            [(on_bucket, arn.clone()), (on_objects, objects.clone())]
        });
        compile(statements)
    }

    /// An object's list as a policy.
    pub(crate) fn object_policy(
        &self,
        bucket: &Bucket,
        key: &str,
        no_public: bool,
    ) -> Result<Option<Policy>> {
        // A key may hold what is a pattern in a policy: there it stands for itself.
        let key = key
            .replace('$', "${$}")
            .replace('*', "${*}")
            .replace('?', "${?}");
        let arn = names::object_arn(&bucket.name, &key);
        let statements = self.statements(no_public, |permission| {
            [(permission.on_object(), arn.clone())]
        });
        compile(statements)
    }

    fn statements<const N: usize>(
        &self,
        no_public: bool,
        scope: impl Fn(Permission) -> [(&'static [&'static str], String); N],
    ) -> Vec<Value> {
        let mut statements = Vec::new();
        let grants = self.0.iter();
        for Grant { to, permission } in grants.filter(|grant| !no_public || !grant.to.is_public()) {
            let (principal, condition) = to.principal();
            let parts = permission.parts().flat_map(&scope);
            for (actions, resource) in parts.filter(|(actions, _)| !actions.is_empty()) {
                let mut statement = json!({
                    "Effect": "Allow", "Principal": principal,
                    "Action": actions, "Resource": resource,
                });
                if let Some(condition) = &condition {
                    statement["Condition"] = condition.clone();
                }
                statements.push(statement);
            }
        }
        statements
    }
}

/// Whether an object's list can grant this action: over others its bucket's owner decides, whoever
/// owns the object.
pub(crate) fn grants(action: &str) -> bool {
    let parts = Permission::FullControl.parts();
    parts
        .flat_map(Permission::on_object)
        .any(|granted| *granted == action)
}

/// Compiles statements of ours.
pub(crate) fn compile(statements: Vec<Value>) -> Result<Option<Policy>> {
    if statements.is_empty() {
        return Ok(None);
    }
    let document = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    let policy = Policy::parse(&document, Kind::Resource).map_err(|error| {
        tracing::error!(%error, "an access control list cannot be written as a policy");
        Code::InternalError.error()
    })?;
    Ok(Some(policy))
}

pub(crate) fn owner(account: &AccountId) -> Owner {
    Owner {
        display_name: None,
        id: Some(account.canonical_user()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_control_is_everything_there_is() {
        let all: Vec<_> = Permission::FullControl.parts().collect();
        assert_eq!(all.len(), 4);
        assert_eq!(
            Permission::Read.parts().collect::<Vec<_>>(),
            [Permission::Read]
        );
    }

    #[test]
    fn a_canonical_id_is_64_hexadecimal_digits() {
        let id = "ab".repeat(32);
        assert_eq!(
            Grantee::user(&id.to_uppercase()).ok(),
            Some(Grantee::User(id))
        );
        assert!(Grantee::user("111122223333").is_err());
        assert!(Grantee::group("http://acs.amazonaws.com/groups/global/Nobody").is_err());
    }
}
