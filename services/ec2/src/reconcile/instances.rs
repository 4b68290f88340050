//! `ec2.instances`: from rows to machines that run.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use gureum_dispatch::Cloud;
use gureum_kit::reconcile::RunError;
use gureum_kit::{Outcome, Reader, Reconciler, Scan, Tx};
use gureum_schema::Error;

use super::INSTANCES;
use super::plan::{Step, Wanted, step};
use super::tally::{Progress, Tally};
use super::volumes::Tools;
use crate::errors::Result;
use crate::images;
use crate::instance_types;
use crate::machines::{Machine, PlaneError, Planes, Sight};
use crate::model::dhcp::DhcpOptionsRow;
use crate::model::instance::{self, InstanceRow, State};
use crate::model::vpc::VpcRow;
use crate::names;
use crate::resource::{Find as _, Place};
use crate::state::Ec2;

/// How long a machine may take to shut down in order.
pub(super) const GRACE: Duration = Duration::from_secs(20);
/// How many machines are worked on at once.
const AT_ONCE: usize = 8;

pub(super) struct Instances(pub(super) Arc<Ec2>, pub(super) Arc<Cloud>);

#[async_trait]
impl Reconciler for Instances {
    fn name(&self) -> &'static str {
        INSTANCES
    }

    fn period(&self) -> Duration {
        // A machine whose supervisor was killed does not tell.
        Duration::from_secs(5)
    }

    async fn stirred(&self) {
        match &self.0.planes {
            Some(planes) => planes.machines.changed().await,
            None => std::future::pending().await,
        }
    }

    async fn run(&self) -> std::result::Result<Outcome, RunError> {
        match &self.0.planes {
            Some(planes) => self.0.tend(planes, &self.1).await,
            None => Ok(Outcome::Settled),
        }
    }
}

impl InstanceRow {
    fn wanted(&self, now: i64) -> Wanted {
        Wanted {
            state: self.state,
            reboot: self.reboot,
            terminate_on_shutdown: self.terminate_on_shutdown,
            forgotten: self.since + instance::SHOWN <= now,
        }
    }
}

impl Ec2 {
    /// Does the next step of every instance.
    async fn tend(
        &self,
        planes: &Planes,
        cloud: &Arc<Cloud>,
    ) -> std::result::Result<Outcome, PlaneError> {
        let mut seen: BTreeMap<String, Sight> =
            planes.machines.observe().await?.into_iter().collect();
        // What machines were seen before the rows were read: a row that is newer finds no machine,
        // never a machine no row.
        let snapshot = self.store.read();
        let rows = snapshot.scan(Scan::<InstanceRow>::all());
        let rows = rows.collect::<std::result::Result<Vec<_>, _>>()?;
        drop(snapshot);
        let now = self.clock.now();
        let mut work = Vec::new();
        for row in rows {
            let sight = seen.remove(&row.meta.id);
            self.note_health(&row, sight).await.map_err(Error::from)?;
            work.push((
                step(Some(row.wanted(now)), sight),
                row.meta.id.clone(),
                Some(row),
            ));
        }
        for (id, sight) in seen {
            work.push((step(None, Some(sight)), id, None));
        }
        work.retain(|(step, ..)| *step != Step::Nothing);
        if work.is_empty() {
            return Ok(Outcome::Settled);
        }
        if work.iter().any(|(step, ..)| *step == Step::Start) {
            // A machine finds its network when it boots.
            self.weave(planes).await?;
        }
        let mut tally = Tally::default();
        let mut work = work.into_iter().peekable();
        while work.peek().is_some() {
            let batch = work.by_ref().take(AT_ONCE);
            let batch = batch.map(|(step, id, row)| async move {
                let done = self.take((planes, cloud), step, &id, row).await;
                (id, done.map(|()| Progress::Moved))
            });
            for (id, done) in join_all(batch).await {
                tally.note(id, done);
            }
        }
        self.networks.wake();
        self.volumes.wake();
        tally.outcome()
    }

    async fn take(
        &self,
        (planes, cloud): (&Planes, &Arc<Cloud>),
        step: Step,
        id: &str,
        row: Option<InstanceRow>,
    ) -> std::result::Result<(), PlaneError> {
        let machines = &planes.machines;
        let place = row.as_ref().map(gureum_kit::Row::key);
        match step {
            Step::Nothing | Step::Wait => {}
            Step::Stop => machines.stop(id, GRACE).await?,
            Step::Remove => machines.remove(id).await?,
            Step::Reboot => {
                // Forgotten first: a reboot that is cut short is better than two.
                self.turn(place, State::Running, |row| row.reboot = false)
                    .await?;
                machines.reboot(id, GRACE).await?;
            }
            Step::Start => {
                if let Some(row) = row.filter(|_| !self.kept_down.has(id)) {
                    self.start((planes, cloud), row).await?;
                }
            }
            Step::Turn(state) => {
                let to = |row: &mut InstanceRow| row.goes(state, self.clock.now());
                self.turn(place, from(state), to).await?;
            }
            Step::Ended(state) => {
                let to = |row: &mut InstanceRow| {
                    row.goes(state, self.clock.now());
                    let code = "Client.InstanceInitiatedShutdown";
                    row.reason =
                        Some((code.into(), format!("{code}: Instance initiated shutdown")));
                };
                self.turn(place, State::Running, to).await?;
            }
            Step::Forget => {
                if let Some(place) = place {
                    self.forget(&place).await.map_err(Error::from)?;
                }
            }
        }
        Ok(())
    }

    /// Boots a machine. One that cannot boot goes down again, and says why.
    async fn start(
        &self,
        tools: (&Planes, &Arc<Cloud>),
        row: InstanceRow,
    ) -> std::result::Result<(), PlaneError> {
        let place = Some(gureum_kit::Row::key(&row));
        let state = row.state;
        match self.boot(tools, &row).await {
            Ok(()) => {
                let to = |row: &mut InstanceRow| row.goes(State::Running, self.clock.now());
                self.turn(place, state, to).await?;
                Ok(())
            }
            Err(error) => {
                let to = |row: &mut InstanceRow| {
                    // One that has run before keeps what it has.
                    let first = state == State::Pending && row.launched == row.meta.created;
                    let down = if first {
                        State::ShuttingDown
                    } else {
                        State::Stopping
                    };
                    row.goes(down, self.clock.now());
                    let code = blame(&error);
                    row.reason = Some((code.into(), format!("{code}: {error}")));
                };
                self.turn(place, state, to).await?;
                Err(error)
            }
        }
    }

    async fn boot(
        &self,
        (planes, cloud): (&Planes, &Arc<Cloud>),
        row: &InstanceRow,
    ) -> std::result::Result<(), PlaneError> {
        let mut machine = self.machine(row).map_err(Error::from)?;
        machine.devices = self.devices(Tools::of(planes, cloud), row).await?;
        planes.machines.start(&machine).await?;
        self.settle_devices(row, &machine.devices).await
    }

    fn machine(&self, row: &InstanceRow) -> Result<Machine> {
        let reader = self.store.read();
        let interfaces = row.interfaces(&reader)?;
        let address = interfaces
            .first()
            .and_then(|interface| interface.primary_private());
        let region = &row.meta.region;
        let kind = instance_types::known(&row.instance_type);
        let dhcp = Dhcp::of(&reader, row)?;
        // One that was deregistered keeps its row as long as somebody has it.
        let image = images::of_instance(&reader, row)?;
        let hostname = address.map(|address| names::private(region, address));
        Ok(Machine {
            id: row.meta.id.clone(),
            hostname: hostname.unwrap_or_else(|| row.meta.id.clone()),
            image: image.map(|image| image.files),
            cores: kind.map_or(0.1, |kind| kind.cores),
            memory: kind.map_or(128 << 20, instance_types::InstanceType::bytes),
            resolver: dhcp.resolver,
            search: dhcp.search,
            address,
            user_data: row.user_data.clone(),
            key: row.public_key.clone(),
            devices: Vec::new(),
        })
    }

    /// Changes a row that is still in the state that was planned from.
    async fn turn(
        &self,
        place: Option<Place>,
        from: State,
        change: impl Fn(&mut InstanceRow) + Send + Sync,
    ) -> std::result::Result<(), Error> {
        let Some(place) = place else { return Ok(()) };
        let done = self.store.transact(|tx| {
            let row = tx.get::<InstanceRow>(&place)?;
            let Some(mut row) = row.filter(|row| row.state == from) else {
                return Ok(());
            };
            change(&mut row);
            match row.state {
                State::Stopped => lose_public(tx, &row)?,
                State::Terminated => let_go(tx, &row)?,
                _ => {}
            }
            Ok(tx.put(&row)?)
        });
        let done: Result<()> = done.await;
        Ok(done?)
    }

    async fn forget(&self, place: &Place) -> Result<()> {
        self.store
            .transact(|tx| Ok(tx.delete::<InstanceRow>(place)?))
            .await
    }

    /// Keeps in the row whether the machine reacts, for its status checks.
    async fn note_health(&self, row: &InstanceRow, sight: Option<Sight>) -> Result<()> {
        let Some(Sight::Running { responsive }) = sight else {
            return Ok(());
        };
        if row.responsive == responsive {
            return Ok(());
        }
        let place = gureum_kit::Row::key(row);
        self.store
            .transact(|tx| {
                if let Some(mut row) = tx.get::<InstanceRow>(&place)? {
                    row.responsive = responsive;
                    tx.put(&row)?;
                }
                Ok(())
            })
            .await
    }
}

/// What a machine would hear from DHCP, which it is given as it boots.
#[derive(Default)]
struct Dhcp {
    resolver: Vec<Ipv4Addr>,
    search: String,
}

impl Dhcp {
    /// A VPC without options (`default`) leaves its machines without names.
    fn of(reader: &impl Reader, row: &InstanceRow) -> Result<Self> {
        let here = row.meta.here();
        let Some(vpc) = reader.find::<VpcRow>(&here, &row.vpc)? else {
            return Ok(Self::default());
        };
        let options = match &vpc.dhcp_options {
            Some(id) => reader.find::<DhcpOptionsRow>(&here, id)?,
            None => None,
        };
        let given = |key: &str| options.as_ref()?.options.get(key);
        // The resolver of the VPC is two above its base.
        let own = vpc.cidr().nth(2);
        let address = |text: &String| match text.as_str() {
            "AmazonProvidedDNS" => Some(own),
            other => other.parse().ok(),
        };
        let servers = given("domain-name-servers").into_iter().flatten();
        let domain = given("domain-name").and_then(|names| names.first());
        Ok(Self {
            resolver: servers.filter_map(address).collect(),
            search: domain.cloned().unwrap_or_default(),
        })
    }
}

/// Whose doing it is that a machine cannot boot: what another service refuses, its owner can mend.
fn blame(error: &PlaneError) -> &'static str {
    match error.downcast_ref::<Error>() {
        Some(refused) if refused.status < 500 => "Client.InternalError",
        _ => "Server.InternalError",
    }
}

/// The state that a row is turned from.
fn from(state: State) -> State {
    match state {
        State::Running => State::Pending,
        State::Stopped => State::Stopping,
        State::Terminated => State::ShuttingDown,
        other => other,
    }
}

/// A stopped instance keeps its private addresses and its elastic ones.
fn lose_public(tx: &mut Tx, row: &InstanceRow) -> Result<()> {
    for mut interface in row.interfaces(tx)? {
        interface.lose_public(tx)?;
        tx.put(&interface)?;
    }
    Ok(())
}

/// A terminated one keeps nothing; interfaces and volumes that are to outlive it
/// are free again.
fn let_go(tx: &mut Tx, row: &InstanceRow) -> Result<()> {
    super::volumes::let_go(tx, row)?;
    for mut interface in row.interfaces(tx)? {
        let attachment = interface.attachment.take();
        if attachment.is_some_and(|attachment| attachment.delete_on_termination) {
            interface.release(tx)?;
            tx.delete::<crate::model::interface::InterfaceRow>(gureum_kit::Row::key(&interface))?;
        } else {
            interface.lose_public(tx)?;
            tx.put(&interface)?;
        }
    }
    Ok(())
}
