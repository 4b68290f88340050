//! HTTP and HTTPS as a client, and TLS for other protocols: how the cloud speaks to others. May touch:
//! the network, and the host's list of certificate authorities.
//!
//! ```ignore
//! let outbound = Outbound::new(clock, vec![own_authority]);
//! let reply = outbound.send(Request::get("https://example.com/keys.json")).await?;
//! ```
//!
//! Invariants:
//! * Every call ends within its deadline, and its answer is at most as long as its limit.
//! * A certificate is always checked for its name, its dates and its signatures; what may stand at
//!   the top of the chain is [`Trust`].
//! * The answer is the first one: redirects are followed only as often as the call asks for.
//! * Nothing is opened or read before the first call; afterwards a few idle connections per host
//!   are kept for [`IDLE`], and nothing at all after that.
//!
//! Not here: proxies, cookies, compression, and answers or bodies that don't fit into memory.

mod connect;
mod error;
mod request;
mod tls;

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use gureum_kit::Clock;
use http::{Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::client::TlsStream;

use connect::Connector;
use request::Target;
use tls::Tls;

pub use error::Error;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
pub use request::{Request, Response};
pub use rustls::pki_types::CertificateDer;
pub use tls::{Thumbprint, Trust, certificates};

/// How long an idle connection is kept.
pub const IDLE: Duration = Duration::from_secs(20);
/// Idle connections that are kept per scheme, host and port.
const IDLE_PER_HOST: usize = 8;
/// Calls under way at once; further ones wait for their turn, within their deadline.
const AT_ONCE: usize = 256;

type Http = Client<Connector, Full<Bytes>>;

/// The way out. One for the whole program, so that connections are shared.
pub struct Outbound {
    http: Http,
    tls: Tls,
    turns: Semaphore,
}

impl Outbound {
    /// `roots` are trusted beside the host's own authorities. Certificates are valid, or not, at
    /// the time that `clock` tells.
    pub fn new(clock: Clock, roots: Vec<CertificateDer<'static>>) -> Self {
        let tls = Tls::new(clock, roots);
        Self {
            http: client(&tls, &Trust::Roots, IDLE_PER_HOST),
            tls,
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// Makes a call and reads the answer to its end. An answer of any status is an answer.
    ///
    /// Dropping the future gives up the call; whether the other side has acted on it is unknown
    /// then, as it is after [`Error::Timeout`].
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let deadline = request.deadline;
        tokio::time::timeout(deadline, self.follow(request))
            .await
            .unwrap_or(Err(Error::Timeout(deadline)))
    }

    /// Puts TLS around a connection that the caller has made, to speak something other than HTTP over
    /// it. The other side proves to be `host`, by [`Trust::Roots`]. The caller bounds the time.
    pub async fn secure(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, Error> {
        let connector = self.tls.unnamed().await?;
        connect::shake_hands(&connector, host, tcp).await
    }

    async fn follow(&self, mut request: Request) -> Result<Response, Error> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let mut target = Target::read(&request.url)?;
        // A pinned connection serves one call: the next may pin something else.
        let pinned;
        let http = match &request.trust {
            Trust::Roots => &self.http,
            trust => {
                pinned = client(&self.tls, trust, 0);
                &pinned
            }
        };
        loop {
            let response = exchange(http, &request, &target).await?;
            let Some(next) = response.redirect(&target.uri)? else {
                return Ok(response);
            };
            if request.redirects == 0 {
                return Ok(response);
            }
            request.redirects -= 1;
            request.redirected(response.status);
            target = target.moved(next, &mut request.headers);
        }
    }
}

fn client(tls: &Tls, trust: &Trust, idle_per_host: usize) -> Http {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(idle_per_host)
        .build(Connector::new(tls.clone(), trust.clone()))
}

async fn exchange(http: &Http, request: &Request, target: &Target) -> Result<Response, Error> {
    let answer = http
        .request(message(request, target))
        .await
        .map_err(Error::of_client)?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, request.limit).collect().await;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Error::TooLarge {
                limit: request.limit,
            }
        } else {
            Error::Malformed(error::chain(&*error))
        }
    })?;
    Ok(Response {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes(),
    })
}

fn message(request: &Request, target: &Target) -> http::Request<Full<Bytes>> {
    let mut message = http::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = Uri::clone(&target.uri);
    *message.headers_mut() = request.headers.clone();
    if let Some(login) = &target.login {
        let headers = message.headers_mut();
        headers
            .entry(header::AUTHORIZATION)
            .or_insert_with(|| login.clone());
    }
    message
}
