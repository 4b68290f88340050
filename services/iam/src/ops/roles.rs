//! Roles and their trust policies.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_kit::{AccountId, Reader, Scan, Tx};
use gureum_model_iam::{op, types};
use gureum_schema::Result;

use crate::entity::{Entity, Named};
use crate::errors::{Fault, Outcome};
use crate::model::{Grants, InstanceProfile, KeyUse, Role, fold};
use crate::ops::boundaries;
use crate::page::Ask as Paging;
use crate::{Iam, Table, ask, names, trust, view};

/// Roles that an account may have.
pub(super) const QUOTA: usize = 1000;
/// Seconds that a session may last unless the role says otherwise.
pub(super) const SESSION: i32 = 3600;

#[rustfmt::skip]
pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::CreateRole, _>(
            |_, cx, i| {
                let ask = ask::create(cx, "iam:CreateRole", "role", i.path.as_ref(), &i.role_name, i.tags.as_ref());
                ask::one(cx, ask.key_opt("iam:PermissionsBoundary", i.permissions_boundary.as_ref()))
            },
            create_role,
        )
        .op::<op::GetRole, _>(|iam, cx, i| ask::on::<Role>(iam, cx, "iam:GetRole", &i.role_name), get_role)
        .op::<op::ListRoles, _>(|_, cx, i| ask::listing(cx, "iam:ListRoles", "role", i.path_prefix.as_ref()), list_roles)
        .op::<op::UpdateRole, _>(|iam, cx, i| ask::on::<Role>(iam, cx, "iam:UpdateRole", &i.role_name), update_role)
        .op::<op::UpdateRoleDescription, _>(|iam, cx, i| ask::on::<Role>(iam, cx, "iam:UpdateRoleDescription", &i.role_name), update_role_description)
        .op::<op::UpdateAssumeRolePolicy, _>(|iam, cx, i| ask::on::<Role>(iam, cx, "iam:UpdateAssumeRolePolicy", &i.role_name), update_assume_role_policy)
        .op::<op::DeleteRole, _>(|iam, cx, i| ask::on::<Role>(iam, cx, "iam:DeleteRole", &i.role_name), delete_role)
}

async fn create_role(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::CreateRoleRequest,
) -> Result<types::CreateRoleResponse> {
    names::name("roleName", &input.role_name, 64)?;
    let path = names::path(input.path.as_deref())?;
    if path.starts_with("/aws-service-role/") {
        return Err(Fault::validation(
            "The path /aws-service-role/ is reserved for service-linked roles.",
        )
        .into());
    }
    let tags = names::tags(input.tags.as_deref().unwrap_or_default())?;
    let max_session = input.max_session_duration.unwrap_or(SESSION);
    check_session(max_session)?;
    check_description(input.description.as_deref())?;
    let id = id::unique(id::Kind::Role);
    let role = iam
        .write(|tx| {
            let role = Role {
                account: *cx.account(),
                name: input.role_name.clone(),
                path: path.clone(),
                id: id.clone(),
                created: cx.now,
                description: input.description.clone(),
                max_session,
                trust: trust::bind(tx, &input.assume_role_policy_document)?,
                tags: tags.clone(),
                grants: Grants {
                    boundary: input.permissions_boundary.clone(),
                    ..Grants::default()
                },
                linked_service: None,
            };
            add(tx, &role)?;
            boundaries::note(tx, &role, None)?;
            Ok(role)
        })
        .await?;
    Ok(types::CreateRoleResponse {
        role: types::Role {
            role_last_used: None,
            ..view::role_in_full(&iam.store.read(), &role, None)?
        },
    })
}

/// Puts a new role, whose name must be free.
pub(super) fn add(tx: &mut Tx, role: &Role) -> Outcome<()> {
    if Role::lookup(tx, &role.account, &role.name)?.is_some() {
        return Err(Fault::already_exists(format!(
            "Role with name {} already exists.",
            role.name
        )));
    }
    super::room_for::<Role>(tx, &role.account, QUOTA, "RolesPerAccount")?;
    Ok(tx.put(role)?)
}

fn check_session(seconds: i32) -> Outcome<()> {
    if (3600..=43_200).contains(&seconds) {
        return Ok(());
    }
    let (word, bound) = if seconds < 3600 {
        ("greater", 3600)
    } else {
        ("less", 43_200)
    };
    Err(Fault::validation(format!(
        "1 validation error detected: Value '{seconds}' at 'maxSessionDuration' failed to satisfy constraint: Member must have value {word} than or equal to {bound}"
    )))
}

pub(super) fn check_description(text: Option<&str>) -> Outcome<()> {
    if text.is_none_or(|text| text.chars().count() <= 1000) {
        return Ok(());
    }
    Err(Fault::validation(
        "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to 1000",
    ))
}

async fn get_role(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetRoleRequest,
) -> Result<types::GetRoleResponse> {
    let reader = iam.store.read();
    let role = Role::find(&reader, cx.account(), &input.role_name)?;
    let used = iam.last_used(&reader, &role.id)?;
    Ok(types::GetRoleResponse {
        role: view::role_in_full(&reader, &role, used)?,
    })
}

async fn list_roles(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ListRolesRequest,
) -> Result<types::ListRolesResponse> {
    let reader = iam.store.read();
    let page = Paging::new(input.marker.as_deref(), input.max_items)?.rows(
        &reader,
        cx.account(),
        |role: &Role| super::below(&role.path, input.path_prefix.as_ref()),
    )?;
    let roles = page.items.iter().map(|role| view::role(&reader, role));
    Ok(types::ListRolesResponse {
        is_truncated: page.truncated(),
        roles: roles.collect::<Outcome<_>>()?,
        marker: page.marker,
    })
}

/// Changes a role that users may change.
async fn change(
    iam: &Iam,
    cx: &Cx,
    name: &str,
    mut change: impl FnMut(&mut Tx, &mut Role) -> Outcome<()> + Send,
) -> Outcome<Role> {
    iam.write(|tx| {
        let mut role = Role::find(tx, cx.account(), name)?;
        role.modifiable()?;
        change(tx, &mut role)?;
        tx.put(&role)?;
        Ok(role)
    })
    .await
}

/// What is left out stays as it is.
async fn update_role(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::UpdateRoleRequest,
) -> Result<types::UpdateRoleResponse> {
    check_description(input.description.as_deref())?;
    input.max_session_duration.map_or(Ok(()), check_session)?;
    change(&iam, &cx, &input.role_name, |_, role| {
        if input.description.is_some() {
            role.description.clone_from(&input.description);
        }
        role.max_session = input.max_session_duration.unwrap_or(role.max_session);
        Ok(())
    })
    .await?;
    Ok(types::UpdateRoleResponse {})
}

async fn update_role_description(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::UpdateRoleDescriptionRequest,
) -> Result<types::UpdateRoleDescriptionResponse> {
    check_description(Some(&input.description))?;
    let role = change(&iam, &cx, &input.role_name, |_, role| {
        role.description = Some(input.description.clone());
        Ok(())
    })
    .await?;
    Ok(types::UpdateRoleDescriptionResponse {
        role: Some(view::role(&iam.store.read(), &role)?),
    })
}

async fn update_assume_role_policy(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::UpdateAssumeRolePolicyRequest,
) -> Result<types::UpdateAssumeRolePolicyOutput> {
    change(&iam, &cx, &input.role_name, |tx, role| {
        role.trust = trust::bind(tx, &input.policy_document)?;
        Ok(())
    })
    .await?;
    Ok(types::UpdateAssumeRolePolicyOutput {})
}

async fn delete_role(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeleteRoleRequest,
) -> Result<types::DeleteRoleOutput> {
    iam.write(|tx| {
        let role = Role::find(tx, cx.account(), &input.role_name)?;
        role.modifiable()?;
        super::free_of_policies(&role.grants)?;
        if !profiles_of(tx, cx.account(), &role.name)?.is_empty() {
            return Err(Fault::delete_conflict(
                "Cannot delete entity, must remove roles from instance profile first.",
            ));
        }
        remove(tx, &role)
    })
    .await?;
    Ok(types::DeleteRoleOutput {})
}

/// Takes a role away; its sessions stop working with it.
pub(super) fn remove(tx: &mut Tx, role: &Role) -> Outcome<()> {
    boundaries::forget(tx, role)?;
    tx.delete::<KeyUse>(&role.id)?;
    Ok(tx.delete::<Role>((&role.account, fold(&role.name)))?)
}

/// The instance profiles that a role is in.
pub(super) fn profiles_of(
    reader: &impl Reader,
    account: &AccountId,
    role: &str,
) -> Outcome<Vec<InstanceProfile>> {
    let role = fold(role);
    let mut profiles = Vec::new();
    for profile in reader.scan(Scan::<InstanceProfile>::of((account,))) {
        let profile = profile?;
        if profile.role.as_ref() == Some(&role) {
            profiles.push(profile);
        }
    }
    Ok(profiles)
}
