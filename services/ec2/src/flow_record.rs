//! The records of flow logs: which fields there are, and how a line is written. Pure.
//!
//! Source: "Flow log records" and "Flow log files" in the Amazon VPC User Guide.

use std::net::Ipv4Addr;

use gureum_kit::names::id;
use gureum_schema::Timestamp;

use crate::errors::{Refusal, Result};
use crate::model::flow_log::FlowLogRow;
use crate::model::interface::InterfaceRow;
use crate::zones;

/// What a flow log tells where its maker does not say.
pub(crate) const DEFAULT: &str = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}";

/// Fields that are known and not told here.
const UNTOLD: &[&str] = &[
    "tcp-flags",
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
    "traffic-path",
    "ecs-cluster-arn",
    "ecs-cluster-name",
    "ecs-container-instance-arn",
    "ecs-container-instance-id",
    "ecs-container-id",
    "ecs-second-container-id",
    "ecs-service-name",
    "ecs-task-definition-arn",
    "ecs-task-arn",
    "ecs-task-id",
    "reject-reason",
    "resource-id",
    "encryption-status",
];

/// The fields: name in formats, and the version of records that brought it.
macro_rules! fields {
    ($($field:ident $name:literal $version:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Field {
            $($field,)*
        }

        impl Field {
            const ALL: &[Field] = &[$(Field::$field,)*];

            fn name(self) -> &'static str {
                match self {
                    $(Field::$field => $name,)*
                }
            }

            fn since(self) -> u8 {
                match self {
                    $(Field::$field => $version,)*
                }
            }
        }
    };
}

fields! {
    Version "version" 2;
    Account "account-id" 2;
    Interface "interface-id" 2;
    Source "srcaddr" 2;
    Destination "dstaddr" 2;
    SourcePort "srcport" 2;
    DestinationPort "dstport" 2;
    Protocol "protocol" 2;
    Packets "packets" 2;
    Bytes "bytes" 2;
    Start "start" 2;
    End "end" 2;
    Action "action" 2;
    Status "log-status" 2;
    Vpc "vpc-id" 3;
    Subnet "subnet-id" 3;
    Instance "instance-id" 3;
    Type "type" 3;
    PacketSource "pkt-srcaddr" 3;
    PacketDestination "pkt-dstaddr" 3;
    Region "region" 4;
    Zone "az-id" 4;
    SublocationType "sublocation-type" 4;
    SublocationId "sublocation-id" 4;
    Direction "flow-direction" 5;
}

/// The fields of a format, `${version} ${srcaddr} …`.
pub(crate) fn read(format: &str) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    for word in format.split_whitespace() {
        let name = word.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
        let name = name.unwrap_or(word);
        if UNTOLD.contains(&name) {
            return Err(Refusal::NotImplemented(format!("LogFormat with {name}")));
        }
        let mut all = Field::ALL.iter();
        let field = all.find(|field| field.name() == name && word.len() == name.len() + 3);
        let unknown = || Refusal::parameter(format!("Unknown fields provided: {word}"));
        fields.push(*field.ok_or_else(unknown)?);
    }
    match fields.is_empty() {
        true => Err(Refusal::parameter("Log format cannot be empty")),
        false => Ok(fields),
    }
}

/// Packets of one flow at an interface, in one window. Times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Talk {
    pub(crate) outward: bool,
    pub(crate) accepted: bool,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) ports: (u16, u16),
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// What a line is about.
pub(crate) enum What<'a> {
    Talk(&'a Talk),
    /// Nothing passed between these moments.
    Nothing(i64, i64),
    /// More flows passed than could be told apart.
    Skipped(i64, i64),
}

/// The first line of a file.
pub(crate) fn header(fields: &[Field]) -> String {
    let names: Vec<_> = fields.iter().map(|field| field.name()).collect();
    names.join(" ") + "\n"
}

pub(crate) fn line(fields: &[Field], interface: &InterfaceRow, what: &What<'_>) -> String {
    let version = fields.iter().map(|field| field.since()).max();
    let record = Record {
        version: version.unwrap_or(2),
        interface,
        what,
    };
    let values: Vec<_> = fields
        .iter()
        .map(|field| record.value(*field).unwrap_or_else(|| "-".to_owned()))
        .collect();
    values.join(" ") + "\n"
}

struct Record<'a> {
    version: u8,
    interface: &'a InterfaceRow,
    what: &'a What<'a>,
}

impl Record<'_> {
    fn value(&self, field: Field) -> Option<String> {
        let meta = &self.interface.meta;
        Some(match field {
            Field::Version => self.version.to_string(),
            Field::Account => meta.account.to_string(),
            Field::Interface => meta.id.clone(),
            Field::Vpc => self.interface.vpc.clone(),
            Field::Subnet => self.interface.subnet.clone(),
            Field::Instance => self.interface.attachment.as_ref()?.instance.clone(),
            Field::Region => meta.region.to_string(),
            Field::Zone => zones::id(&meta.region, &self.interface.zone)?,
            Field::Start => self.seconds().0.to_string(),
            Field::End => self.seconds().1.to_string(),
            Field::Status => match self.what {
                What::Talk(_) => "OK",
                What::Nothing(..) => "NODATA",
                What::Skipped(..) => "SKIPDATA",
            }
            .to_owned(),
            // No Outposts, no local zones.
            Field::SublocationType | Field::SublocationId => return None,
            other => match self.what {
                What::Talk(talk) => self.of_talk(other, talk)?,
                What::Nothing(..) | What::Skipped(..) => return None,
            },
        })
    }

    fn seconds(&self) -> (i64, i64) {
        let (start, end) = match self.what {
            What::Talk(talk) => (talk.first, talk.last),
            What::Nothing(start, end) | What::Skipped(start, end) => (*start, *end),
        };
        (Timestamp(start).secs(), Timestamp(end).secs())
    }

    /// On its own side an interface is shown by its primary address; what stood in the packet is told
    /// by fields of its own.
    fn of_talk(&self, field: Field, talk: &Talk) -> Option<String> {
        let own = self.interface.primary_private();
        Some(match field {
            Field::Source if talk.outward => own?.to_string(),
            Field::Destination if !talk.outward => own?.to_string(),
            Field::Source | Field::PacketSource => talk.source.to_string(),
            Field::Destination | Field::PacketDestination => talk.destination.to_string(),
            Field::SourcePort => talk.ports.0.to_string(),
            Field::DestinationPort => talk.ports.1.to_string(),
            Field::Protocol => talk.protocol.to_string(),
            Field::Packets => talk.packets.to_string(),
            Field::Bytes => talk.bytes.to_string(),
            Field::Action if talk.accepted => "ACCEPT".to_owned(),
            Field::Action => "REJECT".to_owned(),
            Field::Type => "IPv4".to_owned(),
            Field::Direction if talk.outward => "egress".to_owned(),
            Field::Direction => "ingress".to_owned(),
            _ => return None,
        })
    }
}

/// Where a file of records of a window that ended `at` this moment goes.
pub(crate) fn key(log: &FlowLogRow, at: i64) -> String {
    // `2026-11-23T01:45:57.123Z`
    let at = Timestamp(at).iso_millis();
    let part = |from: usize, to: usize| at.get(from..to).unwrap_or_default();
    let (year, month, day, hour) = (part(0, 4), part(5, 7), part(8, 10), part(11, 13));
    let stamp = format!("{year}{month}{day}T{hour}{}Z", part(14, 16));
    let (account, region) = (&log.meta.account, &log.meta.region);
    let mut folder = match log.destination.hive {
        true => format!(
            "aws-account-id={account}/aws-service=vpcflowlogs/aws-region={region}/year={year}/month={month}/day={day}/"
        ),
        false => format!("{account}/vpcflowlogs/{region}/{year}/{month}/{day}/"),
    };
    match (log.destination.hourly, log.destination.hive) {
        (true, true) => folder.push_str(&format!("hour={hour}/")),
        (true, false) => folder.push_str(&format!("{hour}/")),
        (false, _) => {}
    }
    let (id, unique) = (&log.meta.id, id::hex_digits(8));
    format!(
        "{}AWSLogs/{folder}{account}_vpcflowlogs_{region}_{id}_{stamp}_{unique}.log.gz",
        log.destination.folder
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::flow_log::{Destination, KIND, Traffic};
    use crate::model::interface::{Address, Purpose};
    use crate::resource::{Here, Tags};

    fn interface() -> InterfaceRow {
        let here = here();
        let mut meta = here.new_meta(&crate::model::interface::KIND, Tags::new());
        meta.id = "eni-1".into();
        InterfaceRow {
            meta,
            vpc: "vpc-1".into(),
            subnet: "subnet-1".into(),
            zone: "eu-west-1b".into(),
            description: String::new(),
            mac: [0; 6],
            groups: Vec::new(),
            addresses: vec![Address {
                private: Ipv4Addr::new(10, 0, 0, 9),
                public: None,
            }],
            source_dest_check: true,
            attachment: None,
            purpose: Purpose::Ordinary,
        }
    }

    fn here() -> Here {
        Here {
            region: "eu-west-1".parse().expect("region"),
            account: "123456789012".parse().expect("account"),
            now: 0,
        }
    }

    fn talk() -> Talk {
        Talk {
            outward: false,
            accepted: true,
            source: Ipv4Addr::new(10, 0, 1, 5),
            destination: Ipv4Addr::new(10, 0, 0, 10),
            protocol: 6,
            ports: (49_152, 22),
            packets: 20,
            bytes: 4249,
            first: 1_418_530_010_400,
            last: 1_418_530_070_900,
        }
    }

    #[test]
    fn the_default_format_is_the_second_version() {
        let fields = read(DEFAULT).expect("fields");
        let (interface, talk) = (interface(), talk());
        assert_eq!(
            line(&fields, &interface, &What::Talk(&talk)),
            "2 123456789012 eni-1 10.0.1.5 10.0.0.9 49152 22 6 20 4249 1418530010 1418530070 ACCEPT OK\n"
        );
        assert_eq!(
            line(&fields, &interface, &What::Nothing(60_000, 120_000)),
            "2 123456789012 eni-1 - - - - - - - 60 120 - NODATA\n"
        );
        assert!(header(&fields).starts_with("version account-id interface-id srcaddr "));
    }

    #[test]
    fn later_fields_raise_the_version() {
        let fields = read("${version} ${pkt-dstaddr} ${az-id} ${flow-direction} ${instance-id}");
        let fields = fields.expect("fields");
        let said = line(&fields, &interface(), &What::Talk(&talk()));
        assert_eq!(said, "5 10.0.0.10 euw1-az2 ingress -\n");
    }

    #[test]
    fn what_is_no_format_is_refused() {
        for wrong in ["", "version", "${version", "${nothing}", "$${version}"] {
            assert!(
                matches!(read(wrong), Err(Refusal::Sender { .. })),
                "{wrong}"
            );
        }
        let untold = read("${version} ${tcp-flags}");
        assert!(matches!(untold, Err(Refusal::NotImplemented(_))));
    }

    #[test]
    fn files_lie_where_aws_puts_them() {
        let mut log = FlowLogRow {
            meta: here().new_meta(&KIND, Tags::new()),
            resource: "vpc-1".into(),
            traffic: Traffic::All,
            destination: Destination {
                bucket: "bucket".into(),
                folder: "mine/".into(),
                hive: false,
                hourly: false,
            },
            format: DEFAULT.into(),
            interval: 600,
            failure: None,
        };
        let id = log.meta.id.clone();
        // 2018-06-20T16:20:00Z
        let at = 1_529_511_600_000;
        let plain = key(&log, at);
        let file = format!("123456789012_vpcflowlogs_eu-west-1_{id}_20180620T1620Z_");
        let folder = "mine/AWSLogs/123456789012/vpcflowlogs/eu-west-1/2018/06/20/";
        assert!(plain.starts_with(&format!("{folder}{file}")), "{plain}");
        log.destination.hive = true;
        log.destination.hourly = true;
        let folder = "mine/AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=eu-west-1/year=2018/month=06/day=20/hour=16/";
        assert!(key(&log, at).starts_with(folder));
    }
}
