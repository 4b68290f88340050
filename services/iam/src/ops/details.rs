//! The overview of everything in an account, in pages.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{AccountId, Reader, Row, Scan};
use gureum_model_iam::{op, types};
use gureum_schema::Result;

use crate::document::encoded;
use crate::entity::Named;
use crate::errors::Outcome;
use crate::managed::{AwsPolicy, aws_policies};
use crate::model::{Group, ManagedPolicy, Role, User, fold};
use crate::ops::roles::profiles_of;
use crate::ops::{attachments, inline};
use crate::page::Ask as Paging;
use crate::{Iam, Table, ask, view};

pub(crate) fn table(table: Table) -> Table {
    table.op::<op::GetAccountAuthorizationDetails, _>(
        |_, cx, _| ask::account(cx, "iam:GetAccountAuthorizationDetails"),
        get_account_authorization_details,
    )
}

/// One thing of the overview. They come in this order, each kind by name.
enum Item {
    User(User),
    Group(Group),
    Role(Role),
    Own(ManagedPolicy),
    Aws(&'static AwsPolicy),
}

impl Item {
    fn key(&self) -> String {
        match self {
            Self::User(user) => format!("1/{}", fold(&user.name)),
            Self::Group(group) => format!("2/{}", fold(&group.name)),
            Self::Role(role) => format!("3/{}", fold(&role.name)),
            Self::Own(policy) => format!("4/{}", fold(&policy.name)),
            Self::Aws(policy) => format!("5/{}", policy.arn),
        }
    }
}

async fn get_account_authorization_details(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetAccountAuthorizationDetailsRequest,
) -> Result<types::GetAccountAuthorizationDetailsResponse> {
    let reader = iam.store.read();
    let items = items(
        &reader,
        cx.account(),
        input.filter.as_deref().unwrap_or_default(),
    )?;
    let page = Paging::new(input.marker.as_deref(), input.max_items)?.page(items, Item::key);
    let mut reply = types::GetAccountAuthorizationDetailsResponse {
        is_truncated: page.truncated(),
        marker: page.marker,
        user_detail_list: Some(Vec::new()),
        group_detail_list: Some(Vec::new()),
        role_detail_list: Some(Vec::new()),
        policies: Some(Vec::new()),
    };
    for item in page.items {
        match item {
            Item::User(row) => {
                let users = reply.user_detail_list.get_or_insert_default();
                users.push(user(&reader, &row)?);
            }
            Item::Group(row) => {
                let groups = reply.group_detail_list.get_or_insert_default();
                groups.push(group(&reader, &row)?);
            }
            Item::Role(row) => {
                let roles = reply.role_detail_list.get_or_insert_default();
                roles.push(role(&iam, &reader, &row)?);
            }
            Item::Own(row) => {
                let versions = row.versions.iter().rev();
                let versions = versions.map(|v| view::version(&row, v, true)).collect();
                let policies = reply.policies.get_or_insert_default();
                policies.push(policy(view::managed_policy(&reader, &row)?, versions));
            }
            Item::Aws(aws) => {
                let shown = view::aws_policy(&reader, cx.account(), aws)?;
                let policies = reply.policies.get_or_insert_default();
                policies.push(policy(shown, vec![view::aws_version(aws, true)]));
            }
        }
    }
    Ok(reply)
}

/// What the filter lets through; without one, everything, and of AWS's policies those in use.
fn items(reader: &impl Reader, account: &AccountId, filter: &[String]) -> Outcome<Vec<Item>> {
    let wanted = |kind: &str| filter.is_empty() || filter.iter().any(|f| f == kind);
    let mut items = Vec::new();
    if wanted("User") {
        items.extend(rows(reader, account)?.into_iter().map(Item::User));
    }
    if wanted("Group") {
        items.extend(rows(reader, account)?.into_iter().map(Item::Group));
    }
    if wanted("Role") {
        items.extend(rows(reader, account)?.into_iter().map(Item::Role));
    }
    if wanted("LocalManagedPolicy") {
        items.extend(rows(reader, account)?.into_iter().map(Item::Own));
    }
    if wanted("AWSManagedPolicy") {
        for policy in aws_policies() {
            let shown = view::aws_policy(reader, account, policy)?;
            if shown.attachment_count != Some(0)
                || shown.permissions_boundary_usage_count != Some(0)
            {
                items.push(Item::Aws(policy));
            }
        }
    }
    Ok(items)
}

fn rows<R: Row<Key = (AccountId, String)>>(
    reader: &impl Reader,
    account: &AccountId,
) -> Outcome<Vec<R>> {
    let rows: Result<Vec<R>, _> = reader.scan(Scan::<R>::of((account,))).collect();
    Ok(rows?)
}

fn user(reader: &impl Reader, row: &User) -> Outcome<types::UserDetail> {
    let groups = row.groups.iter().map(|name| {
        let group = Group::find(reader, &row.account, name)?;
        Ok(group.name)
    });
    Ok(types::UserDetail {
        path: Some(row.path.clone()),
        user_name: Some(row.name.clone()),
        user_id: Some(row.id.clone()),
        arn: Some(row.arn()),
        create_date: Some(row.created),
        user_policy_list: Some(inline::shown(row)),
        group_list: Some(groups.collect::<Outcome<_>>()?),
        attached_managed_policies: Some(attachments::shown(reader, row)?),
        permissions_boundary: view::boundary(row.grants.boundary.as_ref()),
        tags: Some(view::tags(&row.tags)),
    })
}

fn group(reader: &impl Reader, row: &Group) -> Outcome<types::GroupDetail> {
    Ok(types::GroupDetail {
        path: Some(row.path.clone()),
        group_name: Some(row.name.clone()),
        group_id: Some(row.id.clone()),
        arn: Some(row.arn()),
        create_date: Some(row.created),
        group_policy_list: Some(inline::shown(row)),
        attached_managed_policies: Some(attachments::shown(reader, row)?),
    })
}

fn role(iam: &Iam, reader: &impl Reader, row: &Role) -> Outcome<types::RoleDetail> {
    let profiles = profiles_of(reader, &row.account, &row.name)?;
    let profiles = profiles.iter().map(|p| view::instance_profile(reader, p));
    Ok(types::RoleDetail {
        path: Some(row.path.clone()),
        role_name: Some(row.name.clone()),
        role_id: Some(row.id.clone()),
        arn: Some(row.arn()),
        create_date: Some(row.created),
        assume_role_policy_document: Some(encoded(&row.trust.shown(reader)?)),
        instance_profile_list: Some(profiles.collect::<Outcome<_>>()?),
        role_policy_list: Some(inline::shown(row)),
        attached_managed_policies: Some(attachments::shown(reader, row)?),
        permissions_boundary: view::boundary(row.grants.boundary.as_ref()),
        tags: Some(view::tags(&row.tags)),
        role_last_used: Some(view::role_last_used(iam.last_used(reader, &row.id)?)),
    })
}

fn policy(shown: types::Policy, versions: Vec<types::PolicyVersion>) -> types::ManagedPolicyDetail {
    types::ManagedPolicyDetail {
        policy_name: shown.policy_name,
        policy_id: shown.policy_id,
        arn: shown.arn,
        path: shown.path,
        default_version_id: shown.default_version_id,
        attachment_count: shown.attachment_count,
        permissions_boundary_usage_count: shown.permissions_boundary_usage_count,
        is_attachable: shown.is_attachable,
        description: shown.description,
        create_date: shown.create_date,
        update_date: shown.update_date,
        policy_version_list: Some(versions),
    }
}
