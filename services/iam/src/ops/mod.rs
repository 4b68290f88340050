//! IAM's operations, by resource; and the few rules that several resources share.

use gureum_kit::store::PrefixOf;
use gureum_kit::{AccountId, Reader, Row, Scan, Tx};

use crate::Table;
use crate::entity::Entity;
use crate::errors::{Fault, Outcome};
use crate::model::{EntityKind, Grants, PolicyUse, Usage};

pub(crate) mod access_keys;
pub(crate) mod account;
pub(crate) mod attachments;
pub(crate) mod boundaries;
pub(crate) mod context_keys;
pub(crate) mod details;
pub(crate) mod groups;
pub(crate) mod inline;
pub(crate) mod login;
pub(crate) mod oidc;
pub(crate) mod policies;
pub(crate) mod profiles;
pub(crate) mod report;
pub(crate) mod roles;
pub(crate) mod service_linked;
pub(crate) mod simulate;
pub(crate) mod tags;
pub(crate) mod users;

/// Every operation of IAM.
pub(crate) fn table(table: Table) -> Table {
    [
        access_keys::table,
        account::table,
        attachments::table,
        boundaries::table,
        context_keys::table,
        details::table,
        groups::table,
        inline::table,
        login::table,
        oidc::table,
        policies::table,
        profiles::table,
        report::table,
        roles::table,
        service_linked::table,
        simulate::table,
        tags::table,
        users::table,
    ]
    .into_iter()
    .fold(table, |table, add| add(table))
}

/// Whether a path is below the prefix that a listing asks for.
fn below(path: &str, prefix: Option<&String>) -> bool {
    prefix.is_none_or(|prefix| path.starts_with(prefix.as_str()))
}

/// Refuses one row more than an account may have.
fn room_for<R: Row>(
    reader: &impl Reader,
    account: &AccountId,
    quota: usize,
    name: &str,
) -> Outcome<()>
where
    for<'a> (&'a AccountId,): PrefixOf<R::Key>,
{
    let mut count = 0;
    for row in reader.scan(Scan::<R>::of((account,)).limit(quota)) {
        row?;
        count += 1;
    }
    if count < quota {
        return Ok(());
    }
    Err(Fault::quota(name, quota))
}

/// Refuses to delete an entity that still has policies.
fn free_of_policies(grants: &Grants) -> Outcome<()> {
    if !grants.attached.is_empty() {
        return Err(Fault::delete_conflict(
            "Cannot delete entity, must detach all policies first.",
        ));
    }
    if !grants.inline.is_empty() {
        return Err(Fault::delete_conflict(
            "Cannot delete entity, must delete policies first.",
        ));
    }
    Ok(())
}

/// Follows an entity's new name in the index from policies to their users. Names are folded.
fn rename_uses<E: Entity>(
    tx: &mut Tx,
    entity: &E,
    kind: EntityKind,
    was: &str,
    is: &str,
) -> Outcome<()> {
    let grants = entity.grants();
    let attached = grants.attached.iter().map(|arn| (arn, Usage::Attached));
    let bounded = grants.boundary.iter().map(|arn| (arn, Usage::Boundary));
    for (policy, usage) in attached.chain(bounded) {
        let account = *entity.account();
        tx.delete::<PolicyUse>((account, policy, usage.key(), kind.label(), was))?;
        tx.put(&PolicyUse {
            account,
            policy: policy.clone(),
            usage,
            kind,
            entity: is.to_owned(),
        })?;
    }
    Ok(())
}
