//! AWS managed keys: one for each service, account and region, under `alias/aws/<service>`, made
//! when the service first needs it.
//!
//! A service calls KMS in its caller's name, `cx.via("s3").call::<op::GenerateDataKey>(…)`, with
//! `alias/aws/s3` as key id. The key's policy lets everybody in the account use it as long as the
//! call comes through that service, and lets nobody change it.

use std::collections::{BTreeMap, BTreeSet};

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_kit::{AccountId, Region};
use serde_json::json;

use crate::crypto;
use crate::errors::Result;
use crate::model::{AliasRow, DAY, KeyRow, Rotation, State, Why};
use crate::names::{Name, Target};
use crate::spec::{KeySpec, KeyUsage};
use crate::state::Kms;

pub(crate) const RESERVED: &str = "alias/aws/";

/// AWS rotates its managed keys every year.
const ROTATION_DAYS: i32 = 365;

/// The names behind `alias/aws/`, each with the service (as in [`Cx::via`]) whose key it is.
const SERVICES: &[(&str, &str)] = &[
    ("acm", "acm"),
    ("backup", "backup"),
    ("dynamodb", "dynamodb"),
    ("ebs", "ec2"),
    ("elasticfilesystem", "elasticfilesystem"),
    ("kinesis", "kinesis"),
    ("lambda", "lambda"),
    ("rds", "rds"),
    ("redshift", "redshift"),
    ("s3", "s3"),
    ("secretsmanager", "secretsmanager"),
    ("sns", "sns"),
    ("sqs", "sqs"),
    ("ssm", "ssm"),
];

/// The service whose key an alias is for.
fn service(alias: &str) -> Option<&'static str> {
    let name = alias.strip_prefix(RESERVED)?;
    let found = SERVICES.iter().find(|(known, _)| *known == name);
    found.map(|(_, service)| *service)
}

/// `s3.us-east-1.amazonaws.com`, the form of `kms:ViaService`.
pub(crate) fn via_service(service: &str, region: &Region) -> String {
    format!("{service}.{region}.amazonaws.com")
}

/// The key that would be made for this name: without material, and not stored. `describing` is
/// for `DescribeKey`, which makes the key as its service does.
pub(crate) fn draft(cx: &Cx, name: &Name, describing: bool) -> Option<KeyRow> {
    let Name::Alias((region, account, alias)) = name else {
        return None;
    };
    let service = service(alias)?;
    let wanted = describing || cx.via == Some(service);
    if !wanted || account != cx.account() {
        return None;
    }
    let now = cx.now.0;
    Some(KeyRow {
        region: region.clone(),
        account: *account,
        id: id::uuid(),
        created: now,
        description: format!(
            "Default key that protects my {service} data when no other key is defined"
        ),
        spec: KeySpec::Symmetric,
        usage: KeyUsage::EncryptDecrypt,
        state: State::Enabled,
        policy: policy(service, region, account),
        tags: BTreeMap::new(),
        aliases: BTreeSet::from([alias.clone()]),
        managed_by: Some(service.to_owned()),
        rotation: Some(Rotation {
            period_days: ROTATION_DAYS,
            next: now + i64::from(ROTATION_DAYS) * DAY,
        }),
        materials: Vec::new(),
    })
}

fn policy(service: &str, region: &Region, account: &AccountId) -> String {
    let through = json!({"StringEquals": {
        "kms:CallerAccount": account.as_str(),
        "kms:ViaService": via_service(service, region),
    }});
    let root = format!("arn:{}:iam::{account}:root", region.partition());
    json!({
        "Version": "2012-10-17",
        "Id": format!("auto-{service}"),
        "Statement": [
            {
                "Sid": format!("Use through {service} by everybody in the account"),
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*",
                    "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey"],
                "Resource": "*",
                "Condition": through,
            },
            {
                "Sid": "Looking at the key by those whom the account lets",
                "Effect": "Allow",
                "Principal": {"AWS": root},
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
                "Resource": "*",
            },
        ],
    })
    .to_string()
}

impl Kms {
    /// The key that a request is to use.
    pub(crate) async fn at(&self, cx: &Cx, target: Target) -> Result<KeyRow> {
        self.find_or_make(cx, target, false).await
    }

    /// The same; `describing` is for `DescribeKey`. An AWS managed key is made if this is its first
    /// use.
    pub(crate) async fn find_or_make(
        &self,
        cx: &Cx,
        target: Target,
        describing: bool,
    ) -> Result<KeyRow> {
        let Target { name, found } = target;
        if let Some(found) = found {
            return Ok(found.row);
        }
        let mut draft = draft(cx, &name, describing).ok_or_else(|| name.missing())?;
        let material = crypto::generate(draft.spec)?;
        let material = self.material(&draft.id, Why::Created, draft.created, &material)?;
        draft.materials.push(material);
        self.store
            .transact(|tx| {
                // Somebody else may have been first.
                if let Some(found) = self.find(tx, &name)? {
                    return Ok(found.row);
                }
                for alias in &draft.aliases {
                    tx.put(&AliasRow {
                        region: draft.region.clone(),
                        account: draft.account,
                        name: alias.clone(),
                        key: draft.id.clone(),
                        created: draft.created,
                        updated: draft.created,
                    })?;
                }
                tx.put(&draft)?;
                Ok(draft.clone())
            })
            .await
    }
}
