//! Bodies between hyper and the rest of the house.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use gureum_schema::Body;
use http::HeaderValue;
use http::header::{CONNECTION, EXPECT};
use http_body::{Frame, SizeHint};
use http_body_util::BodyDataStream;
use hyper::body::Incoming;

/// A client must send something this often while it sends a body.
const IDLE: Duration = Duration::from_secs(60);
/// How long what nobody wants is still received.
const LINGER: Duration = Duration::from_secs(10);

/// A request whose body is read only when somebody asks for it. hyper says `100 Continue` at that
/// moment, so a client that waits for it is not made to send a body that is refused anyway.
pub(crate) fn incoming(request: http::Request<Incoming>) -> (http::Request<Body>, Asked) {
    let asked = Asked(Arc::new(AtomicBool::new(
        !request.headers().contains_key(EXPECT),
    )));
    let request = request.map(|body| {
        let length = http_body::Body::size_hint(&body).exact();
        if length == Some(0) {
            return Body::empty();
        }
        let inbound = Inbound {
            body: Some(BodyDataStream::new(body)),
            coming: asked.clone(),
        };
        let chunks = stream::unfold(inbound, |mut inbound| async move {
            Some((inbound.chunk().await?, inbound))
        });
        Body::stream(chunks, length)
    });
    (request, asked)
}

/// Whether the client sends its body, or has been asked to.
#[derive(Clone)]
pub(crate) struct Asked(Arc<AtomicBool>);

impl Asked {
    fn yes(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// A client that waited for `100 Continue` in vain may send its body after all, or not: what
    /// comes next on this connection cannot be told, so it ends with the reply, and says so.
    pub(crate) fn settle<B>(&self, reply: &mut http::Response<B>) {
        if !self.yes() {
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(CONNECTION, close);
        }
    }
}

/// A body on its way in.
struct Inbound {
    /// `None` once it has ended or failed.
    body: Option<BodyDataStream<Incoming>>,
    coming: Asked,
}

impl Inbound {
    async fn chunk(&mut self) -> Option<io::Result<Bytes>> {
        self.coming.0.store(true, Ordering::Relaxed);
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
        let (true, Some(mut rest)) = (self.coming.yes(), self.body.take()) else {
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
