//! `ec2.flow-logs`: fetches what the networks counted, and delivers it as files of records.
//!
//! What is being gathered is in memory only: after a crash the records of the last minute are gone
//! (the kernel goes on counting meanwhile). As on AWS, flow logs are an effort, not a promise.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use gureum_dispatch::Cloud;
use gureum_kit::reconcile::RunError;
use gureum_kit::store::Snapshot;
use gureum_kit::{Outcome, Reader as _, Reconciler, Row as _, Scan};
use gureum_network::{Flow, Flows};
use gureum_schema::Error;
use tokio::sync::Mutex;

use super::FLOW_LOGS;
use crate::delivery;
use crate::errors::Result;
use crate::flow_record::{Talk, What, header, key, line, read};
use crate::machines::{PlaneError, Planes};
use crate::model::flow_log::FlowLogRow;
use crate::model::instance::{InstanceRow, State};
use crate::model::interface::InterfaceRow;
use crate::model::nat::NatGatewayRow;
use crate::resource::Resource;
use crate::state::Ec2;

/// How often counts are fetched: less than the kernel keeps those of a flow that has ended.
const PERIOD: Duration = Duration::from_secs(10);
/// Milliseconds that records tell of at most.
const WINDOW: i64 = 60_000;
/// Flows that are gathered at most; what comes on top is told as skipped.
const MOST: usize = 200_000;
/// AWS's words for what is our own fault.
const UNKNOWN: &str = "Unknown error";

pub(super) struct FlowLogs {
    ec2: Arc<Ec2>,
    cloud: Arc<Cloud>,
    window: Mutex<Window>,
}

impl FlowLogs {
    pub(super) fn new(ec2: &Arc<Ec2>, cloud: &Arc<Cloud>) -> Self {
        Self {
            ec2: Arc::clone(ec2),
            cloud: Arc::clone(cloud),
            window: Mutex::default(),
        }
    }
}

#[async_trait]
impl Reconciler for FlowLogs {
    fn name(&self) -> &'static str {
        FLOW_LOGS
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run(&self) -> std::result::Result<Outcome, RunError> {
        let mut window = self.window.lock().await;
        let watched = Watched::read(&self.ec2.store.read()).map_err(Error::from)?;
        let (Some(planes), false) = (&self.ec2.planes, watched.logs.is_empty()) else {
            *window = Window::default();
            return Ok(Outcome::Settled);
        };
        let now = self.ec2.clock.now();
        let failed = window.gather(planes, &watched, now).await;
        if now >= window.end() {
            let full = std::mem::replace(&mut *window, Window::from(now));
            drop(window);
            self.deliver(&watched, &full, now).await?;
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(Outcome::Settled),
        }
    }
}

/// The flow logs, and what is there for them to tell of.
struct Watched {
    logs: Vec<FlowLogRow>,
    /// By VPC, and by what the network calls them: interfaces that are watched, and carry packets.
    interfaces: BTreeMap<String, BTreeMap<String, InterfaceRow>>,
}

fn rows<R: Resource>(snapshot: &Snapshot) -> Result<Vec<R>> {
    let rows = snapshot.scan(Scan::<R>::all());
    Ok(rows.collect::<std::result::Result<_, _>>()?)
}

impl Watched {
    fn read(snapshot: &Snapshot) -> Result<Self> {
        let logs: Vec<FlowLogRow> = rows(snapshot)?;
        let mut interfaces = BTreeMap::<_, BTreeMap<_, _>>::new();
        if logs.is_empty() {
            return Ok(Self { logs, interfaces });
        }
        let running: BTreeSet<String> = rows::<InstanceRow>(snapshot)?
            .into_iter()
            .filter(|row| row.state == State::Running)
            .map(|row| row.meta.id)
            .collect();
        let nat_gateways = rows::<NatGatewayRow>(snapshot)?;
        for row in rows::<InterfaceRow>(snapshot)? {
            if !logs.iter().any(|log| log.covers(&row)) {
                continue;
            }
            let instance = row.attachment.as_ref().map(|it| &it.instance);
            let mut nat_gateways = nat_gateways.iter();
            let nat = nat_gateways.find(|nat| nat.ready && nat.interface == row.meta.id);
            let name = match (instance, nat) {
                (Some(instance), _) if running.contains(instance) => row.meta.id.clone(),
                (_, Some(nat)) => nat.meta.id.clone(),
                _ => continue,
            };
            let vpc = interfaces.entry(row.vpc.clone()).or_default();
            vpc.insert(name, row);
        }
        Ok(Self { logs, interfaces })
    }
}

/// What has been counted in a minute, by the ids of interfaces.
#[derive(Default)]
struct Window {
    /// Milliseconds since the epoch; zero before anything was fetched.
    begin: i64,
    fetched: i64,
    talks: HashMap<String, HashMap<Ends, Talk>>,
    count: usize,
    skipped: BTreeMap<String, u64>,
    /// VPCs that could not be asked: of these nothing can be told.
    unread: BTreeSet<String>,
}

/// What tells one flow of an interface from another.
#[derive(PartialEq, Eq, Hash)]
struct Ends {
    outward: bool,
    accepted: bool,
    protocol: u8,
    source: (std::net::Ipv4Addr, u16),
    destination: (std::net::Ipv4Addr, u16),
}

impl Window {
    fn from(now: i64) -> Self {
        Self {
            begin: now,
            fetched: now,
            ..Self::default()
        }
    }

    /// Windows end with the minutes of the clock.
    fn end(&self) -> i64 {
        (self.begin / WINDOW + 1) * WINDOW
    }

    /// Fetches what every network has counted. One that cannot be asked keeps no other from it.
    async fn gather(&mut self, planes: &Planes, watched: &Watched, now: i64) -> Option<PlaneError> {
        if self.begin == 0 {
            *self = Self::from(now);
            self.fetched = now - PERIOD.as_millis() as i64;
        }
        let mut failed = None;
        for (vpc, interfaces) in &watched.interfaces {
            let names = interfaces.keys().cloned().collect();
            match planes.wires.flows(vpc, &names).await {
                Ok(flows) => self.add(interfaces, flows, now),
                Err(error) => {
                    self.unread.insert(vpc.clone());
                    failed = Some(error);
                }
            }
        }
        self.fetched = now;
        failed
    }

    fn add(&mut self, interfaces: &BTreeMap<String, InterfaceRow>, flows: Flows, now: i64) {
        for flow in flows.flows {
            let Some(row) = interfaces.get(&flow.interface) else {
                continue;
            };
            let id = &row.meta.id;
            let last = now - i64::try_from(flow.idle.as_millis()).unwrap_or(0);
            let (first, last) = (self.fetched.min(last), last);
            let talks = self.talks.entry(id.clone()).or_default();
            if let Some(talk) = talks.get_mut(&Ends::of(&flow)) {
                talk.packets += flow.packets;
                talk.bytes += flow.bytes;
                talk.last = talk.last.max(last);
            } else if self.count < MOST {
                self.count += 1;
                talks.insert(Ends::of(&flow), talk(&flow, first, last));
            } else {
                *self.skipped.entry(id.clone()).or_default() += flow.packets;
            }
        }
        for (name, packets) in flows.skipped {
            if let Some(row) = interfaces.get(&name) {
                *self.skipped.entry(row.meta.id.clone()).or_default() += packets;
            }
        }
    }

    /// What a flow log tells of these interfaces.
    fn file(&self, log: &FlowLogRow, all: &[&InterfaceRow], now: i64) -> Result<String> {
        let fields = read(&log.format)?;
        let mut out = header(&fields);
        for row in all {
            let talks = self.talks.get(&row.meta.id);
            let talks = talks.into_iter().flat_map(HashMap::values);
            let mut talks: Vec<_> = talks.filter(|it| log.traffic.holds(it.accepted)).collect();
            talks.sort_by_key(|talk| (talk.first, talk.last));
            let skipped = self.skipped.contains_key(&row.meta.id);
            if talks.is_empty() && !skipped {
                out.push_str(&line(&fields, row, &What::Nothing(self.begin, now)));
            }
            for talk in talks {
                out.push_str(&line(&fields, row, &What::Talk(talk)));
            }
            if skipped {
                out.push_str(&line(&fields, row, &What::Skipped(self.begin, now)));
            }
        }
        Ok(out)
    }
}

impl Ends {
    fn of(flow: &Flow) -> Self {
        Self {
            outward: flow.outward,
            accepted: flow.accepted,
            protocol: flow.protocol,
            source: (flow.source, flow.ports.0),
            destination: (flow.destination, flow.ports.1),
        }
    }
}

fn talk(flow: &Flow, first: i64, last: i64) -> Talk {
    Talk {
        outward: flow.outward,
        accepted: flow.accepted,
        source: flow.source,
        destination: flow.destination,
        protocol: flow.protocol,
        ports: flow.ports,
        packets: flow.packets,
        bytes: flow.bytes,
        first,
        last,
    }
}

impl FlowLogs {
    /// A file for every flow log that covers something. One that cannot be delivered is lost.
    async fn deliver(&self, watched: &Watched, window: &Window, now: i64) -> Result<(), Error> {
        for log in &watched.logs {
            let all = watched.interfaces.values().flat_map(BTreeMap::values);
            let all: Vec<_> = all.filter(|row| log.covers(row)).collect();
            if all.is_empty() {
                continue;
            }
            let failure = match all.iter().any(|row| window.unread.contains(&row.vpc)) {
                true => Some(UNKNOWN.to_owned()),
                false => {
                    let put = self.put(log, &window.file(log, &all, now)?, now).await;
                    put.err().map(|error| failure(log, &error))
                }
            };
            self.note(log, failure).await.map_err(Error::from)?;
        }
        Ok(())
    }

    async fn put(&self, log: &FlowLogRow, file: &str, now: i64) -> Result<(), Error> {
        let place = (&log.meta.region, &log.meta.account);
        let bucket = &log.destination.bucket;
        delivery::put(&self.cloud, place, bucket, key(log, now), pack(file)?).await
    }

    /// Keeps what became of a delivery, where that is news.
    async fn note(&self, log: &FlowLogRow, failure: Option<String>) -> Result<()> {
        if log.failure == failure {
            return Ok(());
        }
        let place = log.key();
        let noted = self.ec2.store.transact(|tx| {
            if let Some(mut row) = tx.get::<FlowLogRow>(&place)? {
                row.failure.clone_from(&failure);
                tx.put(&row)?;
            }
            Ok(())
        });
        noted.await
    }
}

/// What kept a file from being delivered, in AWS's words.
fn failure(log: &FlowLogRow, error: &Error) -> String {
    tracing::warn!(flow_log = log.meta.id, %error, "flow log records could not be delivered");
    match error.status {
        400..500 => "Access error",
        _ => UNKNOWN,
    }
    .to_owned()
}

fn pack(text: &str) -> Result<Vec<u8>, Error> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    let packed = packer
        .write_all(text.as_bytes())
        .and_then(|()| packer.finish());
    packed.map_err(|error| Error::internal(error.to_string()))
}
