//! The rules of evaluation, one table per rule.

use super::*;
use crate::document::Kind;

const ACCOUNT: &str = "111122223333";
const OTHER: &str = "444455556666";
const USER: &str = "arn:aws:iam::111122223333:user/ann";
const ROLE: &str = "arn:aws:iam::111122223333:role/r";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/r/s";
const FEDERATED: &str = "arn:aws:sts::111122223333:federated-user/bob";
const ROOT: &str = "arn:aws:iam::111122223333:root";
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
            id: "AIDAEXAMPLEANNANN",
            ..none
        },
        CallerKind::RoleSession => CallerView {
            arn: SESSION,
            issuer_arn: ROLE,
            issuer_id: "AROAEXAMPLEROLERO",
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

fn grant(arn: &str) -> Option<Policy> {
    Some(bucket(
        "Allow",
        &format!(r#""Principal":{{"AWS":"{arn}"}}"#),
    ))
}

/// The policies around one request; `decide` asks for `s3:GetObject`.
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
    fn decide(&self) -> Reason {
        fn named(policy: &Option<Policy>) -> Option<NamedPolicy<'_>> {
            policy
                .as_ref()
                .map(|policy| NamedPolicy { id: "p", policy })
        }
        let session = named(&self.session);
        let decision = evaluate(&Question {
            action: "s3:GetObject",
            resource: OBJECT,
            resource_account: self.owner,
            caller: &caller(self.kind),
            context: &Context::new(),
            identity: named(&self.identity).as_slice(),
            boundary: named(&self.boundary),
            session: self.session.is_some().then_some(session.as_slice()),
            resource_policy: named(&self.resource),
            resource_mode: self.mode,
        });
        assert_eq!(
            decision.allowed,
            matches!(decision.reason, Reason::Allow { .. })
        );
        decision.reason
    }
}

fn allowed(by: Source) -> Reason {
    Reason::Allow { by }
}

fn denied(by: Source) -> Reason {
    Reason::ExplicitDeny { by }
}

fn missing(missing: Source) -> Reason {
    Reason::ImplicitDeny { missing }
}

use CallerKind::{Anonymous, FederatedUser, IdentityProvider, RoleSession, Root, Service, User};
use Source::{Boundary, Identity, Resource, Session};

#[test]
fn nothing_is_allowed_unless_some_policy_allows_it() {
    assert_eq!(case(User).decide(), missing(Identity));
    assert_eq!(
        Setting {
            identity: Some(nothing()),
            ..case(User)
        }
        .decide(),
        missing(Identity)
    );
    assert_eq!(
        Setting {
            identity: Some(allow()),
            ..case(User)
        }
        .decide(),
        allowed(Identity)
    );
}

#[test]
fn an_explicit_deny_wins_wherever_it_stands() {
    let full = || Setting {
        identity: Some(allow()),
        boundary: Some(allow()),
        session: Some(allow()),
        resource: grant(SESSION),
        ..case(RoleSession)
    };
    assert_eq!(full().decide(), allowed(Resource));
    let forbid = Some(bucket("Deny", r#""Principal":"*""#));
    assert_eq!(
        Setting {
            identity: Some(deny()),
            ..full()
        }
        .decide(),
        denied(Identity)
    );
    assert_eq!(
        Setting {
            boundary: Some(deny()),
            ..full()
        }
        .decide(),
        denied(Boundary)
    );
    assert_eq!(
        Setting {
            session: Some(deny()),
            ..full()
        }
        .decide(),
        denied(Session)
    );
    assert_eq!(
        Setting {
            resource: forbid,
            ..full()
        }
        .decide(),
        denied(Resource)
    );
}

#[test]
fn a_deny_reaches_the_account_the_role_and_the_session() {
    for principal in [ACCOUNT, ROOT, ROLE, SESSION, "AROAEXAMPLEROLERO"] {
        let resource = Some(bucket(
            "Deny",
            &format!(r#""Principal":{{"AWS":"{principal}"}}"#),
        ));
        let case = Setting {
            identity: Some(allow()),
            resource,
            ..case(RoleSession)
        };
        assert_eq!(case.decide(), denied(Resource), "{principal}");
    }
}

#[test]
fn boundary_and_session_policy_limit_and_grant_nothing() {
    let within = |boundary, session| Setting {
        identity: Some(allow()),
        boundary,
        session,
        ..case(RoleSession)
    };
    assert_eq!(
        within(Some(allow()), Some(allow())).decide(),
        allowed(Identity)
    );
    assert_eq!(
        within(Some(nothing()), Some(allow())).decide(),
        missing(Boundary)
    );
    assert_eq!(
        within(Some(allow()), Some(nothing())).decide(),
        missing(Session)
    );
    let alone = Setting {
        boundary: Some(allow()),
        session: Some(allow()),
        ..case(RoleSession)
    };
    assert_eq!(alone.decide(), missing(Identity));
}

#[test]
fn the_closer_a_resource_policy_names_the_caller_the_less_can_withhold_it() {
    // What remains with: nothing else; a boundary that withholds; a session policy that withholds.
    for (kind, principal, alone, bounded, in_session) in [
        (
            User,
            USER,
            allowed(Resource),
            allowed(Resource),
            allowed(Resource),
        ),
        (
            User,
            "AIDAEXAMPLEANNANN",
            allowed(Resource),
            allowed(Resource),
            allowed(Resource),
        ),
        (
            User,
            "*",
            allowed(Resource),
            allowed(Resource),
            allowed(Resource),
        ),
        (
            User,
            ROOT,
            missing(Identity),
            missing(Identity),
            missing(Identity),
        ),
        (
            RoleSession,
            ROLE,
            allowed(Resource),
            missing(Boundary),
            missing(Session),
        ),
        (
            RoleSession,
            "AROAEXAMPLEROLERO",
            allowed(Resource),
            missing(Boundary),
            missing(Session),
        ),
        (
            RoleSession,
            SESSION,
            allowed(Resource),
            allowed(Resource),
            allowed(Resource),
        ),
        (
            RoleSession,
            "*",
            allowed(Resource),
            allowed(Resource),
            allowed(Resource),
        ),
        (
            RoleSession,
            ACCOUNT,
            missing(Identity),
            missing(Identity),
            missing(Identity),
        ),
        (
            FederatedUser,
            USER,
            allowed(Resource),
            missing(Boundary),
            missing(Session),
        ),
        (
            FederatedUser,
            FEDERATED,
            allowed(Resource),
            allowed(Resource),
            allowed(Resource),
        ),
        (
            User,
            ROLE,
            missing(Identity),
            missing(Identity),
            missing(Identity),
        ),
    ] {
        let named = || Setting {
            resource: grant(principal),
            ..case(kind)
        };
        assert_eq!(named().decide(), alone, "{kind:?} {principal}");
        let boundary = Some(nothing());
        assert_eq!(
            Setting {
                boundary,
                ..named()
            }
            .decide(),
            bounded,
            "{kind:?} {principal} bounded"
        );
        let session = Some(nothing());
        assert_eq!(
            Setting { session, ..named() }.decide(),
            in_session,
            "{kind:?} {principal} session"
        );
    }
}

#[test]
fn the_root_user_needs_no_policy_but_obeys_denies() {
    assert_eq!(case(Root).decide(), allowed(Identity));
    for resource in [
        bucket("Deny", r#""Principal":"*""#),
        bucket("Deny", r#""Principal":{"AWS":"111122223333"}"#),
    ] {
        assert_eq!(
            Setting {
                resource: Some(resource),
                ..case(Root)
            }
            .decide(),
            denied(Resource)
        );
    }
    let foreign = |resource| Setting {
        owner: OTHER,
        resource,
        ..case(Root)
    };
    assert_eq!(foreign(None).decide(), missing(Resource));
    assert_eq!(foreign(grant(ROOT)).decide(), allowed(Resource));
}

#[test]
fn across_accounts_both_must_allow() {
    for principal in [ACCOUNT, USER, "*"] {
        let both = Setting {
            owner: OTHER,
            identity: Some(allow()),
            resource: grant(principal),
            ..case(User)
        };
        assert_eq!(both.decide(), allowed(Resource), "{principal}");
        assert_eq!(
            Setting {
                identity: None,
                ..both
            }
            .decide(),
            missing(Identity),
            "{principal}"
        );
    }
    let alone = Setting {
        owner: OTHER,
        identity: Some(allow()),
        ..case(User)
    };
    assert_eq!(alone.decide(), missing(Resource));
    // Naming the session lifts no limit of the caller's own account.
    let limited = Setting {
        owner: OTHER,
        identity: Some(allow()),
        session: Some(nothing()),
        resource: grant(SESSION),
        ..case(RoleSession)
    };
    assert_eq!(limited.decide(), missing(Session));
}

#[test]
fn keys_and_roles_decide_for_themselves() {
    let key = |kind, identity, resource| Setting {
        identity,
        resource,
        mode: ResourceMode::MustAllow,
        ..case(kind)
    };
    assert_eq!(key(User, Some(allow()), None).decide(), missing(Resource));
    assert_eq!(
        key(User, Some(allow()), grant(ROLE)).decide(),
        missing(Resource)
    );
    assert_eq!(
        key(User, Some(allow()), grant(ROOT)).decide(),
        allowed(Identity)
    );
    assert_eq!(key(User, None, grant(ROOT)).decide(), missing(Identity));
    assert_eq!(key(User, None, grant(USER)).decide(), allowed(Resource));
    assert_eq!(
        key(RoleSession, None, grant(ROLE)).decide(),
        allowed(Resource)
    );
    assert_eq!(key(Root, None, None).decide(), missing(Resource));
    assert_eq!(key(Root, None, grant(ROOT)).decide(), allowed(Resource));
}

#[test]
fn outsiders_have_only_what_the_resource_grants() {
    let everyone = || Some(bucket("Allow", r#""Principal":"*""#));
    let sns = || {
        Some(bucket(
            "Allow",
            r#""Principal":{"Service":"sns.amazonaws.com"}"#,
        ))
    };
    let google = || {
        Some(bucket(
            "Allow",
            r#""Principal":{"Federated":"accounts.google.com"}"#,
        ))
    };
    let lambda = || {
        Some(bucket(
            "Allow",
            r#""Principal":{"Service":"lambda.amazonaws.com"}"#,
        ))
    };
    for (kind, resource, expected) in [
        (Anonymous, None, missing(Resource)),
        (Anonymous, everyone(), allowed(Resource)),
        (Anonymous, grant(ACCOUNT), missing(Resource)),
        (Anonymous, sns(), missing(Resource)),
        (Service, None, missing(Resource)),
        (Service, everyone(), allowed(Resource)),
        (Service, sns(), allowed(Resource)),
        (Service, lambda(), missing(Resource)),
        (IdentityProvider, google(), allowed(Resource)),
        (IdentityProvider, sns(), missing(Resource)),
        (User, sns(), missing(Identity)),
    ] {
        assert_eq!(
            Setting {
                resource,
                ..case(kind)
            }
            .decide(),
            expected,
            "{kind:?}"
        );
    }
}

#[test]
fn not_principal_exempts_the_named_and_nobody_else() {
    let except = |names: &str| {
        Some(bucket(
            "Deny",
            &format!(r#""NotPrincipal":{{"AWS":[{names}]}}"#),
        ))
    };
    let user_and_root = format!(r#""{USER}","{ROOT}""#);
    for (kind, names, expected) in [
        (User, user_and_root.as_str(), allowed(Identity)),
        (Root, user_and_root.as_str(), allowed(Identity)),
        (RoleSession, user_and_root.as_str(), denied(Resource)),
        (User, "\"111122223333\"", denied(Resource)),
        (Anonymous, user_and_root.as_str(), denied(Resource)),
        (Service, user_and_root.as_str(), denied(Resource)),
    ] {
        let case = Setting {
            identity: Some(allow()),
            resource: except(names),
            ..case(kind)
        };
        assert_eq!(case.decide(), expected, "{kind:?} {names}");
    }
}

/// Asks about one statement on its own.
fn speaks(statement: &str, action: &str, resource: &str, context: &Context) -> bool {
    let policy = identity(statement);
    let decision = evaluate(&Question {
        action,
        resource,
        resource_account: "",
        caller: &caller(User),
        context,
        identity: &[NamedPolicy {
            id: "p",
            policy: &policy,
        }],
        boundary: None,
        session: None,
        resource_policy: None,
        resource_mode: ResourceMode::AloneSuffices,
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
        action: "s3:GetObject",
        resource: OBJECT,
        resource_account: ACCOUNT,
        caller: &caller(User),
        context: &Context::new(),
        identity: &[NamedPolicy {
            id: "one",
            policy: &first,
        }],
        boundary: Some(NamedPolicy {
            id: "two",
            policy: &second,
        }),
        session: None,
        resource_policy: None,
        resource_mode: ResourceMode::AloneSuffices,
    });
    let told: Vec<_> = decision
        .matched
        .iter()
        .map(|m| (m.source, m.policy, m.index, m.statement.sid()))
        .collect();
    let expected = [
        (Identity, "one", 1, Some("Read")),
        (Boundary, "two", 0, None),
        (Boundary, "two", 1, None),
    ];
    assert_eq!(told, expected);
    assert_eq!(decision.reason, denied(Boundary));
}

#[test]
fn an_empty_session_allows_nothing() {
    let policy = allow();
    let decision = evaluate(&Question {
        action: "s3:GetObject",
        resource: OBJECT,
        resource_account: ACCOUNT,
        caller: &caller(FederatedUser),
        context: &Context::new(),
        identity: &[NamedPolicy {
            id: "p",
            policy: &policy,
        }],
        boundary: None,
        session: Some(&[]),
        resource_policy: None,
        resource_mode: ResourceMode::AloneSuffices,
    });
    assert_eq!(decision.reason, missing(Session));
}
