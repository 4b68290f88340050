//! A room and a host of each test's own: the test's thread moves into a new network namespace,
//! which is the host to everything that the test makes.

use gureum_network::{
    AclEntry, AclPlan, CorePlan, GroupPlan, GroupRule, InterfacePlan, Network, Peer, Ports,
    PublicPlan, RoutePlan, RouteTablePlan, SubnetPlan, Target, Traffic, Uplink, VpcPlan,
};
use gureum_room::{Launch, Room};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

/// How long something that will not come is waited for.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);
/// How long something that will come may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The host's own address.
pub(crate) const HOST: &str = "198.18.0.1";
/// Somebody whom [`Lab::serve_beyond`] places where all networks meet.
pub(crate) const BEYOND: &str = "203.0.113.7:80";

pub(crate) struct Lab {
    pub network: Network,
    pub room: Room,
    _dir: tempfile::TempDir,
}

/// Runs a test in a host of its own, or says why it cannot.
pub(crate) fn lab(test: impl AsyncFnOnce(&Lab)) {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs root");
        return;
    }
    if Command::new("nft").arg("--version").output().is_err() {
        println!("SKIPPED: needs nft");
        return;
    }
    new_namespace();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let lab = Lab::open().await;
        test(&lab).await;
        lab.room.close().await.unwrap();
        let links = run("ip", &["-br", "link"]);
        assert!(
            links.lines().all(|link| link.starts_with("lo ")),
            "left: {links}"
        );
        assert_eq!(run("nft", &["list", "ruleset"]), "");
    });
}

/// Sockets and links of this thread are from now on elsewhere.
#[allow(deprecated)] // The other one is unsafe for its other flags.
pub(crate) fn new_namespace() {
    rustix::thread::unshare(UnshareFlags::NEWNET).unwrap();
    run("ip", &["link", "set", "lo", "up"]);
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

impl Lab {
    async fn open() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let mut program = std::env::current_exe().unwrap();
        program.pop();
        program.pop();
        program.push("examples/network_keeper");
        let launch = Launch {
            program,
            arguments: Vec::new(),
        };
        let room = Room::launched_by(&dir.path().join("room"), launch);
        let network = Network::new(room.clone());
        let lab = Lab {
            network,
            room,
            _dir: dir,
        };
        lab.network.open(&lab.core(false)).await.unwrap();
        lab
    }

    pub(crate) fn core(&self, internet: bool) -> CorePlan {
        let name = "gureum-test".to_owned();
        self.core_by(Uplink::Host { name, internet })
    }

    pub(crate) fn core_by(&self, uplink: Uplink) -> CorePlan {
        let pool = "198.18.0.0/15".parse().unwrap();
        CorePlan { pool, uplink }
    }

    pub(crate) async fn apply(&self, plan: &VpcPlan) {
        self.network.apply(plan).await.unwrap();
    }

    pub(crate) async fn namespaces(&self) -> Vec<String> {
        self.room.ask("lab", &"").await.unwrap().0
    }

    async fn namespace(&self, name: &str) -> OwnedFd {
        let (_, fds): (Vec<String>, _) = self.room.ask("lab", &name).await.unwrap();
        fds.into_iter().next().unwrap()
    }

    /// Runs something inside an instance.
    pub(crate) async fn inside<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        within(&self.namespace(name).await, work)
    }

    /// Has an instance tell everyone who connects its name, and whom it sees; then it repeats.
    pub(crate) async fn serve(&self, name: &str, at: &str) {
        self.serve_at(name, at, name).await;
    }

    /// The same, for somebody beyond all networks, who sees public addresses.
    pub(crate) async fn serve_beyond(&self, name: &str) {
        let place = || {
            run("ip", &["addr", "add", "203.0.113.7/32", "dev", "lo"]);
        };
        self.inside("core", place).await;
        self.serve_at("core", BEYOND, name).await;
    }

    async fn serve_at(&self, namespace: &str, at: &str, name: &str) {
        let listener = self.inside(namespace, || TcpListener::bind(at).unwrap());
        serve(listener.await, name);
    }

    /// An instance connects, and is told `answer`.
    pub(crate) async fn hears(&self, name: &str, to: &str, answer: &str) {
        self.inside(name, || hears(to, answer)).await;
    }

    /// An instance connects, and nothing at all comes back.
    pub(crate) async fn silent(&self, name: &str, to: &str) {
        self.inside(name, || silent(to)).await;
    }

    /// A connection that stays.
    pub(crate) async fn connection(&self, name: &str, to: &str) -> TcpStream {
        let stream = self
            .inside(name, || TcpStream::connect_timeout(&address(to), PATIENCE))
            .await;
        let mut stream = stream.unwrap();
        hear(&mut stream);
        stream
    }
}

/// Runs something in a namespace.
pub(crate) fn within<T: Send>(namespace: &impl AsFd, work: impl FnOnce() -> T + Send) -> T {
    let namespace = namespace.as_fd();
    let enter = || {
        move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network)).unwrap();
        work()
    };
    std::thread::scope(|scope| scope.spawn(enter).join().unwrap())
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// As [`Lab::hears`], from where this thread is.
pub(crate) fn hears(to: &str, answer: &str) {
    let mut stream = TcpStream::connect_timeout(&address(to), PATIENCE).unwrap();
    assert_eq!(hear(&mut stream), answer);
}

/// As [`Lab::silent`], from where this thread is.
pub(crate) fn silent(to: &str) {
    let error = TcpStream::connect_timeout(&address(to), SILENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

/// Nobody answers, in whatever way.
pub(crate) fn unanswered(to: &str) {
    TcpStream::connect_timeout(&address(to), SILENCE).unwrap_err();
}

fn hear(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

/// Whether a connection still carries.
pub(crate) fn repeats(stream: &mut TcpStream, within: Duration) -> bool {
    stream.set_read_timeout(Some(within)).unwrap();
    stream.write_all(b"x").unwrap();
    let mut back = [0];
    stream.read_exact(&mut back).is_ok() && back == *b"x"
}

pub(crate) fn serve(listener: TcpListener, name: &str) {
    let name = name.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), name) = (stream, name.clone()) else {
                return;
            };
            std::thread::spawn(move || {
                let Ok(peer) = stream.peer_addr() else { return };
                let _ = stream.write_all(format!("{name} sees {}\n", peer.ip()).as_bytes());
                let mut bytes = [0; 256];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    let _ = stream.write_all(&bytes[..length]);
                }
            });
        }
    });
}

/// Whether a datagram sent by `send` comes to `receiver` in this time.
pub(crate) fn arrives(receiver: &UdpSocket, within: Duration, send: impl FnOnce()) -> bool {
    receiver.set_read_timeout(Some(within)).unwrap();
    send();
    receiver.recv(&mut [0; 64]).is_ok()
}

/// A VPC of 10.0.0.0/16 with two subnets (`a` and `b`, 10.0.1.0/24 and 10.0.2.0/24), an access list
/// and a group (`open`) that let everything pass, and nobody in it.
pub(crate) fn vpc(id: &str) -> VpcPlan {
    let subnet = |name: &str, cidr: &str| SubnetPlan {
        id: name.to_owned(),
        cidr: cidr.parse().unwrap(),
        route_table: format!("routes-{name}"),
        acl: format!("acl-{name}"),
    };
    let acl = |id: &str| AclPlan {
        id: id.to_owned(),
        ingress: vec![entry(true, Traffic::All)],
        egress: vec![entry(true, Traffic::All)],
    };
    let table = |id: &str| RouteTablePlan {
        id: id.to_owned(),
        routes: Vec::new(),
    };
    VpcPlan {
        id: id.to_owned(),
        cidrs: vec!["10.0.0.0/16".parse().unwrap()],
        dns: true,
        subnets: vec![subnet("a", "10.0.1.0/24"), subnet("b", "10.0.2.0/24")],
        route_tables: vec![table("routes-a"), table("routes-b")],
        groups: vec![group("open", &[everything()])],
        acls: vec![acl("acl-a"), acl("acl-b")],
        ..VpcPlan::default()
    }
}

pub(crate) fn entry(allow: bool, traffic: Traffic) -> AclEntry {
    AclEntry {
        allow,
        traffic,
        cidr: "0.0.0.0/0".parse().unwrap(),
    }
}

pub(crate) fn everything() -> GroupRule {
    from("0.0.0.0/0", Traffic::All)
}

pub(crate) fn from(cidr: &str, traffic: Traffic) -> GroupRule {
    GroupRule {
        traffic,
        peer: Peer::Cidr(cidr.parse().unwrap()),
    }
}

pub(crate) fn tcp(port: u16) -> Traffic {
    Traffic::Tcp(Ports::one(port))
}

/// A group that lets everything out.
pub(crate) fn group(id: &str, ingress: &[GroupRule]) -> GroupPlan {
    GroupPlan {
        id: id.to_owned(),
        ingress: ingress.to_vec(),
        egress: vec![everything()],
        elsewhere: Vec::new(),
    }
}

pub(crate) trait Change {
    /// Adds an instance with one interface, in the subnet that its address is of.
    fn instance(&mut self, name: &str, address: &str, groups: &[&str]) -> &mut Self;
    fn route(&mut self, subnet: &str, to: &str, via: Target) -> &mut Self;
    fn public(&mut self, public: &str, private: &str) -> &mut Self;
    fn group(&mut self, group: GroupPlan) -> &mut Self;
}

impl Change for VpcPlan {
    fn instance(&mut self, name: &str, address: &str, groups: &[&str]) -> &mut Self {
        let address: Ipv4Addr = address.parse().unwrap();
        let [a, b, c, d] = address.octets();
        let subnet = self
            .subnets
            .iter()
            .find(|subnet| subnet.cidr.contains(&address))
            .unwrap();
        self.interfaces.push(InterfacePlan {
            id: format!("eni-{name}"),
            netns: Some(name.to_owned()),
            device_index: 0,
            mac: [0x0a, 0, a, b, c, d],
            subnet: subnet.id.clone(),
            addresses: vec![address],
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            source_dest_check: true,
            mtu: 1500,
        });
        self
    }

    fn route(&mut self, subnet: &str, to: &str, via: Target) -> &mut Self {
        let id = format!("routes-{subnet}");
        let table = self
            .route_tables
            .iter_mut()
            .find(|table| table.id == id)
            .unwrap();
        table.routes.push(RoutePlan {
            to: to.parse().unwrap(),
            via,
        });
        self
    }

    fn public(&mut self, public: &str, private: &str) -> &mut Self {
        let (public, private) = (public.parse().unwrap(), private.parse().unwrap());
        self.public.push(PublicPlan { public, private });
        self
    }

    fn group(&mut self, group: GroupPlan) -> &mut Self {
        self.groups.push(group);
        self
    }
}
