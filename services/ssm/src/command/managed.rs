//! Which instances are managed: those whose role may speak with Systems Manager, as AWS's agent has to.
//!
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/setup-instance-permissions.html>

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::{Caller, Cx};
use gureum_model_ec2::{op::DescribeInstances, types as ec2};
use gureum_model_iam::op::{GetInstanceProfile, SimulatePrincipalPolicy};
use gureum_model_iam::types as iam;

use crate::errors::{Refusal, Result};

/// What an agent calls to say that it is there.
const HELLO: &str = "ssm:UpdateInstanceInformation";
/// The states in which an instance can be sent something.
const STATES: [&str; 4] = ["pending", "running", "stopping", "stopped"];

/// A managed instance.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) running: bool,
    /// Its host name in its VPC.
    pub(crate) name: String,
    pub(crate) address: Option<String>,
}

/// A filter of `DescribeInstances`.
pub(crate) fn filter(name: &str, values: &[String]) -> ec2::Filter {
    ec2::Filter {
        name: Some(name.to_owned()),
        values: Some(values.to_vec()),
    }
}

/// The managed instances of the caller's account and region that pass all filters.
///
/// Which instances there are is asked in the account's own name: whoever may send a command need not
/// be allowed to look around in EC2.
pub(crate) async fn nodes(cx: &Cx, mut filters: Vec<ec2::Filter>) -> Result<Vec<Node>> {
    filters.push(filter("instance-state-name", &STATES.map(str::to_owned)));
    let account = cx.as_caller(Arc::new(Caller::root(*cx.account())));
    let request = ec2::DescribeInstancesRequest {
        filters: Some(filters),
        ..Default::default()
    };
    let found = account.call::<DescribeInstances>(request).await;
    let found = found.map_err(|error| Refusal::Broken(error.to_string()))?;
    let reservations = found.reservations.unwrap_or_default().into_iter();
    let mut known = BTreeMap::new();
    let mut nodes = Vec::new();
    for instance in reservations.flat_map(|it| it.instances.unwrap_or_default()) {
        let profile = instance.iam_instance_profile.and_then(|it| it.arn);
        let (Some(id), Some(profile)) = (instance.instance_id, profile) else {
            continue;
        };
        let managed = match known.get(&profile) {
            Some(managed) => *managed,
            None => {
                let managed = may_speak(&account, &profile).await;
                known.insert(profile, managed);
                managed
            }
        };
        if managed {
            nodes.push(Node {
                id,
                running: instance.state.and_then(|it| it.name).as_deref() == Some("running"),
                name: instance.private_dns_name.unwrap_or_default(),
                address: instance.private_ip_address,
            });
        }
    }
    nodes.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(nodes)
}

/// Whether the role in an instance profile may speak with Systems Manager.
async fn may_speak(account: &Cx, profile: &str) -> bool {
    let name = profile.rsplit('/').next().unwrap_or_default().to_owned();
    let request = iam::GetInstanceProfileRequest {
        instance_profile_name: name,
    };
    // A profile that was deleted has no role.
    let Ok(found) = account.call::<GetInstanceProfile>(request).await else {
        return false;
    };
    let Some(role) = found.instance_profile.roles.into_iter().next() else {
        return false;
    };
    let request = iam::SimulatePrincipalPolicyRequest {
        policy_source_arn: role.arn,
        action_names: vec![HELLO.to_owned()],
        ..Default::default()
    };
    let simulated = account.call::<SimulatePrincipalPolicy>(request).await;
    let results = simulated.ok().and_then(|it| it.evaluation_results);
    let results = results.unwrap_or_default();
    !results.is_empty() && results.iter().all(|it| it.eval_decision == "allowed")
}
