//! Roles, whom they trust, instance profiles, service-linked roles.

use super::*;

async fn delete_user(rig: &Rig, name: &str, key: &str) {
    rig.root::<op::DeleteAccessKey>(types::DeleteAccessKeyRequest {
        user_name: Some(name.into()),
        access_key_id: key.into(),
    })
    .await;
    rig.root::<op::DeleteUser>(types::DeleteUserRequest {
        user_name: name.into(),
    })
    .await;
}

fn get_role(name: &str) -> types::GetRoleRequest {
    types::GetRoleRequest {
        role_name: name.into(),
    }
}

fn assume(name: &str) -> gureum_model_sts::types::AssumeRoleRequest {
    gureum_model_sts::types::AssumeRoleRequest {
        role_arn: format!("arn:aws:iam::{ACCOUNT}:role/{name}"),
        role_session_name: "session".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_namesake_of_a_trusted_user_is_somebody_else() {
    type AssumeRole = gureum_model_sts::op::AssumeRole;
    let rig = Rig::new();
    let key = rig.user("ann", "").await;
    let principal = format!(r#"{{"AWS":"{}"}}"#, user_arn("ann"));
    rig.role("r", &trusting(&principal)).await;
    assert!(rig.call::<AssumeRole>(&key, assume("r")).await.is_ok());
    let trust = |role: types::Role| role.assume_role_policy_document.unwrap_or_default();
    let before = trust(rig.root::<op::GetRole>(get_role("r")).await.role);
    assert!(before.contains("user%2Fann"));

    let rename = |from: &str, to: &str| types::UpdateUserRequest {
        user_name: from.into(),
        new_user_name: Some(to.into()),
        new_path: None,
    };
    rig.root::<op::UpdateUser>(rename("ann", "anna")).await;
    assert!(rig.call::<AssumeRole>(&key, assume("r")).await.is_ok());
    let renamed = trust(rig.root::<op::GetRole>(get_role("r")).await.role);
    assert!(renamed.contains("user%2Fanna"));
    rig.root::<op::UpdateUser>(rename("anna", "ann")).await;

    let id = rig.root::<op::GetUser>(get_user("ann")).await.user.user_id;
    delete_user(&rig, "ann", &key).await;
    let namesake = rig.user("ann", "").await;
    assert_eq!(
        code(rig.call::<AssumeRole>(&namesake, assume("r")).await),
        "AccessDenied"
    );
    let after = trust(rig.root::<op::GetRole>(get_role("r")).await.role);
    assert!(after.contains(&id) && !after.contains("user%2Fann"));

    rig.root::<op::UpdateAssumeRolePolicy>(types::UpdateAssumeRolePolicyRequest {
        role_name: "r".into(),
        policy_document: trusting(&principal),
    })
    .await;
    assert!(rig.call::<AssumeRole>(&namesake, assume("r")).await.is_ok());
}

#[tokio::test]
async fn a_trust_policy_names_nobody_who_does_not_exist() {
    let rig = Rig::new();
    for principal in [
        format!(r#"{{"AWS":"{}"}}"#, user_arn("nobody")),
        r#"{"AWS":["AROAABCDEFGHIJKLMNOPQ"]}"#.to_owned(),
    ] {
        let input = types::CreateRoleRequest {
            role_name: "r".into(),
            assume_role_policy_document: trusting(&principal),
            ..Default::default()
        };
        assert_eq!(
            rig.refused::<op::CreateRole>(input).await,
            "MalformedPolicyDocument"
        );
    }
}

#[tokio::test]
async fn a_role_in_a_profile_stays() {
    let rig = Rig::new();
    let role = rig
        .role("r", &trusting(r#"{"Service":"ec2.amazonaws.com"}"#))
        .await;
    assert!(role.role_id.starts_with("AROA"));
    let profile = String::from("p");
    rig.root::<op::CreateInstanceProfile>(types::CreateInstanceProfileRequest {
        instance_profile_name: profile.clone(),
        ..Default::default()
    })
    .await;
    let add = || types::AddRoleToInstanceProfileRequest {
        instance_profile_name: profile.clone(),
        role_name: "r".into(),
    };
    rig.root::<op::AddRoleToInstanceProfile>(add()).await;
    assert_eq!(
        rig.refused::<op::AddRoleToInstanceProfile>(add()).await,
        "LimitExceeded"
    );
    let delete = || types::DeleteRoleRequest {
        role_name: "r".into(),
    };
    assert_eq!(
        rig.refused::<op::DeleteRole>(delete()).await,
        "DeleteConflict"
    );
    let got = rig
        .root::<op::GetInstanceProfile>(types::GetInstanceProfileRequest {
            instance_profile_name: profile.clone(),
        })
        .await;
    assert_eq!(got.instance_profile.roles[0].role_id, role.role_id);
    rig.root::<op::RemoveRoleFromInstanceProfile>(types::RemoveRoleFromInstanceProfileRequest {
        instance_profile_name: profile,
        role_name: "r".into(),
    })
    .await;
    rig.root::<op::DeleteRole>(delete()).await;
}

#[tokio::test]
async fn filling_a_profile_takes_the_right_to_pass_the_role() {
    let rig = Rig::new();
    rig.role("r", &trusting(r#"{"Service":"ec2.amazonaws.com"}"#))
        .await;
    rig.root::<op::CreateInstanceProfile>(types::CreateInstanceProfileRequest {
        instance_profile_name: "p".into(),
        ..Default::default()
    })
    .await;
    let key = rig
        .user("ann", &allow("iam:AddRoleToInstanceProfile"))
        .await;
    let add = || types::AddRoleToInstanceProfileRequest {
        instance_profile_name: "p".into(),
        role_name: "r".into(),
    };
    let denied = rig
        .call::<op::AddRoleToInstanceProfile>(&key, add())
        .await
        .map(drop);
    assert!(
        denied
            .expect_err("no PassRole")
            .message
            .contains("iam:PassRole")
    );
    rig.put_policy("ann", &allow("iam:*Role*")).await;
    assert!(
        rig.call::<op::AddRoleToInstanceProfile>(&key, add())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_service_linked_role_is_its_services_alone() {
    let rig = Rig::new();
    let create = || types::CreateServiceLinkedRoleRequest {
        aws_service_name: "autoscaling.amazonaws.com".into(),
        ..Default::default()
    };
    let role = rig
        .root::<op::CreateServiceLinkedRole>(create())
        .await
        .role
        .unwrap_or_default();
    assert_eq!(
        role.arn,
        format!(
            "arn:aws:iam::{ACCOUNT}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
        )
    );
    assert_eq!(
        rig.refused::<op::CreateServiceLinkedRole>(create()).await,
        "InvalidInput"
    );
    let name = role.role_name;
    let attach = types::AttachRolePolicyRequest {
        role_name: name.clone(),
        policy_arn: "arn:aws:iam::aws:policy/AdministratorAccess".into(),
    };
    assert_eq!(
        rig.refused::<op::AttachRolePolicy>(attach).await,
        "UnmodifiableEntity"
    );
    let delete = types::DeleteRoleRequest {
        role_name: name.clone(),
    };
    assert_eq!(
        rig.refused::<op::DeleteRole>(delete).await,
        "UnmodifiableEntity"
    );
    let task = rig
        .root::<op::DeleteServiceLinkedRole>(types::DeleteServiceLinkedRoleRequest {
            role_name: name.clone(),
        })
        .await;
    let status = || types::GetServiceLinkedRoleDeletionStatusRequest {
        deletion_task_id: task.deletion_task_id.clone(),
    };
    let answer = rig
        .root::<op::GetServiceLinkedRoleDeletionStatus>(status())
        .await;
    assert_eq!(answer.status, "SUCCEEDED");
    assert_eq!(
        rig.refused::<op::GetRole>(get_role(&name)).await,
        "NoSuchEntity"
    );
    rig.advance(2 * 24 * 3600);
    rig.iam.tidy().await.expect("tidy");
    let gone = rig
        .refused::<op::GetServiceLinkedRoleDeletionStatus>(status())
        .await;
    assert_eq!(gone, "NoSuchEntity");
}

#[tokio::test]
async fn the_overview_shows_everything_once_over_all_pages() {
    let rig = Rig::new();
    rig.user("ann", &allow("s3:*")).await;
    rig.role("r", &trusting(r#"{"Service":"ec2.amazonaws.com"}"#))
        .await;
    rig.root::<op::CreateGroup>(types::CreateGroupRequest {
        group_name: "g".into(),
        path: None,
    })
    .await;
    rig.root::<op::AttachUserPolicy>(types::AttachUserPolicyRequest {
        user_name: "ann".into(),
        policy_arn: "arn:aws:iam::aws:policy/ReadOnlyAccess".into(),
    })
    .await;
    let (mut counts, mut marker) = ([0; 4], None);
    loop {
        let page = rig
            .root::<op::GetAccountAuthorizationDetails>(
                types::GetAccountAuthorizationDetailsRequest {
                    max_items: Some(1),
                    marker,
                    ..Default::default()
                },
            )
            .await;
        counts[0] += page.user_detail_list.iter().flatten().count();
        counts[1] += page.group_detail_list.iter().flatten().count();
        counts[2] += page.role_detail_list.iter().flatten().count();
        counts[3] += page.policies.iter().flatten().count();
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(counts, [1, 1, 1, 1]);
}
