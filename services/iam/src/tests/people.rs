//! Users, groups, access keys, passwords.

use super::*;
use crate::model::User;
use gureum_kit::Reader;

fn delete_user(name: &str) -> types::DeleteUserRequest {
    types::DeleteUserRequest {
        user_name: name.into(),
    }
}

#[tokio::test]
async fn a_user_goes_away_only_when_nothing_is_left_of_it() {
    let rig = Rig::new();
    let key = rig.user("ann", &allow("s3:*")).await;
    assert_eq!(
        rig.refused::<op::DeleteUser>(delete_user("ann")).await,
        "DeleteConflict"
    );
    rig.root::<op::DeleteUserPolicy>(types::DeleteUserPolicyRequest {
        user_name: "ann".into(),
        policy_name: "p".into(),
    })
    .await;
    assert_eq!(
        rig.refused::<op::DeleteUser>(delete_user("ann")).await,
        "DeleteConflict"
    );
    rig.root::<op::DeleteAccessKey>(types::DeleteAccessKeyRequest {
        user_name: Some("ann".into()),
        access_key_id: key.clone(),
    })
    .await;
    rig.root::<op::DeleteUser>(delete_user("ann")).await;
    assert_eq!(
        rig.refused::<op::GetUser>(get_user("ann")).await,
        "NoSuchEntity"
    );
    assert!(rig.credential(&key).is_none());
}

#[tokio::test]
async fn names_are_one_whatever_their_case() {
    let rig = Rig::new();
    rig.user("Ann", "").await;
    let again = types::CreateUserRequest {
        user_name: "ann".into(),
        ..Default::default()
    };
    assert_eq!(
        rig.refused::<op::CreateUser>(again).await,
        "EntityAlreadyExists"
    );
    let user = rig.root::<op::GetUser>(get_user("ANN")).await.user;
    assert_eq!(
        (user.user_name.as_str(), user.arn),
        ("Ann", user_arn("Ann"))
    );
    assert!(user.user_id.starts_with("AIDA"));
}

#[tokio::test]
async fn two_keys_at_most_and_an_inactive_one_says_so() {
    let rig = Rig::new();
    let first = rig.user("ann", "").await;
    rig.key("ann").await;
    let third = types::CreateAccessKeyRequest {
        user_name: Some("ann".into()),
    };
    assert_eq!(
        rig.refused::<op::CreateAccessKey>(third).await,
        "LimitExceeded"
    );
    assert!(rig.credential(&first).is_some_and(|key| key.active));
    rig.root::<op::UpdateAccessKey>(types::UpdateAccessKeyRequest {
        user_name: Some("ann".into()),
        access_key_id: first.clone(),
        status: "Inactive".into(),
    })
    .await;
    assert!(rig.credential(&first).is_some_and(|key| !key.active));
}

#[tokio::test]
async fn a_renamed_user_keeps_its_keys_and_groups() {
    let rig = Rig::new();
    let key = rig.user("ann", &allow("iam:GetUser")).await;
    let group = types::CreateGroupRequest {
        group_name: "devs".into(),
        path: None,
    };
    rig.root::<op::CreateGroup>(group).await;
    rig.root::<op::AddUserToGroup>(types::AddUserToGroupRequest {
        group_name: "devs".into(),
        user_name: "ann".into(),
    })
    .await;
    rig.root::<op::UpdateUser>(types::UpdateUserRequest {
        user_name: "ann".into(),
        new_path: Some("/eng/".into()),
        new_user_name: Some("anna".into()),
    })
    .await;
    let caller = rig.credential(&key).expect("key").caller;
    assert_eq!(caller.arn, user_arn("eng/anna"));
    assert!(
        rig.call::<op::GetUser>(&key, types::GetUserRequest::default())
            .await
            .is_ok()
    );
    let members = rig
        .root::<op::GetGroup>(types::GetGroupRequest {
            group_name: "devs".into(),
            ..Default::default()
        })
        .await;
    let names: Vec<_> = members.users.iter().map(|user| &*user.user_name).collect();
    assert_eq!(names, ["anna"]);
}

#[tokio::test]
async fn a_group_grants_to_its_members() {
    let rig = Rig::new();
    let key = rig.user("ann", "").await;
    rig.root::<op::CreateGroup>(types::CreateGroupRequest {
        group_name: "readers".into(),
        path: None,
    })
    .await;
    rig.root::<op::AttachGroupPolicy>(types::AttachGroupPolicyRequest {
        group_name: "readers".into(),
        policy_arn: "arn:aws:iam::aws:policy/IAMReadOnlyAccess".into(),
    })
    .await;
    assert_eq!(
        code(rig.call::<op::ListUsers>(&key, list_users()).await),
        "AccessDenied"
    );
    let membership = (String::from("readers"), String::from("ann"));
    rig.root::<op::AddUserToGroup>(types::AddUserToGroupRequest {
        group_name: membership.0.clone(),
        user_name: membership.1.clone(),
    })
    .await;
    assert!(rig.call::<op::ListUsers>(&key, list_users()).await.is_ok());
    rig.root::<op::RemoveUserFromGroup>(types::RemoveUserFromGroupRequest {
        group_name: membership.0,
        user_name: membership.1,
    })
    .await;
    assert_eq!(
        code(rig.call::<op::ListUsers>(&key, list_users()).await),
        "AccessDenied"
    );
}

#[tokio::test]
async fn listings_come_in_pages_and_below_a_path() {
    let rig = Rig::new();
    for (name, path) in [("a", "/x/"), ("b", "/y/"), ("c", "/x/z/"), ("d", "/x/")] {
        rig.root::<op::CreateUser>(types::CreateUserRequest {
            user_name: name.into(),
            path: Some(path.into()),
            ..Default::default()
        })
        .await;
    }
    let (mut names, mut marker) = (Vec::new(), None);
    loop {
        let page = rig
            .root::<op::ListUsers>(types::ListUsersRequest {
                path_prefix: Some("/x/".into()),
                max_items: Some(2),
                marker,
            })
            .await;
        assert_eq!(page.is_truncated, Some(page.marker.is_some()));
        names.extend(page.users.into_iter().map(|user| user.user_name));
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(names, ["a", "c", "d"]);
}

#[tokio::test]
async fn passwords_are_kept_as_hashes_and_users_change_their_own() {
    let rig = Rig::new();
    let key = rig.user("ann", "").await;
    let profile = |password: &str| types::CreateLoginProfileRequest {
        user_name: Some("ann".into()),
        password: Some(password.into()),
        password_reset_required: None,
    };
    let short = rig
        .refused::<op::CreateLoginProfile>(profile("short"))
        .await;
    assert_eq!(short, "PasswordPolicyViolation");
    rig.root::<op::CreateLoginProfile>(profile("correct horse"))
        .await;
    let account: gureum_kit::AccountId = ACCOUNT.parse().expect("account");
    let user = rig
        .iam
        .store
        .read()
        .get::<User>((&account, "ann"))
        .expect("row")
        .expect("user");
    assert!(!format!("{user:?}").contains("horse"));

    let change = |old: &str, new: &str| types::ChangePasswordRequest {
        old_password: old.into(),
        new_password: new.into(),
    };
    let attempt = rig.call::<op::ChangePassword>(&key, change("correct horse", "battery staple"));
    assert_eq!(code(attempt.await), "AccessDenied");
    rig.root::<op::UpdateAccountPasswordPolicy>(types::UpdateAccountPasswordPolicyRequest {
        allow_users_to_change_password: Some(true),
        password_reuse_prevention: Some(3),
        ..Default::default()
    })
    .await;
    for (old, new, answer) in [
        ("wrong", "battery staple", "AccessDenied"),
        ("correct horse", "correct horse", "PasswordPolicyViolation"),
        ("correct horse", "battery staple", "no error"),
        ("battery staple", "correct horse", "PasswordPolicyViolation"),
    ] {
        let attempt = rig.call::<op::ChangePassword>(&key, change(old, new)).await;
        assert_eq!(code(attempt), answer, "{old} to {new}");
    }
}

#[tokio::test]
async fn the_last_use_of_a_key_is_known_before_and_after_it_is_written() {
    let rig = Rig::new();
    let key = rig.user("ann", "").await;
    let ask = || types::GetAccessKeyLastUsedRequest {
        access_key_id: key.clone(),
    };
    let used = |reply: types::GetAccessKeyLastUsedResponse| {
        let used = reply.access_key_last_used.expect("last used");
        (used.service_name, used.last_used_date)
    };
    assert_eq!(
        used(rig.root::<op::GetAccessKeyLastUsed>(ask()).await),
        ("N/A".into(), None)
    );
    let when = gureum_schema::Timestamp(START + 5);
    let caller = rig.credential(&key).expect("a key").caller;
    rig.iam.used(&caller, "sqs", "us-east-1", when);
    assert_eq!(
        used(rig.root::<op::GetAccessKeyLastUsed>(ask()).await),
        ("sqs".into(), Some(when))
    );
    assert_eq!(rig.iam.tidy().await.expect("tidy").uses, 1);
    assert_eq!(
        used(rig.root::<op::GetAccessKeyLastUsed>(ask()).await),
        ("sqs".into(), Some(when))
    );
    assert_eq!(rig.iam.tidy().await.expect("tidy").uses, 0);
}

#[tokio::test]
async fn the_credential_report_has_a_line_for_everybody() {
    let rig = Rig::new();
    let missing = rig
        .refused::<op::GetCredentialReport>(types::GetCredentialReportInput {})
        .await;
    assert_eq!(missing, "ReportNotPresent");
    rig.user("ann", "").await;
    rig.root::<op::GenerateCredentialReport>(types::GenerateCredentialReportInput {})
        .await;
    let report = rig
        .root::<op::GetCredentialReport>(types::GetCredentialReportInput {})
        .await;
    let text = String::from_utf8(report.content.expect("content").to_vec()).expect("text");
    let widths: Vec<_> = text.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(widths, [22, 22, 22]);
    assert!(text.contains("\nann,arn:aws:iam::123456789012:user/ann,"));
    rig.advance(4 * 3600 + 1);
    let old = rig
        .refused::<op::GetCredentialReport>(types::GetCredentialReportInput {})
        .await;
    assert_eq!(old, "ReportExpired");
}
