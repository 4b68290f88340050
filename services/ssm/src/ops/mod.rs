//! Handlers, by what they do.

pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod labels;
pub(crate) mod path;
pub(crate) mod put;
pub(crate) mod tags;
