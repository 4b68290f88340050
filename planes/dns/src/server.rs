//! Answers on sockets, whichever network they are in.

use crate::answer::{self, Step, blank, limit, step};
use crate::forward::{Transport, forward, read_framed, write_framed};
use crate::view::View;
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use std::io;
use std::net;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Questions that wait for others at the same time; more are answered SERVFAIL.
const MOST_FORWARDED: usize = 256;
/// Connections at the same time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 128;
/// How long a connection may be silent, and how long it may take to take an answer.
const IDLE: Duration = Duration::from_secs(10);

/// A view that is being served. Dropping it ends that.
#[derive(Debug)]
pub struct Serving(Vec<JoinHandle<()>>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Answers what comes in by these sockets as this view sees it. They need not be non-blocking yet.
///
/// Must be called in a tokio runtime.
pub fn serve(view: &View, udp: net::UdpSocket, tcp: net::TcpListener) -> io::Result<Serving> {
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    let (udp, tcp) = (UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?);
    let server = Server {
        view: view.clone(),
        forwards: Arc::new(Semaphore::new(MOST_FORWARDED)),
    };
    let datagrams = tokio::spawn(server.clone().datagrams(Arc::new(udp)));
    let connections = tokio::spawn(server.connections(tcp));
    Ok(Serving(vec![datagrams, connections]))
}

#[derive(Clone)]
struct Server {
    view: View,
    forwards: Arc<Semaphore>,
}

impl Server {
    async fn datagrams(self, socket: Arc<UdpSocket>) {
        let mut buffer = vec![0; 4096];
        loop {
            // An error is about an earlier answer that could not be delivered.
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                tokio::task::yield_now().await;
                continue;
            };
            let bytes = &buffer[..length];
            let Some((request, step)) = self.consider(bytes) else {
                continue;
            };
            if let Step::Reply(reply) = step {
                if let Some(bytes) = encoded(&reply, limit(&request)) {
                    let _ = socket.send_to(&bytes, from).await;
                }
                continue;
            }
            // Others are slow; nobody else waits for them.
            let (server, socket, bytes) = (self.clone(), socket.clone(), bytes.to_vec());
            tokio::spawn(async move {
                if let Some(bytes) = server.ask(&bytes, &request, step, Transport::Udp).await {
                    let _ = socket.send_to(&bytes, from).await;
                }
            });
        }
    }

    async fn connections(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, most likely: some will be free again.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let server = self.clone();
            tokio::spawn(async move {
                let _ = server.connection(stream).await;
                drop(place);
            });
        }
    }

    async fn connection(&self, mut stream: TcpStream) -> io::Result<()> {
        while let Some(bytes) = timeout(IDLE, read_framed(&mut stream)).await?? {
            let Some((request, step)) = self.consider(&bytes) else {
                return Ok(());
            };
            let answer = match step {
                Step::Reply(reply) => encoded(&reply, usize::from(u16::MAX)),
                step => self.ask(&bytes, &request, step, Transport::Tcp).await,
            };
            let Some(answer) = answer else { return Ok(()) };
            timeout(IDLE, write_framed(&mut stream, &answer)).await??;
        }
        Ok(())
    }

    /// What to do about a message; `None` if it deserves nothing.
    fn consider(&self, bytes: &[u8]) -> Option<(Message, Step)> {
        match Message::from_vec(bytes) {
            Ok(request) => match step(&self.view, &request) {
                Step::Ignore => None,
                step => Some((request, step)),
            },
            Err(_) => {
                // A header that is readable, and not an answer's, tells whom to complain to.
                let id = u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
                (bytes.len() >= 12 && bytes[2] & 0x80 == 0).then(|| {
                    let reply = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
                    (reply.clone(), Step::Reply(reply))
                })
            }
        }
    }

    /// What others say.
    async fn ask(
        &self,
        bytes: &[u8],
        request: &Message,
        step: Step,
        transport: Transport,
    ) -> Option<Vec<u8>> {
        let most = match transport {
            Transport::Udp => answer::limit(request),
            Transport::Tcp => usize::from(u16::MAX),
        };
        let failed = || encoded(&blank(request, ResponseCode::ServFail), most);
        let Ok(_permit) = self.forwards.try_acquire() else {
            return failed();
        };
        let resolvers = self.view.resolvers();
        match step {
            Step::Forward => match forward(bytes, resolvers, transport).await {
                Some(answer) => Some(answer),
                None => failed(),
            },
            Step::Chase(mut reply, query) => {
                let target = question(query)?;
                match self.whole(&target).await {
                    Some(answer) => {
                        reply.metadata.response_code = answer.metadata.response_code;
                        reply.add_answers(answer.answers);
                        reply.add_authorities(answer.authorities);
                        encoded(&reply, most)
                    }
                    None => failed(),
                }
            }
            Step::Ignore | Step::Reply(_) => None,
        }
    }

    /// An answer in full length, however it has to be fetched.
    async fn whole(&self, question: &[u8]) -> Option<Message> {
        let resolvers = self.view.resolvers();
        for transport in [Transport::Udp, Transport::Tcp] {
            let answer = forward(question, resolvers, transport).await?;
            let answer = Message::from_vec(&answer).ok()?;
            if !answer.metadata.truncation {
                return Some(answer);
            }
        }
        None
    }
}

fn question(query: Query) -> Option<Vec<u8>> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(query);
    message.to_vec().ok()
}

/// A reply as bytes; one that is longer than the client takes by UDP says that, and nothing else.
fn encoded(reply: &Message, most: usize) -> Option<Vec<u8>> {
    let bytes = reply.to_vec().ok()?;
    if bytes.len() <= most {
        return Some(bytes);
    }
    reply.truncate().to_vec().ok()
}
