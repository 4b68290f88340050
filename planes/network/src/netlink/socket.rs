//! A blocking netlink socket. It belongs to the namespace in which it was opened, for good.

use super::message::{self, Message, Received, messages};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::os::fd::OwnedFd;

/// Requests whose acknowledgements surely fit into the socket's buffer.
const BATCH: usize = 64;
/// The kernel's own upper bound for one datagram of a dump.
const BUFFER: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Which subsystem to talk to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subsystem {
    Route,
    Netfilter,
}

impl From<OwnedFd> for Socket {
    /// A socket that somebody opened in some namespace.
    fn from(fd: OwnedFd) -> Socket {
        Socket {
            fd,
            sequence: 0,
            buffer: vec![0; BUFFER],
        }
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> OwnedFd {
        socket.fd
    }
}

impl Socket {
    /// Opens a socket in the namespace of the calling thread.
    pub(crate) fn open(subsystem: Subsystem) -> io::Result<Socket> {
        let protocol = match subsystem {
            // NETLINK_ROUTE is protocol 0, which is also what no protocol means.
            Subsystem::Route => None,
            Subsystem::Netfilter => Some(netlink::NETFILTER),
        };
        let flags = SocketFlags::CLOEXEC;
        let fd = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        net::bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        Ok(Socket::from(fd))
    }

    /// Performs requests in order and says how each one went.
    pub(crate) fn perform(&mut self, requests: &[Message]) -> io::Result<Vec<Result<(), Errno>>> {
        let mut results = Vec::with_capacity(requests.len());
        for batch in requests.chunks(BATCH) {
            let first = self.sequence.wrapping_add(1);
            let mut bytes = Vec::new();
            for request in batch {
                self.sequence = self.sequence.wrapping_add(1);
                request.write(self.sequence, libc::NLM_F_ACK, &mut bytes);
            }
            self.send(&bytes)?;
            let mut answers = vec![None; batch.len()];
            while answers.iter().any(Option::is_none) {
                self.receive(|received| {
                    let at = received.sequence.wrapping_sub(first) as usize;
                    if let (Some(slot), Some(result)) = (answers.get_mut(at), outcome(received)) {
                        *slot = Some(result);
                    }
                })?;
            }
            results.extend(answers.into_iter().flatten());
        }
        Ok(results)
    }

    /// Performs one request.
    pub(crate) fn one(&mut self, request: Message) -> io::Result<()> {
        for result in self.perform(&[request])? {
            result?;
        }
        Ok(())
    }

    /// Asks for a listing and shows each entry's body to `each`.
    pub(crate) fn dump(
        &mut self,
        request: &Message,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let mut bytes = Vec::new();
        request.write(sequence, libc::NLM_F_DUMP, &mut bytes);
        self.send(&bytes)?;
        let mut end = None;
        while end.is_none() {
            self.receive(|received| {
                if received.sequence != sequence {
                    return;
                }
                match i32::from(received.kind) {
                    libc::NLMSG_DONE => end = Some(Ok(())),
                    libc::NLMSG_ERROR => end = outcome(received),
                    _ => each(received.body),
                }
            })?;
        }
        end.unwrap_or(Ok(())).map_err(io::Error::from)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        net::send(&self.fd, bytes, SendFlags::empty())?;
        Ok(())
    }

    fn receive(&mut self, each: impl FnMut(Received<'_>)) -> io::Result<()> {
        let (length, _) = rustix::io::retry_on_intr(|| {
            net::recv(&self.fd, self.buffer.as_mut_slice(), RecvFlags::empty())
        })?;
        messages(&self.buffer[..length]).for_each(each);
        Ok(())
    }
}

/// What an acknowledgement says.
fn outcome(received: Received<'_>) -> Option<Result<(), Errno>> {
    if i32::from(received.kind) != libc::NLMSG_ERROR {
        return None;
    }
    Some(
        match message::number(received.body).map(|code| -(code as i32)) {
            Some(0) | None => Ok(()),
            Some(code) => Err(Errno::from_raw_os_error(code)),
        },
    )
}
