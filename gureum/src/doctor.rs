//! `gureum doctor`: what this host offers, what is missing, and the one command that installs it.
//!
//! Every finding is probed, not guessed from versions.

mod room;

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;

use rustix::fs::{StatVfs, statvfs};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::cli::ReportArgs;
use crate::config::data_dir;
use crate::data_dir::DataDir;
use crate::failure::Failure;
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
    /// The Debian package that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'static str>,
}

impl Finding {
    fn good(name: &'static str, seen: String) -> Self {
        Self {
            name,
            verdict: Verdict::Good,
            seen,
            advice: None,
            package: None,
        }
    }

    fn limited(name: &'static str, seen: String, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Limited,
            advice: Some(advice.into()),
            ..Self::good(name, seen)
        }
    }

    fn missing(name: &'static str, seen: String, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Missing,
            ..Self::limited(name, seen, advice)
        }
    }

    fn package(self, package: &'static str) -> Self {
        Self {
            package: Some(package),
            ..self
        }
    }
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
    if let Some(existing) = nearest(dir.path()).filter(|existing| existing.is_dir()) {
        findings.extend(room::findings(existing));
    }
    let install = install(&findings);
    if args.json {
        say(format_args!(
            "{:#}",
            serde_json::json!({ "findings": findings, "install": install })
        ));
    } else {
        for finding in &findings {
            print(finding);
        }
        if let Some(command) = install {
            say(format_args!("\nTo install what is not there: {command}"));
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

/// The one command for all packages that would help.
fn install(findings: &[Finding]) -> Option<String> {
    let packages: Vec<&str> = findings.iter().filter_map(|f| f.package).collect();
    (!packages.is_empty()).then(|| format!("apt-get install {}", packages.join(" ")))
}

fn directory(dir: &DataDir) -> Finding {
    let name = "data directory";
    let path = dir.path();
    let writable = nearest(path)
        .filter(|existing| existing.is_dir())
        .is_some_and(|existing| rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_ok());
    let seen = path.display().to_string();
    match writable {
        true => Finding::good(name, seen),
        false => Finding::missing(
            name,
            seen,
            "It cannot be written: name another with --data-dir.",
        ),
    }
}

fn disk(dir: &DataDir) -> Finding {
    let name = "disk";
    let free = nearest(dir.path())
        .and_then(|existing| statvfs(existing).ok())
        .map_or(0, |fs: StatVfs| fs.f_bavail * fs.f_frsize);
    let seen = format!("{} MiB free", free >> 20);
    match free >= DISK {
        true => Finding::good(name, seen),
        false => Finding::limited(
            name,
            seen,
            "Free some space, or put --data-dir on another disk.",
        ),
    }
}

fn port(dir: &DataDir) -> Result<Finding, Failure> {
    let name = "front door";
    if let Some(running) = dir.running()? {
        let seen = format!("a cloud runs at {} (pid {})", running.endpoint, running.pid);
        return Ok(Finding::good(name, seen));
    }
    let address = SocketAddr::from(([127, 0, 0, 1], 4566));
    Ok(match TcpListener::bind(address) {
        Ok(_) => Finding::good(name, format!("{address} is free")),
        Err(error) => Finding::limited(
            name,
            format!("{address}: {error}"),
            "Choose another: `gureum up --listen 127.0.0.1:4567`.",
        ),
    })
}

/// Bucket host names such as `photos.s3.gureum.localhost` must lead to loopback.
fn resolver() -> Finding {
    use std::net::ToSocketAddrs;
    let name = "*.localhost";
    let host = "photos.s3.gureum.localhost";
    let found: Vec<IpAddr> = (host, 0)
        .to_socket_addrs()
        .map(|all| all.map(|a| a.ip()).collect())
        .unwrap_or_default();
    if !found.is_empty() && found.iter().all(IpAddr::is_loopback) {
        return Finding::good(name, "resolves to loopback".into());
    }
    Finding::limited(
        name,
        format!("{host} does not resolve to loopback here"),
        "Clients must use path-style addresses.",
    )
    .package("libnss-myhostname")
}

fn descriptors() -> Finding {
    let name = "descriptors";
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let seen = format!("{limit} open files at once");
    match limit >= DESCRIPTORS {
        true => Finding::good(name, seen),
        false => Finding::limited(name, seen, format!("Raise it: ulimit -n {DESCRIPTORS}")),
    }
}

fn client() -> Finding {
    let name = "AWS CLI";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join("aws"))
        .find(|aws| aws.is_file());
    match found {
        Some(aws) => Finding::good(name, aws.display().to_string()),
        None => Finding::limited(name, "not on the PATH".into(), "pip install awscli"),
    }
}

/// The path itself or the closest parent that exists.
fn nearest(path: &Path) -> Option<&Path> {
    path.ancestors().find(|p| fs::metadata(p).is_ok())
}
