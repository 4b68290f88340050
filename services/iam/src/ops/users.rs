//! Users: create, read, rename, delete.

use std::collections::BTreeSet;
use std::sync::Arc;

use gureum_dispatch::{CallerKind, Cx};
use gureum_kit::names::id;
use gureum_kit::{AccountId, Reader, Tx};
use gureum_model_iam::{op, types};
use gureum_schema::Result;

use crate::entity::Named;
use crate::errors::{Fault, Outcome};
use crate::model::{AccessKey, EntityKind, Grants, Member, User, fold};
use crate::ops::boundaries;
use crate::page::Ask as Paging;
use crate::{Iam, Table, ask, names, view};

/// Users that an account may have.
const QUOTA: usize = 5000;

pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::CreateUser, _>(
            |_, cx, i| {
                let ask = ask::create(
                    cx,
                    "iam:CreateUser",
                    "user",
                    i.path.as_ref(),
                    &i.user_name,
                    i.tags.as_ref(),
                );
                ask::one(
                    cx,
                    ask.key_opt("iam:PermissionsBoundary", i.permissions_boundary.as_ref()),
                )
            },
            create_user,
        )
        .op::<op::GetUser, _>(
            |iam, cx, i| ask::whose(iam, cx, "iam:GetUser", i.user_name.as_ref()),
            get_user,
        )
        .op::<op::ListUsers, _>(
            |_, cx, i| ask::listing(cx, "iam:ListUsers", "user", i.path_prefix.as_ref()),
            list_users,
        )
        .op::<op::UpdateUser, _>(
            |iam, cx, i| ask::on::<User>(iam, cx, "iam:UpdateUser", &i.user_name),
            update_user,
        )
        .op::<op::DeleteUser, _>(
            |iam, cx, i| ask::on::<User>(iam, cx, "iam:DeleteUser", &i.user_name),
            delete_user,
        )
}

async fn create_user(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::CreateUserRequest,
) -> Result<types::CreateUserResponse> {
    names::name("userName", &input.user_name, 64)?;
    let path = names::path(input.path.as_deref())?;
    let tags = names::tags(input.tags.as_deref().unwrap_or_default())?;
    let user = User {
        account: *cx.account(),
        name: input.user_name,
        path,
        id: id::unique(id::Kind::User),
        created: cx.now,
        tags,
        grants: Grants {
            boundary: input.permissions_boundary,
            ..Grants::default()
        },
        groups: BTreeSet::new(),
        access_keys: Vec::new(),
        login: None,
    };
    iam.write(|tx| {
        if User::lookup(tx, &user.account, &user.name)?.is_some() {
            return Err(Fault::already_exists(format!(
                "User with name {} already exists.",
                user.name
            )));
        }
        super::room_for::<User>(tx, &user.account, QUOTA, "UsersPerAccount")?;
        boundaries::note(tx, &user, None)?;
        Ok(tx.put(&user)?)
    })
    .await?;
    Ok(types::CreateUserResponse {
        user: Some(view::user_in_full(&user)),
    })
}

async fn get_user(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetUserRequest,
) -> Result<types::GetUserResponse> {
    let user = match ask::Whose::of(&cx, input.user_name.as_ref())? {
        ask::Whose::Root => root(&cx),
        ask::Whose::User(name) => {
            view::user_in_full(&User::find(&iam.store.read(), cx.account(), &name)?)
        }
    };
    Ok(types::GetUserResponse { user })
}

/// What root sees of itself; it has neither name nor path.
fn root(cx: &Cx) -> types::User {
    debug_assert!(cx.caller.kind == CallerKind::Root);
    types::User {
        user_id: cx.caller.id.clone(),
        arn: cx.caller.arn.clone(),
        ..types::User::default()
    }
}

async fn list_users(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ListUsersRequest,
) -> Result<types::ListUsersResponse> {
    let page = Paging::new(input.marker.as_deref(), input.max_items)?.rows(
        &iam.store.read(),
        cx.account(),
        |user: &User| super::below(&user.path, input.path_prefix.as_ref()),
    )?;
    Ok(types::ListUsersResponse {
        is_truncated: page.truncated(),
        users: page.items.iter().map(view::user).collect(),
        marker: page.marker,
    })
}

async fn update_user(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::UpdateUserRequest,
) -> Result<types::UpdateUserOutput> {
    let path = input
        .new_path
        .as_deref()
        .map(|path| names::path(Some(path)))
        .transpose()?;
    if let Some(name) = &input.new_user_name {
        names::name("newUserName", name, 64)?;
    }
    iam.write(|tx| {
        let old = User::find(tx, cx.account(), &input.user_name)?;
        let mut user = old.clone();
        if let Some(path) = &path {
            user.path.clone_from(path);
        }
        match &input.new_user_name {
            Some(name) => rename(tx, &old, user, name),
            None => Ok(tx.put(&user)?),
        }
    })
    .await?;
    Ok(types::UpdateUserOutput {})
}

/// A renamed user keeps its id, its policies, its groups and its keys.
fn rename(tx: &mut Tx, old: &User, mut user: User, name: &str) -> Outcome<()> {
    name.clone_into(&mut user.name);
    let (was, is) = (fold(&old.name), fold(name));
    if was != is {
        if tx.has::<User>((&user.account, &*is))? {
            return Err(Fault::already_exists(format!(
                "User with name {name} already exists."
            )));
        }
        for group in &user.groups {
            tx.delete::<Member>((&user.account, group, &was))?;
            tx.put(&Member {
                account: user.account,
                group: group.clone(),
                user: is.clone(),
            })?;
        }
        for key in &user.access_keys {
            if let Some(mut key) = tx.get::<AccessKey>(key)? {
                key.user = Some(is.clone());
                tx.put(&key)?;
            }
        }
        super::rename_uses(tx, &user, EntityKind::User, &was, &is)?;
        tx.delete::<User>((&user.account, &*was))?;
    }
    Ok(tx.put(&user)?)
}

async fn delete_user(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeleteUserRequest,
) -> Result<types::DeleteUserOutput> {
    iam.write(|tx| delete(tx, cx.account(), &input.user_name))
        .await?;
    Ok(types::DeleteUserOutput {})
}

fn delete(tx: &mut Tx, account: &AccountId, name: &str) -> Outcome<()> {
    let user = User::find(tx, account, name)?;
    super::free_of_policies(&user.grants)?;
    let in_the_way = [
        (!user.access_keys.is_empty(), "delete access keys"),
        (user.login.is_some(), "delete login profile"),
        (!user.groups.is_empty(), "remove users from group"),
    ];
    if let Some((_, first)) = in_the_way.into_iter().find(|(there, _)| *there) {
        return Err(Fault::delete_conflict(format!(
            "Cannot delete entity, must {first} first."
        )));
    }
    boundaries::forget(tx, &user)?;
    Ok(tx.delete::<User>((account, fold(name)))?)
}
