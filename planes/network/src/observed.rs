//! What is seen of networks, as opposed to what is wanted.

use serde::{Deserialize, Serialize};

/// A VPC that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub vpc: String,
    pub interfaces: Vec<Seen>,
}

/// An interface (or NAT gateway) that exists, with what went through it since it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub id: String,
    /// Both ends are up.
    pub running: bool,
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
}
