//! The operations, by what they are about.

pub(crate) mod batch;
pub(crate) mod delete;
pub(crate) mod moves;
pub(crate) mod permissions;
pub(crate) mod queues;
pub(crate) mod receive;
pub(crate) mod redrive;
pub(crate) mod send;
pub(crate) mod settings;
pub(crate) mod tags;
pub(crate) mod visibility;
