//! From an access key to a caller: the front door's side of IAM.

mod cache;
mod policies;
mod resolve;
mod uses;

use gureum_dispatch::{Caller, Credential, Denial, Identities, Standing};
use gureum_schema::{Result, Timestamp};

use crate::Iam;

pub(crate) use cache::Cache;
pub(crate) use policies::{of_group, of_role, of_user};
pub use uses::Tidied;
pub(crate) use uses::{SWEEP, Uses};

impl Identities for Iam {
    fn credential(&self, access_key: &str) -> Result<Option<Credential>> {
        let missed = match self.cache.get(access_key) {
            Ok(credential) => return Ok(Some(credential)),
            Err(missed) => missed,
        };
        let found = resolve::credential(self, access_key)?;
        if let Some(credential) = &found {
            self.cache.keep(access_key, credential, missed);
        }
        Ok(found)
    }

    fn standing(&self, arn: &str) -> Result<Standing> {
        Ok(self.standing_of(arn)?)
    }

    fn arn_of(&self, unique_id: &str) -> Result<Option<String>> {
        Ok(self.arn_of_id(unique_id)?)
    }

    fn encode(&self, denial: &Denial<'_>) -> Option<String> {
        self.messages.of(denial)
    }

    fn used(&self, caller: &Caller, service: &'static str, region: &str, when: Timestamp) {
        if let Some(access_key) = &caller.access_key {
            self.uses.note(access_key, caller, service, region, when);
        }
    }
}
