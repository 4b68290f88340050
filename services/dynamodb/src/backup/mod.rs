//! Tables as they were: the undo log, copies of a table as of a moment, backups, and restoring.
//!
//! While somebody may want to know what a table was, every write also logs what its item was before
//! ([`undo`]). A copy as of a moment ([`copying`]) takes the items as they are while writers go on,
//! then walks the log backwards and undoes what came later; the result is exactly the table at the
//! first commit that began after the moment. That one mechanism makes backups, restores and exports,
//! and goes on after a crash where it was. For an incremental export it gathers from the log what
//! changed between two moments ([`gathering`]).

pub(crate) mod asks;
pub(crate) mod copying;
pub(crate) mod gathering;
pub(crate) mod model;
pub(crate) mod retention;
pub(crate) mod undo;

pub(crate) const DAY: i64 = 24 * 3600 * 1000;
