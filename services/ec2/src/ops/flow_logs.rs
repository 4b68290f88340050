//! Flow logs, to S3.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct};

use crate::asks::Asks;
use crate::delivery;
use crate::describe::Query;
use crate::errors::{Refusal, Result, unsuccessful};
use crate::flow_record;
use crate::model::flow_log::{self, Destination, FlowLogRow, Traffic};
use crate::model::interface::InterfaceRow;
use crate::model::subnet::SubnetRow;
use crate::model::vpc::VpcRow;
use crate::resource::Resource;
use crate::state::{Change, Ec2};
use crate::tags;

/// The most resources of one request.
const MOST: usize = 1000;
/// Seconds.
const INTERVALS: [i32; 2] = [600, 60];

/// What is watched.
#[derive(Clone, Copy)]
enum Watched {
    Vpc,
    Subnet,
    Interface,
}

impl Watched {
    fn read(kind: &str) -> Result<Self> {
        match kind {
            "VPC" => Ok(Self::Vpc),
            "Subnet" => Ok(Self::Subnet),
            "NetworkInterface" => Ok(Self::Interface),
            other => Err(Refusal::NotImplemented(format!("ResourceType = {other}"))),
        }
    }

    fn need(self, w: &Change<'_>, id: &str) -> Result<()> {
        match self {
            Self::Vpc => w.need::<VpcRow>(id).map(drop),
            Self::Subnet => w.need::<SubnetRow>(id).map(drop),
            Self::Interface => w.need::<InterfaceRow>(id).map(drop),
        }
    }
}

pub(crate) fn asks<'a>(asks: Asks<'a>, input: &t::CreateFlowLogsRequest) -> Asks<'a> {
    let asks = asks.creates(&flow_log::KIND, &input.tag_specifications);
    let ids = &input.resource_ids;
    match Watched::read(&input.resource_type) {
        Ok(Watched::Vpc) => asks.on_all::<VpcRow>(ids),
        Ok(Watched::Subnet) => asks.on_all::<SubnetRow>(ids),
        Ok(Watched::Interface) => asks.on_all::<InterfaceRow>(ids),
        Err(_) => asks,
    }
}

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateFlowLogsRequest,
) -> Reply<t::CreateFlowLogsResult> {
    let watched = Watched::read(&input.resource_type)?;
    let wanted = read(&cx, &input)?;
    if input.resource_ids.is_empty() || input.resource_ids.len() > MOST {
        Err(Refusal::parameter(format!(
            "Between 1 and {MOST} resource ids are allowed"
        )))?;
    }
    let mut failed = Vec::new();
    if input.dry_run != Some(true)
        && let Err(why) = delivery::may_write(&cx, &wanted.destination.bucket).await?
    {
        // The code is what AWS answers, too.
        let refusal = Refusal::new("400", why);
        for id in &input.resource_ids {
            failed.push(unsuccessful(id, refusal.clone())?);
        }
        return Ok(t::CreateFlowLogsResult {
            client_token: input.client_token,
            flow_log_ids: Some(Vec::new()),
            unsuccessful: Some(failed),
        });
    }
    let token = input.client_token.as_deref();
    let request = ("CreateFlowLogs", &input as &dyn Struct);
    let made = ec2.write_once(&cx, input.dry_run, token, request, |w| {
        failed.clear();
        let mut ids = Vec::new();
        for id in &input.resource_ids {
            match watched.need(w, id) {
                Ok(()) => ids.push(put(w, id, &wanted)?),
                Err(refusal) => failed.push(unsuccessful(id, refusal)?),
            }
        }
        Ok(ids)
    });
    let ids = made.await?;
    Ok(t::CreateFlowLogsResult {
        client_token: input.client_token,
        flow_log_ids: Some(ids),
        unsuccessful: Some(failed),
    })
}

fn put(w: &mut Change<'_>, resource: &str, wanted: &FlowLogRow) -> Result<String> {
    let row = FlowLogRow {
        meta: w.here.new_meta(&flow_log::KIND, wanted.meta.tags.clone()),
        resource: resource.to_owned(),
        ..wanted.clone()
    };
    let same = |other: &FlowLogRow| {
        other.resource == row.resource
            && other.traffic == row.traffic
            && other.format == row.format
            && other.destination == row.destination
    };
    if w.all::<FlowLogRow>()?.iter().any(same) {
        return Err(Refusal::new(
            "FlowLogAlreadyExists",
            "Error. There is an existing Flow Log with the same configuration and log destination.",
        ));
    }
    w.put(&row)?;
    Ok(row.meta.id)
}

/// What the request wants of every resource; of which one is filled in later.
fn read(cx: &Cx, input: &t::CreateFlowLogsRequest) -> Result<FlowLogRow> {
    let traffic = input.traffic_type.as_deref();
    let traffic = traffic.ok_or_else(|| Refusal::missing("TrafficType"))?;
    let traffic = Traffic::read(traffic).ok_or_else(|| Refusal::wrong("TrafficType", traffic))?;
    match input.log_destination_type.as_deref() {
        Some("s3") => {}
        other => {
            let other = other.unwrap_or("cloud-watch-logs");
            let what = format!("LogDestinationType = {other}");
            return Err(Refusal::NotImplemented(what));
        }
    }
    if input.log_group_name.is_some() {
        return Err(Refusal::parameter(
            "Please only provide LogGroupName or only provide LogDestination.",
        ));
    }
    if input.deliver_logs_permission_arn.is_some() {
        return Err(Refusal::parameter(
            "DeliverLogsPermissionArn is not applicable for s3 delivery",
        ));
    }
    let interval = input.max_aggregation_interval.unwrap_or(INTERVALS[0]);
    if !INTERVALS.contains(&interval) {
        return Err(Refusal::parameter(
            "Invalid Flow Log Max Aggregation Interval",
        ));
    }
    let format = input.log_format.as_deref().unwrap_or(flow_record::DEFAULT);
    flow_record::read(format)?;
    let tags = tags::on_create(&flow_log::KIND, &input.tag_specifications)?;
    let here = crate::resource::Here::of(cx);
    Ok(FlowLogRow {
        meta: here.new_meta(&flow_log::KIND, tags),
        resource: String::new(),
        traffic,
        destination: destination(input)?,
        format: format.to_owned(),
        interval,
        failure: None,
    })
}

fn destination(input: &t::CreateFlowLogsRequest) -> Result<Destination> {
    let arn = input.log_destination.as_deref();
    let arn = arn.ok_or_else(|| Refusal::missing("LogDestination"))?;
    let wrong = || Refusal::parameter(format!("LogDestination: {arn} is not a valid S3 ARN"));
    let path = arn.strip_prefix("arn:aws:s3:::").ok_or_else(wrong)?;
    let (bucket, folder) = path.split_once('/').unwrap_or((path, ""));
    let folder = folder.trim_end_matches('/');
    let reserved = folder.split('/').any(|part| part == "AWSLogs");
    if bucket.is_empty() || reserved || folder.len() > 512 {
        return Err(wrong());
    }
    let options = input.destination_options.as_ref();
    match options.and_then(|it| it.file_format.as_deref()) {
        None | Some("plain-text") => {}
        Some(other) => return Err(Refusal::NotImplemented(format!("FileFormat = {other}"))),
    }
    let on = |switch: Option<bool>| switch.unwrap_or_default();
    Ok(Destination {
        bucket: bucket.to_owned(),
        folder: match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        },
        hive: on(options.and_then(|it| it.hive_compatible_partitions)),
        hourly: on(options.and_then(|it| it.per_hour_partition)),
    })
}

/// All of them or none.
pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteFlowLogsRequest,
) -> Reply<t::DeleteFlowLogsResult> {
    ec2.write(&cx, input.dry_run, |w| {
        let mut absent = Vec::new();
        for id in &input.flow_log_ids {
            FlowLogRow::KIND.check(id)?;
            match w.find::<FlowLogRow>(id)? {
                Some(row) => w.delete(&row)?,
                None => absent.push(id.as_str()),
            }
        }
        if absent.is_empty() {
            return Ok(());
        }
        let (count, absent) = (absent.len(), absent.join(" "));
        Err(Refusal::new(
            flow_log::KIND.not_found,
            format!(
                "These flow log ids in the input list are not found: [TotalCount: {count}] {absent}"
            ),
        ))
    })
    .await?;
    Ok(t::DeleteFlowLogsResult {
        unsuccessful: Some(Vec::new()),
    })
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeFlowLogsRequest,
) -> Reply<t::DescribeFlowLogsResult> {
    let query = Query {
        operation: "DescribeFlowLogs",
        ids: input.flow_log_ids.as_ref(),
        filters: input.filter.as_ref(),
        max: input.max_results,
        token: input.next_token.as_deref(),
        dry_run: input.dry_run,
    };
    let page = ec2.list::<FlowLogRow>(&cx, query).await?;
    Ok(t::DescribeFlowLogsResult {
        flow_logs: Some(page.items),
        next_token: page.next,
    })
}
