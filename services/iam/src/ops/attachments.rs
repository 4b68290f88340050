//! Managed policies attached to users, groups and roles.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Scan};
use gureum_model_iam::{op, types};
use gureum_schema::{Operation, Result};

use crate::entity::{Entity, Named};
use crate::errors::{Fault, Outcome};
use crate::managed::{Managed, check_arn};
use crate::model::{EntityKind, Group, PolicyUse, Role, Usage, User, fold};
use crate::page::{Ask as Paging, Page};
use crate::{Iam, Table, ask, view};

/// Managed policies that one entity may have attached.
const QUOTA: usize = 10;

type In<O> = <O as Operation>::In;
type Out<O> = <O as Operation>::Out;

macro_rules! operations {
    ($table:expr, $row:ty, $name:ident, $attach:ident, $detach:ident, $list:ident) => {
        $table
            .op::<op::$attach, _>(
                |iam, cx, i| {
                    let action = concat!("iam:", stringify!($attach));
                    asks::<$row>(iam, cx, action, &i.$name, &i.policy_arn)
                },
                |iam: Arc<Iam>, cx: Cx, i: In<op::$attach>| async move {
                    attach::<$row>(&iam, &cx, &i.$name, &i.policy_arn).await?;
                    Ok(Out::<op::$attach>::default())
                },
            )
            .op::<op::$detach, _>(
                |iam, cx, i| {
                    let action = concat!("iam:", stringify!($detach));
                    asks::<$row>(iam, cx, action, &i.$name, &i.policy_arn)
                },
                |iam: Arc<Iam>, cx: Cx, i: In<op::$detach>| async move {
                    detach::<$row>(&iam, &cx, &i.$name, &i.policy_arn).await?;
                    Ok(Out::<op::$detach>::default())
                },
            )
            .op::<op::$list, _>(
                |iam, cx, i| ask::on::<$row>(iam, cx, concat!("iam:", stringify!($list)), &i.$name),
                |iam: Arc<Iam>, cx: Cx, i: In<op::$list>| async move {
                    let paging = Paging::new(i.marker.as_deref(), i.max_items)?;
                    let page = list::<$row>(&iam, &cx, &i.$name, i.path_prefix.as_ref(), &paging)?;
                    Ok(Out::<op::$list> {
                        is_truncated: page.truncated(),
                        attached_policies: Some(page.items),
                        marker: page.marker,
                    })
                },
            )
    };
}

#[rustfmt::skip]
pub(crate) fn table(table: Table) -> Table {
    let table = operations!(table, User, user_name, AttachUserPolicy, DetachUserPolicy, ListAttachedUserPolicies);
    let table = operations!(table, Group, group_name, AttachGroupPolicy, DetachGroupPolicy, ListAttachedGroupPolicies);
    let table = operations!(table, Role, role_name, AttachRolePolicy, DetachRolePolicy, ListAttachedRolePolicies);
    table.op::<op::ListEntitiesForPolicy, _>(
        |iam, cx, i| ask::one(cx, ask::policy(iam, cx, "iam:ListEntitiesForPolicy", &i.policy_arn)?),
        list_entities_for_policy,
    )
}

fn asks<E: Entity>(
    iam: &Iam,
    cx: &Cx,
    action: &'static str,
    name: &str,
    policy: &str,
) -> ask::Asks {
    let ask = ask::entity::<E>(iam, cx, action, name)?;
    ask::one(cx, ask.key("iam:PolicyARN", policy))
}

/// Attaching a policy twice is as good as once.
async fn attach<E: Entity>(iam: &Iam, cx: &Cx, name: &str, policy: &str) -> Outcome<()> {
    check_arn(policy)?;
    iam.write(|tx| {
        let mut entity = E::find(tx, cx.account(), name)?;
        entity.modifiable()?;
        let managed = Managed::find(tx, cx.account(), policy)?;
        if managed.path().starts_with("/aws-service-role/") {
            return Err(Fault::policy_not_attachable(
                "Cannot attach a Service Role Policy to a Customer Role.",
            ));
        }
        let attached = &mut entity.grants_mut().attached;
        if attached.iter().any(|known| known == policy) {
            return Ok(());
        }
        if attached.len() >= QUOTA {
            return Err(Fault::quota(E::ATTACHED_QUOTA, QUOTA));
        }
        attached.push(policy.to_owned());
        tx.put(&entity)?;
        Ok(tx.put(&PolicyUse {
            account: *cx.account(),
            policy: policy.to_owned(),
            usage: Usage::Attached,
            kind: E::KIND,
            entity: fold(name),
        })?)
    })
    .await
}

async fn detach<E: Entity>(iam: &Iam, cx: &Cx, name: &str, policy: &str) -> Outcome<()> {
    check_arn(policy)?;
    iam.write(|tx| {
        let mut entity = E::find(tx, cx.account(), name)?;
        entity.modifiable()?;
        let attached = &mut entity.grants_mut().attached;
        let before = attached.len();
        attached.retain(|known| known != policy);
        if attached.len() == before {
            return Err(Fault::no_such_entity(format!(
                "Policy {policy} was not found."
            )));
        }
        tx.put(&entity)?;
        let key = (
            cx.account(),
            policy,
            Usage::Attached.key(),
            E::LABEL,
            fold(name),
        );
        Ok(tx.delete::<PolicyUse>(key)?)
    })
    .await
}

fn list<E: Entity>(
    iam: &Iam,
    cx: &Cx,
    name: &str,
    path_prefix: Option<&String>,
    paging: &Paging,
) -> Outcome<Page<types::AttachedPolicy>> {
    let reader = iam.store.read();
    let entity = E::find(&reader, cx.account(), name)?;
    let mut shown = Vec::new();
    for arn in &entity.grants().attached {
        let managed = Managed::find(&reader, cx.account(), arn)?;
        if super::below(managed.path(), path_prefix) {
            shown.push(view::attached(&managed, arn));
        }
    }
    shown.sort_by(|a, b| a.policy_arn.cmp(&b.policy_arn));
    Ok(paging.page(shown, |policy| {
        policy.policy_arn.clone().unwrap_or_default()
    }))
}

/// All attached policies, in the order in which they were attached.
pub(super) fn shown<E: Entity>(
    reader: &impl Reader,
    entity: &E,
) -> Outcome<Vec<types::AttachedPolicy>> {
    let attached = entity.grants().attached.iter();
    let shown = attached.map(|arn| {
        let managed = Managed::find(reader, entity.account(), arn)?;
        Ok(view::attached(&managed, arn))
    });
    shown.collect()
}

async fn list_entities_for_policy(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ListEntitiesForPolicyRequest,
) -> Result<types::ListEntitiesForPolicyResponse> {
    check_arn(&input.policy_arn)?;
    let reader = iam.store.read();
    Managed::find(&reader, cx.account(), &input.policy_arn)?;
    let paging = Paging::new(input.marker.as_deref(), input.max_items)?;
    let page = paging.page(holders(&reader, &cx, &input)?, Holder::key);
    let mut reply = types::ListEntitiesForPolicyResponse {
        is_truncated: page.truncated(),
        marker: page.marker,
        policy_groups: Some(Vec::new()),
        policy_users: Some(Vec::new()),
        policy_roles: Some(Vec::new()),
    };
    for Holder { kind, name, id, .. } in page.items {
        let (name, id) = (Some(name), Some(id));
        match kind {
            EntityKind::Group => {
                let group = types::PolicyGroup {
                    group_name: name,
                    group_id: id,
                };
                reply.policy_groups.get_or_insert_default().push(group);
            }
            EntityKind::Role => {
                let role = types::PolicyRole {
                    role_name: name,
                    role_id: id,
                };
                reply.policy_roles.get_or_insert_default().push(role);
            }
            EntityKind::User => {
                let user = types::PolicyUser {
                    user_name: name,
                    user_id: id,
                };
                reply.policy_users.get_or_insert_default().push(user);
            }
        }
    }
    Ok(reply)
}

/// An entity that has a policy attached, or is bounded by it.
struct Holder {
    kind: EntityKind,
    name: String,
    id: String,
    path: String,
}

impl Holder {
    fn key(&self) -> String {
        format!("{}/{}", self.kind.label(), fold(&self.name))
    }

    fn of(reader: &impl Reader, used: &PolicyUse) -> Outcome<Option<Self>> {
        let (account, entity) = (&used.account, &used.entity);
        let holder = |name, id, path| Self {
            kind: used.kind,
            name,
            id,
            path,
        };
        Ok(match used.kind {
            EntityKind::Group => Group::lookup(reader, account, entity)?
                .map(|row| holder(row.name, row.id, row.path)),
            EntityKind::Role => {
                Role::lookup(reader, account, entity)?.map(|row| holder(row.name, row.id, row.path))
            }
            EntityKind::User => {
                User::lookup(reader, account, entity)?.map(|row| holder(row.name, row.id, row.path))
            }
        })
    }
}

/// The holders that the request asks for, in the order of their keys.
fn holders(
    reader: &impl Reader,
    cx: &Cx,
    input: &types::ListEntitiesForPolicyRequest,
) -> Outcome<Vec<Holder>> {
    let usages: &[Usage] = match input.policy_usage_filter.as_deref() {
        Some("PermissionsBoundary") => &[Usage::Boundary],
        Some("PermissionsPolicy") => &[Usage::Attached],
        _ => &[Usage::Attached, Usage::Boundary],
    };
    let wanted = match input.entity_filter.as_deref() {
        Some("User") => Some(EntityKind::User),
        Some("Role") => Some(EntityKind::Role),
        Some("Group") => Some(EntityKind::Group),
        Some("LocalManagedPolicy" | "AWSManagedPolicy") => return Ok(Vec::new()),
        _ => None,
    };
    let mut holders = Vec::new();
    for usage in usages {
        let scan = Scan::<PolicyUse>::of((cx.account(), &input.policy_arn, usage.key()));
        for used in reader.scan(scan) {
            let used = used?;
            if wanted.is_none_or(|wanted| wanted == used.kind) {
                holders.extend(Holder::of(reader, &used)?);
            }
        }
    }
    holders.retain(|holder| super::below(&holder.path, input.path_prefix.as_ref()));
    holders.sort_by_key(Holder::key);
    holders.dedup_by_key(|holder| holder.key());
    Ok(holders)
}
