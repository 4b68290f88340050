//! Talking to the running cloud: one GET over loopback.
//!
//! The front door knows a process of its own user when it sees one, so nothing needs signing here.

use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::cli::CloudArgs;
use crate::config::data_dir;
use crate::data_dir::DataDir;
use crate::failure::{Context, Failure};

/// A page of the cloud that runs on the data directory.
pub(crate) fn page(args: &CloudArgs, path: &str) -> Result<Value, Failure> {
    let dir = DataDir::at(data_dir(args)?);
    let running = dir.running()?.ok_or_else(|| dir.nothing_here())?;
    let doing = "cannot reach the cloud";
    let uri: http::Uri = format!("{}{path}", running.endpoint)
        .parse()
        .or_fail(doing)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_fail(doing)?;
    runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
        let reply = client.get(uri).await.or_fail(doing)?;
        let status = reply.status();
        let body = reply.into_body().collect().await.or_fail(doing)?.to_bytes();
        let value: Value = serde_json::from_slice(&body).or_fail("the cloud answered no JSON")?;
        match value.get("error").and_then(Value::as_str) {
            Some(error) => Err(Failure::new(format!("{status}: {error}"))),
            None => Ok(value),
        }
    })
}
