//! From a caller and an [`Ask`] to a question for the policy engine.

use gureum_policy::{
    CallerKind as PolicyCaller, CallerView, Context, NamedPolicy, Policy, Question, ResourceMode,
    evaluate,
};
use std::sync::Arc;

use crate::ask::Ask;
use crate::caller::{Caller, CallerKind};
use crate::cx::Cx;
use crate::denial::Denial;

/// `Err` holds what `refused` makes of a denial. It is told only of one, and while all that decided
/// is still at hand: what is allowed pays nothing for it.
pub(crate) fn authorize<E>(
    cx: &Cx,
    ask: &Ask,
    refused: impl FnOnce(&Denial<'_>) -> E,
) -> Result<(), E> {
    let caller = &cx.caller;
    let owner = ask.owner.as_ref().unwrap_or(&caller.account);
    let policies = &caller.policies;
    let identity: Vec<_> = policies.identity.iter().map(named).collect();
    let session: Option<Vec<_>> = policies
        .session
        .as_ref()
        .map(|session| session.iter().map(named).collect());
    // Only policies read it, and it has dozens of values: for root, whom none restrains, it would
    // be made in vain.
    let context = match ask.meets_policies(cx) {
        true => context(cx, ask),
        false => Context::new(),
    };
    let view = view(caller);
    let decision = evaluate(&Question {
        action: ask.action,
        resource: &ask.resource,
        resource_account: owner.as_str(),
        caller: &view,
        context: &context,
        identity: &identity,
        boundary: policies.boundary.as_ref().map(named),
        session: session.as_deref(),
        endpoint: cx.endpoint.as_deref().map(|endpoint| NamedPolicy {
            id: &endpoint.id,
            policy: &endpoint.policy,
        }),
        resource_policy: ask.policy.as_deref().map(|policy| NamedPolicy {
            id: "resource-policy",
            policy,
        }),
        resource_mode: if ask.policy_must_allow {
            ResourceMode::MustAllow
        } else {
            ResourceMode::AloneSuffices
        },
    });
    if decision.allowed {
        Ok(())
    } else {
        Err(refused(&Denial {
            ask,
            decision: &decision,
            cx,
        }))
    }
}

fn named<'a>((name, policy): &'a (String, Arc<Policy>)) -> NamedPolicy<'a> {
    NamedPolicy { id: name, policy }
}

/// The caller as policies see it.
fn view(caller: &Caller) -> CallerView<'_> {
    let account = caller.account.as_str();
    let known = CallerView {
        account,
        arn: &caller.arn,
        id: &caller.id,
        canonical_user: &caller.canonical_user,
        ..CallerView::ANONYMOUS
    };
    match &caller.kind {
        CallerKind::Anonymous => CallerView::ANONYMOUS,
        CallerKind::Service { principal } => CallerView::service(principal),
        CallerKind::Root => CallerView {
            kind: PolicyCaller::Root,
            ..known
        },
        CallerKind::User { .. } => CallerView {
            kind: PolicyCaller::User,
            ..known
        },
        CallerKind::Role {
            role_arn, role_id, ..
        } => CallerView {
            kind: PolicyCaller::RoleSession,
            issuer_arn: role_arn,
            issuer_id: role_id,
            ..known
        },
        CallerKind::Federated {
            user_arn, user_id, ..
        } => CallerView {
            kind: PolicyCaller::FederatedUser,
            issuer_arn: user_arn,
            issuer_id: user_id,
            ..known
        },
    }
}

/// The global condition keys, then the credential's, then the action's own.
pub(crate) fn context(cx: &Cx, ask: &Ask) -> Context {
    let caller = &cx.caller;
    let request = &cx.request;
    let mut context = Context::new();
    let source_ip = request.source_ip.to_string();
    match &cx.endpoint {
        // A private address, which says something only together with the network.
        Some(endpoint) => {
            context.set("aws:VpcSourceIp", source_ip);
            context.set("aws:SourceVpc", endpoint.vpc.as_str());
            context.set("aws:SourceVpce", endpoint.id.as_str());
        }
        None => context.set("aws:SourceIp", source_ip),
    }
    context.set("aws:SecureTransport", request.secure.to_string());
    context.set("aws:UserAgent", request.user_agent.as_str());
    context.set("aws:RequestedRegion", cx.region.as_str());
    context.set("aws:CurrentTime", cx.now.to_string());
    context.set("aws:EpochTime", cx.now.secs().to_string());
    context.set("aws:ViaAWSService", cx.via.is_some().to_string());
    principal_keys(caller, &mut context);
    let owner = ask.owner.as_ref().unwrap_or(&caller.account);
    context.set("aws:ResourceAccount", owner.as_str());
    for (name, values) in caller.keys.iter().chain(&ask.keys) {
        context.set_all(name, values.iter().map(String::as_str));
    }
    context
}

fn principal_keys(caller: &Caller, context: &mut Context) {
    let kind = match &caller.kind {
        CallerKind::Anonymous => "Anonymous",
        CallerKind::Root => "Account",
        CallerKind::User { name } => {
            context.set("aws:username", name.as_str());
            "User"
        }
        CallerKind::Role { .. } => "AssumedRole",
        CallerKind::Federated { .. } => "FederatedUser",
        CallerKind::Service { principal } => {
            context.set("aws:PrincipalServiceName", *principal);
            context.set("aws:PrincipalIsAWSService", "true");
            return;
        }
    };
    context.set("aws:PrincipalType", kind);
    context.set("aws:PrincipalIsAWSService", "false");
    if caller.is_anonymous() {
        return;
    }
    context.set("aws:userid", caller.id.as_str());
    context.set("aws:PrincipalAccount", caller.account.as_str());
    // For a session this is the role, not the session: policies are written about roles.
    let arn = match &caller.kind {
        CallerKind::Role { role_arn, .. } => role_arn,
        _ => &caller.arn,
    };
    context.set("aws:PrincipalArn", arn.as_str());
    for (name, value) in &caller.tags {
        context.set(&format!("aws:PrincipalTag/{name}"), value.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cloud, Credential, Identities, RequestInfo, VpcEndpoint};
    use gureum_kit::{AccountId, Clock, Region};
    use gureum_policy::Kind;
    use gureum_schema::Timestamp;

    struct Nobody;

    impl Identities for Nobody {
        fn credential(&self, _: &str) -> gureum_schema::Result<Option<Credential>> {
            Ok(None)
        }

        fn used(&self, _: &Caller, _: &'static str, _: &str, _: Timestamp) {}
    }

    fn root() -> Arc<Caller> {
        Arc::new(Caller::root(AccountId::NOBODY))
    }

    /// A call of root's from outside, and the same through an endpoint that lets objects be read.
    fn calls() -> (Cx, Cx) {
        let clock = Clock::manual(0);
        let cloud = Cloud::builder(Arc::new(Nobody), clock, Region::default()).build();
        let cx = cloud.cx(root(), Region::default(), RequestInfo::inside("test"));
        let text = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
            "Resource": "*", "Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}}}}"#;
        let endpoint = VpcEndpoint {
            id: "vpce-1".into(),
            vpc: "vpc-1".into(),
            policy: Arc::new(Policy::parse(text, Kind::Resource).expect("policy")),
        };
        (cx.clone(), cx.through(Some(endpoint)))
    }

    #[test]
    fn an_endpoint_decides_over_what_comes_through_it() {
        let (outside, through) = calls();
        let (get, put) = ("s3:GetObject", "s3:PutObject");
        let authorize = |cx: &Cx, action| {
            let ask = Ask::new(action, "arn:aws:s3:::b/k");
            authorize(cx, &ask, |denial| denial.message())
        };
        assert_eq!(authorize(&outside, put), Ok(()));
        assert_eq!(authorize(&through, get), Ok(()));
        let refused = authorize(&through, put).expect_err("not let through");
        let cause = "because no VPC endpoint policy allows the s3:PutObject action";
        assert!(refused.ends_with(cause), "{refused}");
        // What others do on account of it comes from them.
        for cx in [through.via("s3"), through.as_caller(root())] {
            assert_eq!(authorize(&cx, put), Ok(()));
        }
    }

    #[test]
    fn policies_see_the_way_of_a_request() {
        let (outside, through) = calls();
        let keys = [
            ("aws:sourceip", "127.0.0.1"),
            ("aws:vpcsourceip", "127.0.0.1"),
            ("aws:sourcevpc", "vpc-1"),
            ("aws:sourcevpce", "vpce-1"),
        ];
        let ask = Ask::new("s3:GetObject", "arn:aws:s3:::b/k");
        let cases = [
            (&outside, [true, false, false, false]),
            (&through, [false, true, true, true]),
            (&through.via("s3"), [true, false, false, false]),
        ];
        for (cx, present) in cases {
            let context = context(cx, &ask);
            for ((key, value), present) in keys.iter().zip(present) {
                let expected = [(*value).to_owned()];
                let expected = present.then_some(&expected[..]);
                assert_eq!(context.get(key), expected, "{key}");
            }
        }
    }
}
