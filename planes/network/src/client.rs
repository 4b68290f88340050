//! The main process's half.

use crate::duty::{NAME, NetworkDuty, Request};
use crate::error::{Error, Result};
use crate::netlink::socket::Socket;
use crate::plan::{CorePlan, Uplink, VpcPlan};
use crate::sockets::Kind;
use crate::{Flows, Observed, check, flows, slirp};
use gureum_room::{Duty, Room};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// All networks of a room.
#[derive(Clone)]
pub struct Network {
    room: Room,
}

impl Network {
    pub fn new(room: Room) -> Network {
        Network { room }
    }

    /// What the keeper has to know to do this plane's work.
    pub fn duty() -> Box<dyn Duty> {
        Box::new(NetworkDuty::default())
    }

    /// Sets up where all networks meet, and the link from there. Comes first; to be repeated at
    /// every start, whether the keeper is an old or a new one.
    pub async fn open(&self, plan: &CorePlan) -> Result<()> {
        let request = || Request::Core(plan.clone());
        if !matches!(plan.uplink, Uplink::Tap { .. }) {
            slirp::end(&self.room)?;
        }
        let linked: bool = self.ask(request()).await?;
        if !linked {
            slirp::start(&self.room).await?;
            let _: bool = self.ask(request()).await?;
        }
        Ok(())
    }

    /// Whether the process behind an [`Uplink::Tap`] is there. Opening once more brings another one.
    pub fn is_carried(&self) -> bool {
        slirp::lives(&self.room)
    }

    /// Makes a VPC what its plan says, working out the difference to what is there. May be repeated
    /// at any time.
    pub async fn apply(&self, plan: &VpcPlan) -> Result<()> {
        check::check(plan)?;
        self.ask(Request::Apply(Box::new(plan.clone()))).await
    }

    /// Takes a VPC away, if it is there: its router, its interfaces, their namespaces.
    pub async fn remove(&self, vpc: &str) -> Result<()> {
        self.ask(Request::Remove(vpc.to_owned())).await
    }

    /// What exists, and what went through it.
    pub async fn observe(&self) -> Result<Vec<Observed>> {
        self.ask(Request::Observe).await
    }

    /// The flows of a VPC that were counted since this was asked last, of these interfaces (see
    /// [`VpcPlan::counted`]); those of others are lost. Where many flows were counted, reading them
    /// takes some tens of milliseconds of the calling thread.
    pub async fn flows(&self, vpc: &str, interfaces: &BTreeSet<String>) -> Result<Flows> {
        // In the caller's process: the keeper has others to serve.
        let socket = self.socket(Request::Filter(vpc.to_owned())).await?;
        flows::fetch(&mut Socket::from(socket), interfaces)
    }

    /// A socket that listens inside a namespace: of a VPC's router by its id (at the addresses of
    /// services), or of an interface by its name.
    pub async fn listen(&self, namespace: &str, at: SocketAddr, kind: Kind) -> Result<OwnedFd> {
        let namespace = namespace.to_owned();
        self.socket(Request::Listen {
            namespace,
            at,
            kind,
        })
        .await
    }

    /// A socket that connects from inside a namespace, or, without one, from the core, which is to
    /// every VPC what the internet is. It is connected once it can be written to.
    pub async fn connect(
        &self,
        namespace: Option<&str>,
        from: Option<SocketAddr>,
        to: SocketAddr,
        kind: Kind,
    ) -> Result<OwnedFd> {
        let namespace = namespace.map(str::to_owned);
        self.socket(Request::Connect {
            namespace,
            from,
            to,
            kind,
        })
        .await
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        Ok(self.call(&request).await?.0)
    }

    async fn socket(&self, request: Request) -> Result<OwnedFd> {
        let ((), fds) = self.call(&request).await?;
        fds.into_iter().next().ok_or_else(|| Error::Kernel {
            doing: "passing a socket".to_owned(),
            source: io::Error::other("none came"),
        })
    }

    /// Every request may be made again, so one that a dying keeper swallowed is.
    async fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<(T, Vec<OwnedFd>)> {
        match self.room.ask(NAME, request).await {
            Err(gureum_room::Error::Lost) => Ok(self.room.ask(NAME, request).await?),
            answer => Ok(answer?),
        }
    }
}
