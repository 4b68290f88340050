//! The machine room: one outer set of namespaces (network, mount, and user when not root) in which
//! everything lives that Gureum puts on the host, so that nothing collides with the host, two clouds
//! run side by side, and the end of the room's processes is the end of all of it.
//!
//! * [`keeper_main`] is the keeper: one process with one thread inside the room. It does the
//!   privileged work, as typed requests to the [`Duty`]s of the planes, and has no opinion.
//! * [`Room`] is the main process's side: it finds the living keeper or starts one, and asks.
//! * [`Inside`] is what a duty sees of the room: its directory, its named network namespaces.
//! * [`resident`] is for the processes that live in the room beside the keeper; `attendant` knows
//!   those that serve it from outside.
//! * [`Host`] says what this host can do.
//!
//! Invariants: the main process never enters a namespace. The keeper holds no state that it cannot
//! read back from the kernel or the disk: it may be killed at any moment, and its successor joins
//! the room through any process that still lives in it. Nothing outside the room's directory, its
//! namespaces and its cgroups is changed.
//!
//! This crate knows nothing of instances, networks or services.

mod attendant;
mod client;
mod error;
mod host;
mod inside;
mod keeper;
mod namespaces;
mod protocol;

pub mod frame;
pub mod intercept;
pub mod process;
pub mod resident;

pub use attendant::Holder;
pub use client::{Launch, Room};
pub use error::{Doing, Error, Result};
pub use host::{Cgroups, Hierarchy, Host, Privilege};
pub use inside::{Inside, Program};
pub use keeper::keeper_main;

use std::os::fd::OwnedFd;

/// One kind of work that the keeper does for a plane.
pub trait Duty {
    /// By what name requests reach it.
    fn name(&self) -> &'static str;

    /// Does one request. Everything else waits meanwhile, so it takes milliseconds at most. What it
    /// needs to know it reads from the kernel or the disk: the keeper may be a successor.
    fn perform(&mut self, request: &[u8], room: &Inside) -> Result<Reply>;

    /// The room is closing: ends and takes away what does not go with the room's processes and
    /// namespaces. Duties close in the reverse of their order.
    fn close(&mut self, _room: &Inside) -> Result<()> {
        Ok(())
    }
}

/// What a duty answers.
#[derive(Debug, Default)]
pub struct Reply {
    pub body: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

impl Reply {
    /// An answer for [`Room::ask`] to decode.
    pub fn of(value: &impl serde::Serialize) -> Result<Reply> {
        Ok(Reply {
            body: protocol::encode(value)?,
            fds: Vec::new(),
        })
    }

    #[must_use]
    pub fn with(mut self, fd: OwnedFd) -> Reply {
        self.fds.push(fd);
        self
    }
}

/// Decodes the request of a [`Room::ask`].
pub fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T> {
    protocol::decode(body)
}

/// Encodes a message for another process of the room.
pub fn encode(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    protocol::encode(value)
}
