//! Instance profiles: what hands a role to an instance.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx};
use gureum_kit::names::id;
use gureum_model_iam::{op, types};
use gureum_schema::Result;

use crate::entity::{Entity, Named};
use crate::errors::{Fault, Outcome};
use crate::model::{InstanceProfile, Role, fold};
use crate::ops::roles::profiles_of;
use crate::page::Ask as Paging;
use crate::{Iam, Table, ask, names, view};

/// Instance profiles that an account may have.
const QUOTA: usize = 1000;

#[rustfmt::skip]
pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::CreateInstanceProfile, _>(
            |_, cx, i| ask::one(cx, ask::create(cx, "iam:CreateInstanceProfile", "instance-profile", i.path.as_ref(), &i.instance_profile_name, i.tags.as_ref())),
            create_instance_profile,
        )
        .op::<op::GetInstanceProfile, _>(
            |iam, cx, i| ask::one(cx, ask::profile(iam, cx, "iam:GetInstanceProfile", &i.instance_profile_name)?),
            get_instance_profile,
        )
        .op::<op::ListInstanceProfiles, _>(
            |_, cx, i| ask::listing(cx, "iam:ListInstanceProfiles", "instance-profile", i.path_prefix.as_ref()),
            list_instance_profiles,
        )
        .op::<op::ListInstanceProfilesForRole, _>(
            |iam, cx, i| ask::on::<Role>(iam, cx, "iam:ListInstanceProfilesForRole", &i.role_name),
            list_instance_profiles_for_role,
        )
        .op::<op::AddRoleToInstanceProfile, _>(asks_add_role, add_role_to_instance_profile)
        .op::<op::RemoveRoleFromInstanceProfile, _>(
            |iam, cx, i| ask::one(cx, ask::profile(iam, cx, "iam:RemoveRoleFromInstanceProfile", &i.instance_profile_name)?),
            remove_role_from_instance_profile,
        )
        .op::<op::DeleteInstanceProfile, _>(
            |iam, cx, i| ask::one(cx, ask::profile(iam, cx, "iam:DeleteInstanceProfile", &i.instance_profile_name)?),
            delete_instance_profile,
        )
}

/// Whoever puts a role into a profile passes it on to the instances.
fn asks_add_role(
    iam: &Iam,
    cx: &Cx,
    input: &types::AddRoleToInstanceProfileRequest,
) -> Result<Vec<Ask>> {
    let profile = ask::profile(
        iam,
        cx,
        "iam:AddRoleToInstanceProfile",
        &input.instance_profile_name,
    )?;
    let mut asks = ask::one(cx, profile)?;
    let pass = ask::entity::<Role>(iam, cx, "iam:PassRole", &input.role_name)?;
    asks.push(pass.key("iam:PassedToService", "ec2.amazonaws.com"));
    Ok(asks)
}

async fn create_instance_profile(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::CreateInstanceProfileRequest,
) -> Result<types::CreateInstanceProfileResponse> {
    names::name("instanceProfileName", &input.instance_profile_name, 128)?;
    let profile = InstanceProfile {
        account: *cx.account(),
        path: names::path(input.path.as_deref())?,
        name: input.instance_profile_name,
        id: id::unique(id::Kind::InstanceProfile),
        created: cx.now,
        tags: names::tags(input.tags.as_deref().unwrap_or_default())?,
        role: None,
    };
    iam.write(|tx| {
        if InstanceProfile::lookup(tx, &profile.account, &profile.name)?.is_some() {
            return Err(Fault::already_exists(format!(
                "Instance Profile {} already exists.",
                profile.name
            )));
        }
        super::room_for::<InstanceProfile>(
            tx,
            &profile.account,
            QUOTA,
            "InstanceProfilesPerAccount",
        )?;
        Ok(tx.put(&profile)?)
    })
    .await?;
    Ok(types::CreateInstanceProfileResponse {
        instance_profile: view::instance_profile(&iam.store.read(), &profile)?,
    })
}

async fn get_instance_profile(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetInstanceProfileRequest,
) -> Result<types::GetInstanceProfileResponse> {
    let reader = iam.store.read();
    let profile = InstanceProfile::find(&reader, cx.account(), &input.instance_profile_name)?;
    Ok(types::GetInstanceProfileResponse {
        instance_profile: view::instance_profile(&reader, &profile)?,
    })
}

async fn list_instance_profiles(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ListInstanceProfilesRequest,
) -> Result<types::ListInstanceProfilesResponse> {
    let reader = iam.store.read();
    let page = Paging::new(input.marker.as_deref(), input.max_items)?.rows(
        &reader,
        cx.account(),
        |profile: &InstanceProfile| super::below(&profile.path, input.path_prefix.as_ref()),
    )?;
    let profiles = page
        .items
        .iter()
        .map(|p| view::instance_profile(&reader, p));
    Ok(types::ListInstanceProfilesResponse {
        is_truncated: page.truncated(),
        instance_profiles: profiles.collect::<Outcome<_>>()?,
        marker: page.marker,
    })
}

async fn list_instance_profiles_for_role(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ListInstanceProfilesForRoleRequest,
) -> Result<types::ListInstanceProfilesForRoleResponse> {
    let reader = iam.store.read();
    let role = Role::find(&reader, cx.account(), &input.role_name)?;
    let paging = Paging::new(input.marker.as_deref(), input.max_items)?;
    let profiles = profiles_of(&reader, cx.account(), &role.name)?;
    let page = paging.page(profiles, |profile| fold(&profile.name));
    let profiles = page
        .items
        .iter()
        .map(|p| view::instance_profile(&reader, p));
    Ok(types::ListInstanceProfilesForRoleResponse {
        is_truncated: page.truncated(),
        instance_profiles: profiles.collect::<Outcome<_>>()?,
        marker: page.marker,
    })
}

async fn add_role_to_instance_profile(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::AddRoleToInstanceProfileRequest,
) -> Result<types::AddRoleToInstanceProfileOutput> {
    iam.write(|tx| {
        let mut profile = InstanceProfile::find(tx, cx.account(), &input.instance_profile_name)?;
        let role = Role::find(tx, cx.account(), &input.role_name)?;
        role.modifiable()?;
        if profile.role.is_some() {
            return Err(Fault::quota("InstanceSessionsPerInstanceProfile", 1));
        }
        profile.role = Some(fold(&role.name));
        Ok(tx.put(&profile)?)
    })
    .await?;
    Ok(types::AddRoleToInstanceProfileOutput {})
}

async fn remove_role_from_instance_profile(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::RemoveRoleFromInstanceProfileRequest,
) -> Result<types::RemoveRoleFromInstanceProfileOutput> {
    iam.write(|tx| {
        let mut profile = InstanceProfile::find(tx, cx.account(), &input.instance_profile_name)?;
        if profile.role.take() != Some(fold(&input.role_name)) {
            return Err(Fault::not_found("role", &input.role_name));
        }
        Ok(tx.put(&profile)?)
    })
    .await?;
    Ok(types::RemoveRoleFromInstanceProfileOutput {})
}

async fn delete_instance_profile(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeleteInstanceProfileRequest,
) -> Result<types::DeleteInstanceProfileOutput> {
    iam.write(|tx| {
        let profile = InstanceProfile::find(tx, cx.account(), &input.instance_profile_name)?;
        if profile.role.is_some() {
            return Err(Fault::delete_conflict(
                "Cannot delete entity, must remove roles from instance profile first.",
            ));
        }
        Ok(tx.delete::<InstanceProfile>((cx.account(), fold(&profile.name)))?)
    })
    .await?;
    Ok(types::DeleteInstanceProfileOutput {})
}
