//! `gureum doctor`: what this host offers, what is missing, and the one command that installs it.
//!
//! Every finding is probed, not guessed from versions.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;

use gureum_room::{Hierarchy, Host, Privilege, Room};
use rustix::fs::{StatVfs, statvfs};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::cli::ReportArgs;
use crate::config::data_dir;
use crate::data_dir::DataDir;
use crate::failure::{Context, Failure};
use crate::output::say;

#[derive(Serialize)]
struct Finding {
    name: &'static str,
    verdict: Verdict,
    /// What was seen.
    seen: String,
    /// What to do, where something should be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    /// Works, with less.
    Limited,
    Missing,
}

/// Below this a busy front door runs out of descriptors.
const DESCRIPTORS: u64 = 4096;
/// Below this a person's uploads soon fill the disk.
const DISK: u64 = 2 << 30;

pub(crate) fn run(args: &ReportArgs) -> Result<(), Failure> {
    let dir = DataDir::at(data_dir(&args.cloud)?);
    let mut findings = vec![
        directory(&dir),
        disk(&dir),
        port(&dir)?,
        resolver(),
        descriptors(),
        client(),
    ];
    findings.extend(machine_room(&dir));
    if args.json {
        say(format_args!(
            "{:#}",
            serde_json::json!({ "findings": findings })
        ));
    } else {
        for finding in &findings {
            print(finding);
        }
    }
    match findings.iter().any(|f| f.verdict == Verdict::Missing) {
        true => Err(Failure::new(
            "Something that Gureum needs is missing; see above.",
        )),
        false => Ok(()),
    }
}

fn print(finding: &Finding) {
    let mark = match finding.verdict {
        Verdict::Good => "ok     ",
        Verdict::Limited => "limited",
        Verdict::Missing => "MISSING",
    };
    say(format_args!(
        "{mark}  {:<16} {}",
        finding.name, finding.seen
    ));
    if let Some(advice) = &finding.advice {
        say(format_args!("         {:<16} -> {advice}", ""));
    }
}

fn directory(dir: &DataDir) -> Finding {
    let path = dir.path();
    let writable = nearest(path)
        .filter(|existing| existing.is_dir())
        .is_some_and(|existing| rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_ok());
    Finding {
        name: "data directory",
        verdict: if writable {
            Verdict::Good
        } else {
            Verdict::Missing
        },
        seen: path.display().to_string(),
        advice: (!writable).then(|| "It cannot be written: name another with --data-dir.".into()),
    }
}

fn disk(dir: &DataDir) -> Finding {
    let free = nearest(dir.path())
        .and_then(|existing| statvfs(existing).ok())
        .map_or(0, |fs: StatVfs| fs.f_bavail * fs.f_frsize);
    let enough = free >= DISK;
    Finding {
        name: "disk",
        verdict: if enough {
            Verdict::Good
        } else {
            Verdict::Limited
        },
        seen: format!("{} MiB free", free >> 20),
        advice: (!enough).then(|| "Free some space, or put --data-dir on another disk.".into()),
    }
}

fn port(dir: &DataDir) -> Result<Finding, Failure> {
    let name = "front door";
    if let Some(running) = dir.running()? {
        return Ok(Finding {
            name,
            verdict: Verdict::Good,
            seen: format!("a cloud runs at {} (pid {})", running.endpoint, running.pid),
            advice: None,
        });
    }
    let address = SocketAddr::from(([127, 0, 0, 1], 4566));
    Ok(match TcpListener::bind(address) {
        Ok(_) => Finding {
            name,
            verdict: Verdict::Good,
            seen: format!("{address} is free"),
            advice: None,
        },
        Err(error) => Finding {
            name,
            verdict: Verdict::Limited,
            seen: format!("{address}: {error}"),
            advice: Some("Choose another: `gureum up --listen 127.0.0.1:4567`.".into()),
        },
    })
}

/// Bucket host names such as `photos.s3.gureum.localhost` must lead to loopback.
fn resolver() -> Finding {
    use std::net::ToSocketAddrs;
    let name = "photos.s3.gureum.localhost";
    let found: Vec<IpAddr> = (name, 0)
        .to_socket_addrs()
        .map(|all| all.map(|a| a.ip()).collect())
        .unwrap_or_default();
    let good = !found.is_empty() && found.iter().all(IpAddr::is_loopback);
    Finding {
        name: "*.localhost",
        verdict: if good {
            Verdict::Good
        } else {
            Verdict::Limited
        },
        seen: match good {
            true => "resolves to loopback".into(),
            false => format!("{name} does not resolve to loopback here"),
        },
        advice: (!good).then(|| {
            "Clients use path-style addresses, or: apt-get install libnss-myhostname".into()
        }),
    }
}

fn descriptors() -> Finding {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let enough = limit >= DESCRIPTORS;
    Finding {
        name: "descriptors",
        verdict: if enough {
            Verdict::Good
        } else {
            Verdict::Limited
        },
        seen: format!("{limit} open files at once"),
        advice: (!enough).then(|| format!("Raise it: ulimit -n {DESCRIPTORS}")),
    }
}

fn client() -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join("aws"))
        .find(|aws| aws.is_file());
    Finding {
        name: "AWS CLI",
        verdict: if found.is_some() {
            Verdict::Good
        } else {
            Verdict::Limited
        },
        seen: found
            .as_ref()
            .map_or("not on the PATH".into(), |aws| aws.display().to_string()),
        advice: found.is_none().then(|| "pip install awscli".into()),
    }
}

/// What instances need, as seen from inside a machine room: the cloud's, or one for the purpose.
fn machine_room(dir: &DataDir) -> Vec<Finding> {
    match look_inside(dir) {
        Ok(host) => vec![instances(&host), limits(&host), filters(&host)],
        Err(error) => {
            let advice = "Run as root, or allow user namespaces to this user.";
            vec![finding("instances", Err(error.to_string()), advice)]
        }
    }
}

fn look_inside(dir: &DataDir) -> Result<Host, Failure> {
    let doing = "cannot look at what instances need";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_fail(doing)?;
    runtime.block_on(async {
        let own = Room::at(&dir.room());
        if own.is_inhabited() {
            return own.host().await.or_fail(doing);
        }
        // Beside the data, so that it is the same file system; nothing of it stays.
        let beside = nearest(dir.path()).unwrap_or(Path::new("/tmp"));
        let place = beside.join(format!(".gureum-doctor-{}", std::process::id()));
        let room = Room::at(&place);
        let host = room.host().await;
        let closed = room.close().await;
        // What could not be deleted is an empty directory or two.
        let _ = fs::remove_dir_all(&place);
        closed.or_fail(doing)?;
        host.or_fail(doing)
    })
}

fn instances(host: &Host) -> Finding {
    let how = match host.privilege {
        Privilege::Root => "run as root's processes, confined".to_owned(),
        Privilege::Rootless { ids: 1, .. } => {
            "run rootless, with one user id: no other users inside".to_owned()
        }
        Privilege::Rootless { ids, .. } => format!("run rootless, with {ids} user ids"),
    };
    let advice = "Put --data-dir on a file system that overlayfs can write to (ext4, xfs, btrfs).";
    finding("instances", host.overlay.clone().map(|()| how), advice)
}

fn limits(host: &Host) -> Finding {
    let seen = match host.cgroups.hierarchy {
        Hierarchy::None => Err("no control groups that we may use: instances are unlimited".into()),
        Hierarchy::V1 => Ok("control groups, version 1".to_owned()),
        Hierarchy::V2 => Ok("control groups, version 2".to_owned()),
    };
    let advice = "Run as root, or: systemd-run --user --scope -p Delegate=yes gureum up";
    finding("limits", seen, advice)
}

fn filters(host: &Host) -> Finding {
    let seen = host.nftables.clone().map(|()| "nftables".to_owned());
    finding("packet filters", seen, "apt-get install nftables")
}

/// Good, or limited with what to do about it.
fn finding(name: &'static str, seen: Result<String, String>, advice: &str) -> Finding {
    Finding {
        name,
        verdict: match seen {
            Ok(_) => Verdict::Good,
            Err(_) => Verdict::Limited,
        },
        advice: seen.is_err().then(|| advice.to_owned()),
        seen: seen.unwrap_or_else(|reason| reason),
    }
}

/// The path itself or the closest parent that exists.
fn nearest(path: &Path) -> Option<&Path> {
    path.ancestors().find(|p| fs::metadata(p).is_ok())
}
