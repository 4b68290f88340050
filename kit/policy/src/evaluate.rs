//! The decision: which statements speak of a request, and what they amount to together.
//!
//! Source: IAM User Guide, "Policy evaluation logic", for requests within one account and across
//! accounts.

use crate::context::Context;
use crate::document::{Clause, Effect, Policy, Statement};
use crate::glob::{self, Case};
use crate::principal::{CallerKind, CallerView, Reach};
use crate::variable::{Match, Text};

/// A policy under the name by which a decision refers to it.
#[derive(Debug, Clone, Copy)]
pub struct NamedPolicy<'a> {
    pub id: &'a str,
    pub policy: &'a Policy,
}

/// What a resource-based policy is worth for the resource at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceMode {
    /// Within the account, either it or an identity-based policy is enough (S3, SQS, SNS, Lambda).
    AloneSuffices,
    /// It must allow in any case, if only by naming the account and so delegating to the
    /// identity-based policies (KMS keys, role trust).
    MustAllow,
}

/// May this caller do this to that? The policies (`'p`) may outlive the question (`'q`).
#[derive(Debug, Clone, Copy)]
pub struct Question<'q, 'p> {
    /// `service:Operation`, such as `s3:GetObject`.
    pub action: &'q str,
    /// The ARN acted upon, or `*` where the operation has no resource.
    pub resource: &'q str,
    /// The account that owns the resource; empty means the caller's own.
    pub resource_account: &'q str,
    pub caller: &'q CallerView<'q>,
    pub context: &'q Context,
    /// The policies of the user and its groups, or of the role.
    pub identity: &'q [NamedPolicy<'p>],
    pub boundary: Option<NamedPolicy<'p>>,
    /// The policies passed when the session was made. `Some(&[])` allows nothing, as does a
    /// federation token made without a policy.
    pub session: Option<&'q [NamedPolicy<'p>]>,
    /// The policy of the VPC endpoint that the request came through, if it came through one.
    pub endpoint: Option<NamedPolicy<'p>>,
    pub resource_policy: Option<NamedPolicy<'p>>,
    pub resource_mode: ResourceMode,
}

/// The sort of policy a decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    Identity,
    Boundary,
    Session,
    Resource,
    Endpoint,
}

/// Why a request is allowed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    Allow {
        by: Source,
    },
    /// A statement forbids it.
    ExplicitDeny {
        by: Source,
    },
    /// No statement forbids it, but none of this sort allows it either.
    ImplicitDeny {
        missing: Source,
    },
}

/// A statement that spoke of the request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matched<'a> {
    pub source: Source,
    /// The [`NamedPolicy::id`].
    pub policy: &'a str,
    /// Its position among the policy's statements, from 0.
    pub index: usize,
    pub statement: &'a Statement,
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'a> {
    pub allowed: bool,
    pub reason: Reason,
    /// Every statement that spoke of the request, allowing or forbidding, in the order identity,
    /// boundary, session, resource, endpoint.
    pub matched: Vec<Matched<'a>>,
}

/// What the policies of one sort say together.
#[derive(Debug, Clone, Copy, Default)]
struct Verdict {
    denied: bool,
    /// How closely the widest grant names the caller.
    allowed: Option<Reach>,
}

impl Verdict {
    fn allows(self) -> bool {
        self.allowed.is_some()
    }
}

/// The verdicts of every sort of policy that takes part.
struct Verdicts {
    identity: Verdict,
    boundary: Option<Verdict>,
    session: Option<Verdict>,
    resource: Verdict,
    endpoint: Option<Verdict>,
}

/// Answers a question.
///
/// An explicit deny anywhere wins. Otherwise the identity side (identity-based policies within
/// boundary and session policy; the root user holds every permission) and the resource side are
/// weighed by whether they belong to the same account. What both allow still has to come through
/// the VPC endpoint, where it came that way: its policy must allow it too, whoever asks.
pub fn evaluate<'p>(question: &Question<'_, 'p>) -> Decision<'p> {
    let mut matched = Vec::new();
    let mut read = |source, policies: &[NamedPolicy<'p>]| {
        let mut verdict = Verdict::default();
        for policy in policies {
            question.read(source, *policy, &mut verdict, &mut matched);
        }
        verdict
    };
    let verdicts = Verdicts {
        identity: read(Source::Identity, question.identity),
        boundary: question
            .boundary
            .map(|policy| read(Source::Boundary, &[policy])),
        session: question
            .session
            .map(|policies| read(Source::Session, policies)),
        resource: read(Source::Resource, question.resource_policy.as_slice()),
        endpoint: question
            .endpoint
            .map(|policy| read(Source::Endpoint, &[policy])),
    };
    let reason = verdicts.weigh(question);
    Decision {
        allowed: matches!(reason, Reason::Allow { .. }),
        reason,
        matched,
    }
}

impl Verdicts {
    fn weigh(&self, question: &Question<'_, '_>) -> Reason {
        if let Some(by) = self.denied_by() {
            return Reason::ExplicitDeny { by };
        }
        match self.granted(question) {
            Reason::Allow { .. } if withheld(self.endpoint) => Reason::ImplicitDeny {
                missing: Source::Endpoint,
            },
            reason => reason,
        }
    }

    /// What the sides of caller and resource come to, where nothing forbids it.
    fn granted(&self, question: &Question<'_, '_>) -> Reason {
        let caller = question.caller;
        let outsider = matches!(
            caller.kind,
            CallerKind::Anonymous | CallerKind::Service | CallerKind::IdentityProvider
        );
        let owner = question.resource_account;
        if outsider {
            self.resource_only()
        } else if owner.is_empty() || owner == caller.account {
            self.within_account(caller.kind, question.resource_mode)
        } else {
            self.across_accounts(caller.kind)
        }
    }

    fn denied_by(&self) -> Option<Source> {
        let denied = |verdict: Option<Verdict>| verdict.is_some_and(|verdict| verdict.denied);
        [
            (Source::Identity, Some(self.identity)),
            (Source::Boundary, self.boundary),
            (Source::Session, self.session),
            (Source::Resource, Some(self.resource)),
            (Source::Endpoint, self.endpoint),
        ]
        .into_iter()
        .find_map(|(source, verdict)| denied(verdict).then_some(source))
    }

    /// Callers that belong to no account have nothing but what the resource grants.
    fn resource_only(&self) -> Reason {
        match self.resource.allowed {
            Some(_) => Reason::Allow {
                by: Source::Resource,
            },
            None => Reason::ImplicitDeny {
                missing: Source::Resource,
            },
        }
    }

    fn within_account(&self, kind: CallerKind, mode: ResourceMode) -> Reason {
        let grant = self.resource.allowed;
        if grant == Some(Reach::Direct) {
            return Reason::Allow {
                by: Source::Resource,
            };
        }
        if mode == ResourceMode::MustAllow && grant.is_none() {
            return Reason::ImplicitDeny {
                missing: Source::Resource,
            };
        }
        let by = if self.identity_allows(kind) {
            Source::Identity
        } else if grant == Some(Reach::Issuer) {
            Source::Resource
        } else {
            return Reason::ImplicitDeny {
                missing: Source::Identity,
            };
        };
        self.within_limits(Reason::Allow { by })
    }

    /// Both accounts must agree: the caller's through its identity side, the owner's through the
    /// resource-based policy.
    fn across_accounts(&self, kind: CallerKind) -> Reason {
        if !self.identity_allows(kind) {
            return Reason::ImplicitDeny {
                missing: Source::Identity,
            };
        }
        self.within_limits(self.resource_only())
    }

    fn identity_allows(&self, kind: CallerKind) -> bool {
        kind == CallerKind::Root || self.identity.allows()
    }

    /// Boundary and session policy grant nothing themselves; they must not withhold either.
    fn within_limits(&self, reason: Reason) -> Reason {
        if withheld(self.boundary) {
            Reason::ImplicitDeny {
                missing: Source::Boundary,
            }
        } else if withheld(self.session) {
            Reason::ImplicitDeny {
                missing: Source::Session,
            }
        } else {
            reason
        }
    }
}

/// Whether a policy that grants nothing itself stands in the way.
fn withheld(limit: Option<Verdict>) -> bool {
    limit.is_some_and(|verdict| !verdict.allows())
}

impl<'p> Question<'_, 'p> {
    /// Adds what one policy says to the verdict of its sort.
    fn read(
        &self,
        source: Source,
        named: NamedPolicy<'p>,
        verdict: &mut Verdict,
        matched: &mut Vec<Matched<'p>>,
    ) {
        for (index, statement) in named.policy.statements.iter().enumerate() {
            let Some(reach) = self.spoken_of(statement) else {
                continue;
            };
            match statement.effect {
                Effect::Deny => verdict.denied = true,
                Effect::Allow => verdict.allowed = verdict.allowed.max(Some(reach)),
            }
            matched.push(Matched {
                source,
                policy: named.id,
                index,
                statement,
            });
        }
    }

    /// Whether a statement speaks of this request, and how closely it names the caller.
    fn spoken_of(&self, statement: &Statement) -> Option<Reach> {
        if !statement.actions.matches_action(self.action) {
            return None;
        }
        let reach = match &statement.principals {
            Some(principals) => principals.reach(self.caller)?,
            None => Reach::Direct,
        };
        let resource = statement.resources.as_ref();
        let speaks = resource.is_none_or(|r| r.matches_resource(self.resource, self.context))
            && statement
                .conditions
                .iter()
                .all(|condition| condition.holds(self.context));
        speaks.then_some(reach)
    }
}

impl Clause<Box<[u8]>> {
    fn matches_action(&self, action: &str) -> bool {
        let action = action.as_bytes();
        self.listed
            .iter()
            .any(|glob| glob::matches(glob, action, Case::Fold))
            != self.negated
    }
}

impl Clause<Text> {
    /// A `*` may reach across colons: `arn:aws:s3:::b/*` covers keys with colons in them.
    fn matches_resource(&self, resource: &str, context: &Context) -> bool {
        let mut unresolved = false;
        for text in &self.listed {
            match text.matches(resource, Case::Sensitive, context) {
                Match::Yes => return !self.negated,
                Match::Unresolved => unresolved = true,
                Match::No => {}
            }
        }
        // What a missing variable would have left out is unknown, so nothing is taken as left in.
        self.negated && !unresolved
    }
}

#[cfg(test)]
mod tests;
