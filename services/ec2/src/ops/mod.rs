//! Handlers, by resource: validate, one transaction, reply.

pub(crate) mod account;
pub(crate) mod acls;
pub(crate) mod addresses;
pub(crate) mod attachments;
pub(crate) mod dhcp;
pub(crate) mod endpoints;
pub(crate) mod gateways;
pub(crate) mod group_rules;
pub(crate) mod groups;
pub(crate) mod images;
pub(crate) mod instance_attributes;
pub(crate) mod instance_states;
pub(crate) mod instances;
pub(crate) mod interface_addresses;
pub(crate) mod interfaces;
pub(crate) mod key_pairs;
pub(crate) mod nat_gateways;
pub(crate) mod peerings;
pub(crate) mod profiles;
pub(crate) mod route_tables;
pub(crate) mod routes;
pub(crate) mod subnets;
pub(crate) mod tags;
pub(crate) mod vpcs;
