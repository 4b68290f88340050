//! Flow logs: of which interfaces the flows are told, and where.

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::errors::Result;
use crate::filter::Paths;
use crate::model::interface::InterfaceRow;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "fl",
    name: "vpc-flow-log",
    label: "flowLog",
    not_found: "InvalidFlowLogId.NotFound",
    malformed: "InvalidFlowLogId.Malformed",
    ownerless: false,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FlowLogRow {
    pub(crate) meta: Meta,
    /// A VPC, a subnet or an interface.
    pub(crate) resource: String,
    pub(crate) traffic: Traffic,
    pub(crate) destination: Destination,
    /// As the request has it; `flow_record` reads it.
    pub(crate) format: String,
    /// Seconds, as asked for. What runs here counts as built on Nitro, where a minute is the most.
    pub(crate) interval: i32,
    /// Why the last delivery failed, in AWS's words.
    pub(crate) failure: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Traffic {
    Accepted,
    Rejected,
    All,
}

/// A folder of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Destination {
    pub(crate) bucket: String,
    /// Empty, or ending in a slash.
    pub(crate) folder: String,
    /// Folders as `name=value`.
    pub(crate) hive: bool,
    /// A folder for each hour.
    pub(crate) hourly: bool,
}

resource!(FlowLogRow, "ec2.flow-log", KIND);

impl Traffic {
    pub(crate) fn read(text: &str) -> Option<Self> {
        Some(match text {
            "ACCEPT" => Self::Accepted,
            "REJECT" => Self::Rejected,
            "ALL" => Self::All,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "ACCEPT",
            Self::Rejected => "REJECT",
            Self::All => "ALL",
        }
    }

    pub(crate) fn holds(self, accepted: bool) -> bool {
        match self {
            Self::Accepted => accepted,
            Self::Rejected => !accepted,
            Self::All => true,
        }
    }
}

impl Destination {
    /// `arn:aws:s3:::BUCKET/FOLDER/`
    pub(crate) fn arn(&self) -> String {
        match self.folder.as_str() {
            "" => format!("arn:aws:s3:::{}", self.bucket),
            folder => format!("arn:aws:s3:::{}/{folder}", self.bucket),
        }
    }
}

impl FlowLogRow {
    pub(crate) fn covers(&self, interface: &InterfaceRow) -> bool {
        let ids = [&interface.meta.id, &interface.subnet, &interface.vpc];
        ids.contains(&&self.resource)
    }
}

impl Described for FlowLogRow {
    type Shape = t::FlowLog;
    const FILTERS: Paths = &[
        ("deliver-log-status", "DeliverLogsStatus"),
        ("flow-log-id", "FlowLogId"),
        ("log-destination-type", "LogDestinationType"),
        ("log-group-name", "LogGroupName"),
        ("resource-id", "ResourceId"),
        ("traffic-type", "TrafficType"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::FlowLog> {
        let Destination { hive, hourly, .. } = self.destination;
        let status = match self.failure {
            Some(_) => "FAILED",
            None => "SUCCESS",
        };
        Ok(t::FlowLog {
            creation_time: Some(Timestamp(self.meta.created)),
            deliver_logs_error_message: self.failure.clone(),
            deliver_logs_status: Some(status.into()),
            flow_log_id: Some(self.meta.id.clone()),
            flow_log_status: Some("ACTIVE".into()),
            resource_id: Some(self.resource.clone()),
            traffic_type: Some(self.traffic.name().into()),
            log_destination_type: Some("s3".into()),
            log_destination: Some(self.destination.arn()),
            log_format: Some(self.format.clone()),
            tags: tags::shapes(&self.meta.tags),
            max_aggregation_interval: Some(self.interval),
            destination_options: Some(t::DestinationOptionsResponse {
                file_format: Some("plain-text".into()),
                hive_compatible_partitions: Some(hive),
                per_hour_partition: Some(hourly),
            }),
            ..Default::default()
        })
    }
}
