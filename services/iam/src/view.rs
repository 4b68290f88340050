//! Rows as the API shows them.

use gureum_kit::Reader;
use gureum_model_iam::types;

use crate::document::encoded;
use crate::entity::Named;
use crate::errors::Outcome;
use crate::managed::{AWS_POLICY_CREATED, AwsPolicy, Managed, uses};
use crate::model::{
    Group, InstanceProfile, KeyUse, ManagedPolicy, PolicyVersion, Role, Tags, Usage, User,
};

pub(crate) fn tags(tags: &Tags) -> Vec<types::Tag> {
    let shown = |(key, value): (&String, &String)| types::Tag {
        key: key.clone(),
        value: value.clone(),
    };
    tags.iter().map(shown).collect()
}

/// Absent when empty, as replies leave out what an entity does not have.
pub(crate) fn tags_opt(given: &Tags) -> Option<Vec<types::Tag>> {
    (!given.is_empty()).then(|| tags(given))
}

pub(crate) fn boundary(arn: Option<&String>) -> Option<types::AttachedPermissionsBoundary> {
    arn.map(|arn| types::AttachedPermissionsBoundary {
        permissions_boundary_type: Some("PermissionsBoundaryPolicy".into()),
        permissions_boundary_arn: Some(arn.clone()),
    })
}

/// A user as lists show it; `GetUser` adds tags and boundary.
pub(crate) fn user(row: &User) -> types::User {
    types::User {
        path: row.path.clone(),
        user_name: row.name.clone(),
        user_id: row.id.clone(),
        arn: row.arn(),
        create_date: row.created,
        ..types::User::default()
    }
}

pub(crate) fn user_in_full(row: &User) -> types::User {
    types::User {
        permissions_boundary: boundary(row.grants.boundary.as_ref()),
        tags: tags_opt(&row.tags),
        ..user(row)
    }
}

pub(crate) fn group(row: &Group) -> types::Group {
    types::Group {
        path: row.path.clone(),
        group_name: row.name.clone(),
        group_id: row.id.clone(),
        arn: row.arn(),
        create_date: row.created,
    }
}

/// A role as lists show it.
pub(crate) fn role(reader: &impl Reader, row: &Role) -> Outcome<types::Role> {
    Ok(types::Role {
        path: row.path.clone(),
        role_name: row.name.clone(),
        role_id: row.id.clone(),
        arn: row.arn(),
        create_date: row.created,
        assume_role_policy_document: Some(encoded(&row.trust.shown(reader)?)),
        description: row.description.clone(),
        max_session_duration: Some(row.max_session),
        ..types::Role::default()
    })
}

pub(crate) fn role_in_full(
    reader: &impl Reader,
    row: &Role,
    used: Option<KeyUse>,
) -> Outcome<types::Role> {
    Ok(types::Role {
        permissions_boundary: boundary(row.grants.boundary.as_ref()),
        tags: tags_opt(&row.tags),
        role_last_used: Some(role_last_used(used)),
        ..role(reader, row)?
    })
}

/// Present but empty for a role that was never used.
pub(crate) fn role_last_used(used: Option<KeyUse>) -> types::RoleLastUsed {
    used.map_or_else(types::RoleLastUsed::default, |used| types::RoleLastUsed {
        last_used_date: Some(used.when),
        region: Some(used.region),
    })
}

pub(crate) fn instance_profile(
    reader: &impl Reader,
    row: &InstanceProfile,
) -> Outcome<types::InstanceProfile> {
    let held = match &row.role {
        Some(name) => Role::lookup(reader, &row.account, name)?,
        None => None,
    };
    let roles = held.iter().map(|held| role(reader, held));
    Ok(types::InstanceProfile {
        path: row.path.clone(),
        instance_profile_name: row.name.clone(),
        instance_profile_id: row.id.clone(),
        arn: row.arn(),
        create_date: row.created,
        roles: roles.collect::<Outcome<_>>()?,
        tags: tags_opt(&row.tags),
    })
}

pub(crate) fn version_id(number: u32) -> String {
    format!("v{number}")
}

fn count(number: usize) -> Option<i32> {
    i32::try_from(number).ok()
}

pub(crate) fn managed_policy(reader: &impl Reader, row: &ManagedPolicy) -> Outcome<types::Policy> {
    let arn = row.arn();
    Ok(types::Policy {
        policy_name: Some(row.name.clone()),
        policy_id: Some(row.id.clone()),
        path: Some(row.path.clone()),
        default_version_id: Some(version_id(row.default)),
        attachment_count: count(uses(reader, &row.account, &arn, Usage::Attached)?),
        permissions_boundary_usage_count: count(uses(reader, &row.account, &arn, Usage::Boundary)?),
        is_attachable: Some(true),
        create_date: Some(row.created),
        update_date: Some(row.updated),
        arn: Some(arn),
        ..types::Policy::default()
    })
}

pub(crate) fn aws_policy(
    reader: &impl Reader,
    account: &gureum_kit::AccountId,
    policy: &AwsPolicy,
) -> Outcome<types::Policy> {
    let used = |usage| uses(reader, account, &policy.arn, usage);
    Ok(types::Policy {
        policy_name: Some(policy.name.into()),
        policy_id: Some(policy.id.clone()),
        arn: Some(policy.arn.clone()),
        path: Some(policy.path.into()),
        default_version_id: Some(version_id(1)),
        attachment_count: count(used(Usage::Attached)?),
        permissions_boundary_usage_count: count(used(Usage::Boundary)?),
        is_attachable: Some(true),
        create_date: Some(AWS_POLICY_CREATED),
        update_date: Some(AWS_POLICY_CREATED),
        ..types::Policy::default()
    })
}

/// A version; lists leave the text out.
pub(crate) fn version(
    row: &ManagedPolicy,
    version: &PolicyVersion,
    with_document: bool,
) -> types::PolicyVersion {
    types::PolicyVersion {
        document: with_document.then(|| encoded(&version.document)),
        version_id: Some(version_id(version.number)),
        is_default_version: Some(version.number == row.default),
        create_date: Some(version.created),
    }
}

pub(crate) fn aws_version(policy: &AwsPolicy, with_document: bool) -> types::PolicyVersion {
    types::PolicyVersion {
        document: with_document.then(|| encoded(&policy.document)),
        version_id: Some(version_id(1)),
        is_default_version: Some(true),
        create_date: Some(AWS_POLICY_CREATED),
    }
}

pub(crate) fn attached(policy: &Managed, arn: &str) -> types::AttachedPolicy {
    types::AttachedPolicy {
        policy_name: Some(policy.name().to_owned()),
        policy_arn: Some(arn.to_owned()),
    }
}
