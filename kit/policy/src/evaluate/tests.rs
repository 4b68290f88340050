//! The rules of evaluation, one table per rule.

use super::*;
use crate::document::Kind;
use CallerKind::{Anonymous, FederatedUser, IdentityProvider, RoleSession, Root, Service, User};

mod endpoint;

const ACCOUNT: &str = "111122223333";
const OTHER: &str = "444455556666";
const USER: &str = "arn:aws:iam::111122223333:user/ann";
const ROLE: &str = "arn:aws:iam::111122223333:role/r";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/r/s";
const FEDERATED: &str = "arn:aws:sts::111122223333:federated-user/bob";
const ROOT: &str = "arn:aws:iam::111122223333:root";
const USER_ID: &str = "AIDAEXAMPLEANNANN";
const ROLE_ID: &str = "AROAEXAMPLEROLERO";
const OBJECT: &str = "arn:aws:s3:::b/k";

fn caller(kind: CallerKind) -> CallerView<'static> {
    let none = CallerView {
        account: ACCOUNT,
        kind,
        ..CallerView::ANONYMOUS
    };
    match kind {
        CallerKind::Root => CallerView { arn: ROOT, ..none },
        CallerKind::User => CallerView {
            arn: USER,
            id: USER_ID,
            ..none
        },
        CallerKind::RoleSession => CallerView {
            arn: SESSION,
            issuer_arn: ROLE,
            issuer_id: ROLE_ID,
            ..none
        },
        CallerKind::FederatedUser => CallerView {
            arn: FEDERATED,
            issuer_arn: USER,
            ..none
        },
        CallerKind::Service => CallerView::service("sns.amazonaws.com"),
        CallerKind::IdentityProvider => CallerView::identity_provider("accounts.google.com"),
        CallerKind::Anonymous => CallerView::ANONYMOUS,
    }
}

fn identity(statements: &str) -> Policy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Policy::parse(&text, Kind::Identity).expect(&text)
}

fn resource(statements: &str) -> Policy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Policy::parse(&text, Kind::Resource).expect(&text)
}

fn allow() -> Policy {
    identity(r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#)
}

fn nothing() -> Policy {
    identity(r#"{"Effect":"Allow","Action":"sqs:*","Resource":"*"}"#)
}

fn deny() -> Policy {
    identity(
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"},
           {"Effect":"Deny","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}"#,
    )
}

/// A bucket policy with one statement for a principal element.
fn bucket(effect: &str, principal: &str) -> Policy {
    resource(&format!(
        r#"{{"Effect":"{effect}",{principal},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}}"#
    ))
}

/// A bucket policy that allows one AWS principal.
fn grant(name: &str) -> Policy {
    bucket("Allow", &format!(r#""Principal":{{"AWS":"{name}"}}"#))
}

/// The policies around one request; `decide` asks for `s3:GetObject`.
#[derive(Clone)]
struct Setting {
    kind: CallerKind,
    owner: &'static str,
    identity: Option<Policy>,
    boundary: Option<Policy>,
    session: Option<Policy>,
    resource: Option<Policy>,
    mode: ResourceMode,
}

fn case(kind: CallerKind) -> Setting {
    Setting {
        kind,
        owner: ACCOUNT,
        identity: None,
        boundary: None,
        session: None,
        resource: None,
        mode: ResourceMode::AloneSuffices,
    }
}

impl Setting {
    fn identity(self, policy: Policy) -> Self {
        Self {
            identity: Some(policy),
            ..self
        }
    }

    fn boundary(self, policy: Policy) -> Self {
        Self {
            boundary: Some(policy),
            ..self
        }
    }

    fn session(self, policy: Policy) -> Self {
        Self {
            session: Some(policy),
            ..self
        }
    }

    fn resource(self, policy: Policy) -> Self {
        Self {
            resource: Some(policy),
            ..self
        }
    }

    /// The resource belongs to another account.
    fn foreign(self) -> Self {
        Self {
            owner: OTHER,
            ..self
        }
    }

    /// The resource is a key or a role.
    fn key(self) -> Self {
        Self {
            mode: ResourceMode::MustAllow,
            ..self
        }
    }

    fn decide(&self) -> Reason {
        fn named(policy: &Option<Policy>) -> Option<NamedPolicy<'_>> {
            policy
                .as_ref()
                .map(|policy| NamedPolicy { id: "p", policy })
        }
        let session = named(&self.session);
        let decision = evaluate(&Question {
            resource_account: self.owner,
            identity: named(&self.identity).as_slice(),
            boundary: named(&self.boundary),
            session: self.session.is_some().then_some(session.as_slice()),
            resource_policy: named(&self.resource),
            resource_mode: self.mode,
            ..question(&caller(self.kind), &Context::new())
        });
        assert_eq!(
            decision.allowed,
            matches!(decision.reason, Reason::Allow { .. })
        );
        decision.reason
    }
}

/// `s3:GetObject` on an object of the caller's own account, without any policy.
fn question<'q>(caller: &'q CallerView<'q>, context: &'q Context) -> Question<'q, 'static> {
    Question {
        action: "s3:GetObject",
        resource: OBJECT,
        resource_account: ACCOUNT,
        caller,
        context,
        identity: &[],
        boundary: None,
        session: None,
        endpoint: None,
        resource_policy: None,
        resource_mode: ResourceMode::AloneSuffices,
    }
}

const ALLOWED_BY_IDENTITY: Reason = Reason::Allow {
    by: Source::Identity,
};
const ALLOWED_BY_RESOURCE: Reason = Reason::Allow {
    by: Source::Resource,
};
const NO_IDENTITY: Reason = Reason::ImplicitDeny {
    missing: Source::Identity,
};
const NO_BOUNDARY: Reason = Reason::ImplicitDeny {
    missing: Source::Boundary,
};
const NO_SESSION: Reason = Reason::ImplicitDeny {
    missing: Source::Session,
};
const NO_RESOURCE: Reason = Reason::ImplicitDeny {
    missing: Source::Resource,
};

fn denied(by: Source) -> Reason {
    Reason::ExplicitDeny { by }
}

#[test]
fn nothing_is_allowed_unless_some_policy_allows_it() {
    assert_eq!(case(User).decide(), NO_IDENTITY);
    assert_eq!(case(User).identity(nothing()).decide(), NO_IDENTITY);
    assert_eq!(case(User).identity(allow()).decide(), ALLOWED_BY_IDENTITY);
}

#[test]
fn an_explicit_deny_wins_wherever_it_stands() {
    let all = case(RoleSession)
        .identity(allow())
        .boundary(allow())
        .session(allow());
    let all = all.resource(grant(SESSION));
    assert_eq!(all.decide(), ALLOWED_BY_RESOURCE);
    assert_eq!(
        all.clone().identity(deny()).decide(),
        denied(Source::Identity)
    );
    assert_eq!(
        all.clone().boundary(deny()).decide(),
        denied(Source::Boundary)
    );
    assert_eq!(
        all.clone().session(deny()).decide(),
        denied(Source::Session)
    );
    let forbid = bucket("Deny", r#""Principal":"*""#);
    assert_eq!(all.resource(forbid).decide(), denied(Source::Resource));
}

#[test]
fn a_deny_reaches_the_account_the_role_and_the_session() {
    for principal in [ACCOUNT, ROOT, ROLE, SESSION, ROLE_ID] {
        let forbid = bucket("Deny", &format!(r#""Principal":{{"AWS":"{principal}"}}"#));
        let case = case(RoleSession).identity(allow()).resource(forbid);
        assert_eq!(case.decide(), denied(Source::Resource), "{principal}");
    }
}

#[test]
fn boundary_and_session_policy_limit_and_grant_nothing() {
    let case = |boundary, session| case(RoleSession).boundary(boundary).session(session);
    let full = case(allow(), allow());
    assert_eq!(full.decide(), NO_IDENTITY);
    assert_eq!(full.identity(allow()).decide(), ALLOWED_BY_IDENTITY);
    assert_eq!(
        case(nothing(), allow()).identity(allow()).decide(),
        NO_BOUNDARY
    );
    assert_eq!(
        case(allow(), nothing()).identity(allow()).decide(),
        NO_SESSION
    );
}

#[test]
fn the_closer_a_resource_policy_names_the_caller_the_less_can_withhold_it() {
    const FREE: [Reason; 3] = [ALLOWED_BY_RESOURCE; 3];
    const LIMITED: [Reason; 3] = [ALLOWED_BY_RESOURCE, NO_BOUNDARY, NO_SESSION];
    const DELEGATED: [Reason; 3] = [NO_IDENTITY; 3];
    for (kind, principal, [alone, bounded, in_session]) in [
        (User, USER, FREE),
        (User, USER_ID, FREE),
        (User, "*", FREE),
        (User, ROOT, DELEGATED),
        (User, ACCOUNT, DELEGATED),
        (User, ROLE, DELEGATED),
        (RoleSession, ROLE, LIMITED),
        (RoleSession, ROLE_ID, LIMITED),
        (RoleSession, SESSION, FREE),
        (RoleSession, "*", FREE),
        (RoleSession, ACCOUNT, DELEGATED),
        (FederatedUser, USER, LIMITED),
        (FederatedUser, FEDERATED, FREE),
    ] {
        let case = case(kind).resource(grant(principal));
        assert_eq!(case.decide(), alone, "{kind:?} {principal}");
        let bound = case.clone().boundary(nothing());
        assert_eq!(
            bound.decide(),
            bounded,
            "{kind:?} {principal} with a boundary"
        );
        let session = case.session(nothing());
        assert_eq!(
            session.decide(),
            in_session,
            "{kind:?} {principal} with a session policy"
        );
    }
}

#[test]
fn the_root_user_needs_no_policy_but_obeys_denies() {
    assert_eq!(case(Root).decide(), ALLOWED_BY_IDENTITY);
    for principal in [r#""*""#, r#"{"AWS":"111122223333"}"#] {
        let forbid = bucket("Deny", &format!(r#""Principal":{principal}"#));
        assert_eq!(
            case(Root).resource(forbid).decide(),
            denied(Source::Resource)
        );
    }
    assert_eq!(case(Root).foreign().decide(), NO_RESOURCE);
    assert_eq!(
        case(Root).foreign().resource(grant(ROOT)).decide(),
        ALLOWED_BY_RESOURCE
    );
}

#[test]
fn across_accounts_both_must_allow() {
    for principal in [ACCOUNT, USER, "*"] {
        let granted = case(User).foreign().resource(grant(principal));
        assert_eq!(granted.decide(), NO_IDENTITY, "{principal}");
        assert_eq!(
            granted.identity(allow()).decide(),
            ALLOWED_BY_RESOURCE,
            "{principal}"
        );
    }
    assert_eq!(case(User).foreign().identity(allow()).decide(), NO_RESOURCE);
    // Naming the session lifts no limit of the caller's own account.
    let named = case(RoleSession)
        .foreign()
        .identity(allow())
        .resource(grant(SESSION));
    assert_eq!(named.clone().session(nothing()).decide(), NO_SESSION);
    assert_eq!(named.boundary(nothing()).decide(), NO_BOUNDARY);
}

#[test]
fn keys_and_roles_decide_for_themselves() {
    let user = || case(User).key().identity(allow());
    assert_eq!(user().decide(), NO_RESOURCE);
    assert_eq!(user().resource(grant(ROLE)).decide(), NO_RESOURCE);
    assert_eq!(user().resource(grant(ROOT)).decide(), ALLOWED_BY_IDENTITY);
    assert_eq!(
        user().identity(nothing()).resource(grant(ROOT)).decide(),
        NO_IDENTITY
    );
    assert_eq!(
        case(User).key().resource(grant(USER)).decide(),
        ALLOWED_BY_RESOURCE
    );
    assert_eq!(
        case(RoleSession).key().resource(grant(ROLE)).decide(),
        ALLOWED_BY_RESOURCE
    );
    assert_eq!(case(Root).key().decide(), NO_RESOURCE);
    assert_eq!(
        case(Root).key().resource(grant(ROOT)).decide(),
        ALLOWED_BY_RESOURCE
    );
}

#[test]
fn outsiders_have_only_what_the_resource_grants() {
    let sns = r#"{"Service":"sns.amazonaws.com"}"#;
    for (kind, principal, expected) in [
        (Anonymous, r#""*""#, ALLOWED_BY_RESOURCE),
        (Anonymous, r#"{"AWS":"111122223333"}"#, NO_RESOURCE),
        (Anonymous, sns, NO_RESOURCE),
        (Service, r#""*""#, ALLOWED_BY_RESOURCE),
        (Service, sns, ALLOWED_BY_RESOURCE),
        (
            Service,
            r#"{"Service":"lambda.amazonaws.com"}"#,
            NO_RESOURCE,
        ),
        (
            IdentityProvider,
            r#"{"Federated":"accounts.google.com"}"#,
            ALLOWED_BY_RESOURCE,
        ),
        (IdentityProvider, sns, NO_RESOURCE),
        (User, sns, NO_IDENTITY),
    ] {
        let granted = case(kind).resource(bucket("Allow", &format!(r#""Principal":{principal}"#)));
        assert_eq!(granted.decide(), expected, "{kind:?} {principal}");
    }
    for kind in [Anonymous, Service, IdentityProvider] {
        assert_eq!(case(kind).decide(), NO_RESOURCE, "{kind:?}");
    }
}

#[test]
fn not_principal_exempts_the_named_and_nobody_else() {
    let user_and_root = format!(r#""{USER}","{ROOT}""#);
    let forbidden = denied(Source::Resource);
    for (kind, names, expected) in [
        (User, user_and_root.as_str(), ALLOWED_BY_IDENTITY),
        (Root, user_and_root.as_str(), ALLOWED_BY_IDENTITY),
        (RoleSession, user_and_root.as_str(), forbidden),
        (Anonymous, user_and_root.as_str(), forbidden),
        (Service, user_and_root.as_str(), forbidden),
        (User, "\"111122223333\"", forbidden),
    ] {
        let others = bucket("Deny", &format!(r#""NotPrincipal":{{"AWS":[{names}]}}"#));
        let case = case(kind).identity(allow()).resource(others);
        assert_eq!(case.decide(), expected, "{kind:?} {names}");
    }
}

/// Whether one statement on its own speaks of a request.
fn speaks(statement: &str, action: &str, resource: &str, context: &Context) -> bool {
    let policy = identity(statement);
    let decision = evaluate(&Question {
        action,
        resource,
        identity: &[NamedPolicy {
            id: "p",
            policy: &policy,
        }],
        ..question(&caller(User), context)
    });
    !decision.matched.is_empty()
}

#[test]
fn actions_and_resources() {
    let context = Context::new().with("aws:username", "ann");
    for (elements, action, resource, expected) in [
        (
            r#""Action":"S3:getobject","Resource":"*""#,
            "s3:GetObject",
            OBJECT,
            true,
        ),
        (
            r#""Action":"s3:Get*","Resource":"*""#,
            "s3:GetObjectAcl",
            OBJECT,
            true,
        ),
        (
            r#""Action":"s3:Get?bject","Resource":"*""#,
            "s3:GetObject",
            OBJECT,
            true,
        ),
        (r#""Action":"*","Resource":"*""#, "s3:GetObject", "*", true),
        (
            r#""Action":["sqs:*","s3:Put*"],"Resource":"*""#,
            "s3:GetObject",
            OBJECT,
            false,
        ),
        (
            r#""NotAction":"s3:*","Resource":"*""#,
            "s3:GetObject",
            OBJECT,
            false,
        ),
        (
            r#""NotAction":"iam:*","Resource":"*""#,
            "s3:GetObject",
            OBJECT,
            true,
        ),
        (
            r#""Action":"*","Resource":"arn:aws:s3:::b""#,
            "s3:GetObject",
            OBJECT,
            false,
        ),
        (
            r#""Action":"*","Resource":"arn:aws:s3:::B/*""#,
            "s3:GetObject",
            OBJECT,
            false,
        ),
        (
            r#""Action":"*","Resource":"arn:aws:s3:::b/*""#,
            "s3:GetObject",
            OBJECT,
            true,
        ),
        (
            r#""Action":"*","Resource":"arn:aws:s3:::b/*""#,
            "s3:GetObject",
            "*",
            false,
        ),
        (
            r#""Action":"*","NotResource":"arn:aws:s3:::b/*""#,
            "s3:GetObject",
            OBJECT,
            false,
        ),
        (
            r#""Action":"*","NotResource":"arn:aws:s3:::c/*""#,
            "s3:GetObject",
            OBJECT,
            true,
        ),
        (
            r#""Action":"*","Resource":"arn:aws:s3:::b/${aws:username}/*""#,
            "s3:GetObject",
            "arn:aws:s3:::b/ann/x",
            true,
        ),
        (
            r#""Action":"*","Resource":"arn:aws:s3:::b/${aws:username}/*""#,
            "s3:GetObject",
            "arn:aws:s3:::b/bob/x",
            false,
        ),
        (
            r#""Action":"*","NotResource":"arn:aws:s3:::b/${aws:absent}/*""#,
            "s3:GetObject",
            OBJECT,
            false,
        ),
        (
            r#""Action":"*","Resource":["arn:aws:s3:::${aws:absent}","arn:aws:s3:::b/k"]"#,
            "s3:GetObject",
            OBJECT,
            true,
        ),
    ] {
        let statement = format!(r#"{{"Effect":"Allow",{elements}}}"#);
        assert_eq!(
            speaks(&statement, action, resource, &context),
            expected,
            "{elements}"
        );
    }
}

#[test]
fn a_decision_tells_which_statements_spoke() {
    let first = identity(
        r#"{"Effect":"Allow","Action":"sqs:*","Resource":"*"},
           {"Sid":"Read","Effect":"Allow","Action":"s3:Get*","Resource":"*"}"#,
    );
    let second = deny();
    let decision = evaluate(&Question {
        identity: &[NamedPolicy {
            id: "one",
            policy: &first,
        }],
        boundary: Some(NamedPolicy {
            id: "two",
            policy: &second,
        }),
        ..question(&caller(User), &Context::new())
    });
    let told: Vec<_> = decision
        .matched
        .iter()
        .map(|m| (m.source, m.policy, m.index, m.statement.sid()))
        .collect();
    let expected = [
        (Source::Identity, "one", 1, Some("Read")),
        (Source::Boundary, "two", 0, None),
        (Source::Boundary, "two", 1, None),
    ];
    assert_eq!(told, expected);
    assert_eq!(decision.reason, denied(Source::Boundary));
}

#[test]
fn a_session_without_policies_is_allowed_nothing() {
    let policy = allow();
    let decision = evaluate(&Question {
        identity: &[NamedPolicy {
            id: "p",
            policy: &policy,
        }],
        session: Some(&[]),
        ..question(&caller(FederatedUser), &Context::new())
    });
    assert_eq!(decision.reason, NO_SESSION);
}
