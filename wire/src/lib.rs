//! AWS's protocols, SigV4, routing and the front door: the only room that knows HTTP, XML and CBOR.

pub mod front;
pub mod protocol;
pub mod sigv4;
