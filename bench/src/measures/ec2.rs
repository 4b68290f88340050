//! Instances: how soon they serve, how soon they are gone, what a hundred of them cost, and whether
//! their quota is the truth. What their networks carry is measured where one can be built without a
//! cloud, in `planes/network/tests/vpc/figures.rs`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::Value;

use super::Setting;
use crate::client::{Connection, Requests, plain, runtime};
use crate::failure::{Failure, Result};
use crate::machine;
use crate::report::{Row, mebibytes, number};
use crate::server::Server;
use crate::stats::Latencies;

/// Launches of one instance, one after the other.
const LAUNCHES: usize = 20;
const AT_ONCE: usize = 10;
const IDLE: usize = 100;
/// How many are launched by one request.
const BATCH: usize = 10;
/// How long idling and burning are watched.
const WATCHED: Duration = Duration::from_secs(15);
/// Nothing of this takes as long.
const PATIENCE: Duration = Duration::from_secs(120);
/// A network for public addresses beside those that tests take.
const POOL: &str = "198.19.248.0/21";

/// A web server that starts as soon as its interpreter does.
const WEB: &str = r#"#!/bin/sh
exec python3 -ISc '
import socket
door = socket.socket()
door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
door.bind(("", 80))
door.listen(64)
while True:
    guest, _ = door.accept()
    guest.recv(4096)
    guest.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")
    guest.close()
' &
"#;
const BURN: &str = "#!/bin/sh\nwhile :; do :; done &\n";

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(vec![Row::skipped("instances", "this needs root")]);
    }
    let mut site = Site::open(setting)?;
    let mut rows = one_after_the_other(&mut site)?;
    rows.push(at_once(&mut site)?);
    rows.extend(quota(&mut site)?);
    rows.extend(idle(&mut site)?);
    Ok(rows)
}

/// From the request to the first page of a web server that user data starts; and from the request to
/// terminate until nothing is left.
fn one_after_the_other(site: &mut Site) -> Result<Vec<Row>> {
    let (mut served, mut gone) = (Latencies::default(), Latencies::default());
    for _ in 0..LAUNCHES {
        let started = Instant::now();
        let ids = site.launch("m5.large", 1, WEB)?;
        site.first_pages(&ids, started)?
            .into_iter()
            .for_each(|took| served.note(took));
        let traces = site.traces(&ids)?;
        let started = Instant::now();
        site.terminate(&ids)?;
        wait(|| Ok(traces.iter().all(Traces::are_gone)))?;
        gone.note(started.elapsed());
    }
    Ok(vec![
        Row::at_most(
            "RunInstances to the first page, p50",
            served.percentile(0.5),
            300.0,
            "ms",
        ),
        Row::at_most("— p95 of 20", served.percentile(0.95), 1000.0, "ms"),
        Row::at_most(
            "TerminateInstances to nothing left, p95",
            gone.percentile(0.95),
            500.0,
            "ms",
        ),
    ])
}

fn at_once(site: &mut Site) -> Result<Row> {
    let started = Instant::now();
    let ids = site.launch("t3.small", AT_ONCE, WEB)?;
    let pages = site.first_pages(&ids, started)?;
    let last = pages.into_iter().max().unwrap_or_default();
    site.terminate(&ids)?;
    Ok(Row::at_most(
        "ten at once, all serving",
        last.as_secs_f64() * 1e3,
        3000.0,
        "ms",
    ))
}

/// What a tenth of a core burns in truth, and what is told of it.
fn quota(site: &mut Site) -> Result<Vec<Row>> {
    let ids = site.launch("t3.nano", 1, BURN)?;
    site.running(1)?;
    let pid = site.traces(&ids)?.iter().map(|it| it.pid).next();
    let pid = pid.ok_or_else(|| Failure("no instance".into()))?;
    std::thread::sleep(Duration::from_secs(2));
    let (before, started) = (machine::cpu_of_tree(pid), Instant::now());
    std::thread::sleep(WATCHED);
    let burnt = machine::cpu_of_tree(pid).saturating_sub(before);
    let share = burnt.as_secs_f64() / started.elapsed().as_secs_f64() * 100.0;
    let page = site.page(&format!("/_gureum/resources/{}", ids[0]))?;
    let told = page["figures"]["now"]["figures"]["CPUUtilization"].as_f64();
    site.terminate(&ids)?;
    let mut rows = vec![Row::at_most(
        "a quota of 10 % of a core, off by",
        (share - 10.0).abs(),
        2.0,
        "points",
    )];
    rows.push(match told {
        // The figure is of the quota, which is a tenth.
        Some(told) => Row::at_most(
            "— its CPUUtilization, off by",
            (told - share * 10.0).abs(),
            3.0,
            "points",
        ),
        None => Row::skipped("— its CPUUtilization", "no control groups"),
    });
    Ok(rows)
}

/// A hundred that do nothing.
fn idle(site: &mut Site) -> Result<Vec<Row>> {
    wait(|| Ok(site.shown()?.is_empty()))?;
    let before = machine::resident(site.server.pid())?;
    let mut ids = Vec::new();
    let started = Instant::now();
    for _ in 0..IDLE / BATCH {
        ids.extend(site.launch("t2.nano", BATCH, "")?);
    }
    site.running(IDLE)?;
    let took = started.elapsed();
    let pids: BTreeSet<i32> = site
        .traces(&ids)?
        .iter()
        .flat_map(|it| [it.pid, it.supervisor])
        .collect();
    let pids: Vec<i32> = pids.into_iter().collect();
    // What launching needed for a moment is not idling.
    std::thread::sleep(Duration::from_secs(6));
    let own: u64 = pids.iter().map(|pid| machine::proportional(*pid)).sum();
    let grown = machine::resident(site.server.pid())?.saturating_sub(before);
    let each = mebibytes(own + grown) / IDLE as f64;
    let cpu = |site: &Site| {
        // The keeper's and the supervisors' parent is not the server.
        let alone = pids.iter().map(|pid| machine::cpu_of_tree(*pid));
        machine::cpu_of_tree(site.server.pid()) + alone.sum::<Duration>()
    };
    let (used, watched) = (cpu(site), Instant::now());
    std::thread::sleep(WATCHED);
    let used = cpu(site).saturating_sub(used).as_secs_f64();
    let share = used / watched.elapsed().as_secs_f64() * 100.0;
    let mut listing = Latencies::default();
    for _ in 0..50 {
        let asked = Instant::now();
        site.shown()?;
        listing.note(asked.elapsed());
    }
    site.terminate(&ids)?;
    Ok(vec![
        Row::told(
            "a hundred instances, by ten requests",
            format!("{} s", number(took.as_secs_f64())),
            String::new(),
            String::new(),
        ),
        Row::at_most("— idle, memory of ours for each", each, 6.0, "MiB"),
        Row::at_most("— idle, of a core in all", share, 5.0, "%"),
        Row::at_most(
            "DescribeInstances of a hundred, p50",
            listing.percentile(0.5),
            5.0,
            "ms",
        ),
    ])
}

/// A cloud with a group that lets the web in.
struct Site {
    server: Server,
    requests: Requests,
    runtime: tokio::runtime::Runtime,
    connection: Connection,
    image: String,
    program: PathBuf,
    data: PathBuf,
}

impl Drop for Site {
    /// In order: what the cloud put on this host goes with it.
    fn drop(&mut self) {
        let mut down = std::process::Command::new(&self.program);
        let _ = down.arg("down").arg("--data-dir").arg(&self.data).output();
    }
}

/// What stands for an instance on the host.
struct Traces {
    pid: i32,
    supervisor: i32,
    directory: PathBuf,
}

impl Traces {
    fn are_gone(&self) -> bool {
        let lives = |pid: i32| Path::new(&format!("/proc/{pid}")).exists();
        !lives(self.pid) && !lives(self.supervisor) && !self.directory.exists()
    }
}

impl Site {
    fn open(setting: &Setting) -> Result<Self> {
        let data = setting.home.join("ec2");
        let server = Server::gureum_with(&setting.program, &data, &[("GUREUM_PUBLIC_POOL", POOL)])?;
        let runtime = runtime()?;
        let connection = runtime.block_on(Connection::open(server.address))?;
        let mut site = Self {
            requests: Requests::to(server.address)?,
            server,
            runtime,
            connection,
            image: String::new(),
            program: setting.program.clone(),
            data,
        };
        let images = site.ask("DescribeImages", &[("Owner.1", "amazon")])?;
        let image = every(&images, "imageId").into_iter().next();
        site.image = image.ok_or_else(|| Failure("there is no image".into()))?;
        let groups = site.ask("DescribeSecurityGroups", &[])?;
        let group = every(&groups, "groupId").into_iter().next();
        let group = group.ok_or_else(|| Failure("there is no group".into()))?;
        let rule = [
            ("GroupId", group.as_str()),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", "80"),
            ("IpPermissions.1.ToPort", "80"),
            ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
        ];
        site.ask("AuthorizeSecurityGroupIngress", &rule)?;
        Ok(site)
    }

    fn ask(&mut self, action: &str, fields: &[(&str, &str)]) -> Result<String> {
        let request = self.requests.ec2(action, fields)?;
        let body = self.runtime.block_on(self.connection.fetch(request))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    fn page(&mut self, path: &str) -> Result<Value> {
        let request = plain(self.server.address, path)?;
        self.runtime.block_on(self.connection.json(request))
    }

    fn launch(&mut self, kind: &str, count: usize, script: &str) -> Result<Vec<String>> {
        let (count, image) = (count.to_string(), self.image.clone());
        let script = BASE64.encode(script);
        let mut fields = vec![
            ("ImageId", image.as_str()),
            ("InstanceType", kind),
            ("MinCount", &count),
            ("MaxCount", &count),
        ];
        if !script.is_empty() {
            fields.push(("UserData", &script));
        }
        let made = self.ask("RunInstances", &fields)?;
        let ids = every(&made, "instanceId").into_iter();
        Ok(ids.collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn terminate(&mut self, ids: &[String]) -> Result<()> {
        let names: Vec<String> = (1..=ids.len()).map(|n| format!("InstanceId.{n}")).collect();
        let fields: Vec<(&str, &str)> = names
            .iter()
            .zip(ids)
            .map(|(name, id)| (name.as_str(), id.as_str()))
            .collect();
        self.ask("TerminateInstances", &fields).map(drop)
    }

    /// The public addresses of all that are on their way up or run.
    fn shown(&mut self) -> Result<Vec<Ipv4Addr>> {
        let filter = [
            ("Filter.1.Name", "instance-state-name"),
            ("Filter.1.Value.1", "pending"),
            ("Filter.1.Value.2", "running"),
        ];
        let shown = self.ask("DescribeInstances", &filter)?;
        let addresses = every(&shown, "ipAddress").into_iter();
        Ok(addresses.filter_map(|text| text.parse().ok()).collect())
    }

    fn running(&mut self, count: usize) -> Result<()> {
        let filter = [
            ("Filter.1.Name", "instance-state-name"),
            ("Filter.1.Value.1", "running"),
        ];
        wait(|| {
            let shown = self.ask("DescribeInstances", &filter)?;
            Ok(every(&shown, "privateIpAddress").len() >= count)
        })
    }

    fn traces(&mut self, ids: &[String]) -> Result<Vec<Traces>> {
        let mut all = Vec::new();
        for id in ids {
            let page = self.page(&format!("/_gureum/resources/{id}"))?;
            let pid = |value: &Value| value.as_i64().and_then(|pid| i32::try_from(pid).ok());
            all.push(Traces {
                pid: pid(&page["pids"][0]).unwrap_or(-1),
                supervisor: pid(&page["supervisor_pid"]).unwrap_or(-1),
                directory: page["data_dir"].as_str().unwrap_or_default().into(),
            });
        }
        Ok(all)
    }

    /// When each of these instances served its first page.
    fn first_pages(&mut self, ids: &[String], started: Instant) -> Result<Vec<Duration>> {
        let mut addresses = Vec::new();
        wait(|| {
            addresses = self.shown()?;
            addresses.sort_unstable();
            addresses.dedup();
            Ok(addresses.len() >= ids.len())
        })?;
        let visit = |address: Ipv4Addr| -> Result<Duration> {
            wait(|| Ok(serves(address)))?;
            Ok(started.elapsed())
        };
        std::thread::scope(|scope| {
            let visits = addresses
                .into_iter()
                .map(|address| scope.spawn(move || visit(address)));
            let visits: Vec<_> = visits.collect();
            let joined = visits.into_iter().map(|visit| visit.join());
            joined
                .map(|done| done.unwrap_or_else(|_| Err(Failure("a visitor died".into()))))
                .collect()
        })
    }
}

/// Whether the web server at an address answers with a page.
fn serves(address: Ipv4Addr) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let at = SocketAddr::from((address, 80));
        let mut stream = TcpStream::connect_timeout(&at, Duration::from_millis(50))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: instance\r\n\r\n")?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply)?;
        Ok(reply)
    };
    ask().is_ok_and(|reply| reply.starts_with(b"HTTP/1.1 200"))
}

fn wait(mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !done()? {
        if started.elapsed() > PATIENCE {
            return Err(Failure(format!("nothing in {} s", PATIENCE.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The texts of all elements of this name.
fn every(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1);
    let texts = parts.filter_map(|part| part.split_once(&close));
    texts.map(|(text, _)| text.to_owned()).collect()
}
