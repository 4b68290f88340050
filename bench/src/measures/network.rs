//! What the network of two instances carries, against a bare veth pair between two namespaces; and
//! what a thousand rules of security groups cost. The sockets are this program's own, made inside of
//! the instances' network namespaces: so both are driven alike, and no quota of processor time counts.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::site::{Site, every, wait};
use super::{Setting, ratio};
use crate::failure::{Context, Failure, Result};
use crate::report::{Row, number};
use crate::stats::median;

/// Where the receiving side listens, to be streamed to and to be called.
const DOOR: u16 = 5;
const BELL: u16 = 6;
/// Groups that let nothing in of what is sent here, and the rules of each. Some of these are by a prefix
/// list, whose entries count as rules: a thousand in all, beside the one that lets everything in.
const CLOSED: usize = 4;
const RULES: usize = 60;
const LISTS: usize = 2;
const ENTRIES: usize = 96;
/// A connection within one machine is made or never will be.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is read or written at once.
const PIECE: usize = 256 << 10;

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(vec![Row::skipped("networks", "this needs root")]);
    }
    let mut site = Site::open(setting, "network")?;
    let open = site.open_group()?;
    let mut groups = site.closed_groups()?;
    let plain = site.pair(std::slice::from_ref(&open))?;
    groups.push(open);
    let ruled = site.pair(&groups)?;
    let bare = Bare::lay()?;
    let (mut ours, mut theirs, mut many) = (Vec::new(), Vec::new(), Vec::new());
    let (mut calls, mut many_calls) = (Vec::new(), Vec::new());
    for _ in 0..setting.rounds {
        theirs.push(bare.pair.stream(setting.round)?);
        ours.push(plain.stream(setting.round)?);
        many.push(ruled.stream(setting.round)?);
        calls.push(plain.calls(setting.round)?);
        many_calls.push(ruled.calls(setting.round)?);
    }
    let same = |value: &f64| *value;
    let gigabits = |values: &[f64]| {
        let middle = median(values.iter().copied());
        format!("{} Gbit/s", number(middle * 8.0 / 1e9))
    };
    let per_second = |values: &[f64]| format!("{}/s", number(median(values.iter().copied())));
    Ok(vec![
        Row::share(
            "one connection between two instances, against a bare veth pair",
            gigabits(&ours),
            gigabits(&theirs),
            ratio(&ours, &theirs, same, same),
            0.7,
        ),
        Row::share(
            "— with 1,000 rules in its security groups, against one rule",
            gigabits(&many),
            gigabits(&ours),
            ratio(&many, &ours, same, same),
            0.9,
        ),
        Row::told(
            "— new connections, one after the other, with 1,000 rules, against one rule",
            per_second(&many_calls),
            per_second(&calls),
            format!("{} ×", number(ratio(&many_calls, &calls, same, same))),
        ),
    ])
}

/// Two network namespaces, and the address by which the second is called from the first.
struct Pair {
    from: PathBuf,
    to: PathBuf,
    address: Ipv4Addr,
}

impl Pair {
    /// Bytes per second of one connection.
    fn stream(&self, length: Duration) -> Result<f64> {
        let (mut sent, received) = self.connected(&self.listener(DOOR)?, DOOR)?;
        let sink = std::thread::spawn(move || drain(received));
        let piece = vec![0; PIECE];
        let started = Instant::now();
        while started.elapsed() < length {
            sent.write_all(&piece).or_fail("cannot send")?;
        }
        drop(sent);
        let drained = sink.join().map_err(|_| Failure("a reader died".into()))?;
        drained.or_fail("cannot receive")
    }

    /// Connections made and accepted per second, one after the other.
    fn calls(&self, length: Duration) -> Result<f64> {
        let listener = self.listener(BELL)?;
        let address = SocketAddr::from((self.address, BELL));
        let call = move || {
            let (started, mut count) = (Instant::now(), 0);
            while started.elapsed() < length {
                let _near = TcpStream::connect_timeout(&address, PATIENCE)?;
                let _far = listener.accept()?;
                count += 1;
            }
            Ok(f64::from(count) / started.elapsed().as_secs_f64())
        };
        within(&self.from, call).or_fail("cannot connect")
    }

    fn listener(&self, port: u16) -> Result<TcpListener> {
        let address = SocketAddr::from((self.address, port));
        within(&self.to, move || TcpListener::bind(address)).or_fail("cannot listen")
    }

    fn connected(&self, listener: &TcpListener, port: u16) -> Result<(TcpStream, TcpStream)> {
        let address = SocketAddr::from((self.address, port));
        let connect = move || TcpStream::connect_timeout(&address, PATIENCE);
        let sent = within(&self.from, connect).or_fail("cannot connect")?;
        let (received, _) = listener.accept().or_fail("cannot accept")?;
        Ok((sent, received))
    }
}

fn drain(mut stream: TcpStream) -> std::io::Result<f64> {
    let mut piece = vec![0; PIECE];
    let (started, mut bytes) = (Instant::now(), 0);
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(bytes as f64 / started.elapsed().as_secs_f64()),
            read => bytes += read,
        }
    }
}

/// Does something in a network namespace, in a thread that goes there and does not come back.
fn within<T: Send + 'static>(
    namespace: &Path,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let namespace = File::open(namespace)?;
    let there = std::thread::spawn(move || {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), kind)?;
        work()
    });
    let died = |_| Err(std::io::Error::other("a thread died"));
    there.join().unwrap_or_else(died)
}

impl Site {
    /// A group by which everything may come in.
    fn open_group(&mut self) -> Result<String> {
        let group = self.group("open")?;
        let rule = [
            ("GroupId", group.as_str()),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", "1"),
            ("IpPermissions.1.ToPort", "99"),
            ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
        ];
        self.ask("AuthorizeSecurityGroupIngress", &rule)?;
        Ok(group)
    }

    /// Groups of a thousand rules that have nothing in common, and do not match what is sent here.
    fn closed_groups(&mut self) -> Result<Vec<String>> {
        let mut groups = Vec::new();
        for number in 0..CLOSED {
            let group = self.group(&format!("closed-{number}"))?;
            let lists: Vec<String> = (0..LISTS)
                .map(|list| self.prefix_list(&format!("list-{number}-{list}")))
                .collect::<Result<_>>()?;
            let mut fields = vec![("GroupId".to_owned(), group.clone())];
            for rule in 0..RULES {
                let port = (20_000 + number * RULES + rule).to_string();
                let mut field = |name: &str, value: &str| {
                    let name = format!("IpPermissions.{}.{name}", rule + 1);
                    fields.push((name, value.to_owned()));
                };
                field("IpProtocol", "tcp");
                field("FromPort", &port);
                field("ToPort", &port);
                match lists.get(rule) {
                    Some(list) => field("PrefixListIds.1.PrefixListId", list),
                    None => field("IpRanges.1.CidrIp", &format!("192.0.2.{}/32", rule + 1)),
                }
            }
            let fields: Vec<_> = fields
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            self.ask("AuthorizeSecurityGroupIngress", &fields)?;
            groups.push(group);
        }
        Ok(groups)
    }

    fn group(&mut self, name: &str) -> Result<String> {
        let fields = [("GroupName", name), ("GroupDescription", "of a measure")];
        first(&self.ask("CreateSecurityGroup", &fields)?, "groupId")
    }

    fn prefix_list(&mut self, name: &str) -> Result<String> {
        let most = ENTRIES.to_string();
        let entry = |n| (format!("Entry.{n}.Cidr"), format!("198.51.100.{n}/32"));
        let entries: Vec<_> = (1..=ENTRIES).map(entry).collect();
        let mut fields = vec![
            ("PrefixListName", name),
            ("AddressFamily", "IPv4"),
            ("MaxEntries", most.as_str()),
        ];
        fields.extend(entries.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        first(
            &self.ask("CreateManagedPrefixList", &fields)?,
            "prefixListId",
        )
    }

    /// Two running instances of these groups.
    fn pair(&mut self, groups: &[String]) -> Result<Pair> {
        let ids = self.launch_in("t2.nano", 2, "", groups)?;
        let [from, to] = &ids[..] else {
            return Err(Failure("two instances were asked for".into()));
        };
        let names = [("InstanceId.1", to.as_str())];
        let shown = self.ask("DescribeInstances", &names)?;
        let address = first(&shown, "privateIpAddress")?;
        Ok(Pair {
            from: self.namespace(from)?,
            to: self.namespace(to)?,
            address: address.parse().or_fail("an address")?,
        })
    }

    /// Where the network namespace of an instance is found once it runs.
    fn namespace(&mut self, id: &str) -> Result<PathBuf> {
        let mut found = None;
        wait(|| {
            let page = self.page(&format!("/_gureum/resources/{id}"))?;
            let runs = page["state"] == "running";
            found = page["netns"].as_str().filter(|_| runs).map(PathBuf::from);
            Ok(found.is_some())
        })?;
        found.ok_or_else(|| Failure(format!("{id} has no network")))
    }
}

fn first(xml: &str, name: &str) -> Result<String> {
    let found = every(xml, name).into_iter().next();
    found.ok_or_else(|| Failure(format!("no {name} in an answer")))
}

/// The baseline: two namespaces of nobody's, a veth pair between them, and no rules. All of it goes
/// with the two processes.
struct Bare {
    pair: Pair,
    _holders: [Holder; 2],
}

/// A process that does nothing in a network namespace of its own.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Holder {
    fn start() -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let holder = Self(command.spawn().or_fail("cannot start unshare")?);
        let own = fs::read_link("/proc/self/ns/net").or_fail("no namespaces")?;
        wait(|| Ok(fs::read_link(holder.namespace()).is_ok_and(|there| there != own)))?;
        Ok(holder)
    }

    fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }

    fn ip(&self, line: &str) -> Result<()> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let done = within(&self.namespace(), || {
            Command::new("ip").args(words).status()
        });
        match done.or_fail("cannot run ip")?.success() {
            true => Ok(()),
            false => Err(Failure(format!("ip {line} failed"))),
        }
    }
}

impl Bare {
    fn lay() -> Result<Self> {
        let (near, far) = (Holder::start()?, Holder::start()?);
        let there = far.0.id();
        // As wide as the links of instances.
        near.ip(&format!(
            "link add veth mtu 9001 type veth peer name veth mtu 9001 netns {there}"
        ))?;
        for (holder, address) in [(&near, "192.0.2.1/24"), (&far, "192.0.2.2/24")] {
            holder.ip(&format!("addr add {address} dev veth"))?;
            holder.ip("link set veth up")?;
        }
        Ok(Self {
            pair: Pair {
                from: near.namespace(),
                to: far.namespace(),
                address: Ipv4Addr::new(192, 0, 2, 2),
            },
            _holders: [near, far],
        })
    }
}
