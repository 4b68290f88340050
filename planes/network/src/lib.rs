//! Virtual networks that really carry packets: routers, security groups, access lists, public
//! addresses, NAT gateways and peerings, in network namespaces of the machine room. This plane knows
//! nothing of AWS beyond these words; ids are opaque, and there is no state beside the kernel's.
//!
//! * [`VpcPlan`] says what a VPC shall be; [`Network::apply`] makes it so, from any state.
//! * `wanted` and `firewall` compile a plan to addresses, routes and packet filter rules: pure.
//! * `executor` brings the kernel there, in the keeper, by `netlink` and by `nft`'s scripts.
//!
//! Invariants: an interface is never up without its rules. Everything from one interface to another
//! passes the VPC's router, and what is dropped there is dropped without an answer. Outside the room
//! nothing is changed, save one link to the host (and, on request, the host's masquerading), or,
//! without root, one process that carries packets on; neither leads to the host's own processes.

mod check;
mod client;
mod core;
mod counting;
mod duty;
mod error;
mod executor;
mod firewall;
mod flows;
mod kernel;
mod names;
mod namespaces;
mod netlink;
mod nft;
mod observed;
mod plan;
mod rules;
mod slirp;
mod sockets;
mod state;
mod wanted;

pub use client::Network;
pub use error::{Error, Result};
pub use flows::{Flow, Flows};
pub use netlink::own_addresses;
pub use observed::{Observed, Seen};
pub use plan::*;
pub use slirp::way_out;
pub use sockets::Kind;
pub use wanted::{METADATA, RESOLVER, WIDE};
