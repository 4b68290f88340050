//! STS: temporary credentials.

mod assume;
pub(crate) mod authorization_message;
mod federation;
mod identity;
mod jwt;
pub(crate) mod provider_keys;
mod report;
pub(crate) mod session;
pub(crate) mod web_identity;

use crate::Table;

/// Every operation of STS.
pub(crate) fn table(table: Table) -> Table {
    [
        assume::table,
        authorization_message::table,
        federation::table,
        identity::table,
        web_identity::table,
    ]
    .into_iter()
    .fold(table, |table, add| add(table))
}
