//! The policies that decide over a user or role, read and parsed.

use std::sync::Arc;

use gureum_dispatch::Policies;
use gureum_kit::{AccountId, Reader};
use gureum_policy::{Kind, Policy};

use crate::document;
use crate::entity::Entity;
use crate::errors::Outcome;
use crate::managed::Managed;
use crate::model::{Group, Role, User};

/// A policy and the name that reports give it.
pub(crate) type Named = (String, Arc<Policy>);

pub(crate) fn of_user(reader: &impl Reader, user: &User) -> Outcome<Policies> {
    let mut identity = granted(reader, user)?;
    for name in &user.groups {
        if let Some(group) = reader.get::<Group>((&user.account, name))? {
            identity.extend(granted(reader, &group)?);
        }
    }
    Ok(Policies {
        identity,
        boundary: boundary(reader, user)?,
        session: None,
    })
}

pub(crate) fn of_role(reader: &impl Reader, role: &Role) -> Outcome<Policies> {
    Ok(Policies {
        identity: granted(reader, role)?,
        boundary: boundary(reader, role)?,
        session: None,
    })
}

/// An entity's inline policies and those attached to it.
fn granted<E: Entity>(reader: &impl Reader, entity: &E) -> Outcome<Vec<Named>> {
    let grants = entity.grants();
    let mut policies = Vec::with_capacity(grants.inline.len() + grants.attached.len());
    for (name, text) in &grants.inline {
        let id = format!("{}_{}_{name}", E::LABEL, entity.name());
        policies.push((id, document::stored(text, Kind::Identity)?));
    }
    for arn in &grants.attached {
        policies.push(managed_by_arn(reader, entity.account(), arn)?);
    }
    Ok(policies)
}

fn boundary<E: Entity>(reader: &impl Reader, entity: &E) -> Outcome<Option<Named>> {
    let arn = entity.grants().boundary.as_ref();
    arn.map(|arn| managed_by_arn(reader, entity.account(), arn))
        .transpose()
}

pub(crate) fn managed_by_arn(
    reader: &impl Reader,
    account: &AccountId,
    arn: &str,
) -> Outcome<Named> {
    let managed = Managed::find(reader, account, arn)?;
    Ok((managed.name().to_owned(), managed.policy()?))
}

pub(crate) fn of_group(reader: &impl Reader, group: &Group) -> Outcome<Policies> {
    Ok(Policies {
        identity: granted(reader, group)?,
        ..Policies::default()
    })
}
