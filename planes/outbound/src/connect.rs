//! From an address to a connection: resolve, connect, shake hands.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::tls::{Tls, Trust};
use crate::{Error, error};

/// How long one of a host's several addresses may take before the next is tried.
const ONE_ADDRESS: Duration = Duration::from_secs(3);

/// Makes connections whose certificates satisfy one [`Trust`].
#[derive(Clone)]
pub(crate) struct Connector {
    tls: Tls,
    trust: Trust,
}

impl Connector {
    pub(crate) fn new(tls: Tls, trust: Trust) -> Self {
        Self { tls, trust }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<Stream>, Error> {
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = reach(host, port).await?;
        // The client writes whole messages; waiting to fill a segment helps nobody.
        let _ = tcp.set_nodelay(true);
        let stream = if secure {
            let connector = self.tls.connector(&self.trust).await?;
            Stream::Tls(Box::new(shake_hands(&connector, host, tcp).await?))
        } else {
            Stream::Plain(tcp)
        };
        Ok(TokioIo::new(stream))
    }
}

/// Puts TLS around a connection; the other side proves to be `host`.
pub(crate) async fn shake_hands(
    connector: &TlsConnector,
    host: &str,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, Error> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Error::Url(format!("no certificate can be for {host}")))?;
    connector.connect(name, tcp).await.map_err(|failed| {
        let inside = failed.get_ref().and_then(|e| e.downcast_ref());
        match inside {
            Some(rustls::Error::InvalidCertificate(why)) => Error::NotTrusted {
                host: host.to_owned(),
                why: why.to_string(),
            },
            _ => Error::Malformed(format!(
                "the TLS handshake failed: {}",
                error::chain(&failed)
            )),
        }
    })
}

/// A connection to the first of the host's addresses that takes one.
async fn reach(host: &str, port: u16) -> Result<TcpStream, Error> {
    let addresses = lookup_host((host, port)).await;
    let addresses: Vec<_> = addresses
        .map_err(|error| Error::NotResolved {
            host: host.to_owned(),
            why: error.to_string(),
        })?
        .collect();
    let Some((last, others)) = addresses.split_last() else {
        return Err(Error::NotResolved {
            host: host.to_owned(),
            why: "it has no address".into(),
        });
    };
    for address in others {
        if let Ok(Ok(tcp)) = tokio::time::timeout(ONE_ADDRESS, TcpStream::connect(address)).await {
            return Ok(tcp);
        }
    }
    let tcp = TcpStream::connect(last).await;
    tcp.map_err(|error| Error::Unreachable {
        address: format!("{host}:{port} ({})", last.ip()),
        why: error.to_string(),
    })
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A connection, plain or TLS.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            _ => Connected::new(),
        }
    }
}

/// Both kinds are read and written alike.
macro_rules! either {
    ($stream:expr, $inner:ident => $what:expr) => {
        match $stream.get_mut() {
            Stream::Plain(tcp) => {
                let $inner = Pin::new(tcp);
                $what
            }
            Stream::Tls(tls) => {
                let $inner = Pin::new(&mut **tls);
                $what
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, into))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
