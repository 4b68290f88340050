//! Who calls, and with what in hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_kit::AccountId;
use gureum_policy::Policy;
use gureum_schema::{Result, Timestamp};

use crate::denial::Denial;
use crate::principal::Standing;

/// The authenticated (or anonymous) principal behind a call.
#[derive(Clone, Debug)]
pub struct Caller {
    pub account: AccountId,
    pub kind: CallerKind,
    /// As `GetCallerIdentity` tells it.
    pub arn: String,
    /// `AIDA…`, `AROA…:session`, the account id for root.
    pub id: String,
    /// The account's id in S3's access control lists; empty where there is none.
    pub canonical_user: String,
    pub access_key: Option<String>,
    pub policies: Arc<Policies>,
    /// `aws:PrincipalTag/…`: the principal's own tags with the session's on top.
    pub tags: BTreeMap<String, String>,
    /// Further condition keys that the credential brings (`aws:MultiFactorAuthAge`,
    /// `aws:TokenIssueTime`, `sts:ExternalId`, …), names in any case.
    pub keys: Vec<(String, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerKind {
    Anonymous,
    Root,
    User {
        name: String,
    },
    /// A session of a role. `role_arn` and `role_id` are those of the role itself.
    Role {
        role_arn: String,
        role_name: String,
        role_id: String,
        session: String,
    },
    /// A session of `GetFederationToken`, made by a user (or root) whose ARN and id these are.
    Federated {
        name: String,
        user_arn: String,
        user_id: String,
    },
    /// An AWS service in its own name, `s3.amazonaws.com`.
    Service {
        principal: &'static str,
    },
}

/// The policies that decide over a caller, parsed once and shared.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// (name or ARN for reports, policy)
    pub identity: Vec<(String, Arc<Policy>)>,
    pub boundary: Option<(String, Arc<Policy>)>,
    pub session: Option<Vec<(String, Arc<Policy>)>>,
}

impl Caller {
    pub fn anonymous() -> Self {
        Self {
            account: AccountId::NOBODY,
            kind: CallerKind::Anonymous,
            arn: "anonymous".into(),
            id: "anonymous".into(),
            canonical_user: String::new(),
            access_key: None,
            policies: Arc::default(),
            tags: BTreeMap::new(),
            keys: Vec::new(),
        }
    }

    pub fn root(account: AccountId) -> Self {
        Self {
            arn: format!("arn:aws:iam::{account}:root"),
            id: account.to_string(),
            canonical_user: account.canonical_user(),
            kind: CallerKind::Root,
            account,
            ..Self::anonymous()
        }
    }

    /// A service acting in its own name on behalf of a resource: deliveries, log writing.
    /// `source_arn` and `source_account` become `aws:SourceArn` and `aws:SourceAccount`.
    pub fn service(principal: &'static str, source_arn: &str, source_account: &AccountId) -> Self {
        Self {
            account: *source_account,
            kind: CallerKind::Service { principal },
            arn: principal.into(),
            id: principal.into(),
            keys: vec![
                ("aws:SourceArn".into(), vec![source_arn.into()]),
                ("aws:SourceAccount".into(), vec![source_account.to_string()]),
            ],
            ..Self::anonymous()
        }
    }

    pub fn is_anonymous(&self) -> bool {
        self.kind == CallerKind::Anonymous
    }
}

/// An access key as the front door needs it.
#[derive(Clone)]
pub struct Credential {
    pub secret: String,
    /// Temporary credentials must come with this session token.
    pub session_token: Option<String>,
    pub expires: Option<Timestamp>,
    /// An inactive key is known but may do nothing.
    pub active: bool,
    pub caller: Arc<Caller>,
}

/// Where credentials come from. The IAM service implements it; the front door uses it.
pub trait Identities: Send + Sync + 'static {
    /// The credential behind an access key id; `None` when there is no such key.
    fn credential(&self, access_key: &str) -> Result<Option<Credential>>;

    /// Whom the ARN of a user or role stands for.
    fn standing(&self, arn: &str) -> Result<Standing> {
        let _ = arn;
        Ok(Standing::Other)
    }

    /// The ARN of the user or role with this unique id, while there is one.
    fn arn_of(&self, unique_id: &str) -> Result<Option<String>> {
        let _ = unique_id;
        Ok(None)
    }

    /// Seals what is told of a denial, for [`Denial::encoded`].
    fn encode(&self, denial: &Denial<'_>) -> Option<String> {
        let _ = denial;
        None
    }

    /// Notes that the caller's access key was used, for `GetAccessKeyLastUsed`. Must not wait.
    fn used(&self, caller: &Caller, service: &'static str, region: &str, when: Timestamp);
}
