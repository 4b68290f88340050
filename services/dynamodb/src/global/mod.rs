//! Global tables: a table in several regions, each of which takes reads and writes. This holds for
//! both versions, 2019.11.21 ("Current") and 2017.11.29 ("Legacy"); what only the latter has is in
//! [`legacy`].
//!
//! Every write of a global table gives its item a version ([`version`]): the time of the write, or
//! one millisecond past the version that was there if that is later, and the region. Versions of one
//! item are ordered, so the last writer wins, and everywhere the same one. They are kept apart from
//! the items, those of deleted items too. Changes travel by the stream of the region that they were
//! made in, and only by that, so that they do not go round in circles; how far each other region has
//! followed it is part of the transaction that follows ([`shipping`]).
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html>

pub(crate) mod asks;
pub(crate) mod legacy;
pub(crate) mod model;
pub(crate) mod shipping;
pub(crate) mod version;
