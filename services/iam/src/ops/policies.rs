//! Customer-managed policies and their versions.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_kit::{Reader, Scan};
use gureum_model_iam::{op, types};
use gureum_schema::Result;

use crate::entity::Named;
use crate::errors::{Fault, Outcome};
use crate::managed::{Managed, aws_policies, check_arn, own_to_change, uses};
use crate::model::{ManagedPolicy, PolicyVersion, Usage, fold};
use crate::page::Ask as Paging;
use crate::{Iam, Table, ask, document, names, view};

/// Customer-managed policies that an account may have.
const QUOTA: usize = 1500;
/// Versions that one policy may have.
const VERSIONS: usize = 5;

#[rustfmt::skip]
pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::CreatePolicy, _>(
            |_, cx, i| ask::one(cx, ask::create(cx, "iam:CreatePolicy", "policy", i.path.as_ref(), &i.policy_name, i.tags.as_ref())),
            create_policy,
        )
        .op::<op::GetPolicy, _>(|iam, cx, i| ask::one(cx, ask::policy(iam, cx, "iam:GetPolicy", &i.policy_arn)?), get_policy)
        .op::<op::ListPolicies, _>(|_, cx, i| ask::listing(cx, "iam:ListPolicies", "policy", i.path_prefix.as_ref()), list_policies)
        .op::<op::DeletePolicy, _>(|iam, cx, i| ask::one(cx, ask::policy(iam, cx, "iam:DeletePolicy", &i.policy_arn)?), delete_policy)
        .op::<op::CreatePolicyVersion, _>(|iam, cx, i| ask::one(cx, ask::policy(iam, cx, "iam:CreatePolicyVersion", &i.policy_arn)?), create_policy_version)
        .op::<op::GetPolicyVersion, _>(|iam, cx, i| ask::one(cx, ask::policy(iam, cx, "iam:GetPolicyVersion", &i.policy_arn)?), get_policy_version)
        .op::<op::ListPolicyVersions, _>(|iam, cx, i| ask::one(cx, ask::policy(iam, cx, "iam:ListPolicyVersions", &i.policy_arn)?), list_policy_versions)
        .op::<op::SetDefaultPolicyVersion, _>(|iam, cx, i| ask::one(cx, ask::policy(iam, cx, "iam:SetDefaultPolicyVersion", &i.policy_arn)?), set_default_policy_version)
        .op::<op::DeletePolicyVersion, _>(|iam, cx, i| ask::one(cx, ask::policy(iam, cx, "iam:DeletePolicyVersion", &i.policy_arn)?), delete_policy_version)
}

async fn create_policy(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::CreatePolicyRequest,
) -> Result<types::CreatePolicyResponse> {
    names::name("policyName", &input.policy_name, 128)?;
    document::managed(&input.policy_document)?;
    super::roles::check_description(input.description.as_deref())?;
    let policy = ManagedPolicy {
        account: *cx.account(),
        path: names::path(input.path.as_deref())?,
        name: input.policy_name,
        id: id::unique(id::Kind::ManagedPolicy),
        description: input.description,
        created: cx.now,
        updated: cx.now,
        tags: names::tags(input.tags.as_deref().unwrap_or_default())?,
        versions: vec![PolicyVersion {
            number: 1,
            document: input.policy_document,
            created: cx.now,
        }],
        default: 1,
        next: 2,
    };
    iam.write(|tx| {
        if ManagedPolicy::lookup(tx, &policy.account, &policy.name)?.is_some() {
            return Err(Fault::already_exists(format!(
                "A policy called {} already exists. Duplicate names are not allowed.",
                policy.name
            )));
        }
        super::room_for::<ManagedPolicy>(tx, &policy.account, QUOTA, "PoliciesPerAccount")?;
        Ok(tx.put(&policy)?)
    })
    .await?;
    Ok(types::CreatePolicyResponse {
        policy: Some(in_full(&iam.store.read(), &policy)?),
    })
}

/// A policy as only its own operations show it: with description and tags.
fn in_full(reader: &impl Reader, policy: &ManagedPolicy) -> Outcome<types::Policy> {
    Ok(types::Policy {
        description: policy.description.clone(),
        tags: view::tags_opt(&policy.tags),
        ..view::managed_policy(reader, policy)?
    })
}

async fn get_policy(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetPolicyRequest,
) -> Result<types::GetPolicyResponse> {
    check_arn(&input.policy_arn)?;
    let reader = iam.store.read();
    let policy = match find(&reader, &cx, &input.policy_arn)? {
        Managed::Aws(policy) => view::aws_policy(&reader, cx.account(), policy)?,
        Managed::Own(policy) => in_full(&reader, &policy)?,
    };
    Ok(types::GetPolicyResponse {
        policy: Some(policy),
    })
}

fn find(reader: &impl Reader, cx: &Cx, arn: &str) -> Outcome<Managed> {
    Managed::lookup(reader, cx.account(), arn)?
        .ok_or_else(|| Fault::no_such_entity(format!("Policy {arn} was not found.")))
}

/// The account's own policies first, then AWS's, each by ARN.
async fn list_policies(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ListPoliciesRequest,
) -> Result<types::ListPoliciesResponse> {
    let reader = iam.store.read();
    let scope = input.scope.as_deref().unwrap_or("All");
    let mut policies = Vec::new();
    if scope != "AWS" {
        for policy in reader.scan(Scan::<ManagedPolicy>::of((cx.account(),))) {
            let policy = policy.map_err(Fault::from)?;
            policies.push(view::managed_policy(&reader, &policy)?);
        }
    }
    if scope != "Local" {
        for policy in aws_policies() {
            policies.push(view::aws_policy(&reader, cx.account(), policy)?);
        }
    }
    policies.retain(|policy| wanted(policy, &input));
    let key = |policy: &types::Policy| policy.arn.clone().unwrap_or_default();
    policies.sort_by_key(key);
    let page = Paging::new(input.marker.as_deref(), input.max_items)?.page(policies, key);
    Ok(types::ListPoliciesResponse {
        is_truncated: page.truncated(),
        policies: Some(page.items),
        marker: page.marker,
    })
}

fn wanted(policy: &types::Policy, input: &types::ListPoliciesRequest) -> bool {
    let used = |count: Option<i32>| count.is_some_and(|count| count > 0);
    let attached = used(policy.attachment_count);
    let bounding = used(policy.permissions_boundary_usage_count);
    let path = policy.path.as_deref().unwrap_or("/");
    let in_use = match input.policy_usage_filter.as_deref() {
        Some("PermissionsBoundary") => bounding,
        Some("PermissionsPolicy") => attached,
        _ => true,
    };
    let only_attached = input.only_attached.unwrap_or(false);
    super::below(path, input.path_prefix.as_ref())
        && in_use
        && (attached || bounding || !only_attached)
}

async fn delete_policy(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeletePolicyRequest,
) -> Result<types::DeletePolicyOutput> {
    iam.write(|tx| {
        let policy = own_to_change(tx, cx.account(), &input.policy_arn)?;
        let used = |usage| uses(tx, cx.account(), &input.policy_arn, usage);
        if used(Usage::Attached)? > 0 || used(Usage::Boundary)? > 0 {
            return Err(Fault::delete_conflict(
                "Cannot delete a policy attached to entities.",
            ));
        }
        if policy.versions.len() > 1 {
            return Err(Fault::delete_conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
            ));
        }
        Ok(tx.delete::<ManagedPolicy>((cx.account(), fold(&policy.name)))?)
    })
    .await?;
    Ok(types::DeletePolicyOutput {})
}

async fn create_policy_version(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::CreatePolicyVersionRequest,
) -> Result<types::CreatePolicyVersionResponse> {
    document::managed(&input.policy_document)?;
    let (policy, version) = iam
        .write(|tx| {
            let mut policy = own_to_change(tx, cx.account(), &input.policy_arn)?;
            if policy.versions.len() >= VERSIONS {
                return Err(Fault::limit_exceeded(format!(
                    "A managed policy can have up to {VERSIONS} versions. Before you create a new version, you must delete an existing version."
                )));
            }
            let version = PolicyVersion {
                number: policy.next,
                document: input.policy_document.clone(),
                created: cx.now,
            };
            policy.next += 1;
            policy.versions.push(version.clone());
            policy.updated = cx.now;
            if input.set_as_default == Some(true) {
                policy.default = version.number;
            }
            tx.put(&policy)?;
            Ok((policy, version))
        })
        .await?;
    Ok(types::CreatePolicyVersionResponse {
        policy_version: Some(view::version(&policy, &version, false)),
    })
}

/// `v3` is 3.
fn number(version: &str) -> Outcome<u32> {
    let digits = version.strip_prefix('v');
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        Fault::validation(format!(
            "Value '{version}' at 'versionId' failed to satisfy constraint: Member must satisfy regular expression pattern: v[1-9][0-9]*(\\.[A-Za-z0-9-]*)?"
        ))
    })
}

fn no_version(arn: &str, version: &str) -> Fault {
    Fault::no_such_entity(format!(
        "Policy {arn} version {version} does not exist or is not attachable."
    ))
}

async fn get_policy_version(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetPolicyVersionRequest,
) -> Result<types::GetPolicyVersionResponse> {
    check_arn(&input.policy_arn)?;
    let number = number(&input.version_id)?;
    let version = match find(&iam.store.read(), &cx, &input.policy_arn)? {
        Managed::Aws(policy) => (number == 1).then(|| view::aws_version(policy, true)),
        Managed::Own(policy) => policy
            .version(number)
            .map(|version| view::version(&policy, version, true)),
    };
    match version {
        Some(version) => Ok(types::GetPolicyVersionResponse {
            policy_version: Some(version),
        }),
        None => Err(no_version(&input.policy_arn, &input.version_id).into()),
    }
}

async fn list_policy_versions(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ListPolicyVersionsRequest,
) -> Result<types::ListPolicyVersionsResponse> {
    check_arn(&input.policy_arn)?;
    // Newest first; the key turns the numbers round to match.
    let versions: Vec<types::PolicyVersion> = match find(&iam.store.read(), &cx, &input.policy_arn)?
    {
        Managed::Aws(policy) => vec![view::aws_version(policy, false)],
        Managed::Own(policy) => {
            let newest_first = policy.versions.iter().rev();
            newest_first
                .map(|version| view::version(&policy, version, false))
                .collect()
        }
    };
    let key = |version: &types::PolicyVersion| {
        let id = version.version_id.as_deref().unwrap_or_default();
        format!("{:010}", u32::MAX - number(id).unwrap_or_default())
    };
    let page = Paging::new(input.marker.as_deref(), input.max_items)?.page(versions, key);
    Ok(types::ListPolicyVersionsResponse {
        is_truncated: page.truncated(),
        versions: Some(page.items),
        marker: page.marker,
    })
}

async fn set_default_policy_version(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::SetDefaultPolicyVersionRequest,
) -> Result<types::SetDefaultPolicyVersionOutput> {
    let number = number(&input.version_id)?;
    iam.write(|tx| {
        let mut policy = own_to_change(tx, cx.account(), &input.policy_arn)?;
        if policy.version(number).is_none() {
            return Err(no_version(&input.policy_arn, &input.version_id));
        }
        policy.default = number;
        policy.updated = cx.now;
        Ok(tx.put(&policy)?)
    })
    .await?;
    Ok(types::SetDefaultPolicyVersionOutput {})
}

async fn delete_policy_version(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeletePolicyVersionRequest,
) -> Result<types::DeletePolicyVersionOutput> {
    let number = number(&input.version_id)?;
    iam.write(|tx| {
        let mut policy = own_to_change(tx, cx.account(), &input.policy_arn)?;
        if policy.version(number).is_none() {
            return Err(no_version(&input.policy_arn, &input.version_id));
        }
        if policy.default == number {
            return Err(Fault::delete_conflict(
                "Cannot delete the default version of a policy.",
            ));
        }
        policy.versions.retain(|version| version.number != number);
        policy.updated = cx.now;
        Ok(tx.put(&policy)?)
    })
    .await?;
    Ok(types::DeletePolicyVersionOutput {})
}
