//! Permissions boundaries: the managed policy that bounds what a user or role can be granted.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Tx;
use gureum_model_iam::{op, types};
use gureum_schema::Result;

use crate::entity::Entity;
use crate::errors::{Fault, Outcome};
use crate::managed::{Managed, check_arn};
use crate::model::{PolicyUse, Role, Usage, User, fold};
use crate::{Iam, Table, ask};

pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::PutUserPermissionsBoundary, _>(
            |iam, cx, i| {
                asks_put::<User>(
                    iam,
                    cx,
                    "iam:PutUserPermissionsBoundary",
                    &i.user_name,
                    &i.permissions_boundary,
                )
            },
            put_user_permissions_boundary,
        )
        .op::<op::DeleteUserPermissionsBoundary, _>(
            |iam, cx, i| {
                ask::on::<User>(iam, cx, "iam:DeleteUserPermissionsBoundary", &i.user_name)
            },
            delete_user_permissions_boundary,
        )
        .op::<op::PutRolePermissionsBoundary, _>(
            |iam, cx, i| {
                asks_put::<Role>(
                    iam,
                    cx,
                    "iam:PutRolePermissionsBoundary",
                    &i.role_name,
                    &i.permissions_boundary,
                )
            },
            put_role_permissions_boundary,
        )
        .op::<op::DeleteRolePermissionsBoundary, _>(
            |iam, cx, i| {
                ask::on::<Role>(iam, cx, "iam:DeleteRolePermissionsBoundary", &i.role_name)
            },
            delete_role_permissions_boundary,
        )
}

/// `iam:PermissionsBoundary` is the new boundary here, not the one that is there.
fn asks_put<E: Entity>(
    iam: &Iam,
    cx: &Cx,
    action: &'static str,
    name: &str,
    boundary: &str,
) -> ask::Asks {
    let mut ask = ask::entity::<E>(iam, cx, action, name)?;
    ask.keys.retain(|(key, _)| key != "iam:PermissionsBoundary");
    ask::one(cx, ask.key("iam:PermissionsBoundary", boundary))
}

/// Keeps the index from policies to their users in step with the boundary that `entity` now has;
/// `before` is the one that it had.
pub(super) fn note<E: Entity>(tx: &mut Tx, entity: &E, before: Option<&str>) -> Outcome<()> {
    let now = entity.grants().boundary.as_deref();
    let name = fold(entity.name());
    if let Some(old) = before.filter(|old| Some(*old) != now) {
        tx.delete::<PolicyUse>((
            entity.account(),
            old,
            Usage::Boundary.key(),
            E::LABEL,
            &*name,
        ))?;
    }
    let Some(arn) = now.filter(|now| Some(*now) != before) else {
        return Ok(());
    };
    check_arn(arn)?;
    if Managed::lookup(tx, entity.account(), arn)?.is_none() {
        return Err(Fault::no_such_entity(format!(
            "Scope ARN: {arn} does not exist or is not attachable."
        )));
    }
    Ok(tx.put(&PolicyUse {
        account: *entity.account(),
        policy: arn.to_owned(),
        usage: Usage::Boundary,
        kind: E::KIND,
        entity: name,
    })?)
}

/// Takes the boundary of an entity that goes away out of the index.
pub(super) fn forget<E: Entity>(tx: &mut Tx, entity: &E) -> Outcome<()> {
    let mut without = entity.clone();
    without.grants_mut().boundary = None;
    note(tx, &without, entity.grants().boundary.as_deref())
}

async fn set<E: Entity>(iam: &Iam, cx: &Cx, name: &str, boundary: Option<&str>) -> Outcome<()> {
    iam.write(|tx| {
        let mut entity = E::find(tx, cx.account(), name)?;
        entity.modifiable()?;
        let before = entity.grants().boundary.clone();
        if boundary.is_none() && before.is_none() {
            return Err(Fault::no_such_entity(format!(
                "{} does not have a permission boundary.",
                entity.arn()
            )));
        }
        entity.grants_mut().boundary = boundary.map(str::to_owned);
        note(tx, &entity, before.as_deref())?;
        Ok(tx.put(&entity)?)
    })
    .await
}

async fn put_user_permissions_boundary(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::PutUserPermissionsBoundaryRequest,
) -> Result<types::PutUserPermissionsBoundaryOutput> {
    set::<User>(
        &iam,
        &cx,
        &input.user_name,
        Some(&input.permissions_boundary),
    )
    .await?;
    Ok(types::PutUserPermissionsBoundaryOutput {})
}

async fn delete_user_permissions_boundary(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeleteUserPermissionsBoundaryRequest,
) -> Result<types::DeleteUserPermissionsBoundaryOutput> {
    set::<User>(&iam, &cx, &input.user_name, None).await?;
    Ok(types::DeleteUserPermissionsBoundaryOutput {})
}

async fn put_role_permissions_boundary(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::PutRolePermissionsBoundaryRequest,
) -> Result<types::PutRolePermissionsBoundaryOutput> {
    set::<Role>(
        &iam,
        &cx,
        &input.role_name,
        Some(&input.permissions_boundary),
    )
    .await?;
    Ok(types::PutRolePermissionsBoundaryOutput {})
}

async fn delete_role_permissions_boundary(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeleteRolePermissionsBoundaryRequest,
) -> Result<types::DeleteRolePermissionsBoundaryOutput> {
    set::<Role>(&iam, &cx, &input.role_name, None).await?;
    Ok(types::DeleteRolePermissionsBoundaryOutput {})
}
