//! What all decoder targets share: a body goes in, nothing may panic.

use bytes::Bytes;
use gureum_schema::{Protocol, Struct};
use gureum_wire::protocol::{Payload, Request, decode, validate};
use http::{HeaderMap, Method};

pub fn feed<T: Struct + Default>(protocol: Protocol, body: &[u8]) {
    let mut input = T::default();
    let request = Request {
        method: &Method::POST,
        path: "/",
        query: "",
        headers: &HeaderMap::new(),
        body: Payload::Whole(Bytes::copy_from_slice(body)),
    };
    if let Ok(missing) = decode(protocol, &[], request, &mut input) {
        let _ = validate(&input, &missing);
    }
}
