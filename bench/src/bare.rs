//! The baseline of every request: a hyper server that reads the request and says "OK".

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::failure::{Context, Result};

/// Serves until it is killed.
pub(crate) fn serve(address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .or_fail("cannot start the runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.or_fail("cannot listen")?;
        loop {
            let (stream, _) = listener.accept().await.or_fail("cannot accept")?;
            let _ = stream.set_nodelay(true);
            tokio::spawn(
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(ok)),
            );
        }
    })
}

async fn ok(
    request: http::Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    // A broken request body ends the connection by itself.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::new(Bytes::from_static(b"OK"))))
}
