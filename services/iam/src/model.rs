//! The rows that IAM and STS keep. Everything belongs to one account; names are looked up without
//! regard to case, as IAM's are.

use std::collections::{BTreeMap, BTreeSet};

use gureum_kit::{AccountId, Row};
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

/// Tag keys differ by more than case; the case that was given is kept.
pub(crate) type Tags = BTreeMap<String, String>;

/// How names are keyed: `Ann` and `ann` are the same user.
pub(crate) fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// The policies of a user, group or role.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Grants {
    /// Policy text by policy name.
    pub(crate) inline: BTreeMap<String, String>,
    /// ARNs of managed policies, in the order they were attached.
    pub(crate) attached: Vec<String>,
    /// ARN of the managed policy that bounds what the others can grant.
    pub(crate) boundary: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) path: String,
    /// `AIDA…`; a user created later under the same name has another.
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    pub(crate) grants: Grants,
    /// Names of the user's groups, folded.
    pub(crate) groups: BTreeSet<String>,
    /// Ids of the user's access keys, oldest first.
    pub(crate) access_keys: Vec<String>,
    pub(crate) login: Option<Login>,
}

/// A console password, as a salted hash.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Login {
    pub(crate) hash: PasswordHash,
    /// Hashes of earlier passwords, newest first, for the account's reuse rule.
    pub(crate) former: Vec<PasswordHash>,
    pub(crate) created: Timestamp,
    pub(crate) changed: Timestamp,
    pub(crate) reset_required: bool,
}

/// PBKDF2-HMAC-SHA256 of a password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PasswordHash {
    pub(crate) rounds: u32,
    pub(crate) salt: Vec<u8>,
    pub(crate) hash: Vec<u8>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    pub(crate) grants: Grants,
}

/// That a user is in a group, keyed from the group's side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) account: AccountId,
    /// Folded.
    pub(crate) group: String,
    /// Folded.
    pub(crate) user: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) path: String,
    /// `AROA…`; a role created later under the same name has another.
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    pub(crate) description: Option<String>,
    /// Seconds that a session may last.
    pub(crate) max_session: i32,
    pub(crate) trust: Trust,
    pub(crate) tags: Tags,
    pub(crate) grants: Grants,
    /// The service that a service-linked role belongs to, `autoscaling.amazonaws.com`.
    pub(crate) linked_service: Option<String>,
}

/// Who may assume a role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trust {
    /// The text as it was given.
    pub(crate) document: String,
    /// The unique ids that the user and role ARNs in it stood for when it was stored.
    pub(crate) bound: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InstanceProfile {
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    /// Name of its role, folded.
    pub(crate) role: Option<String>,
}

/// A customer-managed policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ManagedPolicy {
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) description: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) tags: Tags,
    /// Oldest first; never empty.
    pub(crate) versions: Vec<PolicyVersion>,
    /// Number of the version that is in force.
    pub(crate) default: u32,
    /// Number of the version that comes next; numbers are never used twice.
    pub(crate) next: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PolicyVersion {
    pub(crate) number: u32,
    pub(crate) document: String,
    pub(crate) created: Timestamp,
}

/// That an entity uses a managed policy, keyed from the policy's side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PolicyUse {
    pub(crate) account: AccountId,
    pub(crate) policy: String,
    pub(crate) usage: Usage,
    pub(crate) kind: EntityKind,
    /// Folded.
    pub(crate) entity: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Usage {
    Attached,
    Boundary,
}

impl Usage {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Boundary => "boundary",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EntityKind {
    Group,
    Role,
    User,
}

impl EntityKind {
    /// As ARNs and messages have it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Role => "role",
            Self::User => "user",
        }
    }
}

/// A long-term access key of a user, or of the account's root user.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AccessKey {
    /// `AKIA…`
    pub(crate) id: String,
    pub(crate) account: AccountId,
    /// Name of the user, folded; `None` for root.
    pub(crate) user: Option<String>,
    /// SigV4 needs the secret itself, so it cannot be kept as a hash.
    pub(crate) secret: String,
    pub(crate) active: bool,
    pub(crate) created: Timestamp,
}

/// When and where an access key was last used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeyUse {
    pub(crate) key: String,
    pub(crate) when: Timestamp,
    pub(crate) service: String,
    pub(crate) region: String,
}

/// What an account has one of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) account: AccountId,
    pub(crate) alias: Option<String>,
    pub(crate) password_policy: Option<PasswordPolicy>,
    /// Access keys that root made for itself.
    pub(crate) root_keys: Vec<String>,
}

/// Aliases are unique in the whole cloud.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Alias {
    pub(crate) alias: String,
    pub(crate) account: AccountId,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PasswordPolicy {
    pub(crate) min_length: i32,
    pub(crate) symbols: bool,
    pub(crate) numbers: bool,
    pub(crate) uppercase: bool,
    pub(crate) lowercase: bool,
    pub(crate) users_may_change: bool,
    /// Days; 0 for ever.
    pub(crate) max_age: i32,
    /// How many earlier passwords may not be used again.
    pub(crate) no_reuse: i32,
    pub(crate) hard_expiry: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CredentialReport {
    pub(crate) account: AccountId,
    pub(crate) generated: Timestamp,
    pub(crate) csv: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OidcProvider {
    pub(crate) account: AccountId,
    /// The issuer's URL without its scheme, as in the provider's ARN.
    pub(crate) host: String,
    /// The scheme that it was registered with.
    pub(crate) scheme: String,
    pub(crate) created: Timestamp,
    pub(crate) client_ids: Vec<String>,
    pub(crate) thumbprints: Vec<String>,
    pub(crate) tags: Tags,
}

/// The outcome of deleting a service-linked role, which clients poll for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeletionTask {
    pub(crate) account: AccountId,
    /// `task/aws-service-role/SERVICE/ROLE/UUID`
    pub(crate) id: String,
    pub(crate) at: Timestamp,
}

/// A temporary credential.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    /// `ASIA…`
    pub(crate) id: String,
    pub(crate) account: AccountId,
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) of: SessionOf,
    /// Texts of session policies given inline and ARNs of those given by name.
    pub(crate) inline: Option<String>,
    pub(crate) policy_arns: Vec<String>,
    pub(crate) tags: Tags,
    /// Keys of the tags that go on to roles assumed from this session.
    pub(crate) transitive: BTreeSet<String>,
    pub(crate) source_identity: Option<String>,
    /// Further condition keys that the session carries.
    pub(crate) keys: Vec<(String, Vec<String>)>,
}

/// Whose session it is. Names are folded; the id tells whether the name still means the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum SessionOf {
    Root,
    User {
        name: String,
        id: String,
    },
    Role {
        name: String,
        id: String,
        session: String,
    },
    /// `GetFederationToken`, called by this user.
    Federated {
        user: String,
        user_id: String,
        name: String,
    },
}

/// Sessions in the order in which they expire, for the sweeper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionEnd {
    pub(crate) expires: Timestamp,
    pub(crate) id: String,
}

/// Written by every transaction that can change who may do what; watched by the credential cache.
#[derive(Serialize, Deserialize)]
pub(crate) struct Change;

/// `Type in "table" by |row| key => KeyType;`
macro_rules! rows {
    ($($row:ident in $table:literal by |$it:ident| $key:expr => $of:ty;)*) => {$(
        impl Row for $row {
            const TABLE: &'static str = $table;
            type Key = $of;
            fn key(&self) -> $of {
                let $it = self;
                $key
            }
        }
    )*};
}

rows! {
    User in "iam.user" by |it| (it.account, fold(&it.name)) => (AccountId, String);
    Group in "iam.group" by |it| (it.account, fold(&it.name)) => (AccountId, String);
    Member in "iam.member" by |it| (it.account, it.group.clone(), it.user.clone())
        => (AccountId, String, String);
    Role in "iam.role" by |it| (it.account, fold(&it.name)) => (AccountId, String);
    InstanceProfile in "iam.profile" by |it| (it.account, fold(&it.name)) => (AccountId, String);
    ManagedPolicy in "iam.policy" by |it| (it.account, fold(&it.name)) => (AccountId, String);
    PolicyUse in "iam.policy-use"
        by |it| (
            it.account,
            it.policy.clone(),
            it.usage.key().to_owned(),
            it.kind.label().to_owned(),
            it.entity.clone(),
        )
        => (AccountId, String, String, String, String);
    AccessKey in "iam.access-key" by |it| it.id.clone() => String;
    KeyUse in "iam.key-use" by |it| it.key.clone() => String;
    Account in "iam.account" by |it| it.account => AccountId;
    Alias in "iam.alias" by |it| it.alias.clone() => String;
    CredentialReport in "iam.report" by |it| it.account => AccountId;
    OidcProvider in "iam.oidc" by |it| (it.account, it.host.clone()) => (AccountId, String);
    DeletionTask in "iam.deletion" by |it| (it.account, it.id.clone()) => (AccountId, String);
    Session in "sts.session" by |it| it.id.clone() => String;
    SessionEnd in "sts.session-end" by |it| (it.expires.0, it.id.clone()) => (i64, String);
    Change in "iam.change" by |_it| () => ();
}

impl Account {
    pub(crate) fn new(account: AccountId) -> Self {
        Self {
            account,
            alias: None,
            password_policy: None,
            root_keys: Vec::new(),
        }
    }
}

impl ManagedPolicy {
    pub(crate) fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|v| v.number == number)
    }

    /// The text that is in force.
    pub(crate) fn document(&self) -> &str {
        self.version(self.default)
            .map_or("", |v| v.document.as_str())
    }
}
