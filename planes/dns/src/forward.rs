//! Questions for others: passed on as they came, answers passed back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one resolver has, and how many of them are asked.
const PATIENCE: Duration = Duration::from_millis(1500);
const MOST: usize = 3;
const PORT: u16 = 53;

/// How a question came, and so how it is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// The first answer that a resolver gives; `None` if none does in time.
pub(crate) async fn forward(
    question: &[u8],
    resolvers: &[SocketAddr],
    transport: Transport,
) -> Option<Vec<u8>> {
    let own_id = question.get(..2)?;
    for resolver in resolvers.iter().take(MOST) {
        // An id of ours: whoever guesses the client's does not guess this one.
        let mut message = question.to_vec();
        getrandom::fill(message.get_mut(..2)?).ok()?;
        let answer = async {
            match transport {
                Transport::Udp => by_udp(&message, *resolver).await,
                Transport::Tcp => by_tcp(&message, *resolver).await,
            }
        };
        if let Ok(Ok(mut answer)) = timeout(PATIENCE, answer).await {
            answer.get_mut(..2)?.copy_from_slice(own_id);
            return Some(answer);
        }
    }
    None
}

async fn by_udp(question: &[u8], resolver: SocketAddr) -> io::Result<Vec<u8>> {
    let here: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A socket of its own for each question, so a port of its own as well.
    let socket = UdpSocket::bind((here, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if length >= 12 && buffer[..2] == question[..2] {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn by_tcp(question: &[u8], resolver: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    write_framed(&mut stream, question).await?;
    match read_framed(&mut stream).await? {
        Some(answer) if answer.len() >= 12 && answer[..2] == question[..2] => Ok(answer),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A message with its length before it (RFC 1035, 4.2.2); `None` at the end of the stream.
pub(crate) async fn read_framed(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        length => length?,
    };
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

pub(crate) async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream
        .write_all(&[&length.to_be_bytes(), message].concat())
        .await
}

/// The resolvers that this host uses, as `/etc/resolv.conf` names them.
pub fn resolvers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(Path::new("/etc/resolv.conf"));
    resolvers_of(&text.unwrap_or_default())
}

/// The resolvers that a file like `/etc/resolv.conf` names (resolv.conf(5)).
pub fn resolvers_of(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| -> Option<SocketAddr> {
        let mut words = line.split_whitespace();
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        Some(SocketAddr::new(address.parse().ok()?, PORT))
    };
    text.lines().filter_map(address).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read() {
        let text = "# nameserver 9.9.9.9\nsearch x\nnameserver 10.0.0.2\nnameserver ::1 # us\nnameserver nonsense\n";
        let expected: [SocketAddr; 2] =
            ["10.0.0.2:53".parse().unwrap(), "[::1]:53".parse().unwrap()];
        assert_eq!(resolvers_of(text), expected);
    }
}
