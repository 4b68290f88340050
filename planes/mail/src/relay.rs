//! Handing mail to a relay, which takes it out of this machine. May touch: the network.
//!
//! Plain SMTP for a relay on the same host or network; for one that asks for a login, or is reached by
//! `smtps`, TLS, which the caller puts around the connection: whom to trust is not this plane's matter.
//! A message that the relay took is its own from then on.

use std::fmt;
use std::io;

use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::message::Mail;
use crate::plain;
use crate::smtp::{Envelope, Talk, stuffed, within};

/// What a user's name and password are at most, in bytes.
const MAX_CREDENTIAL: usize = 1024;

/// A mail server that takes our mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    host: String,
    port: u16,
    tls: Tls,
    login: Option<Login>,
}

/// When a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    Never,
    /// By STARTTLS (RFC 3207), before the login.
    Upgrade,
    /// From the first byte on (RFC 8314).
    Always,
}

impl Tls {
    /// Relaying, submission, submission over TLS.
    fn port(self) -> u16 {
        match self {
            Self::Never => 25,
            Self::Upgrade => 587,
            Self::Always => 465,
        }
    }
}

/// Whom we say we are, and what proves it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Why something does not name a relay. None of these tells what it was: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayUrlError {
    /// It is no URL of a mail server.
    #[error("it is not a mail server such as smtp://127.0.0.1:25 or smtps://USER@HOST")]
    Malformed,
    /// It holds a password, where everybody on the host could see it.
    #[error("its URL holds a password")]
    PasswordInUrl,
    /// There is a user, and no password.
    #[error("its URL names a user, so it needs a password")]
    NoPassword,
    /// There is a password, and no user.
    #[error("there is a password for it, but its URL names no user")]
    NoUser,
    /// A password that is empty, too long, or not one line.
    #[error("its password is not one line of 1 to {MAX_CREDENTIAL} bytes")]
    BadPassword,
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
    /// It was asked for STARTTLS because there is a login.
    #[error("the mail relay does not offer STARTTLS, and a login is never sent in the clear")]
    NoTls,
    /// The handshake failed: it is not to be trusted, say.
    #[error("no TLS with the mail relay: {0}")]
    Handshake(io::Error),
    /// It takes no login of a kind that we have.
    #[error("the mail relay offers no login by PLAIN or LOGIN")]
    NoLogin,
    /// It does not take the user and the password.
    #[error("the mail relay refuses the login: {code} {text}")]
    Login {
        /// `535`
        code: u16,
        /// Its words.
        text: String,
    },
}

impl RelayError {
    /// Whether trying again later is of no use: it is this message that the relay does not want.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused { code, .. } => *code >= 500,
            Self::Address(_) => true,
            _ => false,
        }
    }

    /// Whether it stays as it is until somebody changes the relay, or how it is reached.
    pub fn is_of_setup(&self) -> bool {
        matches!(
            self,
            Self::NoTls | Self::Handshake(_) | Self::NoLogin | Self::Login { .. }
        )
    }
}

impl Relay {
    /// The relay that `url` names: `smtp://HOST[:PORT]` takes mail without encryption or login,
    /// `smtp://USER@HOST[:PORT]` after STARTTLS and a login, `smtps://[USER@]HOST[:PORT]` over TLS.
    /// What cannot stand in a URL (`@` in a user, say) is written as `%40`.
    ///
    /// # Errors
    /// A user and a `password` belong together.
    pub fn new(url: &str, password: Option<String>) -> Result<Self, RelayUrlError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(RelayUrlError::PasswordInUrl);
        }
        let tls = match (scheme, user) {
            ("smtps", _) => Tls::Always,
            ("smtp", Some(_)) => Tls::Upgrade,
            ("smtp", None) => Tls::Never,
            _ => return Err(RelayUrlError::Malformed),
        };
        let (host, port) = host_and_port(address).ok_or(RelayUrlError::Malformed)?;
        Ok(Self {
            host,
            port: port.unwrap_or(tls.port()),
            tls,
            login: login(user, password)?,
        })
    }

    /// Hands a message over; the relay has it when this returns. `id` becomes its Message-ID, by
    /// which somebody who gets it twice can tell. `secure` makes a TLS connection to this host of a
    /// plain one.
    pub async fn send<S, F>(
        &self,
        id: &str,
        mail: &Mail,
        secure: impl FnOnce(String, TcpStream) -> F,
    ) -> Result<(), RelayError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        F: Future<Output = io::Result<S>>,
    {
        let envelope = Envelope::of(mail)?;
        let text = stuffed(&mail.print(&plain(id)));
        let tcp = within(TcpStream::connect((self.host.as_str(), self.port))).await?;
        let secure = async |tcp| {
            let stream = within(secure(self.host.clone(), tcp)).await;
            stream.map_err(RelayError::Handshake)
        };
        match self.tls {
            Tls::Never => {
                let mut talk = Talk::greeted(tcp).await?;
                talk.hello().await?;
                talk.hand_over(&envelope, &text).await
            }
            Tls::Upgrade => {
                let mut talk = Talk::greeted(tcp).await?;
                talk.hello().await?;
                let tcp = talk.start_tls().await?;
                self.rest(Talk::over(secure(tcp).await?), &envelope, &text)
                    .await
            }
            Tls::Always => {
                let talk = Talk::greeted(secure(tcp).await?).await?;
                self.rest(talk, &envelope, &text).await
            }
        }
    }

    /// What is said over TLS.
    async fn rest<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut talk: Talk<S>,
        envelope: &Envelope<'_>,
        text: &[u8],
    ) -> Result<(), RelayError> {
        talk.hello().await?;
        if let Some(login) = &self.login {
            talk.log_in(login).await?;
        }
        talk.hand_over(envelope, text).await
    }
}

fn host_and_port(address: &str) -> Option<(String, Option<u16>)> {
    let address = address.strip_suffix('/').unwrap_or(address);
    let (host, port) = match address.rsplit_once(':') {
        // An IPv6 address has colons of its own.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (address, None),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let good = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
    let whole = !host.is_empty() && host.chars().all(good);
    (whole && (bare.is_some() || !host.contains(':'))).then(|| (host.to_owned(), port))
}

fn login(user: Option<&str>, password: Option<String>) -> Result<Option<Login>, RelayUrlError> {
    let (user, password) = match (user, password) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(RelayUrlError::NoPassword),
        (None, Some(_)) => return Err(RelayUrlError::NoUser),
        (Some(user), Some(password)) => (user, password),
    };
    // A zero would end it in the message that carries both (RFC 4616).
    let good = |text: &str| {
        (1..=MAX_CREDENTIAL).contains(&text.len()) && !text.chars().any(char::is_control)
    };
    let user = percent_decode_str(user).decode_utf8();
    let user = user.ok().filter(|user| good(user));
    let user = user.ok_or(RelayUrlError::Malformed)?.into_owned();
    match good(&password) {
        true => Ok(Some(Login { user, password })),
        false => Err(RelayUrlError::BadPassword),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_are_named_by_urls() {
        let relay = |host: &str, port, tls| {
            Ok(Relay {
                host: host.into(),
                port,
                tls,
                login: None,
            })
        };
        for (url, expected) in [
            (
                "smtp://mail.example.com",
                relay("mail.example.com", 25, Tls::Never),
            ),
            (
                "smtp://127.0.0.1:2525/",
                relay("127.0.0.1", 2525, Tls::Never),
            ),
            ("smtp://[::1]:2525", relay("::1", 2525, Tls::Never)),
            ("smtp://[::1]", relay("::1", 25, Tls::Never)),
            ("smtps://a", relay("a", 465, Tls::Always)),
        ] {
            assert_eq!(Relay::new(url, None), expected, "{url}");
        }
        for bad in [
            "mail:25",
            "http://a",
            "smtp://",
            "smtp://a:b",
            "smtp://a/b",
            "smtp://::1",
            "smtp://a b",
        ] {
            let relay = Relay::new(bad, None);
            assert_eq!(relay, Err(RelayUrlError::Malformed), "{bad}");
        }
    }

    #[test]
    fn a_login_has_a_user_and_a_password() {
        let relay =
            |url: &str, password: Option<&str>| Relay::new(url, password.map(str::to_owned));
        for (url, port, tls) in [
            ("smtp://a%40b.c@mail", 587, Tls::Upgrade),
            ("smtps://a@b.c@mail", 465, Tls::Always),
        ] {
            let relay = relay(url, Some("geheim: 1")).expect("a relay");
            assert_eq!((relay.port, relay.tls), (port, tls));
            let login = relay.login.as_ref().expect("a login");
            assert_eq!(
                (login.user.as_str(), login.password.as_str()),
                ("a@b.c", "geheim: 1")
            );
            assert!(!format!("{relay:?}").contains("geheim"));
        }
        use RelayUrlError::*;
        for (url, password, why) in [
            ("smtp://user@mail", None, NoPassword),
            ("smtps://user@mail", None, NoPassword),
            ("smtp://mail", Some("p"), NoUser),
            ("smtp://user:p@mail", None, PasswordInUrl),
            ("tcp://user:p@mail", None, PasswordInUrl),
            ("user:p@mail:port", Some("p"), PasswordInUrl),
            ("smtp://@mail", Some("p"), Malformed),
            ("smtp://a%00b@mail", Some("p"), Malformed),
            ("smtp://user@mail", Some(""), BadPassword),
            ("smtp://user@mail", Some("two\nlines"), BadPassword),
        ] {
            assert_eq!(relay(url, password), Err(why), "{url}");
        }
    }
}
