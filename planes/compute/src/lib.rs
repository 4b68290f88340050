//! Instances: Linux machines made of namespaces, an overlay root, control groups and a seccomp
//! filter. No Docker, no virtual machine monitor; root or rootless.
//!
//! Who is who, from outside in:
//!
//! * [`Compute`] is what services use. It writes specs, and asks the others.
//! * [`duty`] runs in the room's keeper: it launches supervisors and deletes files.
//! * [`supervise_main`] is one process per instance. It boots it, keeps its console, reboots it,
//!   and records how it ended. It outlives the main process and the keeper.
//! * The instance's first process is a copy of the supervisor that has built its root, pivoted into
//!   it and given up its privileges (`boot`, `root`, `confine`); then it is its `init`: it reaps,
//!   executes, runs user data, and shuts down in order.
//!
//! Invariants: an instance never sees a file of the host but `/usr`, read-only, and what the image
//! copied by an allow list. What runs in it runs under its cgroup, filter and bounding set: there
//! is one way in, and it is through its first process. How an instance ended is on disk before
//! anyone is told. Killing a supervisor kills its instance; killing anything else does not.
//!
//! Mounting is the one thing that the supervisor does for who is inside: its own volumes (`mounts`).
//!
//! Gaps: disks with a size; a terminal for [`Exec`];
//! `/proc/meminfo` and `/proc/cpuinfo` tell of the host. Programs that gain rights by their file's
//! mode (`sudo`) do not gain any.

mod boot;
mod cgroup;
mod client;
mod cloud_config;
mod confine;
mod console;
mod detached;
mod devices;
mod duty;
mod image;
mod init;
mod layout;
mod library;
mod messages;
mod mounts;
mod provision;
mod root;
mod spec;
mod supervisor;
mod syscalls;
mod user_data;

pub use client::{CONSOLE, Changes, Compute};
pub use library::{Image, Import};
pub use spec::{
    Device, Ended, Exec, How, ImageId, Outcome, RootDisk, Running, Seen, Spec, State, Usage,
};
pub use supervisor::supervise_main;

/// What the keeper does for this plane.
pub fn duty() -> Box<dyn gureum_room::Duty> {
    Box::new(duty::Compute)
}
