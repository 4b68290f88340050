//! Policies, their versions, and that they are enforced the moment they change.

use super::*;

const READ_ONLY: &str = "arn:aws:iam::aws:policy/IAMReadOnlyAccess";

fn attach(arn: &str) -> types::AttachUserPolicyRequest {
    types::AttachUserPolicyRequest {
        user_name: "ann".into(),
        policy_arn: arn.into(),
    }
}

async fn create_policy(rig: &Rig, name: &str, document: &str) -> String {
    let input = types::CreatePolicyRequest {
        policy_name: name.into(),
        policy_document: document.into(),
        ..Default::default()
    };
    let policy = rig.root::<op::CreatePolicy>(input).await.policy;
    policy.and_then(|policy| policy.arn).expect("arn")
}

fn version(arn: &str, document: &str, default: bool) -> types::CreatePolicyVersionRequest {
    types::CreatePolicyVersionRequest {
        policy_arn: arn.into(),
        policy_document: document.into(),
        set_as_default: Some(default),
    }
}

#[tokio::test]
async fn a_change_is_in_force_for_the_next_call() {
    let rig = Rig::new();
    let key = rig.user("ann", "").await;
    let list = || rig.call::<op::ListUsers>(&key, list_users());
    let denied = list().await.map(drop).expect_err("no policy yet");
    assert_eq!((denied.code.as_ref(), denied.status), ("AccessDenied", 403));
    assert_eq!(
        denied.message,
        format!(
            "User: {} is not authorized to perform: iam:ListUsers on resource: arn:aws:iam::{ACCOUNT}:user/ because no identity-based policy allows the iam:ListUsers action",
            user_arn("ann")
        )
    );
    rig.root::<op::AttachUserPolicy>(attach(READ_ONLY)).await;
    assert!(list().await.is_ok());
    rig.put_policy("ann", &statement("Deny", "iam:List*")).await;
    assert_eq!(code(list().await), "AccessDenied");
    rig.put_policy("ann", &statement("Deny", "s3:*")).await;
    assert!(list().await.is_ok());
    rig.root::<op::DetachUserPolicy>(types::DetachUserPolicyRequest {
        user_name: "ann".into(),
        policy_arn: READ_ONLY.into(),
    })
    .await;
    assert_eq!(code(list().await), "AccessDenied");
}

#[tokio::test]
async fn the_default_version_is_the_one_in_force() {
    let rig = Rig::new();
    let key = rig.user("ann", "").await;
    let arn = create_policy(&rig, "p", &allow("s3:*")).await;
    rig.root::<op::AttachUserPolicy>(attach(&arn)).await;
    let list = || rig.call::<op::ListUsers>(&key, list_users());
    rig.root::<op::CreatePolicyVersion>(version(&arn, &allow("iam:*"), false))
        .await;
    assert_eq!(code(list().await), "AccessDenied");
    rig.root::<op::SetDefaultPolicyVersion>(types::SetDefaultPolicyVersionRequest {
        policy_arn: arn.clone(),
        version_id: "v2".into(),
    })
    .await;
    assert!(list().await.is_ok());

    for _ in 3..=5 {
        rig.root::<op::CreatePolicyVersion>(version(&arn, &allow("iam:*"), false))
            .await;
    }
    let sixth = rig
        .refused::<op::CreatePolicyVersion>(version(&arn, &allow("iam:*"), true))
        .await;
    assert_eq!(sixth, "LimitExceeded");
    let delete = |id: &str| types::DeletePolicyVersionRequest {
        policy_arn: arn.clone(),
        version_id: id.into(),
    };
    assert_eq!(
        rig.refused::<op::DeletePolicyVersion>(delete("v2")).await,
        "DeleteConflict"
    );
    rig.root::<op::DeletePolicyVersion>(delete("v5")).await;
    let next = rig
        .root::<op::CreatePolicyVersion>(version(&arn, &allow("iam:*"), true))
        .await;
    let next = next.policy_version.and_then(|version| version.version_id);
    assert_eq!(next.as_deref(), Some("v6"));
}

#[tokio::test]
async fn an_attached_policy_cannot_be_deleted() {
    let rig = Rig::new();
    rig.user("ann", "").await;
    let arn = create_policy(&rig, "p", &allow("s3:*")).await;
    rig.root::<op::AttachUserPolicy>(attach(&arn)).await;
    let delete = || types::DeletePolicyRequest {
        policy_arn: arn.clone(),
    };
    assert_eq!(
        rig.refused::<op::DeletePolicy>(delete()).await,
        "DeleteConflict"
    );
    let holders = rig
        .root::<op::ListEntitiesForPolicy>(types::ListEntitiesForPolicyRequest {
            policy_arn: arn.clone(),
            ..Default::default()
        })
        .await;
    let names: Vec<_> = holders
        .policy_users
        .into_iter()
        .flatten()
        .map(|u| u.user_name)
        .collect();
    assert_eq!(names, [Some("ann".to_owned())]);
    rig.root::<op::DetachUserPolicy>(types::DetachUserPolicyRequest {
        user_name: "ann".into(),
        policy_arn: arn.clone(),
    })
    .await;
    rig.root::<op::DeletePolicy>(delete()).await;
}

#[tokio::test]
async fn limits_of_number_and_size() {
    let rig = Rig::new();
    rig.user("ann", "").await;
    for number in 0..10 {
        let arn = create_policy(&rig, &format!("p{number}"), &allow("s3:*")).await;
        rig.root::<op::AttachUserPolicy>(attach(&arn)).await;
    }
    assert_eq!(
        rig.refused::<op::AttachUserPolicy>(attach(READ_ONLY)).await,
        "LimitExceeded"
    );
    let many: Vec<_> = (0..200)
        .map(|n| format!("s3:Action{n}{}", "a".repeat(30)))
        .collect();
    let long = allow(&many.join("\",\""))
        .replace("\"Action\":", "\"Action\":[")
        .replace(",\"Resource", "],\"Resource");
    let input = types::CreatePolicyRequest {
        policy_name: "long".into(),
        policy_document: long.clone(),
        ..Default::default()
    };
    assert_eq!(
        rig.refused::<op::CreatePolicy>(input).await,
        "LimitExceeded"
    );
    for (document, answer) in [
        (long.as_str(), "LimitExceeded"),
        ("{", "MalformedPolicyDocument"),
    ] {
        let input = types::PutUserPolicyRequest {
            user_name: "ann".into(),
            policy_name: "p".into(),
            policy_document: document.into(),
        };
        assert_eq!(rig.refused::<op::PutUserPolicy>(input).await, answer);
    }
}

#[tokio::test]
async fn texts_come_back_percent_encoded() {
    let rig = Rig::new();
    rig.user("ann", &allow("s3:*")).await;
    let got = rig
        .root::<op::GetUserPolicy>(types::GetUserPolicyRequest {
            user_name: "ann".into(),
            policy_name: "p".into(),
        })
        .await;
    assert!(
        got.policy_document
            .starts_with("%7B%22Version%22%3A%222012-10-17%22")
    );
}

#[tokio::test]
async fn a_boundary_bounds() {
    let rig = Rig::new();
    let key = rig.user("ann", &allow("iam:*")).await;
    let boundary = create_policy(&rig, "b", &allow("iam:Get*")).await;
    let put = |arn: &str| types::PutUserPermissionsBoundaryRequest {
        user_name: "ann".into(),
        permissions_boundary: arn.into(),
    };
    assert!(rig.call::<op::ListUsers>(&key, list_users()).await.is_ok());
    rig.root::<op::PutUserPermissionsBoundary>(put(&boundary))
        .await;
    let denied = rig
        .call::<op::ListUsers>(&key, list_users())
        .await
        .map(drop);
    assert!(
        denied
            .expect_err("bounded")
            .message
            .contains("no permissions boundary allows")
    );
    assert!(rig.call::<op::GetUser>(&key, get_user("ann")).await.is_ok());
    let delete = types::DeletePolicyRequest {
        policy_arn: boundary,
    };
    assert_eq!(
        rig.refused::<op::DeletePolicy>(delete).await,
        "DeleteConflict"
    );
    let nothing = put(&format!("arn:aws:iam::{ACCOUNT}:policy/nothing"));
    assert_eq!(
        rig.refused::<op::PutUserPermissionsBoundary>(nothing).await,
        "NoSuchEntity"
    );
}

#[tokio::test]
async fn condition_keys_of_a_request_reach_the_policies() {
    let rig = Rig::new();
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[
            {{"Effect":"Allow","Action":"iam:AttachUserPolicy","Resource":"*",
              "Condition":{{"ArnEquals":{{"iam:PolicyARN":"{READ_ONLY}"}}}}}},
            {{"Effect":"Allow","Action":["iam:CreateUser","iam:TagUser"],"Resource":"*",
              "Condition":{{"StringEquals":{{"aws:RequestTag/team":"blue"}},
                            "ForAllValues:StringEquals":{{"aws:TagKeys":["team"]}}}}}},
            {{"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${{aws:username}}"}}]}}"#
    );
    let key = rig.user("ann", &policy).await;
    assert!(
        rig.call::<op::AttachUserPolicy>(&key, attach(READ_ONLY))
            .await
            .is_ok()
    );
    let admin = attach("arn:aws:iam::aws:policy/AdministratorAccess");
    assert_eq!(
        code(rig.call::<op::AttachUserPolicy>(&key, admin).await),
        "AccessDenied"
    );
    let create = |name: &str, tags: &[(&str, &str)]| types::CreateUserRequest {
        user_name: name.into(),
        tags: Some(
            tags.iter()
                .map(|(key, value)| types::Tag {
                    key: (*key).into(),
                    value: (*value).into(),
                })
                .collect(),
        ),
        ..Default::default()
    };
    for (name, tags, answer) in [
        ("u1", &[("team", "blue")][..], "no error"),
        ("u2", &[("team", "red")], "AccessDenied"),
        ("u3", &[("team", "blue"), ("x", "y")], "AccessDenied"),
        ("u4", &[], "AccessDenied"),
    ] {
        assert_eq!(
            code(rig.call::<op::CreateUser>(&key, create(name, tags)).await),
            answer,
            "{name}"
        );
    }
    // With IAMReadOnlyAccess attached above everybody can be read, so take it off again.
    rig.root::<op::DetachUserPolicy>(types::DetachUserPolicyRequest {
        user_name: "ann".into(),
        policy_arn: READ_ONLY.into(),
    })
    .await;
    assert!(rig.call::<op::GetUser>(&key, get_user("ann")).await.is_ok());
    assert_eq!(
        code(rig.call::<op::GetUser>(&key, get_user("u1")).await),
        "AccessDenied"
    );
}

#[tokio::test]
async fn the_simulator_says_what_the_real_call_does() {
    let rig = Rig::new();
    let key = rig.user("ann", &allow("iam:List*")).await;
    let ask = |action: &str| types::SimulatePrincipalPolicyRequest {
        policy_source_arn: user_arn("ann"),
        action_names: vec![action.into()],
        ..Default::default()
    };
    for (policy, decision) in [
        (allow("iam:List*"), "allowed"),
        (allow("iam:Get*"), "implicitDeny"),
        (statement("Deny", "*"), "explicitDeny"),
    ] {
        rig.put_policy("ann", &policy).await;
        let results = rig
            .root::<op::SimulatePrincipalPolicy>(ask("iam:ListUsers"))
            .await;
        let results = results.evaluation_results.unwrap_or_default();
        let decisions: Vec<_> = results
            .iter()
            .map(|result| &*result.eval_decision)
            .collect();
        assert_eq!(decisions, [decision]);
        let really = rig.call::<op::ListUsers>(&key, list_users()).await.is_ok();
        assert_eq!(really, decision == "allowed");
    }
}

#[tokio::test]
async fn a_simulation_tells_statements_missing_keys_and_pages() {
    let rig = Rig::new();
    let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*",
        "Condition":{"StringEquals":{"aws:PrincipalTag/team":"blue"}}}}"#;
    let ask = |context: Option<Vec<types::ContextEntry>>| types::SimulateCustomPolicyRequest {
        policy_input_list: vec![policy.into()],
        action_names: vec!["s3:GetObject".into(), "sqs:SendMessage".into()],
        resource_arns: Some(vec!["arn:aws:s3:::b/1".into(), "arn:aws:s3:::b/2".into()]),
        context_entries: context,
        max_items: Some(3),
        ..Default::default()
    };
    let without = rig.root::<op::SimulateCustomPolicy>(ask(None)).await;
    assert_eq!(without.is_truncated, Some(true));
    let first = without
        .evaluation_results
        .unwrap_or_default()
        .swap_remove(0);
    assert_eq!(first.eval_decision, "implicitDeny");
    assert_eq!(
        first.missing_context_values,
        Some(vec!["aws:PrincipalTag/team".into()])
    );
    let entry = types::ContextEntry {
        context_key_name: Some("aws:principaltag/team".into()),
        context_key_values: Some(vec!["blue".into()]),
        context_key_type: Some("string".into()),
    };
    let with = rig
        .root::<op::SimulateCustomPolicy>(ask(Some(vec![entry])))
        .await;
    let decisions: Vec<_> = with
        .evaluation_results
        .iter()
        .flatten()
        .map(|r| &*r.eval_decision)
        .collect();
    assert_eq!(decisions, ["allowed", "allowed", "implicitDeny"]);
    let matched = with
        .evaluation_results
        .iter()
        .flatten()
        .next()
        .and_then(|r| r.matched_statements.clone());
    let matched = matched.unwrap_or_default();
    assert_eq!(
        matched[0].source_policy_id.as_deref(),
        Some("PolicyInputList.1")
    );
    assert_eq!(
        matched[0].start_position.as_ref().and_then(|p| p.line),
        Some(1)
    );
}
