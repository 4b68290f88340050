//! Ways into instances for a host that cannot route to them: rootless, no address of the machine room
//! is known outside of it. Each port that a public address offers to everybody gets a port of its own
//! on loopback; what comes there goes on from where, to the VPCs, the internet is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};

use gureum_network::{Kind, Network, Peer, Traffic, VpcPlan};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// The most ports of one rule: a range that is wider is not about servers that somebody runs.
const WIDEST: u16 = 16;
/// The most ways at the same time.
const MOST: usize = 1024;

/// A public address and one of its ports.
type Public = (Ipv4Addr, u16);

pub(crate) struct HostPorts {
    network: Network,
    ways: Mutex<BTreeMap<Public, Way>>,
}

struct Way {
    vpc: String,
    port: u16,
    task: AbortHandle,
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HostPorts {
    pub(crate) fn new(network: Network) -> Self {
        Self {
            network,
            ways: Mutex::default(),
        }
    }

    /// Opens what this VPC offers to everybody, and closes what it does no longer.
    pub(crate) async fn apply(&self, vpc: &VpcPlan) -> io::Result<()> {
        let offered = offered(vpc);
        self.retain(|public, way| way.vpc != vpc.id || offered.contains(public));
        for public in offered {
            if self.has(public) {
                continue;
            }
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let way = Way {
                vpc: vpc.id.clone(),
                port: listener.local_addr()?.port(),
                task: tokio::spawn(accept(listener, self.network.clone(), public)).abort_handle(),
            };
            self.ways().insert(public, way);
        }
        Ok(())
    }

    pub(crate) fn leave(&self, vpc: &str) {
        self.retain(|_, way| way.vpc != vpc);
    }

    /// The ports of loopback that lead to these addresses, by the ports that they lead to.
    pub(crate) fn of(&self, addresses: &[Ipv4Addr]) -> BTreeMap<u16, u16> {
        let ways = self.ways();
        let there = ways.iter().filter(|((at, _), _)| addresses.contains(at));
        there.map(|((_, port), way)| (*port, way.port)).collect()
    }

    fn has(&self, public: Public) -> bool {
        let ways = self.ways();
        ways.contains_key(&public) || ways.len() >= MOST
    }

    fn retain(&self, keep: impl Fn(&Public, &Way) -> bool) {
        self.ways().retain(|public, way| keep(public, way));
    }

    fn ways(&self) -> std::sync::MutexGuard<'_, BTreeMap<Public, Way>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the security groups of public addresses let in from everywhere.
fn offered(vpc: &VpcPlan) -> BTreeSet<Public> {
    let mut offered = BTreeSet::new();
    for public in &vpc.public {
        let behind = vpc
            .interfaces
            .iter()
            .find(|it| it.netns.is_some() && it.addresses.contains(&public.private));
        let groups = behind.map_or(&[][..], |interface| &interface.groups);
        let groups = vpc.groups.iter().filter(|group| groups.contains(&group.id));
        for rule in groups.flat_map(|group| &group.ingress) {
            let everybody = matches!(rule.peer, Peer::Cidr(from) if from.prefix_len() == 0);
            if let (true, Traffic::Tcp(ports)) = (everybody, rule.traffic)
                && ports.last.saturating_sub(ports.first) < WIDEST
            {
                offered.extend((ports.first..=ports.last).map(|port| (public.public, port)));
            }
        }
    }
    offered
}

async fn accept(listener: TcpListener, network: Network, public: Public) {
    loop {
        let Ok((mut here, _)) = listener.accept().await else {
            // Out of descriptors, most likely: others end meanwhile.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let network = network.clone();
        tokio::spawn(async move {
            let joined = async {
                let mut there = reach(&network, SocketAddr::from(public)).await?;
                tokio::io::copy_bidirectional(&mut here, &mut there).await
            };
            if let Err(error) = joined.await {
                tracing::debug!(%error, to = %SocketAddr::from(public), "a connection ended");
            }
        });
    }
}

async fn reach(network: &Network, to: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let socket = network.connect(None, None, to, Kind::Tcp).await;
    let socket = TcpStream::from(socket.map_err(io::Error::other)?);
    socket.set_nonblocking(true)?;
    let stream = tokio::net::TcpStream::from_std(socket)?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}
