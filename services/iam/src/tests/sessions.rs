//! Temporary credentials: what they may do, how long, and for whom.

use super::*;
use gureum_model_sts::{op as sts, types as sts_types};

fn assume(name: &str) -> sts_types::AssumeRoleRequest {
    sts_types::AssumeRoleRequest {
        role_arn: format!("arn:aws:iam::{ACCOUNT}:role/{name}"),
        role_session_name: "session".into(),
        ..Default::default()
    }
}

fn key_of(credentials: Option<sts_types::Credentials>) -> String {
    credentials.expect("credentials").access_key_id
}

fn anyone_here() -> String {
    trusting(&format!(r#"{{"AWS":"{ACCOUNT}"}}"#))
}

/// A user who may assume roles, and a role `r` that may do everything in IAM.
async fn rig_with_role() -> (Rig, String) {
    let rig = Rig::new();
    let key = rig.user("ann", &allow("sts:*")).await;
    rig.role("r", &anyone_here()).await;
    rig.put_role_policy("r", &statement("Allow", "*")).await;
    (rig, key)
}

async fn identity(rig: &Rig, key: &str) -> sts_types::GetCallerIdentityResponse {
    let answer = rig.call::<sts::GetCallerIdentity>(key, sts_types::GetCallerIdentityRequest {});
    answer.await.expect("everybody may know who they are")
}

#[tokio::test]
async fn everybody_knows_who_they_are() {
    let (rig, key) = rig_with_role().await;
    let root = identity(&rig, "AKIAROOT").await;
    assert_eq!(root.arn, Some(format!("arn:aws:iam::{ACCOUNT}:root")));
    assert_eq!(
        (root.user_id.as_deref(), root.account.as_deref()),
        (Some(ACCOUNT), Some(ACCOUNT))
    );
    rig.put_policy("ann", &statement("Deny", "*")).await;
    assert_eq!(identity(&rig, &key).await.arn, Some(user_arn("ann")));
    let nobody = rig.cx(Arc::new(Caller::anonymous()));
    let nobody = nobody.call::<sts::GetCallerIdentity>(sts_types::GetCallerIdentityRequest {});
    assert_eq!(code(nobody.await), "MissingAuthenticationToken");
}

#[tokio::test]
async fn a_session_of_a_role_is_the_role_and_ends_with_it() {
    let (rig, key) = rig_with_role().await;
    let answer = rig
        .call::<sts::AssumeRole>(&key, assume("r"))
        .await
        .expect("assumed");
    let user = answer.assumed_role_user.expect("user");
    assert_eq!(
        user.arn,
        format!("arn:aws:sts::{ACCOUNT}:assumed-role/r/session")
    );
    let session = key_of(answer.credentials);
    let me = identity(&rig, &session).await;
    assert_eq!(
        (me.arn, me.user_id),
        (Some(user.arn), Some(user.assumed_role_id))
    );
    assert!(
        rig.call::<op::ListUsers>(&session, list_users())
            .await
            .is_ok()
    );

    rig.root::<op::DeleteRolePolicy>(types::DeleteRolePolicyRequest {
        role_name: "r".into(),
        policy_name: "p".into(),
    })
    .await;
    assert_eq!(
        code(rig.call::<op::ListUsers>(&session, list_users()).await),
        "AccessDenied"
    );
    rig.root::<op::DeleteRole>(types::DeleteRoleRequest {
        role_name: "r".into(),
    })
    .await;
    assert!(rig.credential(&session).is_none());
    rig.role("r", &anyone_here()).await;
    assert!(rig.credential(&session).is_none());
}

#[tokio::test]
async fn trust_and_permission_are_both_needed_unless_the_caller_itself_is_named() {
    let (rig, key) = rig_with_role().await;
    let try_ = || rig.call::<sts::AssumeRole>(&key, assume("r"));
    rig.put_policy("ann", &allow("s3:*")).await;
    assert_eq!(code(try_().await), "AccessDenied");
    let trust = |document: String| types::UpdateAssumeRolePolicyRequest {
        role_name: "r".into(),
        policy_document: document,
    };
    let named = trusting(&format!(r#"{{"AWS":"{}"}}"#, user_arn("ann")));
    rig.root::<op::UpdateAssumeRolePolicy>(trust(named)).await;
    assert!(try_().await.is_ok());
    let service = trusting(r#"{"Service":"ec2.amazonaws.com"}"#);
    rig.root::<op::UpdateAssumeRolePolicy>(trust(service)).await;
    rig.put_policy("ann", &allow("sts:*")).await;
    assert_eq!(code(try_().await), "AccessDenied");
    let account: gureum_kit::AccountId = ACCOUNT.parse().expect("account");
    let ec2 = Caller::service("ec2.amazonaws.com", "arn:aws:ec2:::instance/i-1", &account);
    let by_service = rig
        .cx(Arc::new(ec2))
        .call::<sts::AssumeRole>(assume("r"))
        .await;
    assert!(by_service.is_ok());
}

#[tokio::test]
async fn the_external_id_must_match() {
    let (rig, key) = rig_with_role().await;
    let document = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{ACCOUNT}"}},
            "Action":"sts:AssumeRole","Condition":{{"StringEquals":{{"sts:ExternalId":"secret"}}}}}}}}"#
    );
    rig.root::<op::UpdateAssumeRolePolicy>(types::UpdateAssumeRolePolicyRequest {
        role_name: "r".into(),
        policy_document: document,
    })
    .await;
    for (given, answer) in [
        (None, "AccessDenied"),
        (Some("guess"), "AccessDenied"),
        (Some("secret"), "no error"),
    ] {
        let input = sts_types::AssumeRoleRequest {
            external_id: given.map(str::to_owned),
            ..assume("r")
        };
        assert_eq!(
            code(rig.call::<sts::AssumeRole>(&key, input).await),
            answer,
            "{given:?}"
        );
    }
}

#[tokio::test]
async fn durations_are_bounded_and_shorter_in_a_chain() {
    let (rig, key) = rig_with_role().await;
    let lasting = |seconds| sts_types::AssumeRoleRequest {
        duration_seconds: Some(seconds),
        ..assume("r")
    };
    for (seconds, answer) in [
        (899, "ValidationError"),
        (900, "no error"),
        (3600, "no error"),
        (3601, "ValidationError"),
    ] {
        assert_eq!(
            code(rig.call::<sts::AssumeRole>(&key, lasting(seconds)).await),
            answer,
            "{seconds}"
        );
    }
    rig.root::<op::UpdateRole>(types::UpdateRoleRequest {
        role_name: "r".into(),
        max_session_duration: Some(7200),
        ..Default::default()
    })
    .await;
    let long = rig
        .call::<sts::AssumeRole>(&key, lasting(7200))
        .await
        .expect("assumed");
    let long = key_of(long.credentials);
    assert_eq!(
        code(rig.call::<sts::AssumeRole>(&long, lasting(7200)).await),
        "ValidationError"
    );
    assert!(
        rig.call::<sts::AssumeRole>(&long, lasting(3600))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn expired_sessions_are_swept() {
    let (rig, key) = rig_with_role().await;
    let session = rig
        .call::<sts::AssumeRole>(&key, assume("r"))
        .await
        .expect("assumed");
    let session = key_of(session.credentials);
    let expires = rig
        .credential(&session)
        .and_then(|credential| credential.expires);
    assert_eq!(expires, Some(gureum_schema::Timestamp(START + 3_600_000)));
    rig.advance(3600);
    assert_eq!(rig.iam.tidy().await.expect("tidy").sessions, 0);
    rig.advance(1);
    assert_eq!(rig.iam.tidy().await.expect("tidy").sessions, 1);
    rig.user("bob", "").await;
    assert!(rig.credential(&session).is_none());
}

#[tokio::test]
async fn a_session_policy_narrows() {
    let (rig, key) = rig_with_role().await;
    let input = sts_types::AssumeRoleRequest {
        policy: Some(allow("iam:Get*")),
        policy_arns: Some(vec![sts_types::PolicyDescriptorType {
            arn: Some("arn:aws:iam::aws:policy/AmazonS3FullAccess".into()),
        }]),
        ..assume("r")
    };
    let answer = rig
        .call::<sts::AssumeRole>(&key, input)
        .await
        .expect("assumed");
    assert!(
        answer
            .packed_policy_size
            .is_some_and(|percent| (1..100).contains(&percent))
    );
    let session = key_of(answer.credentials);
    assert!(
        rig.call::<op::GetUser>(&session, get_user("ann"))
            .await
            .is_ok()
    );
    let denied = rig
        .call::<op::ListUsers>(&session, list_users())
        .await
        .map(drop);
    assert!(
        denied
            .expect_err("narrowed")
            .message
            .contains("no session policy allows")
    );
    let huge = sts_types::AssumeRoleRequest {
        policy: Some(allow(&format!("s3:{}", "a".repeat(2048)))),
        ..assume("r")
    };
    assert_eq!(
        code(rig.call::<sts::AssumeRole>(&key, huge).await),
        "PackedPolicyTooLarge"
    );
}

#[tokio::test]
async fn tags_and_source_identity_go_along_the_chain() {
    let (rig, key) = rig_with_role().await;
    let tag = |key: &str, value: &str| sts_types::Tag {
        key: key.into(),
        value: value.into(),
    };
    let first = sts_types::AssumeRoleRequest {
        tags: Some(vec![tag("team", "blue"), tag("only", "here")]),
        transitive_tag_keys: Some(vec!["team".into()]),
        source_identity: Some("ann@example.com".into()),
        ..assume("r")
    };
    let first = key_of(
        rig.call::<sts::AssumeRole>(&key, first)
            .await
            .expect("assumed")
            .credentials,
    );
    let second = rig
        .call::<sts::AssumeRole>(&first, assume("r"))
        .await
        .expect("assumed");
    assert_eq!(second.source_identity.as_deref(), Some("ann@example.com"));
    let caller = rig
        .credential(&key_of(second.credentials))
        .expect("session")
        .caller;
    assert_eq!(caller.tags.get("team").map(String::as_str), Some("blue"));
    assert!(!caller.tags.contains_key("only"));
    let changed = sts_types::AssumeRoleRequest {
        source_identity: Some("bob@example.com".into()),
        ..assume("r")
    };
    assert_eq!(
        code(rig.call::<sts::AssumeRole>(&first, changed).await),
        "AccessDenied"
    );
    let overridden = sts_types::AssumeRoleRequest {
        tags: Some(vec![tag("TEAM", "red")]),
        ..assume("r")
    };
    assert_eq!(
        code(rig.call::<sts::AssumeRole>(&first, overridden).await),
        "ValidationError"
    );
}

#[tokio::test]
async fn session_tokens_of_users_stay_out_of_iam() {
    let (rig, key) = rig_with_role().await;
    rig.put_policy("ann", &statement("Allow", "*")).await;
    let token = || sts_types::GetSessionTokenRequest::default();
    let session = rig
        .call::<sts::GetSessionToken>(&key, token())
        .await
        .expect("token");
    let session = key_of(session.credentials);
    assert_eq!(identity(&rig, &session).await.arn, Some(user_arn("ann")));
    assert_eq!(
        code(rig.call::<op::ListUsers>(&session, list_users()).await),
        "InvalidClientTokenId"
    );
    assert_eq!(
        code(rig.call::<sts::GetSessionToken>(&session, token()).await),
        "AccessDenied"
    );
    assert!(
        rig.call::<sts::AssumeRole>(&session, assume("r"))
            .await
            .is_ok()
    );
    let with_mfa = sts_types::GetSessionTokenRequest {
        token_code: Some("123456".into()),
        ..token()
    };
    assert_eq!(
        code(rig.call::<sts::GetSessionToken>(&key, with_mfa).await),
        "NotImplemented"
    );
}

#[tokio::test]
async fn a_federated_user_has_what_its_policy_and_its_voucher_share() {
    let (rig, key) = rig_with_role().await;
    let federate = |policy: Option<String>| sts_types::GetFederationTokenRequest {
        name: "bob".into(),
        policy,
        ..Default::default()
    };
    let token = rig
        .call::<sts::GetFederationToken>(&key, federate(Some(allow("sqs:*"))))
        .await;
    let token = token.expect("token");
    assert_eq!(
        token.federated_user.map(|user| user.arn),
        Some(format!("arn:aws:sts::{ACCOUNT}:federated-user/bob"))
    );
    let caller = rig
        .credential(&key_of(token.credentials))
        .expect("session")
        .caller;
    assert_eq!(caller.policies.session.as_ref().map(Vec::len), Some(1));
    assert_eq!(caller.policies.identity.len(), 1);
    let bare = rig
        .call::<sts::GetFederationToken>(&key, federate(None))
        .await
        .expect("token");
    let caller = rig
        .credential(&key_of(bare.credentials))
        .expect("session")
        .caller;
    assert_eq!(caller.policies.session.as_ref().map(Vec::len), Some(0));
}

#[tokio::test]
async fn a_session_ends_with_a_policy_that_narrowed_it() {
    let (rig, key) = rig_with_role().await;
    let policy = types::CreatePolicyRequest {
        policy_name: "narrow".into(),
        policy_document: statement("Deny", "iam:*"),
        ..Default::default()
    };
    let policy = rig.root::<op::CreatePolicy>(policy).await.policy;
    let arn = policy.and_then(|policy| policy.arn).expect("arn");
    let input = sts_types::AssumeRoleRequest {
        policy: Some(statement("Allow", "*")),
        policy_arns: Some(vec![sts_types::PolicyDescriptorType {
            arn: Some(arn.clone()),
        }]),
        ..assume("r")
    };
    let session = rig.call::<sts::AssumeRole>(&key, input).await;
    let session = key_of(session.expect("assumed").credentials);
    assert_eq!(
        code(rig.call::<op::ListUsers>(&session, list_users()).await),
        "AccessDenied"
    );
    rig.root::<op::DeletePolicy>(types::DeletePolicyRequest { policy_arn: arn })
        .await;
    assert!(rig.credential(&session).is_none());
}
