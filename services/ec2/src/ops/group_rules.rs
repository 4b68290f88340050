//! The rules of security groups.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use super::groups::named;
use crate::errors::{Refusal, Result};
use crate::model::group::{GroupRow, Peer, RULE, Rule, What};
use crate::permission::{self, Flat, Wanted};
use crate::resource::Tags;
use crate::state::{Change, Ec2};
use crate::tags;

/// The most rules of one group in one direction.
const MAX_RULES: usize = 60;

/// Which group, by id or by name.
type Group<'a> = (Option<&'a str>, Option<&'a str>);

pub(crate) async fn authorize_ingress(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AuthorizeSecurityGroupIngressRequest,
) -> Reply<t::AuthorizeSecurityGroupIngressResult> {
    let tags = tags::on_create(&RULE, &input.tag_specifications)?;
    let flat = Flat {
        protocol: &input.ip_protocol,
        from: input.from_port,
        to: input.to_port,
        cidr: &input.cidr_ip,
        group: &input.source_security_group_name,
    };
    let rules = ec2
        .write(&cx, input.dry_run, |w| {
            let group = named(w, input.group_id.as_deref(), input.group_name.as_deref())?;
            let wanted = permission::read(w, &group, false, &input.ip_permissions, &flat)?;
            authorize(w, group, wanted, &tags)
        })
        .await?;
    Ok(t::AuthorizeSecurityGroupIngressResult {
        return_: Some(true),
        security_group_rules: Some(rules),
    })
}

pub(crate) async fn authorize_egress(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AuthorizeSecurityGroupEgressRequest,
) -> Reply<t::AuthorizeSecurityGroupEgressResult> {
    let tags = tags::on_create(&RULE, &input.tag_specifications)?;
    let flat = Flat {
        protocol: &input.ip_protocol,
        from: input.from_port,
        to: input.to_port,
        cidr: &input.cidr_ip,
        group: &input.source_security_group_name,
    };
    let rules = ec2
        .write(&cx, input.dry_run, |w| {
            let group = w.need::<GroupRow>(&input.group_id)?;
            let wanted = permission::read(w, &group, true, &input.ip_permissions, &flat)?;
            authorize(w, group, wanted, &tags)
        })
        .await?;
    Ok(t::AuthorizeSecurityGroupEgressResult {
        return_: Some(true),
        security_group_rules: Some(rules),
    })
}

/// Adds rules, all or none.
fn authorize(
    w: &mut Change<'_>,
    mut group: GroupRow,
    wanted: Vec<Wanted>,
    tags: &Tags,
) -> Result<Vec<t::SecurityGroupRule>> {
    let mut added = Vec::new();
    for (what, description) in wanted {
        no_duplicate(&group, &what, None)?;
        let rule = Rule::new(what, description, tags.clone());
        added.push(rule.shape(&group));
        group.rules.push(rule);
    }
    for egress in [false, true] {
        let count = group
            .rules
            .iter()
            .filter(|rule| rule.what.egress == egress)
            .count();
        if count > MAX_RULES {
            return Err(Refusal::new(
                "RulesPerSecurityGroupLimitExceeded",
                "The maximum number of rules per security group has been reached.",
            ));
        }
    }
    w.put(&group)?;
    Ok(added)
}

/// Refuses what another rule than `but` of the group allows already.
fn no_duplicate(group: &GroupRow, what: &What, but: Option<&str>) -> Result<()> {
    let mut others = group
        .rules
        .iter()
        .filter(|rule| Some(rule.id.as_str()) != but);
    if !others.any(|rule| rule.what == *what) {
        return Ok(());
    }
    let peer = match &what.peer {
        Peer::V4(cidr) => cidr.to_string(),
        Peer::V6 { base, prefix } => format!("{base}/{prefix}"),
        Peer::PrefixList(id) | Peer::Group(id) => id.clone(),
    };
    let ports = match (what.protocol.as_str(), what.from, what.to) {
        ("-1", ..) => "ALL".to_owned(),
        (protocol, Some(from), Some(to)) => {
            let protocol = protocol.to_uppercase();
            format!("{protocol}, from port: {from}, to port: {to}")
        }
        (protocol, ..) => protocol.to_owned(),
    };
    Err(Refusal::new(
        "InvalidPermission.Duplicate",
        format!("the specified rule \"peer: {peer}, {ports}, ALLOW\" already exists"),
    ))
}

pub(crate) async fn revoke_ingress(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::RevokeSecurityGroupIngressRequest,
) -> Reply<t::RevokeSecurityGroupIngressResult> {
    let flat = Flat {
        protocol: &input.ip_protocol,
        from: input.from_port,
        to: input.to_port,
        cidr: &input.cidr_ip,
        group: &input.source_security_group_name,
    };
    let by_id = &input.security_group_rule_ids;
    let group = (input.group_id.as_deref(), input.group_name.as_deref());
    let revoked = ec2
        .write(&cx, input.dry_run, |w| {
            revoke(w, group, false, by_id, &input.ip_permissions, &flat)
        })
        .await?;
    Ok(t::RevokeSecurityGroupIngressResult {
        return_: Some(true),
        unknown_ip_permissions: Some(Vec::new()),
        revoked_security_group_rules: Some(revoked),
    })
}

pub(crate) async fn revoke_egress(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::RevokeSecurityGroupEgressRequest,
) -> Reply<t::RevokeSecurityGroupEgressResult> {
    let flat = Flat {
        protocol: &input.ip_protocol,
        from: input.from_port,
        to: input.to_port,
        cidr: &input.cidr_ip,
        group: &input.source_security_group_name,
    };
    let by_id = &input.security_group_rule_ids;
    let group = (Some(input.group_id.as_str()), None);
    let revoked = ec2
        .write(&cx, input.dry_run, |w| {
            revoke(w, group, true, by_id, &input.ip_permissions, &flat)
        })
        .await?;
    Ok(t::RevokeSecurityGroupEgressResult {
        return_: Some(true),
        unknown_ip_permissions: Some(Vec::new()),
        revoked_security_group_rules: Some(revoked),
    })
}

/// Removes rules that are named by their ids or by what they allow.
fn revoke(
    w: &mut Change<'_>,
    (id, name): Group<'_>,
    egress: bool,
    ids: &Option<Vec<String>>,
    permissions: &Option<Vec<t::IpPermission>>,
    flat: &Flat<'_>,
) -> Result<Vec<t::RevokedSecurityGroupRule>> {
    let mut group = named(w, id, name)?;
    let mut revoked = Vec::new();
    if let Some(ids) = ids.as_ref().filter(|ids| !ids.is_empty()) {
        for id in ids {
            RULE.check(id)?;
            let found = |rule: &Rule| rule.id == *id && rule.what.egress == egress;
            let at = group.rules.iter().position(found);
            revoked.push(group.rules.remove(at.ok_or_else(|| RULE.absent(id))?));
        }
    } else {
        for (what, _) in permission::read(w, &group, egress, permissions, flat)? {
            let at = group.rules.iter().position(|rule| rule.what == what);
            let at = at.ok_or_else(|| {
                Refusal::new(
                    "InvalidPermission.NotFound",
                    "The specified rule does not exist in this security group.",
                )
            })?;
            revoked.push(group.rules.remove(at));
        }
    }
    w.put(&group)?;
    Ok(revoked
        .iter()
        .map(|rule| shape_revoked(&group, rule))
        .collect())
}

fn shape_revoked(group: &GroupRow, rule: &Rule) -> t::RevokedSecurityGroupRule {
    let shape = rule.shape(group);
    t::RevokedSecurityGroupRule {
        security_group_rule_id: shape.security_group_rule_id,
        group_id: shape.group_id,
        is_egress: shape.is_egress,
        ip_protocol: shape.ip_protocol,
        from_port: shape.from_port,
        to_port: shape.to_port,
        cidr_ipv4: shape.cidr_ipv4,
        cidr_ipv6: shape.cidr_ipv6,
        prefix_list_id: shape.prefix_list_id,
        referenced_group_id: shape.referenced_group_info.and_then(|info| info.group_id),
        description: shape.description,
    }
}

/// Changes rules that keep their ids.
pub(crate) async fn modify(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifySecurityGroupRulesRequest,
) -> Reply<t::ModifySecurityGroupRulesResult> {
    ec2.write(&cx, input.dry_run, |w| {
        let mut group = w.need::<GroupRow>(&input.group_id)?;
        for update in &input.security_group_rules {
            let id = &update.security_group_rule_id;
            RULE.check(id)?;
            let request = update.security_group_rule.as_ref();
            let request = request.ok_or_else(|| Refusal::missing("SecurityGroupRule"))?;
            let at = group.rules.iter().position(|rule| rule.id == *id);
            let at = at.ok_or_else(|| RULE.absent(id))?;
            let what = modified(w, group.rules[at].what.egress, request)?;
            no_duplicate(&group, &what, Some(id))?;
            group.rules[at].what = what;
            group.rules[at].description = permission::description(&request.description)?;
        }
        w.put(&group)
    })
    .await?;
    Ok(t::ModifySecurityGroupRulesResult {
        return_: Some(true),
    })
}

fn modified(w: &Change<'_>, egress: bool, request: &t::SecurityGroupRuleRequest) -> Result<What> {
    let protocol = permission::protocol(request.ip_protocol.as_deref())?;
    let (from, to) = permission::ports(&protocol, request.from_port, request.to_port)?;
    let peers = [
        &request.cidr_ipv4,
        &request.cidr_ipv6,
        &request.prefix_list_id,
        &request.referenced_group_id,
    ];
    if peers.iter().filter(|peer| peer.is_some()).count() != 1 {
        return Err(Refusal::combination(
            "A rule has exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId",
        ));
    }
    let peer = match peers {
        [Some(cidr), ..] => permission::v4(cidr)?,
        [_, Some(cidr), ..] => permission::v6(cidr)?,
        [_, _, Some(id), _] => permission::prefix_list(w, id)?,
        [.., id] => Peer::Group(named(w, id.as_deref(), None)?.meta.id),
    };
    Ok(What {
        egress,
        protocol,
        from,
        to,
        peer,
    })
}

pub(crate) async fn describe_ingress_anew(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::UpdateSecurityGroupRuleDescriptionsIngressRequest,
) -> Reply<t::UpdateSecurityGroupRuleDescriptionsIngressResult> {
    let group = (input.group_id.as_deref(), input.group_name.as_deref());
    let descriptions = &input.security_group_rule_descriptions;
    ec2.write(&cx, input.dry_run, |w| {
        describe_anew(w, group, false, &input.ip_permissions, descriptions)
    })
    .await?;
    Ok(t::UpdateSecurityGroupRuleDescriptionsIngressResult {
        return_: Some(true),
    })
}

pub(crate) async fn describe_egress_anew(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::UpdateSecurityGroupRuleDescriptionsEgressRequest,
) -> Reply<t::UpdateSecurityGroupRuleDescriptionsEgressResult> {
    let group = (input.group_id.as_deref(), input.group_name.as_deref());
    let descriptions = &input.security_group_rule_descriptions;
    ec2.write(&cx, input.dry_run, |w| {
        describe_anew(w, group, true, &input.ip_permissions, descriptions)
    })
    .await?;
    Ok(t::UpdateSecurityGroupRuleDescriptionsEgressResult {
        return_: Some(true),
    })
}

/// Gives rules other descriptions.
fn describe_anew(
    w: &mut Change<'_>,
    (id, name): Group<'_>,
    egress: bool,
    permissions: &Option<Vec<t::IpPermission>>,
    descriptions: &Option<Vec<t::SecurityGroupRuleDescription>>,
) -> Result<()> {
    let mut group = named(w, id, name)?;
    for item in descriptions.iter().flatten() {
        let id = item.security_group_rule_id.as_deref().unwrap_or_default();
        let mut rules = group.rules.iter_mut();
        let rule = rules
            .find(|rule| rule.id == id)
            .ok_or_else(|| RULE.absent(id))?;
        rule.description = permission::description(&item.description)?;
    }
    if descriptions.is_none() {
        let none = Flat {
            protocol: &None,
            from: None,
            to: None,
            cidr: &None,
            group: &None,
        };
        for (what, description) in permission::read(w, &group, egress, permissions, &none)? {
            let mut rules = group.rules.iter_mut();
            let rule = rules.find(|rule| rule.what == what).ok_or_else(|| {
                Refusal::new(
                    "InvalidPermission.NotFound",
                    "The specified rule does not exist in this security group.",
                )
            })?;
            rule.description = description;
        }
    }
    w.put(&group)
}
