//! The client side of every measure: one keep-alive connection, and requests signed as AWS's own
//! clients sign them. Every contestant is driven by this same code.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gureum_kit::Clock;
use gureum_schema::Timestamp;
use gureum_wire::sigv4::{ContentHash, Signer};
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::failure::{Context, Failure, Result};
use crate::load::Dial;

/// The root key that every cloud under measure is started with.
pub(crate) const ACCESS_KEY: &str = "AKIABENCHBENCHBENCH0";
pub(crate) const SECRET: &str = "bench/secret/of/forty/characters/exactly";
pub(crate) const REGION: &str = "us-east-1";

/// How long after its time anything is waited for: some servers fall silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request body: `times` repetitions of `chunk`, so that large bodies take no memory here.
#[derive(Clone, Default)]
pub(crate) struct Payload {
    chunk: Bytes,
    times: u64,
}

impl Payload {
    pub(crate) fn once(chunk: impl Into<Bytes>) -> Self {
        Self::repeat(chunk, 1)
    }

    pub(crate) fn repeat(chunk: impl Into<Bytes>, times: u64) -> Self {
        let chunk: Bytes = chunk.into();
        let times = if chunk.is_empty() { 0 } else { times };
        Self { chunk, times }
    }

    /// The body in one piece, if it is made of no more.
    pub(crate) fn whole(self) -> Option<Bytes> {
        match self.times {
            0 => Some(Bytes::new()),
            1 => Some(self.chunk),
            _ => None,
        }
    }

    pub(crate) fn length(&self) -> u64 {
        self.chunk.len() as u64 * self.times
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Poller<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        if self.times == 0 {
            return Poll::Ready(None);
        }
        self.times -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.chunk.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        self.times == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

/// Whether the signature covers the body.
#[derive(Clone, Copy)]
pub(crate) enum Cover {
    Body,
    Head,
}

/// Makes signed requests to one server.
#[derive(Clone)]
pub(crate) struct Requests {
    host: HeaderValue,
    clock: Clock,
}

impl Requests {
    pub(crate) fn to(address: SocketAddr) -> Result<Self> {
        let host = HeaderValue::from_str(&address.to_string()).or_fail("host header")?;
        Ok(Self {
            host,
            clock: Clock::system(),
        })
    }

    /// `GetCallerIdentity`, as a form.
    pub(crate) fn who_am_i(&self) -> Result<Request<Payload>> {
        self.form(
            "sts",
            "Action=GetCallerIdentity&Version=2011-06-15".to_owned(),
        )
    }

    /// An SNS request, as a form.
    pub(crate) fn sns(&self, action: &str, fields: &[(&str, &str)]) -> Result<Request<Payload>> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action);
        form.append_pair("Version", "2010-03-31");
        form.extend_pairs(fields);
        self.form("sns", form.finish())
    }

    /// An EC2 request, as a form.
    pub(crate) fn ec2(&self, action: &str, fields: &[(&str, &str)]) -> Result<Request<Payload>> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action);
        form.append_pair("Version", "2016-11-15");
        form.extend_pairs(fields);
        self.form("ec2", form.finish())
    }

    fn form(&self, service: &str, body: String) -> Result<Request<Payload>> {
        let mut request = Request::new(Payload::once(body));
        *request.method_mut() = Method::POST;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        request.headers_mut().insert(header::CONTENT_TYPE, form);
        self.sign(request, service, Cover::Body)
    }

    /// An S3 request; `target` is path and query.
    pub(crate) fn s3(
        &self,
        method: Method,
        target: &str,
        body: Payload,
        cover: Cover,
    ) -> Result<Request<Payload>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().or_fail("request target")?;
        self.sign(request, "s3", cover)
    }

    /// An SQS request in the JSON protocol.
    pub(crate) fn sqs(&self, action: &str, input: &serde_json::Value) -> Result<Request<Payload>> {
        self.in_json("sqs", format!("AmazonSQS.{action}"), input)
    }

    /// A DynamoDB request.
    pub(crate) fn dynamodb(
        &self,
        action: &str,
        input: &serde_json::Value,
    ) -> Result<Request<Payload>> {
        self.in_json("dynamodb", format!("DynamoDB_20120810.{action}"), input)
    }

    fn in_json(
        &self,
        service: &str,
        action: String,
        input: &serde_json::Value,
    ) -> Result<Request<Payload>> {
        let mut request = Request::new(Payload::once(input.to_string()));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        let json = HeaderValue::from_static("application/x-amz-json-1.0");
        headers.insert(header::CONTENT_TYPE, json);
        let action = HeaderValue::from_str(&action).or_fail("x-amz-target")?;
        headers.insert("x-amz-target", action);
        self.sign(request, service, Cover::Body)
    }

    fn sign(
        &self,
        mut request: Request<Payload>,
        service: &str,
        cover: Cover,
    ) -> Result<Request<Payload>> {
        let content = match cover {
            Cover::Head => ContentHash::Unsigned,
            Cover::Body => ContentHash::Exact(sha256(request.body())),
        };
        let length = HeaderValue::from(request.body().length());
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::CONTENT_LENGTH, length);
        let signer = Signer {
            access_key: ACCESS_KEY,
            secret: SECRET,
            session_token: None,
            region: REGION,
            service,
        };
        let view = gureum_wire::sigv4::Request {
            method: request.method().as_str(),
            path: request.uri().path(),
            query: request.uri().query().unwrap_or_default(),
            authority: None,
            headers: request.headers(),
        };
        let now = Timestamp(self.clock.now());
        let added = signer.sign(view, content, now).or_fail("cannot sign")?;
        request.headers_mut().extend(added);
        Ok(request)
    }
}

fn sha256(body: &Payload) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for _ in 0..body.times {
        context.update(&body.chunk);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// One HTTP/1.1 connection that is kept alive.
pub(crate) struct Connection {
    address: SocketAddr,
    sender: SendRequest<Payload>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let sender = dial(address).await?;
        Ok(Self { address, sender })
    }

    /// Sends a request and counts the bytes of the reply's body. Any status but 2xx is a failure.
    pub(crate) async fn drain(&mut self, request: Request<Payload>) -> Result<u64> {
        let mut body = self.begin(request).await?;
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.or_fail("cannot read the reply")?;
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(bytes)
    }

    /// Sends a request and keeps the reply's body.
    pub(crate) async fn fetch(&mut self, request: Request<Payload>) -> Result<Bytes> {
        let body = self.begin(request).await?;
        Ok(body
            .collect()
            .await
            .or_fail("cannot read the reply")?
            .to_bytes())
    }

    /// Sends a request in the JSON protocol.
    pub(crate) async fn json(&mut self, request: Request<Payload>) -> Result<serde_json::Value> {
        let body = self.fetch(request).await?;
        if body.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        serde_json::from_slice(&body).or_fail("the reply is not JSON")
    }

    async fn begin(&mut self, request: Request<Payload>) -> Result<hyper::body::Incoming> {
        if self.sender.ready().await.is_err() {
            // Some peers close a connection after so many requests.
            self.sender = dial(self.address).await?;
        }
        let what = format!("{} {}", request.method(), request.uri().path());
        let reply = self.sender.send_request(request).await.or_fail(&what)?;
        let status = reply.status();
        if status.is_success() {
            return Ok(reply.into_body());
        }
        let mut text = BytesMut::new();
        if let Ok(body) = reply.into_body().collect().await {
            text.extend_from_slice(&body.to_bytes());
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        Err(Failure(format!("{what}: {status}: {text}")))
    }
}

impl Dial for Connection {
    async fn dial(address: SocketAddr) -> Result<Self> {
        Connection::open(address).await
    }
}

async fn dial(address: SocketAddr) -> Result<SendRequest<Payload>> {
    let doing = "cannot connect";
    let stream = TcpStream::connect(address).await.or_fail(doing)?;
    stream.set_nodelay(true).or_fail(doing)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.or_fail(doing)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A runtime for one thread of client work.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_fail("cannot start a runtime")
}

/// Headers as curl would show them, for requests that need no signature.
pub(crate) fn plain(address: SocketAddr, target: &str) -> Result<Request<Payload>> {
    let mut request = Request::new(Payload::default());
    *request.uri_mut() = target.parse().or_fail("request target")?;
    let host = HeaderValue::from_str(&address.to_string()).or_fail("host header")?;
    *request.headers_mut() = HeaderMap::from_iter([(header::HOST, host)]);
    Ok(request)
}

/// Ends in failure what goes on for long after the time that it should take.
pub(crate) async fn in_time<T>(time: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let ended = tokio::time::timeout(time + PATIENCE, work).await;
    ended.or_fail("a request was not answered")?
}
