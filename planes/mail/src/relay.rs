//! Handing mail to a relay, which takes it out of this machine. May touch: the network.
//!
//! SMTP (RFC 5321) as far as a relay on the same host or network needs it: without encryption and
//! without a login. A message that the relay took is its own from then on.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::message::Mail;
use crate::plain;

/// How long the relay may take to be reached, and for each of its replies.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest line of a reply, and the most lines of one.
const MAX_LINE: u64 = 1000;
const MAX_LINES: usize = 100;
const DEFAULT_PORT: u16 = 25;

/// A mail server that takes our mail: `smtp://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    host: String,
    port: u16,
}

/// Why a relay does not have a message.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It was not reached, or fell silent.
    #[error("the mail relay: {0}")]
    Io(#[from] io::Error),
    /// It answered with a code of RFC 5321, section 4.2.3.
    #[error("the mail relay refuses: {code} {text}")]
    Refused {
        /// `550`
        code: u16,
        /// Its words.
        text: String,
    },
    /// An address that cannot stand in an SMTP command.
    #[error("`{0}` is no address for SMTP")]
    Address(String),
}

impl RelayError {
    /// Whether trying again later is of no use.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Io(_) => false,
            Self::Refused { code, .. } => *code >= 500,
            Self::Address(_) => true,
        }
    }
}

impl FromStr for Relay {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let address = text.strip_prefix("smtp://").ok_or(())?;
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = match address.rsplit_once(':') {
            // An IPv6 address has colons of its own.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| ())?),
            _ => (address, DEFAULT_PORT),
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let good = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
        if host.is_empty() || !host.chars().all(good) || (bare.is_none() && host.contains(':')) {
            return Err(());
        }
        let host = host.to_owned();
        Ok(Self { host, port })
    }
}

impl Relay {
    /// Hands a message over; the relay has it when this returns. `id` becomes its Message-ID, by
    /// which somebody who gets it twice can tell.
    pub async fn send(&self, id: &str, mail: &Mail) -> Result<(), RelayError> {
        let (from, to) = (address(&mail.from)?, address(&mail.to)?);
        let text = stuffed(&mail.print(&plain(id)));
        let reached = within(TcpStream::connect((self.host.as_str(), self.port))).await?;
        let mut talk = Talk(BufStream::new(reached));
        talk.reply().await?;
        // Our name is of no use to it: it knows us by our address.
        talk.say("EHLO localhost").await?;
        talk.say(&format!("MAIL FROM:<{from}>")).await?;
        talk.say(&format!("RCPT TO:<{to}>")).await?;
        talk.say("DATA").await?;
        talk.write(&text).await?;
        talk.reply().await?;
        // It has the message, whatever it says to this.
        let _ = talk.say("QUIT").await;
        Ok(())
    }
}

/// A conversation with a relay.
struct Talk(BufStream<TcpStream>);

impl Talk {
    async fn say(&mut self, command: &str) -> Result<(), RelayError> {
        self.write(format!("{command}\r\n").as_bytes()).await?;
        self.reply().await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), RelayError> {
        within(self.0.write_all(bytes)).await?;
        Ok(within(self.0.flush()).await?)
    }

    /// Reads a reply to its last line, the one without a hyphen behind the code.
    async fn reply(&mut self) -> Result<(), RelayError> {
        for _ in 0..MAX_LINES {
            let mut line = Vec::new();
            let mut rest = (&mut self.0).take(MAX_LINE);
            within(rest.read_until(b'\n', &mut line)).await?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
            let Some(code) = code.filter(|_| line.ends_with('\n')) else {
                return Err(garbled().into());
            };
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            return match code {
                200..400 => Ok(()),
                _ => Err(RelayError::Refused {
                    code,
                    text: line[3..].trim().to_owned(),
                }),
            };
        }
        Err(garbled().into())
    }
}

fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not speak SMTP")
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// What may stand between angle brackets in a command: no spaces and nothing that ends it.
fn address(text: &str) -> Result<&str, RelayError> {
    let good = |b: u8| b.is_ascii_graphic() && b != b'<' && b != b'>';
    let (user, host) = text.rsplit_once('@').unwrap_or_default();
    match !user.is_empty() && !host.is_empty() && text.len() <= 320 && text.bytes().all(good) {
        true => Ok(text),
        false => Err(RelayError::Address(text.chars().take(320).collect())),
    }
}

/// The text of a message as `DATA` wants it: a dot before each line that begins with one, and a
/// line with nothing but a dot at the end (section 4.5.2).
fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_are_named_by_urls() {
        let relay = |host: &str, port| {
            Ok(Relay {
                host: host.into(),
                port,
            })
        };
        assert_eq!(
            "smtp://mail.example.com".parse(),
            relay("mail.example.com", 25)
        );
        assert_eq!("smtp://127.0.0.1:2525/".parse(), relay("127.0.0.1", 2525));
        assert_eq!("smtp://[::1]:2525".parse(), relay("::1", 2525));
        assert_eq!("smtp://[::1]".parse(), relay("::1", 25));
        for bad in [
            "mail:25",
            "smtps://a",
            "smtp://",
            "smtp://a:b",
            "smtp://a/b",
            "smtp://::1",
            "smtp://a b",
        ] {
            assert_eq!(bad.parse::<Relay>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn a_lone_dot_does_not_end_a_message() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b\r\n"), b"a\r\n..\r\n...b\r\n.\r\n");
        assert_eq!(stuffed(b"a"), b"a\r\n.\r\n");
    }

    #[test]
    fn an_address_is_no_command() {
        assert!(address("ann@example.com").is_ok());
        for bad in [
            "ann",
            "@example.com",
            "a@b>\r\nDATA",
            "a b@example.com",
            "ä@example.com",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
