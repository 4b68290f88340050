//! Signatures against published vectors, published examples, and our own signer.

mod bodies;
mod botocore;
mod examples;
mod properties;
mod refusals;
mod vectors;

use gureum_schema::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

/// The credentials in AWS's own examples.
const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().expect("a header's name");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
        headers.append(name, value);
    }
    headers
}

fn moment(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a moment")
}

/// The claim of a request that has one.
fn claim(request: Request<'_>) -> Claim<'_> {
    Claim::parse(request).expect("well-formed").expect("signed")
}

fn get<'r>(path: &'r str, query: &'r str, headers: &'r HeaderMap) -> Request<'r> {
    Request {
        method: "GET",
        path,
        query,
        authority: None,
        headers,
    }
}
