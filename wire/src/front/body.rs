//! Bodies between hyper and the rest of the house.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use gureum_schema::Body;
use http::header::EXPECT;
use http_body::{Frame, SizeHint};
use http_body_util::BodyDataStream;
use hyper::body::Incoming;

/// A client must send something this often while it sends a body.
const IDLE: Duration = Duration::from_secs(60);
/// How long what nobody wants is still received.
const LINGER: Duration = Duration::from_secs(10);

/// A request whose body is read only when somebody asks for it. hyper says `100 Continue` at that
/// moment, so a client that waits for it is not made to send a body that is refused anyway.
pub(crate) fn incoming(request: http::Request<Incoming>) -> http::Request<Body> {
    let waits = request.headers().contains_key(EXPECT);
    request.map(|body| {
        let length = http_body::Body::size_hint(&body).exact();
        if length == Some(0) {
            return Body::empty();
        }
        let inbound = Inbound {
            body: Some(BodyDataStream::new(body)),
            coming: !waits,
        };
        let chunks = stream::unfold(inbound, |mut inbound| async move {
            Some((inbound.chunk().await?, inbound))
        });
        Body::stream(chunks, length)
    })
}

/// Whether the sender waits in vain for `100 Continue`, because an empty body is never read.
/// botocore sends this with every upload, and where the final answer comes first, it misreads the
/// next answer on the same connection: so that connection has to end.
pub(crate) fn waits_in_vain(request: &http::Request<Incoming>) -> bool {
    let empty = http_body::Body::size_hint(request.body()).exact() == Some(0);
    let waits = request.headers().contains_key(EXPECT);
    empty && waits && request.version() < http::Version::HTTP_2
}

/// A body on its way in.
struct Inbound {
    /// `None` once it has ended or failed.
    body: Option<BodyDataStream<Incoming>>,
    /// The client sends it, or is about to.
    coming: bool,
}

impl Inbound {
    async fn chunk(&mut self) -> Option<io::Result<Bytes>> {
        self.coming = true;
        let next = tokio::time::timeout(IDLE, self.body.as_mut()?.next()).await;
        let chunk = match next {
            Ok(Some(chunk)) => Some(chunk.map_err(io::Error::other)),
            Ok(None) => None,
            Err(_) => Some(Err(io::ErrorKind::TimedOut.into())),
        };
        if !matches!(chunk, Some(Ok(_))) {
            self.body = None;
        }
        chunk
    }
}

/// Closing a connection on bytes that were not read resets it, and the client may lose the reply
/// that says why. So the rest of an unwanted body is received and thrown away for a while.
impl Drop for Inbound {
    fn drop(&mut self) {
        let (true, Some(mut rest)) = (self.coming, self.body.take()) else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(LINGER, async move {
                while let Some(Ok(_)) = rest.next().await {}
            }));
        }
    }
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
