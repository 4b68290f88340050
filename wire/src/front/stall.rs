//! Connections whose client stops reading: what is being sent to it is let go after a while.
//!
//! hyper waits for ever for room in the socket's buffer, and holds the reply and all that it reads
//! from meanwhile. It times only what comes in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A connection that fails with [`io::ErrorKind::TimedOut`] when its peer takes nothing of what is
/// written to it for `patience`.
pub(super) struct Impatient<S> {
    stream: S,
    patience: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            stalled: None,
        }
    }
}

impl<S: AsyncWrite + Unpin> Impatient<S> {
    fn wait<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = write(Pin::new(&mut self.stream), cx);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wait(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wait(cx, |stream, cx| stream.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wait(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wait(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);
    const REPLY: usize = 1 << 20;

    /// Asks for a megabyte over a connection that holds 4 KiB; `read` is the client's manner.
    async fn serve<R: Future<Output = usize>>(
        read: impl FnOnce(tokio::io::DuplexStream) -> R,
    ) -> (bool, usize) {
        let (mut client, server) = duplex(4096);
        let service = service_fn(|_| async {
            let body = Full::new(Bytes::from(vec![b'x'; REPLY]));
            Ok::<_, Infallible>(http::Response::new(body))
        });
        let server = TokioIo::new(Impatient::new(server, PATIENCE));
        let serving = hyper::server::conn::http1::Builder::new().serve_connection(server, service);
        client
            .write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            .await
            .expect("sent");
        let (served, read) = tokio::join!(serving, read(client));
        (served.is_ok(), read)
    }

    #[tokio::test]
    async fn a_client_that_stops_reading_is_left() {
        let read = |mut client: tokio::io::DuplexStream| async move {
            let mut some = [0; 512];
            client.read_exact(&mut some).await.expect("the beginning");
            // The connection stays open and is never read again, until the server ends it.
            let wait = tokio::time::timeout(Duration::from_secs(30), async {
                while client.write_all(b"\n").await.is_ok() {
                    tokio::time::sleep(PATIENCE).await;
                }
            });
            assert!(wait.await.is_ok(), "still connected");
            some.len()
        };
        assert_eq!(serve(read).await, (false, 512));
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_gets_it_all() {
        let read = |mut client: tokio::io::DuplexStream| async move {
            let (mut all, mut chunk) = (0, [0; 4096]);
            loop {
                match client.read(&mut chunk).await.expect("more") {
                    0 => return all,
                    read => all += read,
                }
                // All in all, this takes far longer than one may stall.
                tokio::time::sleep(PATIENCE / 50).await;
            }
        };
        let (served, read) = serve(read).await;
        assert!(served && read > REPLY, "{read}");
    }
}
