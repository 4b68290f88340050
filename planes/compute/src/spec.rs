//! What an instance shall be, and what is seen of it. Plain data, shared by all processes.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// An instance as it shall run. Written to disk by [`crate::Compute::start`], read by its supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Names the instance, its files and its cgroup: letters, digits and `-`, at most 64.
    pub id: String,
    pub hostname: String,
    pub image: ImageId,
    /// The network namespace of the room that it lives in; made when it does not exist.
    pub netns: String,
    /// Processor time per time, in cores; at least 0.01.
    pub cpus: f64,
    /// Bytes, swap included.
    pub memory: u64,
    /// Processes and threads.
    pub pids: u32,
    /// Name servers, in order of preference.
    pub resolver: Vec<Ipv4Addr>,
    /// The domain that is tried for short names; may be empty.
    pub search: String,
    /// The instance's own address, for its `/etc/hosts`; loopback stands in for none.
    pub address: Option<Ipv4Addr>,
    /// Certificates (PEM) that the instance trusts besides the distribution's.
    pub ca_bundle: Option<PathBuf>,
    /// As given by the user, decoded from base64: a script, cloud-config, MIME parts; may be gzipped.
    pub user_data: Option<Vec<u8>>,
    /// Users and the public keys that open their account by SSH. With none, no SSH server runs.
    pub authorized_keys: Vec<(String, String)>,
    /// Variables of every process in the instance.
    pub env: Vec<(String, String)>,
    pub root_disk: RootDisk,
    /// What it finds in its `/dev` when it boots.
    #[serde(default)]
    pub devices: Vec<Device>,
}

/// A block device of the host that an instance has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name in the instance's `/dev`: lower-case letters and digits.
    pub name: String,
    pub major: u32,
    pub minor: u32,
}

/// Names an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageId(pub String);

impl ImageId {
    /// The image that every host has: its own `/usr`, with everything else fresh.
    pub fn base() -> ImageId {
        ImageId("base".into())
    }
}

/// Where what the instance writes is kept. It lives as long as the instance, through stop and start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootDisk {
    /// A directory among the instance's files, removed with it. Bounded by nothing but the disk.
    #[default]
    Directory,
    /// A directory of somebody else, who has mounted a file system there in the room.
    Mounted(PathBuf),
}

/// An instance as it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub id: String,
    pub state: State,
    /// While it runs, where the host accounts for it.
    pub usage: Option<Usage>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// Its supervisor lives, its first process does not run yet.
    Starting,
    Running(Running),
    Ended(Ended),
    /// Its supervisor lives and does not answer.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its first process, as the host counts.
    pub pid: i32,
    pub supervisor: i32,
    /// A UUID, new at each boot.
    pub boot_id: String,
    /// When it booted, ms since the epoch.
    pub since: i64,
    /// How often it booted since it was started: 1, and one more for each reboot.
    pub boots: u32,
    /// False when its first process has not reacted for some seconds: it is stopped, or starved.
    pub responsive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub how: How,
    /// Nobody had asked for it from outside.
    pub by_itself: bool,
    /// When, ms since the epoch; 0 when nobody saw it.
    pub at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// It shut down in order.
    PoweredOff,
    /// Its first process died of a signal.
    Killed(i32),
    /// It could not be started.
    Failed(String),
    /// Supervisor and all vanished: the host went down, or somebody killed them.
    Unseen,
}

/// What an instance has used since it booted, and holds now. Counters go back at each boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time, ns.
    pub cpu: u64,
    /// Processor time that it may have in each second, ns; 0 when there is no limit.
    pub allotted: u64,
    /// How long it wanted to run and was not let, ns (summed over its threads with version 2).
    pub throttled: u64,
    /// Bytes that could not be had back at once.
    pub memory: u64,
    pub processes: u64,
    /// Bytes read from and written to block devices, as far as the kernel knows whose they were.
    pub read: u64,
    pub written: u64,
    /// How many of its processes were killed for want of memory.
    pub out_of_memory: u64,
}

/// How a process that was executed in an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Exited(i32),
    Killed(i32),
}

/// A program to execute in a running instance, as root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The program, looked up in the instance's `PATH`, and its arguments.
    pub argv: Vec<String>,
    /// Besides what every process of the instance has.
    pub env: Vec<(String, String)>,
    /// Root's home when empty.
    pub directory: String,
}
