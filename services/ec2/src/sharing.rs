//! Snapshots and images that others may use: named accounts, or everyone.

use std::collections::BTreeSet;

use gureum_kit::{AccountId, Scan};
use serde::{Deserialize, Serialize};

use crate::errors::{Refusal, Result};
use crate::resource::{Find, Here, Resource};

/// The most accounts that one thing is shared with.
const MOST: usize = 1000;
/// The group that everyone is in.
pub(crate) const ALL: &str = "all";

/// Who may use something besides its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shared {
    pub(crate) everyone: bool,
    pub(crate) accounts: BTreeSet<AccountId>,
}

/// A resource that can be shared.
pub(crate) trait Shareable: Resource {
    fn shared(&self) -> &Shared;

    fn may_use(&self, account: &AccountId) -> bool {
        let shared = self.shared();
        self.meta().account == *account || shared.everyone || shared.accounts.contains(account)
    }

    /// Whether one of these owners has it: an account, or `self`. No owners are all.
    fn is_of(&self, owners: &[String], me: &AccountId) -> bool {
        let account = &self.meta().account;
        let is = |owner: &String| match owner.as_str() {
            "self" => account == me,
            owner => *account == *owner,
        };
        owners.is_empty() || owners.iter().any(is)
    }
}

impl Shared {
    /// Whether this user is named: an account, `self`, or `all` for everyone.
    pub(crate) fn names(&self, user: &str, me: &AccountId) -> bool {
        match user {
            ALL => self.everyone,
            "self" => self.accounts.contains(me),
            user => self.accounts.iter().any(|it| *it == *user),
        }
    }

    /// Adds and takes away, each given as accounts and groups.
    pub(crate) fn change(&mut self, add: &Named, remove: &Named) -> Result<()> {
        self.everyone = (self.everyone || add.everyone) && !remove.everyone;
        self.accounts.extend(&add.accounts);
        self.accounts.retain(|it| !remove.accounts.contains(it));
        if self.accounts.len() > MOST {
            return Err(Refusal::limit("ResourceLimitExceeded", "permissions"));
        }
        Ok(())
    }
}

/// Whom a request names.
pub(crate) type Named = Shared;

impl Named {
    /// `users` are account ids; the only group is `all`.
    pub(crate) fn read<'a>(
        users: impl IntoIterator<Item = &'a String>,
        groups: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self> {
        let mut named = Self::default();
        for user in users {
            let account = user.parse().map_err(|_| {
                Refusal::new(
                    "InvalidUserID.Malformed",
                    format!("Invalid user id: \"{user}\""),
                )
            })?;
            named.accounts.insert(account);
        }
        for group in groups {
            if group != ALL {
                return Err(Refusal::wrong("group", group));
            }
            named.everyone = true;
        }
        Ok(named)
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.everyone && self.accounts.is_empty()
    }
}

/// Finding what is shared, wherever in the region it belongs.
pub(crate) trait FindShared: Find {
    /// The resource with this id, if it is the caller's or shared with them.
    fn usable<R: Shareable>(&self, here: &Here, id: &str) -> Result<Option<R>> {
        if let Some(own) = self.find::<R>(here, id)? {
            return Ok(Some(own));
        }
        let of_others = self.of_others::<R>(here)?;
        Ok(of_others.into_iter().find(|row| row.id() == id))
    }

    /// The same; refuses one that isn't there.
    fn need_usable<R: Shareable>(&self, here: &Here, id: &str) -> Result<R> {
        R::KIND.check(id)?;
        self.usable(here, id)?.ok_or_else(|| R::KIND.absent(id))
    }

    /// What others share with the caller here.
    fn of_others<R: Shareable>(&self, here: &Here) -> Result<Vec<R>> {
        let mut rows = Vec::new();
        for row in self.scan(Scan::<R>::of((&here.region,))) {
            let row = row?;
            if row.meta().account != here.account && row.may_use(&here.account) {
                rows.push(row);
            }
        }
        Ok(rows)
    }
}

impl<T: Find> FindShared for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_come_and_go() {
        let named = |users: &[&str], groups: &[&str]| {
            let owned = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
            Named::read(&owned(users), &owned(groups))
        };
        let nobody = Named::default();
        let mut shared = Shared::default();
        let both = named(&["111122223333", "444455556666"], &["all"]).expect("accounts");
        shared.change(&both, &nobody).expect("change");
        assert!(shared.everyone && shared.accounts.len() == 2);
        let one = named(&["111122223333"], &[]).expect("account");
        shared.change(&nobody, &one).expect("change");
        assert!(shared.everyone && shared.accounts.len() == 1);
        let everyone = named(&[], &["all"]).expect("group");
        shared.change(&nobody, &everyone).expect("change");
        assert!(!shared.everyone && shared.accounts.len() == 1);
        assert!(named(&["somebody"], &[]).is_err() && named(&[], &["some"]).is_err());
    }
}
