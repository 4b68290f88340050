//! Accepting connections: TLS or plain by the first byte, HTTP/1.1 or HTTP/2 by what follows.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::{Door, body};

/// A client that says nothing at all is let go after this long.
const FIRST_BYTE: Duration = Duration::from_secs(30);
/// The head of a request must be complete after this long.
const HEAD: Duration = Duration::from_secs(30);
/// What may still run when the door closes.
const FAREWELL: Duration = Duration::from_secs(10);
/// Connections at once; further ones wait in the kernel's backlog.
const CONNECTIONS: usize = 10_000;

const TLS_HANDSHAKE: u8 = 0x16;

/// A bound front door, not yet serving.
pub struct Listening {
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
}

impl Listening {
    pub async fn bind(address: SocketAddr, tls: Arc<rustls::ServerConfig>) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            tls,
        })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` resolves, then lets running requests finish.
    pub async fn serve(self, door: Arc<Door>, stop: impl Future<Output = ()>) {
        let graceful = Arc::new(GracefulShutdown::new());
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let acceptor = TlsAcceptor::from(self.tls);
        let mut stop = std::pin::pin!(stop);
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            let (stream, peer) = tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors, most likely: breathe, then go on.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let connection = connection(
                Arc::clone(&door),
                acceptor.clone(),
                Arc::clone(&graceful),
                stream,
                peer,
            );
            tokio::spawn(async move {
                connection.await;
                drop(place);
            });
        }
        drop(self.listener);
        if let Some(graceful) = Arc::into_inner(graceful) {
            let _ = tokio::time::timeout(FAREWELL, graceful.shutdown()).await;
        } else {
            // Connections that have not sent their first byte yet still hold a handle: nothing of
            // theirs can be lost.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn connection(
    door: Arc<Door>,
    acceptor: TlsAcceptor,
    graceful: Arc<GracefulShutdown>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    // Replies are written whole; waiting for more to send would only add delay.
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    match tokio::time::timeout(FIRST_BYTE, stream.peek(&mut first)).await {
        Ok(Ok(1)) => {}
        _ => return,
    }
    if first[0] == TLS_HANDSHAKE {
        match tokio::time::timeout(HEAD, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => http(door, graceful, stream, peer, true).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
        }
    } else {
        http(door, graceful, stream, peer, false).await;
    }
}

async fn http(
    door: Arc<Door>,
    graceful: Arc<GracefulShutdown>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    secure: bool,
) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(128 * 1024)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .max_concurrent_streams(256)
        .max_header_list_size(64 * 1024);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let door = Arc::clone(&door);
        async move {
            let reply = door.answer(request.map(body::incoming), peer, secure).await;
            Ok::<_, Infallible>(reply.map(body::Outgoing))
        }
    });
    let serving = server.serve_connection(TokioIo::new(stream), service);
    let watched = graceful.watch(serving.into_owned());
    drop(graceful);
    if let Err(error) = watched.await {
        tracing::debug!(%peer, %error, "connection ended early");
    }
}
