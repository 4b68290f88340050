//! A cloud with instances, for measures of them.

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
use crate::server::Server;

/// Nothing of this takes as long.
const PATIENCE: Duration = Duration::from_secs(120);
/// A network for public addresses beside those that tests take.
const POOL: &str = "198.19.248.0/21";

/// A cloud with a group that lets the web in.
pub(crate) struct Site {
    pub(crate) server: Server,
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
pub(crate) struct Traces {
    pub(crate) pid: i32,
    pub(crate) supervisor: i32,
    directory: PathBuf,
}

impl Traces {
    pub(crate) fn are_gone(&self) -> bool {
        let lives = |pid: i32| Path::new(&format!("/proc/{pid}")).exists();
        !lives(self.pid) && !lives(self.supervisor) && !self.directory.exists()
    }
}

impl Site {
    /// A cloud of its own, in a directory of this name.
    pub(crate) fn open(setting: &Setting, name: &str) -> Result<Self> {
        let data = setting.home.join(name);
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

    pub(crate) fn ask(&mut self, action: &str, fields: &[(&str, &str)]) -> Result<String> {
        let request = self.requests.ec2(action, fields)?;
        let body = self.runtime.block_on(self.connection.fetch(request))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    pub(crate) fn page(&mut self, path: &str) -> Result<Value> {
        let request = plain(self.server.address, path)?;
        self.runtime.block_on(self.connection.json(request))
    }

    pub(crate) fn launch(&mut self, kind: &str, count: usize, script: &str) -> Result<Vec<String>> {
        self.launch_in(kind, count, script, &[])
    }

    /// Launches into these security groups instead of the network's default one.
    pub(crate) fn launch_in(
        &mut self,
        kind: &str,
        count: usize,
        script: &str,
        groups: &[String],
    ) -> Result<Vec<String>> {
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
        let names = numbered("SecurityGroupId", groups.len());
        fields.extend(pairs(&names, groups));
        let made = self.ask("RunInstances", &fields)?;
        let ids = every(&made, "instanceId").into_iter();
        Ok(ids.collect::<BTreeSet<_>>().into_iter().collect())
    }

    pub(crate) fn terminate(&mut self, ids: &[String]) -> Result<()> {
        let names = numbered("InstanceId", ids.len());
        let fields: Vec<(&str, &str)> = pairs(&names, ids).collect();
        self.ask("TerminateInstances", &fields).map(drop)
    }

    /// The public addresses of all that are on their way up or run.
    pub(crate) fn shown(&mut self) -> Result<Vec<Ipv4Addr>> {
        let filter = [
            ("Filter.1.Name", "instance-state-name"),
            ("Filter.1.Value.1", "pending"),
            ("Filter.1.Value.2", "running"),
        ];
        let shown = self.ask("DescribeInstances", &filter)?;
        let addresses = every(&shown, "ipAddress").into_iter();
        Ok(addresses.filter_map(|text| text.parse().ok()).collect())
    }

    pub(crate) fn running(&mut self, count: usize) -> Result<()> {
        let filter = [
            ("Filter.1.Name", "instance-state-name"),
            ("Filter.1.Value.1", "running"),
        ];
        wait(|| {
            let shown = self.ask("DescribeInstances", &filter)?;
            Ok(every(&shown, "privateIpAddress").len() >= count)
        })
    }

    pub(crate) fn traces(&mut self, ids: &[String]) -> Result<Vec<Traces>> {
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
    pub(crate) fn first_pages(
        &mut self,
        ids: &[String],
        started: Instant,
    ) -> Result<Vec<Duration>> {
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

pub(crate) fn wait(mut done: impl FnMut() -> Result<bool>) -> Result<()> {
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
pub(crate) fn every(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1);
    let texts = parts.filter_map(|part| part.split_once(&close));
    texts.map(|(text, _)| text.to_owned()).collect()
}

/// The names of the members of a list, as in a query.
fn numbered(name: &str, count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("{name}.{n}")).collect()
}

fn pairs<'a>(
    names: &'a [String],
    values: &'a [String],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let names = names.iter().map(String::as_str);
    names.zip(values.iter().map(String::as_str))
}
