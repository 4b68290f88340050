//! What this host offers the machine room, where EC2's instances run.
//!
//! A room is opened for a moment in a directory of its own beside the data directory, and closed.

use std::path::{Path, PathBuf};

use gureum_network::way_out;
use gureum_room::{Hierarchy, Host, Privilege, Room};
use rustix::fs::{Access, access};

use super::Finding;
use crate::failure::Failure;

/// The first kernel that resets counters of a packet filter's set.
const FLOW_LOGS: (u32, u32) = (6, 5);

/// What the room makes of this host, and what instances find on it. None of it is missed by a
/// cloud without instances.
pub(super) fn findings(beside: &Path) -> Vec<Finding> {
    let mut findings = match look(beside) {
        Ok(host) => vec![
            privilege(&host),
            cgroups(&host),
            layers(&host),
            filters(&host),
            internet(&host),
            flow_logs(&host),
        ],
        Err(failure) => vec![Finding::limited(
            "machine room",
            failure.to_string(),
            "Instances need root, or user namespaces for everybody.",
        )],
    };
    findings.push(device(
        "FUSE",
        "/dev/fuse",
        "Volumes need it: modprobe fuse",
    ));
    findings.push(device(
        "loop devices",
        "/dev/loop-control",
        "Attached volumes need them, and root: modprobe loop",
    ));
    findings.push(ssh());
    findings
}

fn look(beside: &Path) -> Result<Host, Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::new(format!("cannot open one to look at it: {error}"))
    };
    let place = Place::beside(beside).map_err(|error| cannot(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| cannot(&error))?;
    runtime.block_on(async {
        let room = Room::at(&place.0);
        let host = room.host().await;
        let closed = room.close().await;
        let host = host.map_err(|error| cannot(&error))?;
        closed.map_err(|error| cannot(&error))?;
        Ok(host)
    })
}

/// A directory for the time of the look.
struct Place(PathBuf);

impl Place {
    fn beside(path: &Path) -> std::io::Result<Self> {
        let place = path.join(format!(".gureum-doctor-{}", std::process::id()));
        std::fs::create_dir(&place)?;
        Ok(Self(place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is empty, and does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn privilege(host: &Host) -> Finding {
    let name = "machine room";
    let kernel = &host.kernel;
    match host.privilege {
        Privilege::Root => Finding::good(name, format!("as root, kernel {kernel}")),
        Privilege::Rootless { ids: 1, .. } => Finding::limited(
            name,
            format!("rootless with a single user id, kernel {kernel}"),
            "Instances have no users but root: give yourself ranges in /etc/subuid and /etc/subgid.",
        )
        .package("uidmap"),
        Privilege::Rootless { uid, ids } => Finding::good(
            name,
            format!("rootless as user {uid} with {ids} ids, kernel {kernel}"),
        ),
    }
}

fn cgroups(host: &Host) -> Finding {
    let version = match host.cgroups.hierarchy {
        Hierarchy::None => {
            return Finding::limited(
                "cgroups",
                "none that we may write to".into(),
                "Instances run without limits of processor and memory: be root, or have systemd delegate a group.",
            );
        }
        Hierarchy::V1 => 1,
        Hierarchy::V2 => 2,
    };
    let controllers: Vec<&str> = host
        .cgroups
        .controllers
        .keys()
        .map(String::as_str)
        .collect();
    Finding::good(
        "cgroups",
        format!("version {version}: {}", controllers.join(" ")),
    )
}

fn layers(host: &Host) -> Finding {
    let name = "overlay";
    match &host.overlay {
        Ok(()) => Finding::good(name, "can be mounted in the room".into()),
        Err(why) => Finding::limited(
            name,
            why.clone(),
            "Instances need it: put --data-dir on ext4, xfs, btrfs or tmpfs; without root, Linux 5.11 or later.",
        ),
    }
}

fn filters(host: &Host) -> Finding {
    let name = "packet filters";
    match &host.nftables {
        Ok(()) => Finding::good(name, "nft works in the room".into()),
        Err(why) => Finding::limited(
            name,
            why.clone(),
            "Instances need `nft`, for security groups and network address translation.",
        )
        .package("nftables"),
    }
}

fn internet(host: &Host) -> Finding {
    let name = "internet";
    let good = |how: &str| Finding::good(name, format!("from instances, in the name of {how}"));
    match (host.privilege, way_out()) {
        (Privilege::Root, _) => good("this host"),
        (Privilege::Rootless { .. }, Ok(())) => good("this user, by slirp4netns"),
        (Privilege::Rootless { .. }, Err(why)) => Finding::limited(
            name,
            format!("not from instances: {why}"),
            "Instances reach each other and the APIs; what lies outside takes slirp4netns, or root.",
        )
        .package("slirp4netns"),
    }
}

/// Flows are fetched and begun anew in one step, which older kernels do not know.
fn flow_logs(host: &Host) -> Finding {
    let name = "flow logs";
    let mut numbers = host.kernel.split(['.', '-']).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < FLOW_LOGS => Finding::limited(
            name,
            format!("kernel {} cannot count flows", host.kernel),
            "They need Linux 6.5 or later; everything else works without.",
        ),
        _ => Finding::good(name, "the kernel counts flows".into()),
    }
}

fn device(name: &'static str, path: &str, advice: &str) -> Finding {
    match access(path, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => Finding::good(name, path.into()),
        Err(error) => Finding::limited(name, format!("{path}: {error}"), advice),
    }
}

/// Instances see the host's programs, its SSH server among them.
fn ssh() -> Finding {
    let (name, path) = ("SSH server", "/usr/sbin/sshd");
    match access(path, Access::EXEC_OK) {
        Ok(()) => Finding::good(name, path.into()),
        Err(_) => Finding::limited(
            name,
            format!("no {path}"),
            "Instances cannot be logged in to with a key pair.",
        )
        .package("openssh-server"),
    }
}
