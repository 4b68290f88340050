//! Rows: what is wanted, and how it is shown.

pub(crate) mod acl;
pub(crate) mod address;
pub(crate) mod attached;
pub(crate) mod dhcp;
pub(crate) mod endpoint;
pub(crate) mod flow_log;
pub(crate) mod gateway;
pub(crate) mod group;
pub(crate) mod image;
pub(crate) mod instance;
pub(crate) mod interface;
pub(crate) mod key_pair;
pub(crate) mod launch_template;
pub(crate) mod nat;
pub(crate) mod peering;
pub(crate) mod pool;
pub(crate) mod prefix_list;
pub(crate) mod route;
pub(crate) mod snapshot;
pub(crate) mod subnet;
pub(crate) mod volume;
pub(crate) mod vpc;

#[cfg(test)]
mod tests;
