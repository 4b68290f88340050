//! Who a policy speaks of, who a caller is, and how the two meet.
//!
//! Source: IAM User Guide, "AWS JSON policy elements: Principal" and "NotPrincipal".

use crate::document::Clause;

/// An entry of a `Principal` or `NotPrincipal` element.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// `"*"`: everyone, without credentials too.
    Anyone,
    /// A whole account, by its 12-digit id (written as that or as its root ARN).
    Account(Box<str>),
    /// A user, role, role session or federated user by ARN.
    Arn(Box<str>),
    /// A user or role by unique id (`AIDA…`, `AROA…`): what a stored ARN turns into when its
    /// owner is deleted, so that a namesake created later does not inherit the grant.
    UniqueId(Box<str>),
    /// An AWS service such as `lambda.amazonaws.com`; `*` means any.
    Service(Box<str>),
    /// A web identity or SAML provider.
    Federated(Box<str>),
    /// An account by the canonical user id that S3 knows.
    CanonicalUser(Box<str>),
}

/// What sort of caller asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallerKind {
    /// The account's root user.
    Root,
    User,
    /// A session of an assumed role.
    RoleSession,
    /// A session from `GetFederationToken`.
    FederatedUser,
    /// Somebody an identity provider vouches for (`AssumeRoleWithWebIdentity`, `…WithSAML`).
    IdentityProvider,
    /// An AWS service calling in its own name.
    Service,
    /// Nobody: an unsigned request.
    Anonymous,
}

/// The caller as policies see it. Fields that do not apply to the kind are empty.
///
/// A session from `GetSessionToken` is its user. A federated user has the policies of the user who
/// made the token as identity-based policies, and the token's policy as session policy.
#[derive(Debug, Clone, Copy)]
pub struct CallerView<'a> {
    pub kind: CallerKind,
    /// The 12-digit account id; empty for services, identity providers and anonymous callers.
    pub account: &'a str,
    /// The ARN the caller goes by: of the account root, user, role session or federated user;
    /// the service principal of a service; the ARN or domain of an identity provider.
    pub arn: &'a str,
    /// The unique id of the user (`AIDA…`).
    pub id: &'a str,
    /// Who stands behind a session: the role of a role session, the user of a federated user.
    pub issuer_arn: &'a str,
    /// The unique id of the issuer (`AROA…`, `AIDA…`).
    pub issuer_id: &'a str,
    /// The canonical user id of the account.
    pub canonical_user: &'a str,
}

impl CallerView<'_> {
    /// A caller without credentials.
    pub const ANONYMOUS: CallerView<'static> = CallerView {
        kind: CallerKind::Anonymous,
        account: "",
        arn: "",
        id: "",
        issuer_arn: "",
        issuer_id: "",
        canonical_user: "",
    };
}

impl<'a> CallerView<'a> {
    /// A service calling in its own name, such as `sns.amazonaws.com`.
    pub fn service(name: &'a str) -> Self {
        Self {
            kind: CallerKind::Service,
            arn: name,
            ..CallerView::ANONYMOUS
        }
    }

    /// Somebody whom the identity provider with this ARN or domain vouches for.
    pub fn identity_provider(provider: &'a str) -> Self {
        Self {
            kind: CallerKind::IdentityProvider,
            arn: provider,
            ..CallerView::ANONYMOUS
        }
    }
}

/// How closely a resource-based policy names the caller. What other policies can still withhold
/// depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Only the account: it delegates to the account's identity-based policies.
    Account,
    /// The role or user behind the session: boundary and session policy still limit it.
    Issuer,
    /// The caller as such (or everyone): nothing but an explicit deny limits it.
    Direct,
}

impl Clause<Principal> {
    /// How this clause reaches the caller, if it does.
    pub(crate) fn reach(&self, caller: &CallerView<'_>) -> Option<Reach> {
        if self.negated {
            let exempt = |principal: &Principal| {
                // An account in NotPrincipal exempts its root user, not everyone in it.
                principal
                    .reach(caller)
                    .is_some_and(|reach| reach > Reach::Account)
            };
            return (!self.listed.iter().any(exempt)).then_some(Reach::Direct);
        }
        self.listed
            .iter()
            .filter_map(|principal| principal.reach(caller))
            .max()
    }
}

impl Principal {
    /// The name alone, without the class of names that it belongs to.
    pub fn name(&self) -> &str {
        match self {
            Self::Anyone => "*",
            Self::Account(name)
            | Self::Arn(name)
            | Self::UniqueId(name)
            | Self::Service(name)
            | Self::Federated(name)
            | Self::CanonicalUser(name) => name,
        }
    }

    pub(crate) fn reach(&self, caller: &CallerView<'_>) -> Option<Reach> {
        let named = |name: &str, held: &str| !name.is_empty() && name == held;
        let reached = |yes: bool, reach| yes.then_some(reach);
        match self {
            Self::Anyone => Some(Reach::Direct),
            Self::Account(account) => {
                reached(named(account, caller.account), account_reach(caller.kind))
            }
            Self::CanonicalUser(id) => {
                reached(named(id, caller.canonical_user), account_reach(caller.kind))
            }
            Self::Service(name) => {
                let is_service = caller.kind == CallerKind::Service;
                let yes = is_service && (&**name == "*" || name.eq_ignore_ascii_case(caller.arn));
                reached(yes, Reach::Direct)
            }
            Self::Federated(provider) => {
                let is_provider = caller.kind == CallerKind::IdentityProvider;
                reached(is_provider && named(provider, caller.arn), Reach::Direct)
            }
            Self::Arn(_) if !has_arn(caller.kind) => None,
            Self::Arn(name) => reached(named(name, caller.arn), Reach::Direct)
                .or_else(|| reached(named(name, caller.issuer_arn), Reach::Issuer)),
            Self::UniqueId(name) => reached(named(name, caller.id), Reach::Direct)
                .or_else(|| reached(named(name, caller.issuer_id), Reach::Issuer)),
        }
    }
}

/// The account's own root user is the account.
fn account_reach(kind: CallerKind) -> Reach {
    if kind == CallerKind::Root {
        Reach::Direct
    } else {
        Reach::Account
    }
}

fn has_arn(kind: CallerKind) -> bool {
    use CallerKind::{FederatedUser, RoleSession, Root, User};
    matches!(kind, Root | User | RoleSession | FederatedUser)
}
