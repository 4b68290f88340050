//! EC2: networks and machines, as rows and as the intent that reconcilers make true.
//!
//! Invariants:
//! * an operation is one transaction: what it answers is written, or nothing is;
//! * a dry run is a real run whose transaction is thrown away;
//! * every resource begins with the same [`resource::Meta`], and its `Describe…` operation is one
//!   table of filters ([`filter`]) over what it is shown as;
//! * an address is taken by a row of its own, so two interfaces never have the same one;
//! * no handler starts or stops anything: what is to be done about a machine is a pure function of
//!   its row and of what was seen of it ([`reconcile`]).
//!
//! Honest gaps: IPv6, prefix delegation, IPAM, Outposts, carrier and local gateways, transit
//! gateways, interface endpoints, peering between accounts or regions, and shared
//! subnets are refused as not implemented. Rules about IPv6 are kept, though no interface has such
//! an address. Instances are launched with one interface, and no
//! volume as root disk. No volume is attached to two instances.

mod asks;
mod calls;
mod cidr;
mod defaults;
mod delivery;
mod describe;
mod direct;
mod errors;
mod filter;
mod fingerprint;
mod flow_record;
mod images;
mod instance_types;
mod keys;
mod launch;
pub mod machines;
mod mappings;
mod marks;
pub mod metadata;
mod model;
mod mold;
mod names;
mod ops;
mod permission;
mod reconcile;
mod reset;
mod resource;
mod sealing;
mod sharing;
mod state;
mod table;
mod tags;
mod templated;
mod told;
mod volume_types;
mod ways;
mod zones;

pub use state::Ec2;
pub use told::Told;
