//! The keeper's half: requests from the main process, done by the executor in the room.

use crate::executor::Executor;
use crate::namespaces::{Namespaces, Place};
use crate::netlink::socket::{Socket, Subsystem};
use crate::plan::{CorePlan, VpcPlan};
use crate::sockets::{self, Kind};
use crate::{Observed, error};
use gureum_room::{Duty, Inside, Reply, decode};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

pub(crate) const NAME: &str = "network";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Answers whether the core is linked as planned.
    Core(CorePlan),
    Apply(Box<VpcPlan>),
    Remove(String),
    Observe,
    /// A netlink socket to a VPC's packet filter.
    Filter(String),
    Listen {
        namespace: String,
        at: SocketAddr,
        kind: Kind,
    },
    Connect {
        namespace: Option<String>,
        from: Option<SocketAddr>,
        to: SocketAddr,
        kind: Kind,
    },
}

#[derive(Debug, Default)]
pub(crate) struct NetworkDuty {
    executor: Executor,
}

impl Duty for NetworkDuty {
    fn name(&self) -> &'static str {
        NAME
    }

    fn perform(&mut self, request: &[u8], room: &Inside) -> gureum_room::Result<Reply> {
        self.answer(decode(request)?, room)
            .map_err(gureum_room::Error::failed)?
    }

    fn close(&mut self, room: &Inside) -> gureum_room::Result<()> {
        let spaces = Spaces { room };
        self.executor
            .leave_host(&spaces)
            .map_err(gureum_room::Error::failed)
    }
}

impl NetworkDuty {
    fn answer(
        &mut self,
        request: Request,
        room: &Inside,
    ) -> error::Result<gureum_room::Result<Reply>> {
        let spaces = Spaces { room };
        match request {
            Request::Core(plan) => {
                let linked = self.executor.apply_core(&plan, &spaces)?;
                return Ok(Reply::of(&linked));
            }
            Request::Apply(plan) => self.executor.apply(&plan, &spaces)?,
            Request::Remove(id) => self.executor.remove(&id, &spaces)?,
            Request::Observe => {
                let seen: Vec<Observed> = self.executor.observe(&spaces)?;
                return Ok(Reply::of(&seen));
            }
            Request::Filter(id) => {
                let open = || Socket::open(Subsystem::Netfilter);
                let fd = spaces.within(Place::Named(&id), open).map(OwnedFd::from);
                return Ok(passed(fd, || format!("opening the packet filter of {id}")));
            }
            Request::Listen {
                namespace,
                at,
                kind,
            } => {
                let place = Place::Named(&namespace);
                let fd = spaces.within(place, || sockets::listen(at, kind));
                return Ok(passed(fd, || format!("listening at {at} in {namespace}")));
            }
            Request::Connect {
                namespace,
                from,
                to,
                kind,
            } => {
                let place = namespace.as_deref().map_or(Place::Core, Place::Named);
                let fd = spaces.within(place, || sockets::connect(from, to, kind));
                return Ok(passed(fd, || format!("connecting to {to}")));
            }
        }
        Ok(Reply::of(&()))
    }
}

fn passed(fd: io::Result<OwnedFd>, what: impl FnOnce() -> String) -> gureum_room::Result<Reply> {
    let source = |source| gureum_room::Error::Io {
        doing: what(),
        source,
    };
    Ok(Reply::of(&())?.with(fd.map_err(source)?))
}

/// The room's namespaces, and the host's.
struct Spaces<'a> {
    room: &'a Inside,
}

impl Namespaces for Spaces<'_> {
    fn ensure(&self, name: &str) -> io::Result<()> {
        self.room.make_netns(name).map_err(io::Error::other)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.room.remove_netns(name).map_err(io::Error::other)
    }

    fn exists(&self, name: &str) -> bool {
        self.room.netns(name).is_ok()
    }

    fn handle(&self, place: Place<'_>) -> io::Result<OwnedFd> {
        match place {
            Place::Named(name) => self.room.netns(name).map_err(io::Error::other),
            Place::Core => self.room.home_netns().try_clone(),
            Place::Host => self.room.outside_netns().try_clone(),
        }
    }

    fn within<T>(&self, place: Place<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match place {
            Place::Core => work(),
            Place::Named(name) => self
                .room
                .in_netns(name, || Ok(work()))
                .map_err(io::Error::other)?,
            Place::Host => {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(self.room.outside_netns().as_fd(), kind)?;
                let done = work();
                if move_into_link_name_space(self.room.home_netns().as_fd(), kind).is_err() {
                    // Whatever came next would be done to the host.
                    std::process::abort();
                }
                done
            }
        }
    }
}
