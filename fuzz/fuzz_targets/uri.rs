//! Feeds the router of URI templates: the first line is the path, the rest the query string.
#![no_main]

use std::sync::LazyLock;

use gureum_wire::protocol::uri::Router;
use http::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;

static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::new(&gureum_model_s3::SERVICE));

fuzz_target!(|uri: &str| {
    let (path, query) = uri.split_once('\n').unwrap_or((uri, ""));
    let _ = ROUTER.route(&Method::PUT, path, query, &HeaderMap::new());
});
