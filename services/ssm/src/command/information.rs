//! DescribeInstanceInformation: the managed instances that run.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ssm::types as t;

use super::managed::{self, Node};
use crate::Ssm;
use crate::errors::{Refusal, Result};
use crate::page::Page;

const USUAL: usize = 10;
/// The agent is a part of this program.
const AGENT: &str = env!("CARGO_PKG_VERSION");

pub(crate) async fn describe_instance_information(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::DescribeInstanceInformationRequest,
) -> gureum_schema::Result<t::DescribeInstanceInformationResult> {
    let old = input.instance_information_filter_list.unwrap_or_default();
    let new = input.filters.unwrap_or_default();
    if !old.is_empty() && !new.is_empty() {
        return Err(Refusal::validation(
            "You can use either Filters or InstanceInformationFilterList in a single request.",
        )
        .into());
    }
    let old = old.into_iter().map(|it| (it.key, it.value_set));
    let wanted: Vec<_> = old
        .chain(new.into_iter().map(|it| (it.key, it.values)))
        .collect();
    let what = format!("DescribeInstanceInformation {wanted:?}");
    let limit = (input.max_results, USUAL);
    let page = Page::read(&ssm, &cx, what, limit, input.next_token.as_deref())?;
    let mut filters = Vec::new();
    let mut none = false;
    for (key, values) in &wanted {
        match passes(key, values)? {
            Test::Instances(name) => filters.push(managed::filter(name, values)),
            Test::All(passed) => none |= !passed,
        }
    }
    let nodes = match none {
        true => Vec::new(),
        false => managed::nodes(&cx, filters).await?,
    };
    let running = nodes.into_iter().filter(|node| node.running);
    let (nodes, next_token) = page.cut(&ssm, running, |node| node.id.clone());
    Ok(t::DescribeInstanceInformationResult {
        instance_information_list: Some(nodes.into_iter().map(|it| shown(&cx, it)).collect()),
        next_token,
    })
}

/// What a filter tests.
enum Test<'a> {
    /// Something that EC2 knows, by this filter of its own.
    Instances(&'a str),
    /// Something in which all are alike: whether they pass.
    All(bool),
}

fn passes<'a>(key: &'a str, values: &[String]) -> Result<Test<'a>> {
    let all = |value: &str| Ok(Test::All(values.iter().any(|it| it == value)));
    match key {
        "InstanceIds" | "SourceIds" => Ok(Test::Instances("instance-id")),
        "tag-key" => Ok(Test::Instances(key)),
        _ if key.starts_with("tag:") => Ok(Test::Instances(key)),
        "PingStatus" => all("Online"),
        "PlatformType" | "PlatformTypes" => all("Linux"),
        "ResourceType" => all("EC2Instance"),
        "SourceTypes" => all("AWS::EC2::Instance"),
        "AgentVersion" => all(AGENT),
        "ActivationIds" | "AssociationStatus" | "IamRole" => Ok(Test::All(false)),
        _ => Err(Refusal::FilterKey(format!(
            "The filter key {key} is not valid."
        ))),
    }
}

fn shown(cx: &Cx, node: Node) -> t::InstanceInformation {
    t::InstanceInformation {
        ping_status: Some("Online".into()),
        last_ping_date_time: Some(cx.now),
        agent_version: Some(AGENT.into()),
        is_latest_version: Some(true),
        platform_type: Some("Linux".into()),
        platform_name: Some("Linux".into()),
        resource_type: Some("EC2Instance".into()),
        ip_address: node.address,
        computer_name: Some(node.name),
        source_id: Some(node.id.clone()),
        source_type: Some("AWS::EC2::Instance".into()),
        instance_id: Some(node.id),
        ..Default::default()
    }
}
