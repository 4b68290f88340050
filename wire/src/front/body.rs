//! Bodies between hyper and the rest of the house.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use gureum_schema::Body;
use http_body::{Frame, SizeHint};
use http_body_util::BodyDataStream;
use hyper::body::Incoming;

/// A client must send something this often while it sends a body.
const IDLE: Duration = Duration::from_secs(60);

/// A request's body as a stream that gives up on clients that stall.
pub(crate) fn incoming(body: Incoming) -> Body {
    let length = http_body::Body::size_hint(&body).exact();
    if length == Some(0) {
        return Body::empty();
    }
    let chunks = stream::unfold(BodyDataStream::new(body), |mut body| async move {
        let chunk = match tokio::time::timeout(IDLE, body.next()).await {
            Ok(None) => return None,
            Ok(Some(chunk)) => chunk.map_err(io::Error::other),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        Some((chunk, body))
    });
    Body::stream(chunks, length)
}

/// A reply's body for hyper.
pub(crate) struct Outgoing(pub(crate) Body);

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0
            .poll_chunk(cx)
            .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .length()
            .map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
