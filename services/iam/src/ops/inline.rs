//! Inline policies of users, groups and roles.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_iam::{op, types};
use gureum_policy::{Kind, quota_size};
use gureum_schema::Operation;

use crate::document::{self, encoded};
use crate::entity::Entity;
use crate::errors::{Fault, Outcome};
use crate::model::{Group, Role, User};
use crate::page::{Ask as Paging, Page};
use crate::{Iam, Table, ask, names};

type In<O> = <O as Operation>::In;
type Out<O> = <O as Operation>::Out;

/// The four operations of one kind of entity, which differ only in what they are called.
macro_rules! operations {
    ($table:expr, $row:ty, $name:ident, $put:ident, $get:ident, $list:ident, $delete:ident) => {
        $table
            .op::<op::$put, _>(
                |iam, cx, i| ask::on::<$row>(iam, cx, concat!("iam:", stringify!($put)), &i.$name),
                |iam: Arc<Iam>, cx: Cx, i: In<op::$put>| async move {
                    put::<$row>(&iam, &cx, &i.$name, &i.policy_name, &i.policy_document).await?;
                    Ok(Out::<op::$put>::default())
                },
            )
            .op::<op::$get, _>(
                |iam, cx, i| ask::on::<$row>(iam, cx, concat!("iam:", stringify!($get)), &i.$name),
                |iam: Arc<Iam>, cx: Cx, i: In<op::$get>| async move {
                    let (entity, document) = get::<$row>(&iam, &cx, &i.$name, &i.policy_name)?;
                    Ok(Out::<op::$get> {
                        $name: entity.name,
                        policy_name: i.policy_name,
                        policy_document: encoded(&document),
                    })
                },
            )
            .op::<op::$list, _>(
                |iam, cx, i| ask::on::<$row>(iam, cx, concat!("iam:", stringify!($list)), &i.$name),
                |iam: Arc<Iam>, cx: Cx, i: In<op::$list>| async move {
                    let paging = Paging::new(i.marker.as_deref(), i.max_items)?;
                    let page = list::<$row>(&iam, &cx, &i.$name, &paging)?;
                    Ok(Out::<op::$list> {
                        is_truncated: page.truncated(),
                        policy_names: page.items,
                        marker: page.marker,
                    })
                },
            )
            .op::<op::$delete, _>(
                |iam, cx, i| {
                    ask::on::<$row>(iam, cx, concat!("iam:", stringify!($delete)), &i.$name)
                },
                |iam: Arc<Iam>, cx: Cx, i: In<op::$delete>| async move {
                    delete::<$row>(&iam, &cx, &i.$name, &i.policy_name).await?;
                    Ok(Out::<op::$delete>::default())
                },
            )
    };
}

#[rustfmt::skip]
pub(crate) fn table(table: Table) -> Table {
    let table = operations!(table, User, user_name, PutUserPolicy, GetUserPolicy, ListUserPolicies, DeleteUserPolicy);
    let table = operations!(table, Group, group_name, PutGroupPolicy, GetGroupPolicy, ListGroupPolicies, DeleteGroupPolicy);
    operations!(table, Role, role_name, PutRolePolicy, GetRolePolicy, ListRolePolicies, DeleteRolePolicy)
}

async fn put<E: Entity>(
    iam: &Iam,
    cx: &Cx,
    entity: &str,
    policy: &str,
    document: &str,
) -> Outcome<()> {
    names::name("policyName", policy, 128)?;
    document::parse(document, Kind::Identity)?;
    iam.write(|tx| {
        let mut entity = E::find(tx, cx.account(), entity)?;
        entity.modifiable()?;
        let inline = &mut entity.grants_mut().inline;
        inline.insert(policy.to_owned(), document.to_owned());
        let size: usize = inline.values().map(|text| quota_size(text)).sum();
        if size > E::INLINE_LIMIT {
            return Err(Fault::limit_exceeded(format!(
                "Maximum policy size of {} bytes exceeded for {} {}",
                E::INLINE_LIMIT,
                E::LABEL,
                entity.name()
            )));
        }
        Ok(tx.put(&entity)?)
    })
    .await
}

fn get<E: Entity>(iam: &Iam, cx: &Cx, entity: &str, policy: &str) -> Outcome<(E, String)> {
    let entity = E::find(&iam.store.read(), cx.account(), entity)?;
    let found = entity.grants().inline.get(policy).cloned();
    let document = found.ok_or_else(|| missing::<E>(policy))?;
    Ok((entity, document))
}

fn missing<E: Entity>(policy: &str) -> Fault {
    Fault::not_found(&format!("{} policy", E::LABEL), policy)
}

fn list<E: Entity>(iam: &Iam, cx: &Cx, entity: &str, paging: &Paging) -> Outcome<Page<String>> {
    let entity = E::find(&iam.store.read(), cx.account(), entity)?;
    let names = entity.grants().inline.keys().cloned();
    Ok(paging.page(names, String::clone))
}

async fn delete<E: Entity>(iam: &Iam, cx: &Cx, entity: &str, policy: &str) -> Outcome<()> {
    iam.write(|tx| {
        let mut entity = E::find(tx, cx.account(), entity)?;
        entity.modifiable()?;
        let removed = entity.grants_mut().inline.remove(policy);
        removed.ok_or_else(|| missing::<E>(policy))?;
        Ok(tx.put(&entity)?)
    })
    .await
}

/// All inline policies, as the account's overview shows them.
pub(super) fn shown<E: Entity>(entity: &E) -> Vec<types::PolicyDetail> {
    let inline = entity.grants().inline.iter();
    let shown = inline.map(|(name, document)| types::PolicyDetail {
        policy_name: Some(name.clone()),
        policy_document: Some(encoded(document)),
    });
    shown.collect()
}
