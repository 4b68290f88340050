//! Messages with descriptors over a Unix stream socket: a length (u32, little endian), then the
//! body; descriptors travel with the first bytes. Used between all processes of the room.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;

/// The longest body. A whole VPC with thousands of rules is some hundred KiB.
pub const LARGEST: usize = 16 << 20;
/// The most descriptors in one message.
pub const MOST_FDS: usize = 16;
const HEAD: usize = 4;

#[derive(Debug, Default)]
pub struct Frame {
    pub body: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

/// Puts together what arrives. Works on blocking and non-blocking sockets alike.
#[derive(Default)]
pub struct Receiver {
    buffer: Vec<u8>,
    filled: usize,
    fds: Vec<OwnedFd>,
}

impl Receiver {
    /// The next message. `WouldBlock` when it is not whole yet: call again when more has come.
    /// `UnexpectedEof` when the other side is gone.
    pub fn receive(&mut self, socket: impl AsFd) -> io::Result<Frame> {
        loop {
            let whole = self.wanted()?;
            if self.filled >= HEAD && self.filled == whole {
                let mut body = std::mem::take(&mut self.buffer);
                body.drain(..HEAD);
                self.filled = 0;
                return Ok(Frame {
                    body,
                    fds: std::mem::take(&mut self.fds),
                });
            }
            self.buffer.resize(whole, 0);
            self.fill(socket.as_fd())?;
        }
    }

    /// How long the message is, as far as that is known.
    fn wanted(&self) -> io::Result<usize> {
        let Some(head) = self
            .buffer
            .first_chunk::<HEAD>()
            .filter(|_| self.filled >= HEAD)
        else {
            return Ok(HEAD);
        };
        let length = u32::from_le_bytes(*head) as usize;
        match length <= LARGEST {
            true => Ok(HEAD + length),
            false => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut self.buffer[self.filled..])];
        let got = retry(|| recvmsg(socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if got.bytes == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.filled += got.bytes;
        Ok(())
    }
}

/// A message on its way out.
pub struct Sender<'a> {
    bytes: Vec<u8>,
    sent: usize,
    fds: &'a [BorrowedFd<'a>],
}

impl<'a> Sender<'a> {
    pub fn new(body: &[u8], fds: &'a [BorrowedFd<'a>]) -> io::Result<Sender<'a>> {
        if body.len() > LARGEST || fds.len() > MOST_FDS {
            return Err(ErrorKind::InvalidInput.into());
        }
        // LARGEST fits a u32.
        let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(body);
        Ok(Sender {
            bytes,
            sent: 0,
            fds,
        })
    }

    /// Sends as much as fits; `WouldBlock` when something is left.
    pub fn send(&mut self, socket: impl AsFd) -> io::Result<()> {
        while self.sent < self.bytes.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if self.sent == 0 && !self.fds.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(self.fds));
            }
            let from = [IoSlice::new(&self.bytes[self.sent..])];
            let sent = retry(|| sendmsg(&socket, &from, &mut ancillary, SendFlags::NOSIGNAL))?;
            self.sent += sent;
        }
        Ok(())
    }
}

/// Sends a message and waits, on any socket, until the kernel has taken all of it.
pub fn send(
    socket: impl AsFd,
    body: &[u8],
    fds: &[BorrowedFd<'_>],
    patience: Duration,
) -> io::Result<()> {
    let mut sender = Sender::new(body, fds)?;
    patiently(socket.as_fd(), PollFlags::OUT, patience, |socket| {
        sender.send(socket)
    })
}

/// Waits for one message.
pub fn receive(socket: impl AsFd, patience: Duration) -> io::Result<Frame> {
    let mut receiver = Receiver::default();
    patiently(socket.as_fd(), PollFlags::IN, patience, |socket| {
        receiver.receive(socket)
    })
}

/// Sends a message and waits for the next one, within tokio. The socket is non-blocking and used
/// by nobody else meanwhile.
pub async fn exchange(
    socket: &tokio::net::UnixStream,
    body: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<Frame> {
    let mut sender = Sender::new(body, fds)?;
    let sent = socket.async_io(Interest::WRITABLE, || sender.send(socket));
    sent.await?;
    let mut receiver = Receiver::default();
    let received = socket.async_io(Interest::READABLE, || receiver.receive(socket));
    received.await
}

fn patiently<T>(
    socket: BorrowedFd<'_>,
    ready: PollFlags,
    patience: Duration,
    mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        wait_for(socket, ready, patience.saturating_sub(begun.elapsed()))?;
        match attempt(socket) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
    }
}

/// Waits until a descriptor is ready; `TimedOut` when it does not become so in time.
pub fn wait_for(fd: BorrowedFd<'_>, ready: PollFlags, patience: Duration) -> io::Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(fd, ready)];
    match retry(|| poll(&mut fds, Some(&timespec(patience))))? {
        0 => Err(ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// A span in the kernel's form.
pub fn timespec(span: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(span.subsec_nanos()),
    }
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            outcome => return outcome.map_err(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn bodies_and_descriptors_arrive_together_and_in_order() {
        let (near, far) = UnixStream::pair().expect("pair");
        let (mut reader, writer) = std::io::pipe().expect("pipe");
        send(&near, b"with", &[writer.as_fd()], SOON).expect("send");
        drop(writer);
        send(&near, b"", &[], SOON).expect("send");
        let first = receive(&far, SOON).expect("first");
        let second = receive(&far, SOON).expect("second");
        assert_eq!((first.body.as_slice(), first.fds.len()), (&b"with"[..], 1));
        assert_eq!((second.body.len(), second.fds.len()), (0, 0));
        let mut through = File::from(first.fds.into_iter().next().expect("one"));
        through.write_all(b"hello").expect("write");
        drop(through);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "hello");
    }

    #[test]
    fn a_long_body_needs_many_turns_of_both_sides() {
        let (near, far) = UnixStream::pair().expect("pair");
        near.set_nonblocking(true).expect("non-blocking");
        let body: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        let sender = std::thread::spawn({
            let body = body.clone();
            move || send(&near, &body, &[], SOON)
        });
        assert_eq!(receive(&far, SOON).expect("receive").body, body);
        sender.join().expect("thread").expect("sent");
    }

    #[test]
    fn an_absurd_length_is_refused_and_an_end_is_told() {
        let (mut near, far) = UnixStream::pair().expect("pair");
        near.write_all(&u32::MAX.to_le_bytes()).expect("write");
        let error = receive(&far, SOON).expect_err("absurd");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let (near, far) = UnixStream::pair().expect("pair");
        drop(near);
        let error = receive(&far, SOON).expect_err("gone");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_message_that_comes_in_bits_is_put_together() {
        let (mut near, far) = UnixStream::pair().expect("pair");
        far.set_nonblocking(true).expect("non-blocking");
        let mut receiver = Receiver::default();
        for byte in [3u8, 0, 0, 0, b'a', b'b'] {
            near.write_all(&[byte]).expect("write");
            let error = receiver.receive(&far).expect_err("not whole");
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
        near.write_all(b"c").expect("write");
        assert_eq!(receiver.receive(&far).expect("whole").body, b"abc");
    }
}
