//! The handlers, by resource.

pub(crate) mod aliases;
pub(crate) mod cipher;
pub(crate) mod data_keys;
pub(crate) mod grants;
pub(crate) mod keys;
pub(crate) mod macs;
pub(crate) mod policies;
pub(crate) mod rotation;
pub(crate) mod signatures;
pub(crate) mod states;
pub(crate) mod tags;
