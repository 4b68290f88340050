//! Security groups; their rules are in [`super::group_rules`].

use std::collections::BTreeSet;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::defaults::all_egress;
use crate::describe::{chosen, query};
use crate::errors::{Refusal, Result};
use crate::model::group::{self, GroupRow, RULE, RULE_FILTERS};
use crate::model::interface::InterfaceRow;
use crate::model::vpc::VpcRow;
use crate::resource::{Described as _, Find as _, Resource as _};
use crate::state::{Change, Ec2};
use crate::tags;

/// The longest name and description.
const MAX_TEXT: usize = 255;

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateSecurityGroupRequest,
) -> Reply<t::CreateSecurityGroupResult> {
    check_text("GroupName", &input.group_name)?;
    check_text("GroupDescription", &input.description)?;
    if input.group_name.starts_with("sg-") {
        Err(Refusal::value(
            "invalid value for parameter groupName: group names may not be of the form sg-*",
        ))?;
    }
    if input.group_name.eq_ignore_ascii_case("default") {
        Err(Refusal::new(
            "InvalidParameterValue",
            "Cannot use reserved security group name: default",
        ))?;
    }
    let tags = tags::on_create(&group::KIND, &input.tag_specifications)?;
    let group = ec2
        .write(&cx, input.dry_run, |w| {
            let vpc = match &input.vpc_id {
                Some(id) => w.need::<VpcRow>(id)?,
                None => default_vpc(w)?,
            };
            let mut others = w.of_vpc::<GroupRow>(vpc.id())?.into_iter();
            if others.any(|other| other.name == input.group_name) {
                return Err(Refusal::new(
                    "InvalidGroup.Duplicate",
                    format!(
                        "The security group '{}' already exists for VPC '{}'",
                        input.group_name,
                        vpc.id()
                    ),
                ));
            }
            let group = GroupRow {
                meta: w.here.new_meta(&group::KIND, tags.clone()),
                vpc: vpc.meta.id,
                name: input.group_name.clone(),
                description: input.description.clone(),
                rules: vec![all_egress()],
            };
            w.put(&group)?;
            Ok(group)
        })
        .await?;
    Ok(t::CreateSecurityGroupResult {
        tags: tags::shapes(&group.meta.tags),
        security_group_arn: Some(group.arn().to_string()),
        group_id: Some(group.meta.id),
    })
}

/// Names and descriptions have a character set of their own.
fn check_text(parameter: &str, text: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    if text.is_empty() {
        return Err(Refusal::missing(parameter));
    }
    if text.len() > MAX_TEXT || !text.chars().all(allowed) {
        return Err(Refusal::value(format!(
            "Value ({text}) for parameter {parameter} is invalid. Character sets beyond ASCII are not supported."
        )));
    }
    Ok(())
}

pub(crate) fn default_vpc(w: &Change<'_>) -> Result<VpcRow> {
    let mut vpcs = w.all::<VpcRow>()?.into_iter();
    vpcs.find(|vpc| vpc.is_default)
        .ok_or_else(|| Refusal::new("VPCIdNotSpecified", "No default VPC for this user"))
}

/// The group that a request names by its id, or in the default VPC by its name.
pub(crate) fn named(w: &Change<'_>, id: Option<&str>, name: Option<&str>) -> Result<GroupRow> {
    match (id, name) {
        (Some(id), _) => w.need(id),
        (None, Some(name)) => {
            let vpc = default_vpc(w)?;
            let mut groups = w.of_vpc::<GroupRow>(vpc.id())?.into_iter();
            groups.find(|group| group.name == name).ok_or_else(|| {
                Refusal::new(
                    "InvalidGroup.NotFound",
                    format!(
                        "The security group '{name}' does not exist in default VPC '{}'",
                        vpc.id()
                    ),
                )
            })
        }
        (None, None) => Err(Refusal::missing("groupName or groupId")),
    }
}

pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteSecurityGroupRequest,
) -> Reply<t::DeleteSecurityGroupResult> {
    let id = ec2
        .write(&cx, input.dry_run, |w| {
            let group = named(w, input.group_id.as_deref(), input.group_name.as_deref())?;
            let id = group.id();
            if group.is_default() {
                return Err(Refusal::new(
                    "CannotDelete",
                    format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user"),
                ));
            }
            let interfaces = w.of_vpc::<InterfaceRow>(&group.vpc)?;
            let groups = w.all::<GroupRow>()?;
            let mut others = groups.iter().filter(|other| other.id() != id);
            if interfaces.iter().any(|it| it.groups.iter().any(|it| it == id))
                || others.any(|other| other.refers_to(id))
            {
                return Err(Refusal::new(
                    "DependencyViolation",
                    format!("resource {id} has a dependent object"),
                ));
            }
            w.delete(&group)?;
            Ok(group.meta.id)
        })
        .await?;
    Ok(t::DeleteSecurityGroupResult {
        return_: Some(true),
        group_id: Some(id),
    })
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeSecurityGroupsRequest,
) -> Reply<t::DescribeSecurityGroupsResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let mut rows = chosen::<GroupRow>(&snapshot, &here, input.group_ids.as_ref())?;
    if let Some(names) = input.group_names.as_ref().filter(|names| !names.is_empty()) {
        let vpcs = snapshot.all::<crate::model::vpc::VpcRow>(&here)?;
        let default = vpcs
            .into_iter()
            .find(|vpc| vpc.is_default)
            .map(|vpc| vpc.meta.id);
        rows.retain(|row| default.as_ref() == Some(&row.vpc) && names.contains(&row.name));
        if let Some(name) = names
            .iter()
            .find(|name| rows.iter().all(|row| row.name != **name))
        {
            Err(Refusal::new(
                "InvalidGroup.NotFound",
                format!("The security group '{name}' does not exist"),
            ))?;
        }
    }
    let shapes = rows
        .into_iter()
        .map(|row| Ok((row.meta.id.clone(), row.shape(&snapshot, &ec2.names)?)));
    let query = query!("DescribeSecurityGroups", input, group_ids);
    let page = ec2.page(&cx, query, GroupRow::FILTERS, shapes)?;
    Ok(t::DescribeSecurityGroupsResult {
        next_token: page.next,
        security_groups: Some(page.items),
    })
}

pub(crate) async fn describe_rules(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeSecurityGroupRulesRequest,
) -> Reply<t::DescribeSecurityGroupRulesResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let wanted: BTreeSet<&String> = input.security_group_rule_ids.iter().flatten().collect();
    for id in &wanted {
        RULE.check(id)?;
    }
    let groups = snapshot.all::<GroupRow>(&here)?;
    let mut shapes: Vec<(String, t::SecurityGroupRule)> = groups
        .iter()
        .flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
        .filter(|(_, rule)| wanted.is_empty() || wanted.contains(&rule.id))
        .map(|(group, rule)| (rule.id.clone(), rule.shape(group)))
        .collect();
    let found = |id: &&&String| shapes.iter().any(|(found, _)| found == **id);
    if let Some(id) = wanted.iter().find(|id| !found(id)) {
        Err(RULE.absent(id))?;
    }
    shapes.sort_by(|a, b| a.0.cmp(&b.0));
    let query = query!("DescribeSecurityGroupRules", input, security_group_rule_ids);
    let page = ec2.page(&cx, query, RULE_FILTERS, shapes.into_iter().map(Ok))?;
    Ok(t::DescribeSecurityGroupRulesResult {
        security_group_rules: Some(page.items),
        next_token: page.next,
    })
}
