//! What every VPC's router serves itself, at link-local addresses: metadata, names, and the API.
//! The sockets are made in the router's network namespace and passed out of it; they are asked for
//! when a VPC is laid out, and so again after each start of the cloud and in each new room.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use gureum_dispatch::{Cloud, VpcEndpoint};
use gureum_dns::{Serving, View, Zone};
use gureum_ec2::Ec2;
use gureum_ec2::machines::{API, GATEWAYS, PlaneError};
use gureum_network::{Kind, METADATA, Network, RESOLVER, VpcPlan};
use gureum_wire::front::{Gate, Opening, Porter};
use tokio::sync::Mutex;

use crate::imds;

const WEB: u16 = 80;
const TLS: u16 = 443;
const DNS: u16 = 53;

pub(crate) struct LinkLocal {
    network: Network,
    /// Names that nobody here knows are asked of the host's resolvers.
    internet: bool,
    behind: OnceLock<Behind>,
    served: Mutex<BTreeMap<String, Served>>,
}

/// Who answers.
pub(crate) struct Behind {
    pub(crate) ec2: Arc<Ec2>,
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) porter: Porter,
    /// The front door's own port, beside those of the web.
    pub(crate) port: u16,
}

/// What is served in one VPC, as long as it is held.
struct Served {
    view: View,
    names: Option<Names>,
    _metadata: imds::Serving,
    _door: Vec<Opening>,
}

/// The resolver, at both of its addresses.
struct Names {
    /// The second one: two above the base of the VPC.
    own: Ipv4Addr,
    _serving: Vec<Serving>,
}

/// What leads to a service that gateway endpoints have, in one VPC.
struct Way {
    ec2: Arc<Ec2>,
    vpc: String,
    service: &'static str,
}

impl Gate for Way {
    fn endpoint(&self, peer: IpAddr) -> Option<VpcEndpoint> {
        match peer {
            IpAddr::V4(peer) => self.ec2.gateway_endpoint(&self.vpc, self.service, peer),
            // Nobody in a VPC has such an address.
            IpAddr::V6(_) => None,
        }
    }

    fn admits(&self, endpoint_prefix: &str) -> bool {
        endpoint_prefix == self.service
    }
}

impl LinkLocal {
    pub(crate) fn new(network: Network, internet: bool) -> Self {
        Self {
            network,
            internet,
            behind: OnceLock::new(),
            served: Mutex::default(),
        }
    }

    /// Comes before the first VPC is laid out; the first call counts.
    pub(crate) fn begin(&self, behind: Behind) {
        let _ = self.behind.set(behind);
    }

    /// Serves in a VPC that has been laid out by this plan; may be repeated.
    pub(crate) async fn serve(&self, vpc: &VpcPlan, zones: Vec<Zone>) -> Result<(), PlaneError> {
        let Some(behind) = self.behind.get() else {
            return Ok(());
        };
        let mut all = self.served.lock().await;
        if !all.contains_key(&vpc.id) {
            all.insert(vpc.id.clone(), self.open(behind, &vpc.id).await?);
        }
        if let Some(served) = all.get_mut(&vpc.id) {
            served.view.replace(zones);
            let own = resolver(vpc);
            if served.names.as_ref().map(|names| names.own) != own {
                served.names = None;
                if let Some(own) = own {
                    served.names = Some(self.resolve(&vpc.id, own, &served.view).await?);
                }
            }
        }
        Ok(())
    }

    /// Closes everything in a VPC that is about to go.
    pub(crate) async fn leave(&self, vpc: &str) {
        self.served.lock().await.remove(vpc);
    }

    /// Closes everything: the namespaces that it was opened in are gone.
    pub(crate) async fn leave_all(&self) {
        self.served.lock().await.clear();
    }

    async fn open(&self, behind: &Behind, vpc: &str) -> Result<Served, PlaneError> {
        let metadata = TcpListener::from(self.tcp(vpc, METADATA, WEB).await?);
        let (ec2, cloud) = (behind.ec2.clone(), behind.cloud.clone());
        let mut ports = vec![WEB, TLS, behind.port];
        ports.sort_unstable();
        ports.dedup();
        let mut door = Vec::new();
        let gateways = GATEWAYS.map(|(service, address)| {
            let way = Way {
                ec2: ec2.clone(),
                vpc: vpc.to_owned(),
                service,
            };
            (address, Some(Arc::new(way) as Arc<dyn Gate>))
        });
        for (address, gate) in [(API, None)].into_iter().chain(gateways) {
            for port in &ports {
                let listener = TcpListener::from(self.tcp(vpc, address, *port).await?);
                door.push(behind.porter.open(listener, gate.clone())?);
            }
        }
        let others = match self.internet {
            true => gureum_dns::resolvers(),
            false => Vec::new(),
        };
        Ok(Served {
            view: View::new(others),
            names: None,
            _metadata: imds::serve(metadata, ec2, cloud, vpc)?,
            _door: door,
        })
    }

    async fn resolve(&self, vpc: &str, own: Ipv4Addr, view: &View) -> Result<Names, PlaneError> {
        let mut serving = Vec::new();
        for address in [RESOLVER, own] {
            let at = SocketAddr::from((address, DNS));
            let udp = self.network.listen(vpc, at, Kind::Udp).await?;
            let tcp = self.tcp(vpc, address, DNS).await?;
            let served: io::Result<_> = gureum_dns::serve(view, UdpSocket::from(udp), tcp.into());
            serving.push(served?);
        }
        Ok(Names {
            own,
            _serving: serving,
        })
    }

    async fn tcp(&self, vpc: &str, address: Ipv4Addr, port: u16) -> Result<OwnedFd, PlaneError> {
        let at = SocketAddr::from((address, port));
        Ok(self.network.listen(vpc, at, Kind::Tcp).await?)
    }
}

/// The resolver's own address in a VPC that has one.
fn resolver(vpc: &VpcPlan) -> Option<Ipv4Addr> {
    let base = vpc.cidrs.first().filter(|_| vpc.dns)?.network();
    Some(Ipv4Addr::from_bits(base.to_bits().checked_add(2)?))
}
