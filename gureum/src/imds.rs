//! The instance metadata service's HTTP: connections from one VPC, questions and answers of EC2.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gureum_dispatch::Cloud;
use gureum_ec2::Ec2;
use gureum_ec2::metadata::{Answer, Question};
use http::request::Parts;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_ip_ttl;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

const TOKEN: &str = "x-aws-ec2-metadata-token";
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// Connections from one VPC at once; further ones wait in the kernel's backlog.
const CONNECTIONS: usize = 256;
/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// How many hops packets may make where nothing says less.
const HOPS: u8 = 64;

/// Ends when it is dropped.
pub(crate) struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What all connections from a VPC share.
struct Service {
    ec2: Arc<Ec2>,
    cloud: Arc<Cloud>,
    vpc: String,
}

/// Serves a VPC's metadata at a socket in its router.
pub(crate) fn serve(
    listener: TcpListener,
    ec2: Arc<Ec2>,
    cloud: Arc<Cloud>,
    vpc: &str,
) -> io::Result<Serving> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let vpc = vpc.to_owned();
    let service = Arc::new(Service { ec2, cloud, vpc });
    Ok(Serving(tokio::spawn(accept(listener, service))))
}

async fn accept(listener: tokio::net::TcpListener, service: Arc<Service>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, most likely: breathe, then go on.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let IpAddr::V4(peer) = peer.ip().to_canonical() else {
            continue;
        };
        let service = service.clone();
        tokio::spawn(async move {
            if let Err(error) = service.connection(stream, peer).await {
                tracing::debug!(%peer, %error, "a connection for metadata ended early");
            }
            drop(place);
        });
    }
}

impl Service {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: Ipv4Addr,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        // The same socket, to say how far its packets may go.
        let socket = Arc::new(stream.as_fd().try_clone_to_owned()?);
        let serve = service_fn(move |request: Request<Incoming>| {
            let (service, socket) = (self.clone(), socket.clone());
            let (head, _) = request.into_parts();
            async move { Ok::<_, Infallible>(service.answer(peer, &socket, &head).await) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEAD);
        Ok(server.serve_connection(TokioIo::new(stream), serve).await?)
    }

    async fn answer(
        &self,
        peer: Ipv4Addr,
        socket: &OwnedFd,
        head: &Parts,
    ) -> Response<Full<Bytes>> {
        let text = |name: &'static str| head.headers.get(name)?.to_str().ok();
        let question = Question {
            method: head.method.as_str(),
            path: head.uri.path(),
            token: text(TOKEN),
            ttl: text(TTL),
            forwarded: head.headers.contains_key("x-forwarded-for"),
        };
        let answer = self
            .ec2
            .metadata(&self.cloud, (&self.vpc, peer), &question)
            .await;
        if let Err(error) = set_ip_ttl(socket, u32::from(answer.hops.unwrap_or(HOPS))) {
            tracing::debug!(%error, "a reply may go as far as it likes");
        }
        reply(answer)
    }
}

fn reply(answer: Answer) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(answer.body));
    if let Ok(status) = http::StatusCode::from_u16(answer.status) {
        *reply.status_mut() = status;
    }
    let headers = reply.headers_mut();
    let kind = HeaderValue::from_static(answer.content_type);
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::SERVER, HeaderValue::from_static("EC2ws"));
    if let Some(ttl) = answer.ttl {
        headers.insert(TTL, ttl.into());
    }
    reply
}
