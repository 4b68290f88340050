//! Accepting connections: TLS or plain by the first byte, HTTP/1.1 or HTTP/2 by what follows.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gureum_dispatch::VpcEndpoint;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::pipeline::Via;
use super::stall::Impatient;
use super::{Door, body};

/// How long a client may take to get to its point: the TLS handshake, and the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// A client must take something this often while it is sent a reply.
const STALL: Duration = Duration::from_secs(60);
/// What may still run when the door closes.
const FAREWELL: Duration = Duration::from_secs(10);
/// Connections at once; further ones wait in the kernel's backlog.
const CONNECTIONS: usize = 10_000;
/// The head of an HTTP/1.1 request and the header list of an HTTP/2 one, in bytes.
const HEAD_SIZE: usize = 64 << 10;

const TLS_HANDSHAKE: u8 = 0x16;

/// A bound front door, not yet serving.
pub struct Listening {
    listeners: Vec<TcpListener>,
    tls: Arc<rustls::ServerConfig>,
    porter: Porter,
    later: mpsc::UnboundedReceiver<Later>,
}

/// Opens the door at further places while it serves.
#[derive(Clone)]
pub struct Porter(mpsc::UnboundedSender<Later>);

/// A place at which the door is open as long as this is held.
pub struct Opening {
    _held: oneshot::Sender<()>,
}

/// What stands before the door at a place inside a VPC.
pub trait Gate: Send + Sync + 'static {
    /// The VPC endpoint by which requests from this address come here, where they come by one.
    /// Asked for every request; must not wait.
    fn endpoint(&self, peer: IpAddr) -> Option<VpcEndpoint>;

    /// Whether it leads to this service, by the name that its hosts begin with.
    fn admits(&self, endpoint_prefix: &str) -> bool;
}

/// A listener that came later, what stands before it, and what ends when it is to be closed.
type Later = (TcpListener, Option<Arc<dyn Gate>>, oneshot::Receiver<()>);

impl Porter {
    /// Opens the door at a socket that listens already, in whichever network it is. What comes
    /// before the door serves, or after, waits in the kernel's backlog. Must be called in a tokio
    /// runtime.
    pub fn open(
        &self,
        listener: std::net::TcpListener,
        gate: Option<Arc<dyn Gate>>,
    ) -> io::Result<Opening> {
        listener.set_nonblocking(true)?;
        let (held, let_go) = oneshot::channel();
        let listener = TcpListener::from_std(listener)?;
        // Nobody receives when the cloud is about to end.
        let _ = self.0.send((listener, gate, let_go));
        Ok(Opening { _held: held })
    }
}

impl Listening {
    pub async fn bind(address: SocketAddr, tls: Arc<rustls::ServerConfig>) -> io::Result<Self> {
        let (sender, later) = mpsc::unbounded_channel();
        Ok(Self {
            listeners: vec![TcpListener::bind(address).await?],
            tls,
            porter: Porter(sender),
            later,
        })
    }

    pub fn porter(&self) -> Porter {
        self.porter.clone()
    }

    /// Opens the same door at one more address.
    pub async fn also(&mut self, address: SocketAddr) -> io::Result<()> {
        self.listeners.push(TcpListener::bind(address).await?);
        Ok(())
    }

    /// The first address, with the port that the kernel chose where none was given.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listeners[0].local_addr()
    }

    /// Serves until `stop` resolves, then lets running requests finish.
    pub async fn serve(mut self, door: Arc<Door>, stop: impl Future<Output = ()>) {
        let hall = Arc::new(Hall {
            door,
            acceptor: TlsAcceptor::from(self.tls),
            places: Arc::new(Semaphore::new(CONNECTIONS)),
        });
        // Everything that still runs holds a receiver: `closed` waits for the last of them.
        let closing = watch::Sender::new(false);
        for listener in self.listeners {
            let closing = Closing(closing.subscribe());
            tokio::spawn(Arc::clone(&hall).listen(listener, None, closing));
        }
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some((listener, gate, let_go)) = self.later.recv() => {
                    let closing = Closing(closing.subscribe());
                    let listening = Arc::clone(&hall).listen(listener, gate, closing);
                    tokio::spawn(async move {
                        tokio::select! {
                            () = listening => {}
                            // Never sent: it ends when the opening is dropped.
                            _ = let_go => {}
                        }
                    });
                }
            }
        }
        closing.send_replace(true);
        if tokio::time::timeout(FAREWELL, closing.closed())
            .await
            .is_err()
        {
            tracing::warn!("some requests did not end in time and are cut off");
        }
    }
}

/// Hears that the door closes; as long as one is held, closing waits for its holder.
#[derive(Clone)]
struct Closing(watch::Receiver<bool>);

impl Closing {
    async fn begun(&mut self) {
        // Fails only when the sender is gone, which is closing too.
        let _ = self.0.wait_for(|closing| *closing).await;
    }
}

/// What all connections share.
struct Hall {
    door: Arc<Door>,
    acceptor: TlsAcceptor,
    places: Arc<Semaphore>,
}

/// A connection whose transport is settled.
enum Opened {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Hall {
    async fn listen(
        self: Arc<Self>,
        listener: TcpListener,
        gate: Option<Arc<dyn Gate>>,
        mut closing: Closing,
    ) {
        let connections = closing.clone();
        tokio::select! {
            () = self.accept(&listener, gate, connections) => {}
            () = closing.begun() => {}
        }
    }

    /// Accepts connections until it is dropped.
    async fn accept(
        self: &Arc<Self>,
        listener: &TcpListener,
        gate: Option<Arc<dyn Gate>>,
        closing: Closing,
    ) {
        while let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: breathe, then go on.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (hall, gate, closing) = (Arc::clone(self), gate.clone(), closing.clone());
            tokio::spawn(async move {
                if let Err(error) = hall.connection(stream, peer, gate, closing).await {
                    tracing::debug!(%peer, error, "connection ended early");
                }
                drop(place);
            });
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        gate: Option<Arc<dyn Gate>>,
        mut closing: Closing,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // Replies are written whole; waiting for more to send would only add delay.
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let via = |secure| Via {
            peer,
            local,
            gate,
            secure,
        };
        let opened = tokio::select! {
            opened = tokio::time::timeout(HEAD, self.open(stream)) => opened??,
            // Nothing has been asked yet.
            () = closing.begun() => return Ok(()),
        };
        match opened {
            Opened::Plain(stream) => self.http(stream, via(false), closing).await,
            Opened::Tls(stream) => self.http(stream, via(true), closing).await,
        }
    }

    async fn open(&self, stream: TcpStream) -> io::Result<Opened> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] == TLS_HANDSHAKE {
            let stream = self.acceptor.accept(stream).await?;
            return Ok(Opened::Tls(Box::new(stream)));
        }
        Ok(Opened::Plain(stream))
    }

    async fn http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        via: Via,
        mut closing: Closing,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let server = server();
        let asked = AtomicBool::new(false);
        let service = service_fn(|request: http::Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (door, via) = (Arc::clone(&self.door), via.clone());
            async move {
                let one = request.version() < http::Version::HTTP_2;
                let (request, asked) = body::incoming(request);
                let mut reply = door.answer(request, via).await;
                if one {
                    asked.settle(&mut reply);
                }
                Ok::<_, Infallible>(reply.map(body::Outgoing))
            }
        });
        let stream = TokioIo::new(Impatient::new(stream, STALL));
        let mut serving = std::pin::pin!(server.serve_connection(stream, service));
        let mut silence = std::pin::pin!(tokio::time::sleep(HEAD));
        let mut leaving = false;
        loop {
            tokio::select! {
                ended = &mut serving => return ended,
                () = closing.begun(), if !leaving => {
                    leaving = true;
                    serving.as_mut().graceful_shutdown();
                }
                // hyper times the head of a request once it knows the version of HTTP; a client
                // that stops short of telling must not stay for ever.
                () = &mut silence, if !silence.is_elapsed() => {
                    if !asked.load(Ordering::Relaxed) {
                        return Err("no request came in time".into());
                    }
                }
            }
        }
    }
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_SIZE)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .max_concurrent_streams(256)
        .max_header_list_size(HEAD_SIZE as u32);
    server
}
