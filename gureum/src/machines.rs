//! The machine room behind EC2: the compute and the network plane as EC2 asks
//! for them; volumes are in `disks`.
//!
//! The room is opened when the first instance is launched: a cloud without instances puts nothing
//! on the host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_block::Block;
use gureum_compute::{Changes, Compute, How, Image, ImageId, RootDisk, Spec, State};
use gureum_dns::Zone;
use gureum_ec2::machines::{Imported, Kept, Machine, Machines, PlaneError, Planes, Sight, Wires};
use gureum_network::{Flows, Network, VpcPlan};
use gureum_room::{Privilege, Room};
use ipnet::Ipv4Net;
use tokio::sync::Mutex;

use crate::beyond::Beyond;
use crate::data_dir::DataDir;
use crate::disks::device;
use crate::host_ports::HostPorts;
use crate::link_local::LinkLocal;

/// How long an instance may take to shut down when the cloud stops.
const GRACE: Duration = Duration::from_secs(10);
/// Processes and threads of one instance.
const PIDS: u32 = 1024;
/// The part of the host's memory that instances may have together.
const SHARE: (u64, u64) = (3, 4);

/// What instances run on.
pub(crate) struct Host {
    pub(crate) room: Room,
    pub(crate) compute: Compute,
    pub(crate) block: Block,
    pub(crate) network: Network,
    beyond: Beyond,
    ca_bundle: PathBuf,
    /// The room in which the network's joint has been set up since this process began.
    joined: Mutex<Option<String>>,
    pub(crate) link_local: LinkLocal,
    /// Used where the host itself has no way to the instances.
    pub(crate) host_ports: HostPorts,
    /// Rings when machines end; listened to once somebody asks.
    changes: Mutex<Option<Changes>>,
}

/// Where an instance can be found on the host, if it runs.
#[derive(Default)]
pub(crate) struct Traces {
    /// Its first process, as the host counts.
    pub(crate) pid: Option<i32>,
    pub(crate) supervisor: Option<i32>,
    pub(crate) responsive: Option<bool>,
    /// Its disk and its other files.
    pub(crate) directory: Option<PathBuf>,
}

impl Host {
    pub(crate) fn at(
        dir: &DataDir,
        pool: Ipv4Net,
        internet: bool,
    ) -> gureum_block::Result<Arc<Self>> {
        let room = Room::at(&dir.room());
        let network = Network::new(room.clone());
        Ok(Arc::new(Self {
            block: Block::open(room.clone(), dir.volumes())?,
            link_local: LinkLocal::new(network.clone(), internet),
            host_ports: HostPorts::new(network.clone()),
            changes: Mutex::default(),
            compute: Compute::new(room.clone(), dir.compute()),
            beyond: Beyond::new(room.clone(), network.clone(), dir, pool, internet),
            network,
            room,
            ca_bundle: dir.ca_bundle(),
            joined: Mutex::default(),
        }))
    }

    pub(crate) fn planes(self: &Arc<Self>) -> Planes {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Planes {
            machines: self.clone(),
            wires: self.clone(),
            disks: self.clone(),
            memory: memory() / SHARE.1 * SHARE.0,
            cores: cores as f64,
        }
    }

    pub(crate) async fn traces(&self, id: &str) -> Result<Traces, PlaneError> {
        let Some(seen) = self.compute.find(id).await? else {
            return Ok(Traces::default());
        };
        let running = match seen.state {
            State::Running(running) => Some(running),
            State::Starting | State::Ended(_) | State::Unknown => None,
        };
        Ok(Traces {
            pid: running.as_ref().map(|running| running.pid),
            supervisor: running.as_ref().map(|running| running.supervisor),
            responsive: running.as_ref().map(|running| running.responsive),
            directory: Some(self.compute.directory(id)?),
        })
    }

    /// Stops every instance and closes the room.
    pub(crate) async fn leave(&self) {
        if !self.room.is_inhabited() {
            return;
        }
        let seen = self.compute.observe().await.unwrap_or_default();
        let mut stopping = tokio::task::JoinSet::new();
        for seen in seen {
            let compute = self.compute.clone();
            stopping.spawn(async move {
                if let Err(error) = compute.stop(&seen.id, GRACE).await {
                    tracing::warn!(%error, instance = seen.id, "cannot stop the instance");
                }
            });
        }
        stopping.join_all().await;
        self.beyond.leave().await;
        if let Err(error) = self.room.close().await {
            tracing::warn!(%error, "cannot close the machine room");
        }
    }

    /// Sets up where all networks meet, once for each start and for each room: when all that lived in
    /// one was killed, the next request is made in another.
    async fn join(&self) -> Result<(), PlaneError> {
        let mut joined = self.joined.lock().await;
        let host = self.room.host().await?;
        if joined.as_ref() == Some(&host.room) {
            return Ok(());
        }
        self.link_local.leave_all().await;
        self.beyond.open(host.privilege).await?;
        *joined = Some(host.room);
        Ok(())
    }
}

/// The host's memory in bytes.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[async_trait]
impl Machines for Host {
    async fn ready(&self) -> Result<(), PlaneError> {
        let host = self.room.host().await?;
        host.overlay?;
        host.nftables?;
        self.join().await
    }

    async fn start(&self, machine: &Machine) -> Result<(), PlaneError> {
        let users = machine
            .key
            .iter()
            .map(|key| ("ec2-user".to_owned(), key.clone()));
        let devices = machine.devices.iter();
        let devices = devices.map(|(name, node)| device(name, node));
        let devices = devices.collect::<std::io::Result<_>>()?;
        let spec = Spec {
            id: machine.id.clone(),
            hostname: machine.hostname.clone(),
            image: machine.image.clone().map_or_else(ImageId::base, ImageId),
            netns: machine.id.clone(),
            cpus: machine.cores,
            memory: machine.memory,
            pids: PIDS,
            resolver: machine.resolver.clone(),
            search: machine.search.clone(),
            address: machine.address,
            ca_bundle: Some(self.ca_bundle.clone()),
            user_data: machine.user_data.as_ref().map(|bytes| bytes.to_vec()),
            authorized_keys: users.collect(),
            env: Vec::new(),
            root_disk: RootDisk::Directory,
            devices,
        };
        Ok(self.compute.start(&spec).await?)
    }

    async fn stop(&self, id: &str, grace: Duration) -> Result<(), PlaneError> {
        Ok(self.compute.stop(id, grace).await?)
    }

    async fn reboot(&self, id: &str, grace: Duration) -> Result<(), PlaneError> {
        Ok(self.compute.reboot(id, grace).await?)
    }

    async fn remove(&self, id: &str) -> Result<(), PlaneError> {
        Ok(self.compute.remove(id).await?)
    }

    async fn observe(&self) -> Result<Vec<(String, Sight)>, PlaneError> {
        let seen = self.compute.observe().await?;
        // Others may keep machines here too; instances' ids begin like this.
        let mine = seen.into_iter().filter(|seen| seen.id.starts_with("i-"));
        let sight = |state: State| match state {
            State::Starting | State::Unknown => Sight::Unclear,
            State::Running(running) => Sight::Running {
                responsive: running.responsive,
            },
            // What nobody saw was the host's doing, and not the instance's.
            State::Ended(ended) => Sight::Ended {
                by_itself: ended.by_itself && ended.how != How::Unseen,
            },
        };
        Ok(mine.map(|seen| (seen.id, sight(seen.state))).collect())
    }

    async fn changed(&self) {
        let mut changes = self.changes.lock().await;
        if changes.is_none() {
            match self.compute.changes() {
                Ok(listening) => *changes = Some(listening),
                Err(error) => tracing::warn!(%error, "machines that end are seen late"),
            }
        }
        match changes.as_mut() {
            Some(changes) => changes.next().await,
            // Whoever asks looks from time to time anyway.
            None => std::future::pending().await,
        }
    }

    async fn capture(&self, id: &str, image: &str) -> Result<(), PlaneError> {
        Ok(self.compute.capture(id, image).await?)
    }

    async fn unpack(&self, device: &Path, image: &str) -> Result<(), PlaneError> {
        Ok(self.compute.unpack(device, image).await?)
    }

    async fn images(&self) -> Result<Vec<Kept>, PlaneError> {
        let kept = |image: Image| Kept {
            id: image.id,
            below: image.below,
            import: image.import.map(|import| Imported {
                name: import.name,
                account: import.account,
                region: import.region,
            }),
        };
        let images = self.compute.images().await?;
        Ok(images.into_iter().map(kept).collect())
    }

    async fn remove_image(&self, image: &str) -> Result<(), PlaneError> {
        Ok(self.compute.remove_image(image).await?)
    }

    async fn console(&self, id: &str) -> Result<Vec<u8>, PlaneError> {
        Ok(self.compute.console(id).await?)
    }
}

#[async_trait]
impl Wires for Host {
    async fn apply(&self, vpc: &VpcPlan, zones: Vec<Zone>) -> Result<(), PlaneError> {
        self.join().await?;
        self.network.apply(vpc).await?;
        if self.room.host().await?.privilege != Privilege::Root {
            self.host_ports.apply(vpc).await?;
        }
        self.link_local.serve(vpc, zones).await
    }

    async fn remove(&self, vpc: &str) -> Result<(), PlaneError> {
        self.link_local.leave(vpc).await;
        self.host_ports.leave(vpc);
        Ok(self.network.remove(vpc).await?)
    }

    async fn flows(&self, vpc: &str, interfaces: &BTreeSet<String>) -> Result<Flows, PlaneError> {
        Ok(self.network.flows(vpc, interfaces).await?)
    }

    async fn observe(&self) -> Result<Vec<String>, PlaneError> {
        if !self.room.is_inhabited() {
            return Ok(Vec::new());
        }
        let seen = self.network.observe().await?;
        Ok(seen.into_iter().map(|seen| seen.vpc).collect())
    }
}
