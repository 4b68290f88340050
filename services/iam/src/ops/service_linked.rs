//! Service-linked roles: made for one service, which alone can be given them.

use std::sync::Arc;
use std::time::Duration;

use gureum_dispatch::{Ask, Cx};
use gureum_kit::names::id;
use gureum_kit::{AccountId, Reader, Scan, Tx};
use gureum_model_iam::{op, types};
use gureum_schema::Result;
use serde_json::json;

use crate::entity::{Named, arn};
use crate::errors::{Fault, Outcome};
use crate::model::{DeletionTask, EntityKind, Grants, PolicyUse, Role, Tags, Usage, fold};
use crate::ops::roles;
use crate::{Iam, Table, ask, names, trust, view};

/// How long the outcome of a deletion can be asked for.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// A service that has such a role: its principal, the role's name, the policy in the role (below
/// `/aws-service-role/`), and whether an account may have several, told apart by a suffix.
struct Linked(&'static str, &'static str, &'static str, bool);

#[rustfmt::skip]
const SERVICES: &[Linked] = &[
    Linked("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling", "AutoScalingServiceRolePolicy", true),
    Linked("dynamodb.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_DynamoDBTable", "AWSApplicationAutoscalingDynamoDBTablePolicy", false),
    Linked("ec2.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_EC2SpotFleetRequest", "AWSApplicationAutoscalingEC2SpotFleetRequestPolicy", false),
    Linked("ecs.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_ECSService", "AWSApplicationAutoscalingECSServicePolicy", false),
    Linked("lambda.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_LambdaConcurrency", "AWSApplicationAutoscalingLambdaConcurrencyPolicy", false),
    Linked("rds.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_RDSCluster", "AWSApplicationAutoscalingRDSClusterPolicy", false),
    Linked("ec2scheduled.amazonaws.com", "AWSServiceRoleForEC2ScheduledInstances", "AWSEC2SpotServiceRolePolicy", false),
    Linked("spot.amazonaws.com", "AWSServiceRoleForEC2Spot", "AWSEC2SpotServiceRolePolicy", false),
    Linked("ecs.amazonaws.com", "AWSServiceRoleForECS", "AmazonECSServiceRolePolicy", false),
    Linked("elasticache.amazonaws.com", "AWSServiceRoleForElastiCache", "ElastiCacheServiceRolePolicy", false),
    Linked("elasticbeanstalk.amazonaws.com", "AWSServiceRoleForElasticBeanstalk", "AWSElasticBeanstalkServiceRolePolicy", false),
    Linked("elasticfilesystem.amazonaws.com", "AWSServiceRoleForAmazonElasticFileSystem", "AmazonElasticFileSystemServiceRolePolicy", false),
    Linked("elasticloadbalancing.amazonaws.com", "AWSServiceRoleForElasticLoadBalancing", "AWSElasticLoadBalancingServiceRolePolicy", false),
    Linked("events.amazonaws.com", "AWSServiceRoleForCloudWatchEvents", "CloudWatchEventsServiceRolePolicy", false),
    Linked("rds.amazonaws.com", "AWSServiceRoleForRDS", "AmazonRDSServiceRolePolicy", false),
    Linked("redshift.amazonaws.com", "AWSServiceRoleForRedshift", "AmazonRedshiftServiceLinkedRolePolicy", false),
    Linked("replication.dynamodb.amazonaws.com", "AWSServiceRoleForDynamoDBReplication", "DynamoDBReplicationServiceRolePolicy", false),
];

pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::CreateServiceLinkedRole, _>(asks_create, create)
        .op::<op::DeleteServiceLinkedRole, _>(
            |iam, cx, i| ask::on::<Role>(iam, cx, "iam:DeleteServiceLinkedRole", &i.role_name),
            delete,
        )
        .op::<op::GetServiceLinkedRoleDeletionStatus, _>(
            |_, cx, i| {
                let role = i
                    .deletion_task_id
                    .strip_prefix("task/")
                    .and_then(|rest| rest.rsplit_once('/'));
                let resource =
                    role.map_or("*".into(), |(role, _)| arn(cx.account(), "role/", role, ""));
                ask::one(
                    cx,
                    Ask::new("iam:GetServiceLinkedRoleDeletionStatus", resource),
                )
            },
            deletion_status,
        )
}

fn service(name: &str) -> Outcome<&'static Linked> {
    SERVICES
        .iter()
        .find(|linked| linked.0 == name)
        .ok_or_else(|| {
            Fault::invalid_input(format!(
                "Service name {name} is not valid or has no service-linked role in this cloud."
            ))
        })
}

impl Linked {
    fn role_name(&self, suffix: Option<&str>) -> Outcome<String> {
        let Self(service, name, _, suffixes) = self;
        match suffix {
            None => Ok((*name).to_owned()),
            Some(suffix) if *suffixes => {
                let name = format!("{name}_{suffix}");
                names::name("customSuffix", &name, 64)?;
                Ok(name)
            }
            Some(_) => Err(Fault::invalid_input(format!(
                "Custom suffix is not allowed for {service}"
            ))),
        }
    }

    fn path(&self) -> String {
        format!("/aws-service-role/{}/", self.0)
    }

    fn role(&self, tx: &Tx, cx: &Cx, name: &str, description: Option<&String>) -> Outcome<Role> {
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Service": self.0},
                "Action": "sts:AssumeRole",
            }],
        });
        Ok(Role {
            account: *cx.account(),
            name: name.to_owned(),
            path: self.path(),
            id: id::unique(id::Kind::Role),
            created: cx.now,
            description: description.cloned(),
            max_session: roles::SESSION,
            trust: trust::bind(tx, &trust.to_string())?,
            tags: Tags::new(),
            grants: Grants {
                attached: vec![self.policy()],
                ..Grants::default()
            },
            linked_service: Some(self.0.to_owned()),
        })
    }

    fn policy(&self) -> String {
        format!("arn:aws:iam::aws:policy/aws-service-role/{}", self.2)
    }
}

fn asks_create(
    _: &Iam,
    cx: &Cx,
    input: &types::CreateServiceLinkedRoleRequest,
) -> Result<Vec<Ask>> {
    let linked = service(&input.aws_service_name)?;
    let name = linked.role_name(input.custom_suffix.as_deref())?;
    let resource = arn(cx.account(), "role", &linked.path(), &name);
    let ask = Ask::new("iam:CreateServiceLinkedRole", resource);
    ask::one(cx, ask.key("iam:AWSServiceName", linked.0))
}

async fn create(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::CreateServiceLinkedRoleRequest,
) -> Result<types::CreateServiceLinkedRoleResponse> {
    let linked = service(&input.aws_service_name)?;
    let name = linked.role_name(input.custom_suffix.as_deref())?;
    roles::check_description(input.description.as_deref())?;
    let role = iam
        .write(|tx| {
            if Role::lookup(tx, cx.account(), &name)?.is_some() {
                return Err(Fault::invalid_input(format!(
                    "Service role name {name} has been taken in this account, please try a different suffix."
                )));
            }
            let role = linked.role(tx, &cx, &name, input.description.as_ref())?;
            roles::add(tx, &role)?;
            tx.put(&policy_use(&role, &linked.policy()))?;
            Ok(role)
        })
        .await?;
    Ok(types::CreateServiceLinkedRoleResponse {
        role: Some(view::role(&iam.store.read(), &role)?),
    })
}

fn policy_use(role: &Role, policy: &str) -> PolicyUse {
    PolicyUse {
        account: role.account,
        policy: policy.to_owned(),
        usage: Usage::Attached,
        kind: EntityKind::Role,
        entity: fold(&role.name),
    }
}

/// Deletes at once; the task that clients poll is done when they first ask.
async fn delete(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeleteServiceLinkedRoleRequest,
) -> Result<types::DeleteServiceLinkedRoleResponse> {
    let task = iam
        .write(|tx| {
            let role = Role::find(tx, cx.account(), &input.role_name)?;
            let Some(service) = &role.linked_service else {
                return Err(Fault::invalid_input(format!(
                    "Role {} is not a service-linked role.",
                    role.name
                )));
            };
            for policy in &role.grants.attached {
                let usage = policy_use(&role, policy);
                let key = (
                    usage.account,
                    usage.policy,
                    "attached",
                    "role",
                    usage.entity,
                );
                tx.delete::<PolicyUse>(key)?;
            }
            roles::remove(tx, &role)?;
            let task = DeletionTask {
                account: *cx.account(),
                id: format!(
                    "task/aws-service-role/{service}/{}/{}",
                    role.name,
                    id::uuid()
                ),
                at: cx.now,
            };
            tx.put(&task)?;
            Ok(task.id)
        })
        .await?;
    Ok(types::DeleteServiceLinkedRoleResponse {
        deletion_task_id: task,
    })
}

async fn deletion_status(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetServiceLinkedRoleDeletionStatusRequest,
) -> Result<types::GetServiceLinkedRoleDeletionStatusResponse> {
    let key = (cx.account(), &input.deletion_task_id);
    let task = iam
        .store
        .read()
        .get::<DeletionTask>(key)
        .map_err(Fault::from)?;
    match task {
        Some(_) => Ok(types::GetServiceLinkedRoleDeletionStatusResponse {
            status: "SUCCEEDED".into(),
            reason: None,
        }),
        None => {
            Err(Fault::no_such_entity(format!("Task {} not found.", input.deletion_task_id)).into())
        }
    }
}

/// Forgets the tasks that are over for long; at most `limit`.
pub(crate) fn sweep(tx: &mut Tx, now: i64, limit: usize) -> Outcome<()> {
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    let mut old: Vec<(AccountId, String)> = Vec::new();
    for task in tx.scan(Scan::<DeletionTask>::all()) {
        let task = task?;
        if task.at.0.saturating_add(kept) < now {
            old.push((task.account, task.id));
        }
        if old.len() == limit {
            break;
        }
    }
    for key in old {
        tx.delete::<DeletionTask>(key)?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) fn policies() -> impl Iterator<Item = String> {
    SERVICES.iter().map(Linked::policy)
}
