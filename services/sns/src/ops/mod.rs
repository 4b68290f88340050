//! The handlers, by resource.

pub(crate) mod batch;
pub(crate) mod confirm;
pub(crate) mod listing;
pub(crate) mod permissions;
pub(crate) mod publish;
pub(crate) mod subscribe;
pub(crate) mod subscriptions;
pub(crate) mod tags;
pub(crate) mod topics;
