//! What instances find beyond all VPCs: this host, which can reach them, and, unless the cloud was told
//! otherwise, the internet in the name of this host. Without root that takes a process, which is
//! looked after here as long as the cloud runs.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use gureum_network::{CorePlan, Network, Uplink, own_addresses, way_out};
use gureum_room::{Privilege, Room};
use ipnet::Ipv4Net;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::data_dir::DataDir;
use crate::routes;

/// How often is looked whether the process is there, and whether the host has other addresses, which
/// instances shall not reach.
const LOOK: Duration = Duration::from_secs(2);

pub(crate) struct Beyond(Arc<Shared>);

struct Shared {
    room: Room,
    network: Network,
    pool: Ipv4Net,
    /// The name of the cloud's one link to the host; unique on it.
    uplink: String,
    internet: bool,
    /// Looks after the process of a way out without root. Held while a way is opened.
    keeping: Mutex<Option<JoinHandle<()>>>,
}

impl Beyond {
    pub(crate) fn new(
        room: Room,
        network: Network,
        dir: &DataDir,
        pool: Ipv4Net,
        internet: bool,
    ) -> Self {
        Self(Arc::new(Shared {
            room,
            network,
            pool,
            uplink: uplink(dir),
            internet,
            keeping: Mutex::default(),
        }))
    }

    /// Sets up where all networks meet, and the way from there.
    pub(crate) async fn open(&self, privilege: Privilege) -> Result<(), gureum_network::Error> {
        let mut keeping = self.0.keeping.lock().await;
        keeping.take().inspect(JoinHandle::abort);
        if privilege == Privilege::Root {
            return self.0.open_host().await;
        }
        if self.0.internet {
            match self.0.open_tap().await {
                Ok(closed) => {
                    *keeping = Some(tokio::spawn(self.0.clone().keep(closed)));
                    return Ok(());
                }
                Err(error) => tracing::warn!(%error, "instances do not reach the internet"),
            }
        }
        self.0.open_as(Uplink::None).await
    }

    /// Ceases to look after it.
    pub(crate) async fn leave(&self) {
        self.0
            .keeping
            .lock()
            .await
            .take()
            .inspect(JoinHandle::abort);
    }
}

impl Shared {
    async fn open_as(&self, uplink: Uplink) -> Result<(), gureum_network::Error> {
        let pool = self.pool;
        self.network.open(&CorePlan { pool, uplink }).await
    }

    async fn open_host(&self) -> Result<(), gureum_network::Error> {
        routes::leave_room(self.pool, &self.uplink).map_err(gureum_network::Error::Uplink)?;
        let (name, internet) = (self.uplink.clone(), self.internet);
        self.open_as(Uplink::Host { name, internet }).await
    }

    /// Says which addresses it is closed to.
    async fn open_tap(&self) -> Result<BTreeSet<Ipv4Addr>, gureum_network::Error> {
        way_out().map_err(gureum_network::Error::Uplink)?;
        let closed = own_addresses()?;
        let uplink = Uplink::Tap {
            closed: closed.clone(),
        };
        self.open_as(uplink).await?;
        Ok(closed)
    }

    /// Opens the way again when its process has ended, and when the host has other addresses.
    async fn keep(self: Arc<Self>, mut closed: BTreeSet<Ipv4Addr>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let moved = own_addresses().is_ok_and(|own| own != closed);
            // Whoever ended everything in the room has no instances left either.
            if (self.network.is_carried() && !moved) || !self.room.is_inhabited() {
                continue;
            }
            let _opening = self.keeping.lock().await;
            match self.open_tap().await {
                Ok(now) => closed = now,
                Err(error) => tracing::warn!(%error, "the way to the internet is not mended yet"),
            }
        }
    }
}

/// At most fifteen characters, the same for the same data directory.
fn uplink(dir: &DataDir) -> String {
    let path = dir.path().canonicalize();
    let path = path.unwrap_or_else(|_| dir.path().to_owned());
    let hash = gureum_kit::idempotency::fingerprint(path.as_os_str().as_encoded_bytes());
    let digits = hash[..4].iter().map(|byte| format!("{byte:02x}"));
    format!("gureum{}", digits.collect::<String>())
}
