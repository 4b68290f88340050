//! The users and roles that a resource's policy names.
//!
//! A policy means those who existed when it was stored. So it is kept with their unique ids in
//! place of their ARNs, and a namesake created later is somebody else. Readers see the ARN that a
//! principal has now, and the bare id when it is gone, as on AWS.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

use gureum_policy::rewrite_principals;
use gureum_schema::{Error, Result};

use crate::caller::Identities;
use crate::cx::Cx;

/// What a principal's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A user or role with this unique id.
    Here(String),
    /// A user or role of an account of this cloud, which is not there.
    Nobody,
    /// Neither, or somebody of another cloud: taken as it is.
    Other,
}

/// Why a policy cannot be stored.
#[derive(Debug)]
pub enum Unbound {
    /// It names this user or role, who does not exist. The service has its own words for it.
    Nobody(String),
    Failed(Error),
}

impl Cx {
    /// The policy as it is to be stored. A text that is no policy comes back as it is.
    pub fn bind_principals(&self, policy: &str) -> Result<String, Unbound> {
        let identities = self.cloud().identities();
        let mut outcome = Ok(());
        let text = rewrite_principals(policy, |name| match standing(&**identities, name) {
            Ok(Standing::Here(id)) => Some(id),
            Ok(Standing::Other) => None,
            Ok(Standing::Nobody) => {
                outcome = Err(Unbound::Nobody(name.to_owned()));
                None
            }
            Err(error) => {
                outcome = Err(Unbound::Failed(error));
                None
            }
        });
        outcome.map(|()| text.unwrap_or_else(|| policy.to_owned()))
    }

    /// A stored policy as readers see it.
    pub fn show_principals(&self, policy: &str) -> Result<String> {
        let identities = self.cloud().identities();
        let mut outcome = Ok(());
        let text = rewrite_principals(policy, |name| {
            let arn = is_unique_id(name).then(|| identities.arn_of(name));
            arn?.unwrap_or_else(|error| {
                outcome = Err(error);
                None
            })
        });
        outcome.map(|()| text.unwrap_or_else(|| policy.to_owned()))
    }
}

/// A unique id may be given as well, of somebody who is there.
fn standing(identities: &dyn Identities, name: &str) -> Result<Standing> {
    if !is_unique_id(name) {
        return identities.standing(name);
    }
    Ok(match identities.arn_of(name)? {
        Some(_) => Standing::Here(name.to_owned()),
        None => Standing::Nobody,
    })
}

fn is_unique_id(name: &str) -> bool {
    name.starts_with("AIDA") || name.starts_with("AROA")
}
