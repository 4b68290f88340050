//! The credentials of an instance's role: a session of that role, kept until it is due for renewal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gureum_dispatch::{Caller, Cloud};
use gureum_model_iam::{op::GetInstanceProfile, types as iam};
use gureum_model_sts::{op::AssumeRole, types as sts};
use gureum_schema::Error;
use serde_json::json;

use super::tree::{pretty, seconds};
use crate::calls::{self, PRINCIPAL};
use crate::model::instance::InstanceRow;
use crate::resource::Resource as _;
use crate::state::Ec2;

/// How long before they expire credentials are replaced, in milliseconds. Clients begin to look for
/// new ones a quarter of an hour before.
const AHEAD: i64 = 20 * 60 * 1000;

/// The role in an instance's profile.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) arn: String,
}

/// What instances have been given, by instance. Forgotten at the end of the process: the sessions
/// themselves live on.
pub(crate) type Leases = Mutex<BTreeMap<String, Lease>>;

pub(crate) struct Lease {
    /// Whose session this is; the profile may have another role by now.
    role: String,
    text: String,
    /// When there shall be another one.
    renew: i64,
}

/// The role that the instance acts in now, if there is one.
pub(super) async fn role(cloud: &Arc<Cloud>, row: &InstanceRow) -> Option<Role> {
    let arn = &row.profile.as_ref()?.arn;
    let name = arn.rsplit('/').next()?.to_owned();
    let root = calls::cx(cloud, &row.meta.region, Caller::root(row.meta.account));
    let request = iam::GetInstanceProfileRequest {
        instance_profile_name: name,
    };
    let found = root.call::<GetInstanceProfile>(request).await.ok()?;
    let role = found.instance_profile.roles.into_iter().next()?;
    Some(Role {
        name: role.role_name,
        arn: role.arn,
    })
}

impl Ec2 {
    fn leased(&self, row: &InstanceRow, role: &Role, now: i64) -> Option<String> {
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = leases.get(row.id())?;
        (lease.role == role.arn && lease.renew > now).then(|| lease.text.clone())
    }

    /// The document with the credentials of the instance's role, or with why there are none.
    pub(super) async fn credentials(
        &self,
        cloud: &Arc<Cloud>,
        row: &InstanceRow,
        role: &Role,
    ) -> String {
        let now = self.clock.now();
        if let Some(text) = self.leased(row, role, now) {
            return text;
        }
        // Two that ask at once may be given a session each: both are good, and nobody waits.
        match assume(cloud, row, role).await {
            Ok(given) => {
                let text = success(&given, now);
                let lease = Lease {
                    role: role.arn.clone(),
                    text: text.clone(),
                    renew: given.expiration.0 - AHEAD,
                };
                let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
                leases.retain(|_, lease| lease.renew > now);
                leases.insert(row.id().to_owned(), lease);
                text
            }
            Err(error) => pretty(&json!({
                "Code": "AssumeRoleUnauthorizedAccess",
                "Message": format!(
                    "EC2 cannot assume the role {}. Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html. {}",
                    role.name, error.message
                ),
                "LastUpdated": seconds(now),
            })),
        }
    }
}

async fn assume(
    cloud: &Arc<Cloud>,
    row: &InstanceRow,
    role: &Role,
) -> Result<sts::Credentials, Error> {
    let caller = Caller::service(PRINCIPAL, &row.arn().to_string(), &row.meta.account);
    let request = sts::AssumeRoleRequest {
        role_arn: role.arn.clone(),
        role_session_name: row.id().to_owned(),
        ..Default::default()
    };
    let given = calls::cx(cloud, &row.meta.region, caller)
        .call::<AssumeRole>(request)
        .await?;
    let absent = || Error::internal("AssumeRole answered without credentials");
    given.credentials.ok_or_else(absent)
}

fn success(given: &sts::Credentials, now: i64) -> String {
    pretty(&json!({
        "Code": "Success",
        "LastUpdated": seconds(now),
        "Type": "AWS-HMAC",
        "AccessKeyId": given.access_key_id,
        "SecretAccessKey": given.secret_access_key,
        "Token": given.session_token,
        "Expiration": seconds(given.expiration.0),
    }))
}
