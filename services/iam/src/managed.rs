//! Managed policies: the account's own, and a table of AWS's well-known ones.
//!
//! The table's documents are our own simplified equivalents: the same intent, written as service
//! wildcards.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use gureum_kit::{AccountId, Arn, Reader, Scan};
use gureum_policy::{Kind, Policy};
use gureum_schema::Timestamp;
use serde_json::json;

use crate::document;
use crate::entity::Named;
use crate::errors::{Fault, Outcome};
use crate::model::{ManagedPolicy, PolicyUse, Usage};

/// A policy that AWS offers in every account.
pub(crate) struct AwsPolicy {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) document: String,
    pub(crate) policy: Arc<Policy>,
}

/// What a table line allows, on every resource.
enum Grant {
    Actions(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

use Grant::{Actions, AllBut};

/// 6 February 2015, when most of AWS's managed policies came to be.
pub(crate) const AWS_POLICY_CREATED: Timestamp = Timestamp::from_secs(1_423_227_592);

const LOGS: [&str; 3] = [
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
];

#[rustfmt::skip]
const TABLE: &[(&str, &str, Grant)] = &[
    ("AdministratorAccess", "/", Actions(&["*"])),
    ("PowerUserAccess", "/", AllBut(&["iam:*", "organizations:*", "account:*"])),
    ("ReadOnlyAccess", "/", Actions(&["*:Get*", "*:List*", "*:Describe*", "*:BatchGet*", "*:Query", "*:Scan", "*:View*", "*:Lookup*", "*:Head*"])),
    ("ViewOnlyAccess", "/job-function/", Actions(&["*:List*", "*:Describe*"])),
    ("SecurityAudit", "/", Actions(&["*:Get*Policy*", "*:List*", "*:Describe*", "iam:Generate*", "iam:Get*", "iam:Simulate*"])),
    ("IAMFullAccess", "/", Actions(&["iam:*"])),
    ("IAMReadOnlyAccess", "/", Actions(&["iam:Generate*", "iam:Get*", "iam:List*", "iam:Simulate*"])),
    ("IAMUserChangePassword", "/", Actions(&["iam:ChangePassword", "iam:GetAccountPasswordPolicy"])),
    ("AmazonS3FullAccess", "/", Actions(&["s3:*", "s3-object-lambda:*"])),
    ("AmazonS3ReadOnlyAccess", "/", Actions(&["s3:Get*", "s3:List*", "s3:Describe*", "s3-object-lambda:Get*", "s3-object-lambda:List*"])),
    ("AmazonSQSFullAccess", "/", Actions(&["sqs:*"])),
    ("AmazonSQSReadOnlyAccess", "/", Actions(&["sqs:Get*", "sqs:List*"])),
    ("AmazonSNSFullAccess", "/", Actions(&["sns:*"])),
    ("AmazonSNSReadOnlyAccess", "/", Actions(&["sns:Get*", "sns:List*", "sns:Check*"])),
    ("AmazonDynamoDBFullAccess", "/", Actions(&["dynamodb:*", "dax:*", "application-autoscaling:*", "cloudwatch:*Alarm*", "cloudwatch:GetMetric*"])),
    ("AmazonDynamoDBReadOnlyAccess", "/", Actions(&["dynamodb:BatchGetItem", "dynamodb:Describe*", "dynamodb:Get*", "dynamodb:List*", "dynamodb:PartiQLSelect", "dynamodb:Query", "dynamodb:Scan"])),
    ("AmazonEC2FullAccess", "/", Actions(&["ec2:*", "elasticloadbalancing:*", "autoscaling:*", "cloudwatch:*", "iam:CreateServiceLinkedRole"])),
    ("AmazonEC2ReadOnlyAccess", "/", Actions(&["ec2:Describe*", "ec2:Get*", "ec2:Search*", "elasticloadbalancing:Describe*", "autoscaling:Describe*", "cloudwatch:Describe*", "cloudwatch:GetMetric*", "cloudwatch:ListMetrics"])),
    ("AmazonVPCFullAccess", "/", Actions(&["ec2:*"])),
    ("AmazonVPCReadOnlyAccess", "/", Actions(&["ec2:Describe*", "ec2:Get*", "ec2:Search*"])),
    ("AmazonRDSFullAccess", "/", Actions(&["rds:*", "cloudwatch:GetMetric*", "cloudwatch:*Alarm*", "ec2:Describe*", "logs:Describe*", "logs:GetLogEvents", "iam:CreateServiceLinkedRole"])),
    ("AmazonRDSReadOnlyAccess", "/", Actions(&["rds:Describe*", "rds:List*", "cloudwatch:GetMetric*", "ec2:Describe*", "logs:Describe*", "logs:GetLogEvents"])),
    ("AWSLambda_FullAccess", "/", Actions(&["lambda:*", "iam:GetRole*", "iam:List*", "iam:PassRole", "logs:*", "cloudwatch:GetMetric*", "cloudwatch:ListMetrics"])),
    ("AWSLambda_ReadOnlyAccess", "/", Actions(&["lambda:Get*", "lambda:List*", "logs:Describe*", "logs:Get*", "cloudwatch:GetMetric*", "cloudwatch:ListMetrics"])),
    ("AWSLambdaExecute", "/", Actions(&["logs:*", "s3:GetObject", "s3:PutObject"])),
    ("AWSLambdaBasicExecutionRole", "/service-role/", Actions(&LOGS)),
    ("AWSLambdaSQSQueueExecutionRole", "/service-role/", Actions(&["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", LOGS[0], LOGS[1], LOGS[2]])),
    ("AWSLambdaDynamoDBExecutionRole", "/service-role/", Actions(&["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams", LOGS[0], LOGS[1], LOGS[2]])),
    ("AWSLambdaKinesisExecutionRole", "/service-role/", Actions(&["kinesis:DescribeStream*", "kinesis:Get*", "kinesis:List*", "kinesis:SubscribeToShard", LOGS[0], LOGS[1], LOGS[2]])),
    ("AWSLambdaVPCAccessExecutionRole", "/service-role/", Actions(&["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses", LOGS[0], LOGS[1], LOGS[2]])),
    ("AWSLambdaRole", "/service-role/", Actions(&["lambda:InvokeFunction"])),
    ("AmazonAPIGatewayPushToCloudWatchLogs", "/service-role/", Actions(&["logs:*"])),
    ("AmazonSSMManagedInstanceCore", "/", Actions(&["ssm:DescribeAssociation", "ssm:GetDeployablePatchSnapshotForInstance", "ssm:GetDocument", "ssm:DescribeDocument", "ssm:GetManifest", "ssm:GetParameter*", "ssm:ListAssociations", "ssm:ListInstanceAssociations", "ssm:PutInventory", "ssm:PutComplianceItems", "ssm:PutConfigurePackageResult", "ssm:UpdateAssociationStatus", "ssm:UpdateInstance*", "ssmmessages:*", "ec2messages:*"])),
    ("AmazonSSMFullAccess", "/", Actions(&["ssm:*", "ssmmessages:*", "ec2messages:*", "cloudwatch:PutMetricData", "logs:*"])),
    ("AmazonSSMReadOnlyAccess", "/", Actions(&["ssm:Describe*", "ssm:Get*", "ssm:List*"])),
    ("CloudWatchFullAccess", "/", Actions(&["cloudwatch:*", "logs:*", "sns:*", "autoscaling:Describe*", "oam:ListSinks"])),
    ("CloudWatchReadOnlyAccess", "/", Actions(&["cloudwatch:BatchGet*", "cloudwatch:Describe*", "cloudwatch:Get*", "cloudwatch:List*", "logs:Describe*", "logs:Get*", "logs:FilterLogEvents", "logs:StartQuery", "logs:StopQuery", "sns:Get*", "sns:List*", "autoscaling:Describe*"])),
    ("CloudWatchAgentServerPolicy", "/", Actions(&["cloudwatch:PutMetricData", "ec2:DescribeVolumes", "ec2:DescribeTags", "logs:PutLogEvents", "logs:PutRetentionPolicy", "logs:DescribeLogStreams", "logs:DescribeLogGroups", "logs:CreateLogStream", "logs:CreateLogGroup", "ssm:GetParameter"])),
    ("CloudWatchLogsFullAccess", "/", Actions(&["logs:*", "cloudwatch:GenerateQuery"])),
    ("CloudWatchLogsReadOnlyAccess", "/", Actions(&["logs:Describe*", "logs:Get*", "logs:List*", "logs:StartQuery", "logs:StopQuery", "logs:TestMetricFilter", "logs:FilterLogEvents"])),
    ("AmazonRoute53FullAccess", "/", Actions(&["route53:*", "route53domains:*"])),
    ("AmazonRoute53ReadOnlyAccess", "/", Actions(&["route53:Get*", "route53:List*", "route53:Test*"])),
    ("CloudFrontFullAccess", "/", Actions(&["cloudfront:*", "s3:ListAllMyBuckets", "acm:ListCertificates", "iam:ListServerCertificates"])),
    ("CloudFrontReadOnlyAccess", "/", Actions(&["cloudfront:Describe*", "cloudfront:Get*", "cloudfront:List*", "s3:ListAllMyBuckets", "acm:ListCertificates"])),
    ("AmazonElastiCacheFullAccess", "/", Actions(&["elasticache:*", "ec2:Describe*", "cloudwatch:GetMetric*"])),
    ("AmazonElasticFileSystemFullAccess", "/", Actions(&["elasticfilesystem:*", "ec2:Describe*", "ec2:*NetworkInterface*", "kms:ListAliases", "kms:DescribeKey"])),
    ("ElasticLoadBalancingFullAccess", "/", Actions(&["elasticloadbalancing:*", "ec2:Describe*"])),
    ("AutoScalingFullAccess", "/", Actions(&["autoscaling:*", "cloudwatch:PutMetricAlarm", "ec2:Describe*", "elasticloadbalancing:Describe*", "iam:CreateServiceLinkedRole"])),
    ("AWSCloudFormationFullAccess", "/", Actions(&["cloudformation:*"])),
    ("AWSCloudFormationReadOnlyAccess", "/", Actions(&["cloudformation:Describe*", "cloudformation:Get*", "cloudformation:List*", "cloudformation:Detect*", "cloudformation:Estimate*", "cloudformation:Validate*"])),
    ("AWSStepFunctionsFullAccess", "/", Actions(&["states:*"])),
    ("AWSStepFunctionsReadOnlyAccess", "/", Actions(&["states:Describe*", "states:Get*", "states:List*"])),
    ("AmazonEventBridgeFullAccess", "/", Actions(&["events:*", "schemas:*", "scheduler:*", "pipes:*"])),
    ("AmazonKinesisFullAccess", "/", Actions(&["kinesis:*"])),
    ("AWSKeyManagementServicePowerUser", "/", Actions(&["kms:CreateAlias", "kms:CreateKey", "kms:DeleteAlias", "kms:Describe*", "kms:GenerateRandom", "kms:Get*", "kms:List*", "kms:TagResource", "kms:UntagResource", "iam:ListGroups", "iam:ListRoles", "iam:ListUsers"])),
    ("SecretsManagerReadWrite", "/", Actions(&["secretsmanager:*", "kms:DescribeKey", "kms:ListAliases", "kms:ListKeys"])),
    ("AWSElasticBeanstalkWebTier", "/", Actions(&["s3:Get*", "s3:List*", "s3:PutObject", "logs:PutLogEvents", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:DescribeLogGroups", "cloudwatch:PutMetricData", "elasticbeanstalk:PutInstanceStatistics"])),
    ("AWSElasticBeanstalkWorkerTier", "/", Actions(&["s3:Get*", "s3:List*", "s3:PutObject", "sqs:*Message*", "dynamodb:*Item", "dynamodb:Query", "dynamodb:Scan", "logs:PutLogEvents", "logs:CreateLogStream", "cloudwatch:PutMetricData", "elasticbeanstalk:PutInstanceStatistics"])),
    ("AmazonECSTaskExecutionRolePolicy", "/service-role/", Actions(&["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage", "logs:CreateLogStream", "logs:PutLogEvents"])),
    ("AutoScalingServiceRolePolicy", "/aws-service-role/", Actions(&["ec2:*", "elasticloadbalancing:*", "cloudwatch:*Alarm*", "cloudwatch:GetMetric*", "sns:Publish", "iam:PassRole", "iam:CreateServiceLinkedRole", "ssm:GetParameters", "events:*"])),
    ("AWSApplicationAutoscalingDynamoDBTablePolicy", "/aws-service-role/", Actions(&["dynamodb:DescribeTable", "dynamodb:UpdateTable", "cloudwatch:*Alarm*"])),
    ("AWSApplicationAutoscalingEC2SpotFleetRequestPolicy", "/aws-service-role/", Actions(&["ec2:DescribeSpotFleetRequests", "ec2:ModifySpotFleetRequest", "cloudwatch:*Alarm*"])),
    ("AWSApplicationAutoscalingECSServicePolicy", "/aws-service-role/", Actions(&["ecs:DescribeServices", "ecs:UpdateService", "cloudwatch:*Alarm*"])),
    ("AWSApplicationAutoscalingLambdaConcurrencyPolicy", "/aws-service-role/", Actions(&["lambda:*ProvisionedConcurrencyConfig", "cloudwatch:*Alarm*"])),
    ("AWSApplicationAutoscalingRDSClusterPolicy", "/aws-service-role/", Actions(&["rds:AddTagsToResource", "rds:CreateDBInstance", "rds:DeleteDBInstance", "rds:Describe*", "rds:ModifyDBCluster", "iam:PassRole", "cloudwatch:*Alarm*"])),
    ("AWSEC2SpotServiceRolePolicy", "/aws-service-role/", Actions(&["ec2:DescribeInstances", "ec2:StartInstances", "ec2:StopInstances", "ec2:RunInstances", "ec2:CreateTags", "ec2:TerminateInstances", "iam:PassRole"])),
    ("AmazonECSServiceRolePolicy", "/aws-service-role/", Actions(&["ec2:*NetworkInterface*", "ec2:Describe*", "elasticloadbalancing:*", "autoscaling:*", "cloudwatch:*Alarm*", "route53:*", "servicediscovery:*", "logs:*"])),
    ("ElastiCacheServiceRolePolicy", "/aws-service-role/", Actions(&["ec2:*NetworkInterface*", "ec2:*SecurityGroup*", "ec2:Describe*", "cloudwatch:PutMetricData", "logs:*"])),
    ("AWSElasticBeanstalkServiceRolePolicy", "/aws-service-role/", Actions(&["autoscaling:*", "cloudformation:*", "cloudwatch:*", "ec2:*", "elasticloadbalancing:*", "logs:*", "rds:Describe*", "s3:*", "sns:*", "sqs:*"])),
    ("AmazonElasticFileSystemServiceRolePolicy", "/aws-service-role/", Actions(&["ec2:*NetworkInterface*", "ec2:Describe*", "kms:ListAliases", "backup-storage:MountCapsule", "tag:GetResources"])),
    ("AWSElasticLoadBalancingServiceRolePolicy", "/aws-service-role/", Actions(&["ec2:*Address*", "ec2:*NetworkInterface*", "ec2:*SecurityGroup*", "ec2:Describe*", "ec2:Get*", "logs:*", "cloudwatch:*"])),
    ("CloudWatchEventsServiceRolePolicy", "/aws-service-role/", Actions(&["ec2:Describe*", "ec2:RebootInstances", "ec2:StopInstances", "ec2:TerminateInstances", "ec2:CreateSnapshot", "cloudwatch:DescribeAlarms"])),
    ("AmazonRDSServiceRolePolicy", "/aws-service-role/", Actions(&["rds:CrossRegionCommunication", "ec2:*", "logs:*", "cloudwatch:PutMetricData", "sns:Publish", "kinesis:*", "secretsmanager:*"])),
    ("AmazonRedshiftServiceLinkedRolePolicy", "/aws-service-role/", Actions(&["ec2:*NetworkInterface*", "ec2:*Address*", "ec2:Describe*", "logs:*", "cloudwatch:PutMetricData"])),
    ("DynamoDBReplicationServiceRolePolicy", "/aws-service-role/", Actions(&["dynamodb:*", "application-autoscaling:*"])),
];

static BY_ARN: LazyLock<BTreeMap<String, AwsPolicy>> = LazyLock::new(|| {
    let policies = TABLE.iter().filter_map(|(name, path, grant)| {
        let policy = build(name, path, grant);
        policy.map(|policy| (policy.arn.clone(), policy))
    });
    policies.collect()
});

/// A line that does not parse is left out; a test sees to it that there is none.
fn build(name: &'static str, path: &'static str, grant: &Grant) -> Option<AwsPolicy> {
    let statement = match grant {
        Actions(actions) => json!({"Effect": "Allow", "Action": actions, "Resource": "*"}),
        AllBut(actions) => json!({"Effect": "Allow", "NotAction": actions, "Resource": "*"}),
    };
    let document = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let policy = Policy::parse(&document, Kind::Identity).ok()?;
    Some(AwsPolicy {
        name,
        path,
        arn: format!("arn:aws:iam::aws:policy{path}{name}"),
        id: stable_id(name),
        document,
        policy: Arc::new(policy),
    })
}

/// An id that is the same in every cloud and at every start.
fn stable_id(name: &str) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let tail = digest.as_ref().iter().take(17);
    let letters = tail.map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    letters.fold("ANPA".to_owned(), |mut id, letter| {
        id.push(letter);
        id
    })
}

/// AWS's policies, in the order of their ARNs.
pub(crate) fn aws_policies() -> impl Iterator<Item = &'static AwsPolicy> {
    BY_ARN.values()
}

/// A managed policy, whoever keeps it.
pub(crate) enum Managed {
    Aws(&'static AwsPolicy),
    Own(ManagedPolicy),
}

impl Managed {
    pub(crate) fn lookup(
        reader: &impl Reader,
        account: &AccountId,
        arn: &str,
    ) -> Outcome<Option<Self>> {
        if let Some(policy) = BY_ARN.get(arn) {
            return Ok(Some(Self::Aws(policy)));
        }
        Ok(own(reader, account, arn)?.map(Self::Own))
    }

    pub(crate) fn find(reader: &impl Reader, account: &AccountId, arn: &str) -> Outcome<Self> {
        Self::lookup(reader, account, arn)?.ok_or_else(|| missing(arn))
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Aws(policy) => policy.name,
            Self::Own(policy) => &policy.name,
        }
    }

    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Aws(policy) => policy.path,
            Self::Own(policy) => &policy.path,
        }
    }

    pub(crate) fn policy(&self) -> Outcome<Arc<Policy>> {
        match self {
            Self::Aws(policy) => Ok(Arc::clone(&policy.policy)),
            Self::Own(policy) => document::stored(policy.document(), Kind::Identity),
        }
    }
}

/// The account's own policy with this ARN.
fn own(reader: &impl Reader, account: &AccountId, arn: &str) -> Outcome<Option<ManagedPolicy>> {
    let Some(name) = arn.rsplit('/').next().filter(|_| arn.contains(":policy/")) else {
        return Ok(None);
    };
    let policy = ManagedPolicy::lookup(reader, account, name)?;
    Ok(policy.filter(|policy| policy.arn() == arn))
}

/// The account's own policy, to be changed; AWS's cannot be.
pub(crate) fn own_to_change(
    reader: &impl Reader,
    account: &AccountId,
    arn: &str,
) -> Outcome<ManagedPolicy> {
    check_arn(arn)?;
    if BY_ARN.contains_key(arn) {
        return Err(Fault::access_denied(format!(
            "Policy {arn} is managed by AWS and cannot be changed."
        )));
    }
    own(reader, account, arn)?.ok_or_else(|| missing(arn))
}

pub(crate) fn check_arn(arn: &str) -> Outcome<()> {
    match arn.parse::<Arn>() {
        Ok(parsed) if parsed.service == "iam" && parsed.resource.starts_with("policy/") => Ok(()),
        _ => Err(Fault::invalid_input(format!("ARN {arn} is not valid."))),
    }
}

fn missing(arn: &str) -> Fault {
    Fault::no_such_entity(format!("Policy {arn} does not exist or is not attachable."))
}

/// How many entities of the account use a policy in this way.
pub(crate) fn uses(
    reader: &impl Reader,
    account: &AccountId,
    arn: &str,
    usage: Usage,
) -> Outcome<usize> {
    let mut count = 0;
    for row in reader.scan(Scan::<PolicyUse>::of((account, arn, usage.key()))) {
        row?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_policy_of_its_own() {
        assert_eq!(BY_ARN.len(), TABLE.len());
        let ids: std::collections::BTreeSet<_> = aws_policies().map(|p| &p.id).collect();
        assert_eq!(ids.len(), TABLE.len());
    }

    #[test]
    fn every_service_linked_role_has_its_policy() {
        for arn in crate::ops::service_linked::policies() {
            assert!(BY_ARN.contains_key(&arn), "{arn}");
        }
    }
}
