//! Name service for networks and for the host: zones that change while they are served, and views,
//! so that one name can mean different things in different networks. Knows nothing of AWS.
//!
//! * [`Zone`] holds records and answers as RFC 1034, 2308 and 4592 say. It is a value.
//! * [`View`] is a set of zones that can be replaced at any moment, and where the rest is asked.
//! * [`serve`] answers on given sockets, which may have been made in any network namespace.
//!
//! Names outside of all zones are forwarded to the view's resolvers as they came; without any the
//! answer is SERVFAIL, at once. Everything that comes from outside is bounded: concurrent
//! questions, connections, their idle time, lengths of alias chains.
//!
//! Not here: zone transfers (refused), dynamic updates (not implemented), DNSSEC signing, a cache.

mod answer;
mod forward;
mod server;
mod view;
mod zone;

pub use forward::{resolvers, resolvers_of};
pub use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT};
pub use hickory_proto::rr::{Name, RData, Record, RecordType};
pub use server::{Serving, serve};
pub use view::View;
pub use zone::{Found, Records, Zone};

/// What a zone cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{name} is not in zone {zone}")]
    OutsideZone { name: String, zone: String },
    #[error("{0} has no data, or data of several types")]
    Mixed(String),
    /// RFC 1034, 3.6.2.
    #[error("{0} cannot be an alias and hold other records, or be two aliases")]
    Alias(String),
    #[error("{0} is no name")]
    Name(String),
}

/// A name as people write it, always taken from the root.
pub fn name(text: &str) -> Result<Name, Error> {
    let name = Name::from_utf8(text).map_err(|_| Error::Name(text.to_owned()))?;
    Ok(canonical(&name))
}

/// One form for all that mean the same.
fn canonical(name: &Name) -> Name {
    let mut name = name.to_lowercase();
    name.set_fqdn(true);
    name
}
