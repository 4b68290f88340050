//! What instances need of the planes: machines that run, networks between them, and disks.
//!
//! The planes stand behind three small traits, so that what is done with them can be tested without
//! them. A cloud on a host that cannot have them has none, and refuses to run instances.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gureum_block::{Changed, Key, Leaving, Limits};
use gureum_dns::Zone;
use gureum_network::{Flows, VpcPlan};

/// Where the front door is in every VPC, beside the router's other link-local addresses.
pub const API: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 249);
/// Where it is for the services of the VPC's region that have gateway endpoints, by their names.
pub const GATEWAYS: [(&str, Ipv4Addr); 2] = [
    ("dynamodb", Ipv4Addr::new(169, 254, 169, 248)),
    ("s3", Ipv4Addr::new(169, 254, 169, 247)),
];

/// What a plane failed of, in words.
pub type PlaneError = Box<dyn std::error::Error + Send + Sync>;

/// Keys of volumes, by the names that the volumes know them by.
pub type Keys = BTreeMap<String, Key>;

/// The planes of this host.
#[derive(Clone)]
pub struct Planes {
    pub machines: Arc<dyn Machines>,
    pub wires: Arc<dyn Wires>,
    pub disks: Arc<dyn Disks>,
    /// The memory (bytes) that all instances together may have.
    pub memory: u64,
    /// The cores that the fastest instance can have.
    pub cores: f64,
}

/// Machines: each is known by its instance's id.
#[async_trait]
pub trait Machines: Send + Sync + 'static {
    /// Whether this host can run machines at all; the error says what is missing. Opens what has
    /// to be open for that.
    async fn ready(&self) -> Result<(), PlaneError>;
    /// Boots a machine; returns when it runs. Booting one that runs changes nothing.
    async fn start(&self, machine: &Machine) -> Result<(), PlaneError>;
    /// Shuts it down, and kills it after `grace`.
    async fn stop(&self, id: &str, grace: Duration) -> Result<(), PlaneError>;
    async fn reboot(&self, id: &str, grace: Duration) -> Result<(), PlaneError>;
    /// Removes a stopped machine's disk.
    async fn remove(&self, id: &str) -> Result<(), PlaneError>;
    /// Every machine that there is.
    async fn observe(&self) -> Result<Vec<(String, Sight)>, PlaneError>;
    /// Ends when some machine may have ended; dropped and called again at will.
    async fn changed(&self);
    /// Keeps what is on a machine's disk as an image of this name, whether the machine runs or not.
    async fn capture(&self, id: &str, image: &str) -> Result<(), PlaneError>;
    /// Keeps the root file system on a block device of the host as an image of this name.
    async fn unpack(&self, device: &Path, image: &str) -> Result<(), PlaneError>;
    /// The images that are kept.
    async fn images(&self) -> Result<Vec<Kept>, PlaneError>;
    /// Removes an image that no machine has, and no other image lies over.
    async fn remove_image(&self, image: &str) -> Result<(), PlaneError>;
    /// The end of what it wrote to its console.
    async fn console(&self, id: &str) -> Result<Vec<u8>, PlaneError>;
}

/// An image that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    pub id: String,
    /// The image that it lies over.
    pub below: Option<String>,
    pub import: Option<Imported>,
}

/// What is said of an image that was brought from outside.
#[derive(Clone, Debug)]
pub struct Imported {
    pub name: String,
    pub account: String,
    pub region: String,
}

/// Networks: each is known by its VPC's id.
#[async_trait]
pub trait Wires: Send + Sync + 'static {
    /// Makes a network what its plan says, with everything that its router serves itself: metadata,
    /// the API, and these zones for whoever asks its resolver.
    async fn apply(&self, vpc: &VpcPlan, zones: Vec<Zone>) -> Result<(), PlaneError>;
    async fn remove(&self, vpc: &str) -> Result<(), PlaneError>;
    /// What passed these interfaces and NAT gateways of a network, which its plan has counted, since
    /// this was asked last.
    async fn flows(&self, vpc: &str, interfaces: &BTreeSet<String>) -> Result<Flows, PlaneError>;
    /// Every network that there is.
    async fn observe(&self) -> Result<Vec<String>, PlaneError>;
}

/// Volumes and snapshots: each is known by its id. Asking for what is done already changes nothing.
#[async_trait]
pub trait Disks: Send + Sync + 'static {
    /// Whether this host can make devices of volumes; the error says what is missing.
    async fn ready(&self) -> Result<(), PlaneError>;
    /// Everything that there is.
    async fn observe(&self) -> Result<Stored, PlaneError>;
    /// Makes a volume of `size` bytes, blank or with a snapshot's content, sealed under the key of
    /// this name.
    async fn create(
        &self,
        volume: &str,
        size: u64,
        from: Option<&str>,
        key: Option<&str>,
        keys: Keys,
    ) -> Result<(), PlaneError>;
    /// The names of the keys that a volume needs.
    async fn volume_keys(&self, volume: &str) -> Result<BTreeSet<String>, PlaneError>;
    /// The names of the keys that a snapshot needs.
    async fn snapshot_keys(&self, snapshot: &str) -> Result<BTreeSet<String>, PlaneError>;
    async fn delete(&self, volume: &str) -> Result<(), PlaneError>;
    /// Makes a volume a block device of the host; the path of its node.
    async fn attach(&self, volume: &str, keys: Keys, limits: Limits)
    -> Result<PathBuf, PlaneError>;
    /// Takes the device away; one that is in use goes when its last user has gone.
    async fn detach(&self, volume: &str) -> Result<Leaving, PlaneError>;
    /// Takes the device away whoever uses it.
    async fn abandon(&self, volume: &str) -> Result<(), PlaneError>;
    /// Makes a volume larger, `size` in bytes, while it is used too.
    async fn grow(&self, volume: &str, size: u64) -> Result<(), PlaneError>;
    /// Makes a volume slower or faster from now on.
    async fn limit(&self, volume: &str, limits: Limits) -> Result<(), PlaneError>;
    /// Keeps what a volume holds now.
    async fn snapshot(&self, volume: &str, snapshot: &str, keys: Keys) -> Result<(), PlaneError>;
    /// Keeps what several volumes hold at one moment; `pairs` are volumes and snapshots. What a call
    /// that was cut short has left of them is taken anew.
    async fn snapshot_together(
        &self,
        pairs: &[(String, String)],
        keys: Keys,
    ) -> Result<(), PlaneError>;
    /// Keeps a snapshot's content once more, sealed under the key of this name.
    async fn copy_snapshot(
        &self,
        from: &str,
        to: &str,
        key: Option<&str>,
        keys: Keys,
    ) -> Result<(), PlaneError>;
    async fn delete_snapshot(&self, snapshot: &str) -> Result<(), PlaneError>;
    /// The numbers of the pieces ([`gureum_block::PIECE`]) of a snapshot that were ever written.
    async fn pieces(&self, snapshot: &str, keys: Keys) -> Result<Vec<u64>, PlaneError>;
    /// The pieces that differ between two snapshots; none where they have nothing in common.
    async fn changed(
        &self,
        first: &str,
        second: &str,
        keys: Keys,
    ) -> Result<Option<Vec<Changed>>, PlaneError>;
    /// What a piece of a snapshot holds, in the clear.
    async fn read_piece(
        &self,
        snapshot: &str,
        piece: u64,
        keys: Keys,
    ) -> Result<Vec<u8>, PlaneError>;
    /// Writes a piece of a volume that is no device, durably.
    async fn write_piece(
        &self,
        volume: &str,
        piece: u64,
        bytes: Bytes,
        keys: Keys,
    ) -> Result<(), PlaneError>;
    /// The SHA-256 of each piece of a volume that was written since it was made or snapshotted.
    async fn written(&self, volume: &str, keys: Keys) -> Result<Vec<[u8; 32]>, PlaneError>;
    /// Shows a device to a running machine, under this name in its `/dev`.
    async fn plug(&self, machine: &str, name: &str, device: &Path) -> Result<(), PlaneError>;
    async fn unplug(&self, machine: &str, name: &str) -> Result<(), PlaneError>;
}

/// What there is of volumes and snapshots.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub volumes: BTreeSet<String>,
    pub snapshots: BTreeSet<String>,
    /// Instance stores, what images are unpacked from, and snapshots that are being written.
    pub stores: BTreeSet<String>,
    /// Those of the volumes and stores that are block devices.
    pub devices: BTreeSet<String>,
}

/// A machine as it shall run. Its network namespace has its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    pub id: String,
    pub hostname: String,
    /// What the plane calls it; none: the base image.
    pub image: Option<String>,
    pub cores: f64,
    /// Bytes.
    pub memory: u64,
    pub resolver: Vec<Ipv4Addr>,
    pub search: String,
    pub address: Option<Ipv4Addr>,
    pub user_data: Option<Bytes>,
    /// A line of `authorized_keys`.
    pub key: Option<String>,
    /// Its block devices: names in its `/dev`, and their nodes on the host.
    pub devices: Vec<(String, PathBuf)>,
}

/// How a machine was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Booting, or not answering at the moment.
    Unclear,
    Running {
        /// It has reacted lately.
        responsive: bool,
    },
    Ended {
        /// Nobody outside of it had asked for that.
        by_itself: bool,
    },
}
