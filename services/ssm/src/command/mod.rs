//! Run Command: scripts on instances, now.
//!
//! Invariants:
//! * a command and all of its invocations are written in one transaction, before anything runs;
//! * a script begins at most once on an instance: its directory there says whether it has begun;
//! * a script does not depend on the cloud: it goes on while the cloud is down, and its result, kept in
//!   that directory, is fetched by the next one;
//! * an invocation that has ended never changes, and has no [`model::OpenRow`].

pub(crate) mod agent;
pub(crate) mod asks;
pub(crate) mod cancel;
pub(crate) mod document;
pub(crate) mod information;
pub(crate) mod list;
pub(crate) mod managed;
pub(crate) mod model;
pub(crate) mod reconcile;
pub(crate) mod send;
pub(crate) mod status;
