//! The conversation with a mail server, line by line. May touch: the connection that it is given.
//!
//! SMTP (RFC 5321) with STARTTLS (RFC 3207) and logins (RFC 4954), as far as handing over one message
//! needs them.

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use crate::message::Mail;
use crate::relay::{Login, RelayError};

/// How long the relay may take to be reached, and for each of its replies.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest line of a reply, and the most lines of one.
const MAX_LINE: u64 = 1000;
const MAX_LINES: usize = 100;

/// Who sends to whom, in words that can stand in commands.
pub(crate) struct Envelope<'a> {
    from: &'a str,
    to: &'a str,
}

impl<'a> Envelope<'a> {
    pub(crate) fn of(mail: &'a Mail) -> Result<Self, RelayError> {
        Ok(Self {
            from: address(&mail.from)?,
            to: address(&mail.to)?,
        })
    }
}

/// A conversation with a relay.
pub(crate) struct Talk<S> {
    stream: BufReader<S>,
    /// What it said to our hello: the extensions that it has, in capitals.
    offers: Vec<String>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// A conversation that goes on over another stream.
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
            offers: Vec::new(),
        }
    }

    pub(crate) async fn greeted(stream: S) -> Result<Self, RelayError> {
        let mut talk = Self::over(stream);
        talk.reply().await?;
        Ok(talk)
    }

    pub(crate) async fn hello(&mut self) -> Result<(), RelayError> {
        // Our name is of no use to it: it knows us by our address.
        let lines = self.say("EHLO localhost").await?;
        let offers = lines.iter().skip(1);
        self.offers = offers.map(|line| line.to_ascii_uppercase()).collect();
        Ok(())
    }

    /// Agrees on TLS; what follows on the stream is the handshake.
    pub(crate) async fn start_tls(mut self) -> Result<S, RelayError> {
        if !self.offers.iter().any(|offer| offer == "STARTTLS") {
            return Err(RelayError::NoTls);
        }
        self.say("STARTTLS").await?;
        // What somebody put in before the handshake must not pass for what came over TLS.
        match self.stream.buffer().is_empty() {
            true => Ok(self.stream.into_inner()),
            false => Err(garbled().into()),
        }
    }

    /// Proves who we are. Only to be called over TLS.
    pub(crate) async fn log_in(&mut self, login: &Login) -> Result<(), RelayError> {
        let Login { user, password } = login;
        let proved = if self.takes_login("PLAIN") {
            let both = STANDARD.encode(format!("\0{user}\0{password}"));
            self.say(&format!("AUTH PLAIN {both}")).await
        } else if self.takes_login("LOGIN") {
            self.log_in_by_turns(user, password).await
        } else {
            return Err(RelayError::NoLogin);
        };
        match proved {
            Ok(_) => Ok(()),
            Err(RelayError::Refused { code, text }) => Err(RelayError::Login { code, text }),
            Err(other) => Err(other),
        }
    }

    /// `AUTH LOGIN`, which no RFC describes: it asks for the name, then for the password.
    async fn log_in_by_turns(
        &mut self,
        user: &str,
        password: &str,
    ) -> Result<Vec<String>, RelayError> {
        self.say("AUTH LOGIN").await?;
        self.say(&STANDARD.encode(user)).await?;
        self.say(&STANDARD.encode(password)).await
    }

    fn takes_login(&self, mechanism: &str) -> bool {
        let mut offered = self.offers.iter();
        offered.any(|offer| {
            let mut words = offer.split_ascii_whitespace();
            words.next() == Some("AUTH") && words.any(|word| word == mechanism)
        })
    }

    /// Gives it the message, whose text ends with a lone dot.
    pub(crate) async fn hand_over(
        &mut self,
        envelope: &Envelope<'_>,
        text: &[u8],
    ) -> Result<(), RelayError> {
        let Envelope { from, to } = envelope;
        self.say(&format!("MAIL FROM:<{from}>")).await?;
        self.say(&format!("RCPT TO:<{to}>")).await?;
        self.say("DATA").await?;
        self.write(text).await?;
        self.reply().await?;
        // It has the message, whatever it says to this.
        let _ = self.say("QUIT").await;
        Ok(())
    }

    async fn say(&mut self, command: &str) -> Result<Vec<String>, RelayError> {
        self.write(format!("{command}\r\n").as_bytes()).await?;
        self.reply().await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), RelayError> {
        within(self.stream.write_all(bytes)).await?;
        Ok(within(self.stream.flush()).await?)
    }

    /// Reads a reply to its last line, the one without a hyphen behind the code; its texts.
    async fn reply(&mut self) -> Result<Vec<String>, RelayError> {
        let mut lines = Vec::new();
        while lines.len() < MAX_LINES {
            let mut line = Vec::new();
            let mut rest = (&mut self.stream).take(MAX_LINE);
            within(rest.read_until(b'\n', &mut line)).await?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
            let Some(code) = code.filter(|_| line.ends_with('\n')) else {
                return Err(garbled().into());
            };
            let text = line.get(4..).unwrap_or_default().trim().to_owned();
            if line.as_bytes().get(3) == Some(&b'-') {
                lines.push(text);
                continue;
            }
            if !(200..400).contains(&code) {
                return Err(RelayError::Refused { code, text });
            }
            lines.push(text);
            return Ok(lines);
        }
        Err(garbled().into())
    }
}

fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not speak SMTP")
}

pub(crate) async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
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
pub(crate) fn stuffed(text: &[u8]) -> Vec<u8> {
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

    /// What we say to a server that says these things, one after the other.
    async fn spoken<T>(
        said: &str,
        conversation: impl AsyncFnOnce(Talk<tokio::io::DuplexStream>) -> Result<T, RelayError>,
    ) -> (Result<T, RelayError>, String) {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        theirs.write_all(said.as_bytes()).await.expect("said");
        let outcome = conversation(Talk::over(ours)).await;
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).await.expect("heard");
        (outcome, heard)
    }

    fn login() -> Login {
        Login {
            user: "ann".into(),
            password: "secret".into(),
        }
    }

    async fn logged_in(offers: &str, then: &str) -> (Result<(), RelayError>, String) {
        let said = format!("250-hi\r\n250 {offers}\r\n{then}");
        let (outcome, heard) = spoken(&said, async |mut talk| {
            talk.hello().await?;
            talk.log_in(&login()).await
        })
        .await;
        let heard = heard.strip_prefix("EHLO localhost\r\n").expect("a hello");
        (outcome, heard.to_owned())
    }

    #[tokio::test]
    async fn plain_is_preferred_to_login() {
        let (outcome, heard) = logged_in("Auth LOGIN plain", "235 ok\r\n").await;
        outcome.expect("a login");
        assert_eq!(heard, "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n");
        let asks = "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 ok\r\n";
        let (outcome, heard) = logged_in("AUTH LOGIN CRAM-MD5", asks).await;
        outcome.expect("a login");
        assert_eq!(heard, "AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\n");
    }

    #[tokio::test]
    async fn a_login_that_is_not_taken_is_told() {
        let (outcome, _) = logged_in("AUTH PLAIN", "535 no\r\n").await;
        let error = outcome.expect_err("a refusal");
        assert!(matches!(error, RelayError::Login { code: 535, .. }) && !error.is_permanent());
        let (outcome, heard) = logged_in("AUTH CRAM-MD5", "").await;
        assert!(matches!(outcome, Err(RelayError::NoLogin)) && heard.is_empty());
    }

    #[tokio::test]
    async fn tls_is_begun_only_where_it_is_offered_and_nothing_came_before() {
        let start = async |mut talk: Talk<_>| {
            talk.hello().await?;
            talk.start_tls().await
        };
        let (outcome, heard) = spoken("250-hi\r\n250 AUTH PLAIN\r\n", start).await;
        assert!(matches!(outcome, Err(RelayError::NoTls)));
        assert_eq!(heard, "EHLO localhost\r\n");
        let injected = "250-hi\r\n250 STARTTLS\r\n220 go\r\n250 AUTH PLAIN\r\n";
        let (outcome, _) = spoken(injected, start).await;
        assert!(matches!(outcome, Err(RelayError::Io(_))));
    }
}
