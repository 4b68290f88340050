//! The operations, by what they are about.

pub(crate) mod backups;
pub(crate) mod batch;
pub(crate) mod describe;
pub(crate) mod exports;
pub(crate) mod global_tables;
pub(crate) mod imports;
pub(crate) mod items;
pub(crate) mod policies;
pub(crate) mod query;
pub(crate) mod recovery;
pub(crate) mod replicas;
pub(crate) mod restore;
pub(crate) mod statement_transact;
pub(crate) mod statements;
pub(crate) mod streams;
pub(crate) mod tables;
pub(crate) mod tags;
pub(crate) mod transact;
pub(crate) mod transfers;
pub(crate) mod ttl;
pub(crate) mod update_table;
