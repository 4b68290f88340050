//! A client that costs next to nothing, for measures whose yardstick has no client at all: requests are
//! signed and encoded before the round, and of replies only the status and the length are looked at.

use std::io::IoSlice;
use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Payload;
use crate::failure::{Context, Failure, Result};
use crate::load::{Dial, Load, Turn};
use crate::machine;

/// A reply of more headers than this is nobody's whom we measure.
const HEADERS: usize = 32;
/// Requests a second that are made ready for; whoever is faster signs some as it goes.
const READY: f64 = 50_000.0;

/// A request as bytes that only have to be sent.
pub(crate) struct Encoded {
    head: Vec<u8>,
    body: Bytes,
}

impl Encoded {
    pub(crate) fn of(request: Request<Payload>) -> Result<Self> {
        let (method, target) = (request.method(), request.uri());
        let mut head = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        for (name, value) in request.headers() {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"\r\n");
        let body = request.into_body().whole();
        let body = body.ok_or_else(|| Failure("too long to be sent at once".into()))?;
        Ok(Self { head, body })
    }
}

/// Requests made ready for a round, each connection's in its order.
pub(crate) struct Supply<'a, F> {
    make: &'a F,
    ready: Vec<Vec<Encoded>>,
}

impl<'a, F: Fn(Turn) -> Result<Request<Payload>> + Sync> Supply<'a, F> {
    pub(crate) fn prepare(load: Load, make: &'a F) -> Result<Self> {
        let seconds = (load.warm_up + load.length).as_secs_f64();
        let each = (READY * seconds / load.connections as f64).ceil() as u64;
        let of = |connection| {
            let turns = (0..each).map(|number| Turn { connection, number });
            turns
                .map(|turn| Encoded::of(make(turn)?))
                .collect::<Result<Vec<_>>>()
        };
        let threads = machine::cores().min(load.connections);
        let share = |thread| {
            let mine = (thread..load.connections).step_by(threads);
            mine.map(|connection| Ok((connection, of(connection)?)))
                .collect::<Result<Vec<_>>>()
        };
        let mut made: Vec<(usize, Vec<Encoded>)> = std::thread::scope(|scope| {
            let share = &share;
            let threads: Vec<_> = (0..threads)
                .map(|n| scope.spawn(move || share(n)))
                .collect();
            let panicked = |_| Err(Failure("a thread that signs panicked".into()));
            let shares = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(panicked));
            shares
                .collect::<Result<Vec<_>>>()
                .map(|all| all.into_iter().flatten().collect())
        })?;
        made.sort_by_key(|(connection, _)| *connection);
        let ready = made.into_iter().map(|(_, requests)| requests).collect();
        Ok(Self { make, ready })
    }

    /// Makes the request of this turn, and waits for the reply.
    pub(crate) async fn exchange(&self, wire: &mut Wire, turn: Turn) -> Result<u64> {
        match self.ready[turn.connection].get(turn.number as usize) {
            Some(request) => wire.exchange(request).await,
            None => wire.exchange(&Encoded::of((self.make)(turn)?)?).await,
        }
    }
}

/// One HTTP/1.1 connection that is kept alive for as long as the other side likes.
pub(crate) struct Wire {
    address: SocketAddr,
    stream: TcpStream,
    received: BytesMut,
    /// The other side has said that it answers nothing more on this connection.
    ended: bool,
}

impl Dial for Wire {
    async fn dial(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            address,
            stream: connect(address).await?,
            received: BytesMut::with_capacity(4096),
            ended: false,
        })
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)
        .await
        .or_fail("cannot connect")?;
    stream.set_nodelay(true).or_fail("cannot connect")?;
    Ok(stream)
}

impl Wire {
    /// Sends a request and waits for all of its reply; how long that was. Any status but 2xx is a failure.
    async fn exchange(&mut self, request: &Encoded) -> Result<u64> {
        if std::mem::take(&mut self.ended) {
            self.stream = connect(self.address).await?;
        }
        self.received.clear();
        self.send(request).await?;
        loop {
            if let Some(length) = self.reply()? {
                return Ok(length);
            }
            let read = self.stream.read_buf(&mut self.received).await;
            match read.or_fail("cannot read the reply")? {
                0 if self.received.is_empty() => {
                    // Some peers close a connection after so many requests.
                    self.stream = connect(self.address).await?;
                    self.send(request).await?;
                }
                0 => return Err(Failure("the reply ends too early".into())),
                _ => {}
            }
        }
    }

    async fn send(&mut self, request: &Encoded) -> Result<()> {
        let mut all = Buf::chain(&request.head[..], &request.body[..]);
        while all.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 2];
            let count = all.chunks_vectored(&mut slices);
            let sent = self.stream.write_vectored(&slices[..count]).await;
            all.advance(sent.or_fail("cannot send")?);
        }
        Ok(())
    }

    /// How long the body is, once the whole reply has been received.
    fn reply(&mut self) -> Result<Option<u64>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut reply = httparse::Response::new(&mut headers);
        let parsed = reply.parse(&self.received).or_fail("not an HTTP reply")?;
        let httparse::Status::Complete(head) = parsed else {
            return Ok(None);
        };
        let value = |name: &str| {
            let mut headers = reply.headers.iter();
            let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok()
        };
        let length = value("content-length").and_then(|length| length.parse().ok());
        let length: u64 = length.ok_or_else(|| Failure("a reply without a length".into()))?;
        if (self.received.len() - head) as u64 != length {
            return Ok(None);
        }
        self.ended = value("connection").is_some_and(|told| told.eq_ignore_ascii_case("close"));
        match reply.code {
            Some(200..=299) => Ok(Some(length)),
            _ => Err(Failure(
                String::from_utf8_lossy(&self.received).into_owned(),
            )),
        }
    }
}
