//! Trust policies, and what the ARNs in them stand for.
//!
//! A trust policy that names a user or role means the one that existed when the policy was stored.
//! So each ARN is resolved to a unique id once, and the decision uses the ids: a namesake created
//! later is somebody else. Readers see the ARN that the principal has now, and the bare id when it
//! is gone, as on AWS.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::Standing;
use gureum_kit::{AccountId, Arn, Reader, Row, Scan};
use gureum_policy::{Kind, Policy, rewrite_principals};

use crate::Iam;
use crate::document;
use crate::entity::Named;
use crate::errors::{Fault, Outcome};
use crate::model::{Role, Trust, User};

/// Characters of a trust policy; AWS's quota can be raised to this.
const LIMIT: usize = 4096;

/// Checks a trust policy and resolves the principals in it.
pub(crate) fn bind(reader: &impl Reader, text: &str) -> Outcome<Trust> {
    document::parse(text, Kind::Trust)?;
    if gureum_policy::quota_size(text) > LIMIT {
        return Err(Fault::quota("ACLSizePerRole", LIMIT));
    }
    let mut bound = BTreeMap::new();
    for name in principals(text) {
        if let Some(owner) = owned(&name) {
            let id = owner.id(reader)?.ok_or_else(|| invalid(&name))?;
            bound.insert(name, id);
        } else if is_unique_id(&name) {
            return Err(invalid(&name));
        }
    }
    Ok(Trust {
        document: text.to_owned(),
        bound,
    })
}

impl Trust {
    /// The policy to decide by: unique ids in place of ARNs.
    pub(crate) fn policy(&self) -> Outcome<Arc<Policy>> {
        let text = rewrite_principals(&self.document, |arn| self.bound.get(arn).cloned());
        document::stored(text.as_deref().unwrap_or(&self.document), Kind::Trust)
    }

    /// The text for readers: a principal that was renamed or moved goes by its new ARN, one that
    /// is gone by its bare id.
    pub(crate) fn shown(&self, reader: &impl Reader) -> Outcome<String> {
        let mut changed = BTreeMap::new();
        for (arn, id) in &self.bound {
            let Some(owner) = owned(arn) else { continue };
            if owner.id(reader)?.as_ref() != Some(id) {
                let moved = owner.moved(reader, id)?;
                changed.insert(arn.as_str(), moved.unwrap_or_else(|| id.clone()));
            }
        }
        let text = rewrite_principals(&self.document, |arn| changed.get(arn).cloned());
        Ok(text.unwrap_or_else(|| self.document.clone()))
    }
}

/// A user or role by ARN.
struct Owned<'a> {
    arn: &'a str,
    account: AccountId,
    role: bool,
    name: String,
}

impl Owned<'_> {
    fn id(&self, reader: &impl Reader) -> Outcome<Option<String>> {
        fn matching<R: Named>(row: Option<R>, arn: &str) -> Option<R> {
            row.filter(|row| row.arn() == arn)
        }
        Ok(if self.role {
            matching(Role::lookup(reader, &self.account, &self.name)?, self.arn).map(|row| row.id)
        } else {
            matching(User::lookup(reader, &self.account, &self.name)?, self.arn).map(|row| row.id)
        })
    }

    /// The new ARN of a user that is not found under the old one. Roles cannot be renamed.
    fn moved(&self, reader: &impl Reader, id: &str) -> Outcome<Option<String>> {
        if self.role {
            return Ok(None);
        }
        for user in reader.scan(Scan::<User>::of((&self.account,))) {
            let user = user?;
            if user.id == id {
                return Ok(Some(user.arn()));
            }
        }
        Ok(None)
    }
}

fn owned(text: &str) -> Option<Owned<'_>> {
    let arn: Arn = text.parse().ok().filter(|arn: &Arn| arn.service == "iam")?;
    let (label, rest) = arn.resource.split_once('/')?;
    let role = match label {
        "role" => true,
        "user" => false,
        _ => return None,
    };
    Some(Owned {
        arn: text,
        account: arn.account.parse().ok()?,
        role,
        name: rest.rsplit('/').next()?.to_owned(),
    })
}

fn is_unique_id(name: &str) -> bool {
    name.starts_with("AIDA") || name.starts_with("AROA")
}

fn invalid(principal: &str) -> Fault {
    Fault::malformed_policy(format!(
        "Invalid principal in policy: \"AWS\":\"{principal}\""
    ))
}

/// Every `AWS` principal of a policy text.
fn principals(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    rewrite_principals(text, |name| {
        names.push(name.to_owned());
        None
    });
    names
}

impl Iam {
    /// Whom a name in another service's policy stands for.
    pub(crate) fn standing_of(&self, arn: &str) -> Outcome<Standing> {
        let reader = self.store.read();
        let Some(owner) = owned(arn) else {
            return Ok(Standing::Other);
        };
        if let Some(id) = owner.id(&reader)? {
            return Ok(Standing::Here(id));
        }
        // Accounts are not rows: one that has users or roles is ours, and so is the cloud's own.
        let account = &owner.account;
        let ours = *account == self.root.account
            || any::<User>(&reader, account)?
            || any::<Role>(&reader, account)?;
        Ok(if ours {
            Standing::Nobody
        } else {
            Standing::Other
        })
    }

    /// The ARN that the user or role with this unique id has now.
    pub(crate) fn arn_of_id(&self, id: &str) -> Outcome<Option<String>> {
        let reader = self.store.read();
        for user in reader.scan(Scan::<User>::all()) {
            let user = user?;
            if user.id == id {
                return Ok(Some(user.arn()));
            }
        }
        for role in reader.scan(Scan::<Role>::all()) {
            let role = role?;
            if role.id == id {
                return Ok(Some(role.arn()));
            }
        }
        Ok(None)
    }
}

fn any<R: Row<Key = (AccountId, String)>>(reader: &impl Reader, of: &AccountId) -> Outcome<bool> {
    let first = reader.scan(Scan::<R>::of((of,)).limit(1)).next();
    Ok(first.transpose()?.is_some())
}
