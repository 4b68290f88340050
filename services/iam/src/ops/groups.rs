//! Groups and who is in them.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_kit::{AccountId, Reader, Scan, Tx};
use gureum_model_iam::{op, types};
use gureum_schema::Result;

use crate::entity::Named;
use crate::errors::{Fault, Outcome};
use crate::model::{EntityKind, Grants, Group, Member, User, fold};
use crate::page::Ask as Paging;
use crate::{Iam, Table, ask, names, view};

/// Groups that an account may have.
const QUOTA: usize = 300;
/// Groups that a user may be in.
const PER_USER: usize = 10;

#[rustfmt::skip]
pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::CreateGroup, _>(
            |_, cx, i| ask::one(cx, ask::create(cx, "iam:CreateGroup", "group", i.path.as_ref(), &i.group_name, None)),
            create_group,
        )
        .op::<op::GetGroup, _>(|iam, cx, i| ask::on::<Group>(iam, cx, "iam:GetGroup", &i.group_name), get_group)
        .op::<op::ListGroups, _>(|_, cx, i| ask::listing(cx, "iam:ListGroups", "group", i.path_prefix.as_ref()), list_groups)
        .op::<op::UpdateGroup, _>(|iam, cx, i| ask::on::<Group>(iam, cx, "iam:UpdateGroup", &i.group_name), update_group)
        .op::<op::DeleteGroup, _>(|iam, cx, i| ask::on::<Group>(iam, cx, "iam:DeleteGroup", &i.group_name), delete_group)
        .op::<op::AddUserToGroup, _>(|iam, cx, i| ask::on::<Group>(iam, cx, "iam:AddUserToGroup", &i.group_name), add_user_to_group)
        .op::<op::RemoveUserFromGroup, _>(|iam, cx, i| ask::on::<Group>(iam, cx, "iam:RemoveUserFromGroup", &i.group_name), remove_user_from_group)
        .op::<op::ListGroupsForUser, _>(|iam, cx, i| ask::on::<User>(iam, cx, "iam:ListGroupsForUser", &i.user_name), list_groups_for_user)
}

async fn create_group(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::CreateGroupRequest,
) -> Result<types::CreateGroupResponse> {
    names::name("groupName", &input.group_name, 128)?;
    let group = Group {
        account: *cx.account(),
        path: names::path(input.path.as_deref())?,
        name: input.group_name,
        id: id::unique(id::Kind::Group),
        created: cx.now,
        grants: Grants::default(),
    };
    iam.write(|tx| {
        if Group::lookup(tx, &group.account, &group.name)?.is_some() {
            return Err(exists(&group.name));
        }
        super::room_for::<Group>(tx, &group.account, QUOTA, "GroupsPerAccount")?;
        Ok(tx.put(&group)?)
    })
    .await?;
    Ok(types::CreateGroupResponse {
        group: view::group(&group),
    })
}

fn exists(name: &str) -> Fault {
    Fault::already_exists(format!("Group with name {name} already exists."))
}

/// The users of a group, in the order of their folded names.
fn members(reader: &impl Reader, account: &AccountId, group: &str) -> Outcome<Vec<User>> {
    let mut users = Vec::new();
    for member in reader.scan(Scan::<Member>::of((account, fold(group)))) {
        users.extend(User::lookup(reader, account, &member?.user)?);
    }
    Ok(users)
}

async fn get_group(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetGroupRequest,
) -> Result<types::GetGroupResponse> {
    let reader = iam.store.read();
    let group = Group::find(&reader, cx.account(), &input.group_name)?;
    let members = members(&reader, cx.account(), &group.name)?;
    let paging = Paging::new(input.marker.as_deref(), input.max_items)?;
    let page = paging.page(members, |user| fold(&user.name));
    Ok(types::GetGroupResponse {
        group: view::group(&group),
        is_truncated: page.truncated(),
        users: page.items.iter().map(view::user).collect(),
        marker: page.marker,
    })
}

async fn list_groups(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ListGroupsRequest,
) -> Result<types::ListGroupsResponse> {
    let page = Paging::new(input.marker.as_deref(), input.max_items)?.rows(
        &iam.store.read(),
        cx.account(),
        |group: &Group| super::below(&group.path, input.path_prefix.as_ref()),
    )?;
    Ok(types::ListGroupsResponse {
        is_truncated: page.truncated(),
        groups: page.items.iter().map(view::group).collect(),
        marker: page.marker,
    })
}

async fn update_group(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::UpdateGroupRequest,
) -> Result<types::UpdateGroupOutput> {
    let path = input
        .new_path
        .as_deref()
        .map(|path| names::path(Some(path)))
        .transpose()?;
    if let Some(name) = &input.new_group_name {
        names::name("newGroupName", name, 128)?;
    }
    iam.write(|tx| {
        let mut group = Group::find(tx, cx.account(), &input.group_name)?;
        if let Some(path) = &path {
            group.path.clone_from(path);
        }
        match &input.new_group_name {
            Some(name) => rename(tx, group, name),
            None => Ok(tx.put(&group)?),
        }
    })
    .await?;
    Ok(types::UpdateGroupOutput {})
}

/// A renamed group keeps its id, its policies and its users.
fn rename(tx: &mut Tx, mut group: Group, name: &str) -> Outcome<()> {
    let account = group.account;
    let (was, is) = (fold(&group.name), fold(name));
    name.clone_into(&mut group.name);
    if was != is {
        if tx.has::<Group>((&account, &*is))? {
            return Err(exists(name));
        }
        for mut user in members(tx, &account, &was)? {
            user.groups.remove(&was);
            user.groups.insert(is.clone());
            let user_name = fold(&user.name);
            tx.put(&user)?;
            tx.delete::<Member>((&account, &*was, &*user_name))?;
            tx.put(&Member {
                account,
                group: is.clone(),
                user: user_name,
            })?;
        }
        super::rename_uses(tx, &group, EntityKind::Group, &was, &is)?;
        tx.delete::<Group>((&account, &*was))?;
    }
    Ok(tx.put(&group)?)
}

async fn delete_group(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeleteGroupRequest,
) -> Result<types::DeleteGroupOutput> {
    iam.write(|tx| {
        let group = Group::find(tx, cx.account(), &input.group_name)?;
        if !members(tx, cx.account(), &group.name)?.is_empty() {
            return Err(Fault::delete_conflict(
                "Cannot delete entity, must remove users from group first.",
            ));
        }
        super::free_of_policies(&group.grants)?;
        Ok(tx.delete::<Group>((cx.account(), fold(&group.name)))?)
    })
    .await?;
    Ok(types::DeleteGroupOutput {})
}

/// Adding a user that is in the group already changes nothing.
async fn add_user_to_group(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::AddUserToGroupRequest,
) -> Result<types::AddUserToGroupOutput> {
    iam.write(|tx| {
        let group = fold(&Group::find(tx, cx.account(), &input.group_name)?.name);
        let mut user = User::find(tx, cx.account(), &input.user_name)?;
        user.groups.insert(group.clone());
        if user.groups.len() > PER_USER {
            return Err(Fault::quota("GroupsPerUser", PER_USER));
        }
        tx.put(&Member {
            account: user.account,
            group,
            user: fold(&user.name),
        })?;
        Ok(tx.put(&user)?)
    })
    .await?;
    Ok(types::AddUserToGroupOutput {})
}

async fn remove_user_from_group(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::RemoveUserFromGroupRequest,
) -> Result<types::RemoveUserFromGroupOutput> {
    iam.write(|tx| {
        let group = fold(&Group::find(tx, cx.account(), &input.group_name)?.name);
        let mut user = User::find(tx, cx.account(), &input.user_name)?;
        if !user.groups.remove(&group) {
            return Err(Fault::no_such_entity(format!(
                "User {} not in group {}",
                input.user_name, input.group_name
            )));
        }
        tx.delete::<Member>((cx.account(), group, fold(&user.name)))?;
        Ok(tx.put(&user)?)
    })
    .await?;
    Ok(types::RemoveUserFromGroupOutput {})
}

async fn list_groups_for_user(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ListGroupsForUserRequest,
) -> Result<types::ListGroupsForUserResponse> {
    let reader = iam.store.read();
    let user = User::find(&reader, cx.account(), &input.user_name)?;
    let paging = Paging::new(input.marker.as_deref(), input.max_items)?;
    let page = paging.page(user.groups, String::clone);
    let groups = page.items.iter().map(|name| {
        let group = Group::find(&reader, cx.account(), name)?;
        Ok(view::group(&group))
    });
    Ok(types::ListGroupsForUserResponse {
        is_truncated: page.truncated(),
        groups: groups.collect::<Outcome<_>>()?,
        marker: page.marker,
    })
}
