//! What comes through a VPC endpoint is decided by the endpoint's policy too.

use super::*;

const NO_ENDPOINT: Reason = Reason::ImplicitDeny {
    missing: Source::Endpoint,
};

/// An endpoint policy with these statements, which all say something about everybody.
fn endpoint(statements: &[(&str, &str)]) -> Policy {
    let written = statements.iter().map(|(effect, action)| {
        format!(r#"{{"Effect":"{effect}","Principal":"*","Action":"{action}","Resource":"*"}}"#)
    });
    resource(&written.collect::<Vec<_>>().join(","))
}

/// `s3:GetObject`, by a caller whose own side is this policy, through the endpoint.
fn through(
    policy: &Policy,
    kind: CallerKind,
    identity: &Policy,
    bucket: Option<&Policy>,
) -> Reason {
    let named = |policy| NamedPolicy { id: "p", policy };
    let decision = evaluate(&Question {
        identity: &[named(identity)],
        resource_policy: bucket.map(named),
        endpoint: Some(named(policy)),
        ..question(&caller(kind), &Context::new())
    });
    decision.reason
}

#[test]
fn the_endpoint_must_allow_whatever_else_does() {
    let open = endpoint(&[("Allow", "*")]);
    let other = endpoint(&[("Allow", "s3:PutObject")]);
    for kind in [User, RoleSession, Root, Anonymous] {
        let anyone = bucket("Allow", r#""Principal":"*""#);
        let granted = through(&open, kind, &allow(), Some(&anyone));
        assert_eq!(granted, ALLOWED_BY_RESOURCE, "{kind:?}");
        let refused = through(&other, kind, &allow(), Some(&anyone));
        assert_eq!(refused, NO_ENDPOINT, "{kind:?}");
    }
    assert_eq!(through(&other, User, &allow(), None), NO_ENDPOINT);
}

#[test]
fn the_endpoint_grants_nothing() {
    let open = endpoint(&[("Allow", "*")]);
    assert_eq!(through(&open, User, &nothing(), None), NO_IDENTITY);
    assert_eq!(through(&open, Anonymous, &nothing(), None), NO_RESOURCE);
}

#[test]
fn the_endpoint_may_deny() {
    let policy = endpoint(&[("Allow", "*"), ("Deny", "s3:Get*")]);
    for kind in [User, Root] {
        let refused = through(&policy, kind, &allow(), None);
        assert_eq!(refused, denied(Source::Endpoint), "{kind:?}");
    }
    assert_eq!(
        through(&policy, User, &deny(), None),
        denied(Source::Identity)
    );
}
