//! Mail: what the cloud sends by e-mail, as MIME messages in a maildir, and through a relay where there
//! is one. May touch: that directory, and the network.
//!
//! ```text
//! DIR/tmp   being written
//! DIR/new   not read yet
//! DIR/cur   read, by whatever mail program looks here
//! ```
//!
//! A message is written and flushed under `tmp`, then renamed into `new`: it is there whole, and
//! durable when [`Mailbox::deliver`] returns. Its file is named after the caller's id, so that
//! delivering again what was delivered (after a crash, say) leaves one message, not two.
//!
//! Format: <https://cr.yp.to/proto/maildir.html>, RFC 5322, RFC 2045.

mod message;
mod read;
mod relay;
mod smtp;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use message::Mail;
pub use read::{Received, read};
pub use relay::{Relay, RelayError, RelayUrlError};

/// What can go wrong with the mailbox.
#[derive(Debug, thiserror::Error)]
#[error("the mailbox {path}: {source}")]
pub struct MailError {
    path: PathBuf,
    source: io::Error,
}

/// A maildir. Clones share it.
#[derive(Clone, Debug)]
pub struct Mailbox(Arc<PathBuf>);

impl Mailbox {
    /// Opens the maildir at `dir`, or makes one that only its owner may read.
    pub fn open(dir: PathBuf) -> Result<Self, MailError> {
        for folder in ["tmp", "new", "cur"] {
            let folder = dir.join(folder);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|source| MailError {
                    path: folder,
                    source,
                })?;
        }
        Ok(Self(Arc::new(dir)))
    }

    /// Puts a message into the mailbox; it is durable on return. `id` (letters, digits, hyphens)
    /// tells one message from another.
    pub async fn deliver(&self, id: &str, mail: &Mail) -> Result<(), MailError> {
        let name = format!("{}.{}.gureum", mail.date / 1000, plain(id));
        let text = mail.print(&plain(id));
        let dir = Arc::clone(&self.0);
        let stored = tokio::task::spawn_blocking(move || {
            store(&dir, &name, &text).map_err(|source| MailError {
                path: dir.to_path_buf(),
                source,
            })
        });
        stored.await.unwrap_or_else(|panic| {
            Err(MailError {
                path: self.0.to_path_buf(),
                source: io::Error::other(panic),
            })
        })
    }
}

/// What may stand in a file's name.
fn plain(id: &str) -> String {
    let good = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    id.chars().filter(good).take(128).collect()
}

fn store(dir: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let partial = dir.join("tmp").join(name);
    let new = dir.join("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&partial, new.join(name))?;
    File::open(new)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(subject: &str) -> Mail {
        Mail {
            date: 1_700_000_000_123,
            from_name: "Büro".into(),
            from: "no-reply@sns.gureum.localhost".into(),
            to: "ann@example.com".into(),
            subject: subject.into(),
            text: "Grüße,\nein langer Text: ".to_owned() + &"x".repeat(2_000),
            unsubscribe: Some("https://127.0.0.1/?a=b".into()),
        }
    }

    #[tokio::test]
    async fn what_is_delivered_can_be_read() {
        let dir = tempfile::tempdir().expect("dir");
        let home = dir.path().join("mail");
        let mailbox = Mailbox::open(home.clone()).expect("mailbox");
        mailbox
            .deliver("one", &mail("구름 소식"))
            .await
            .expect("one");
        mailbox.deliver("two", &mail("plain")).await.expect("two");
        let found = read(&home).expect("read");
        assert_eq!(found.len(), 2);
        let first = &found[0];
        assert_eq!(first.subject, "구름 소식");
        assert_eq!(first.to, ["ann@example.com"]);
        assert_eq!(first.from, "no-reply@sns.gureum.localhost");
        assert_eq!(first.text.trim_end(), mail("").text);
        assert_eq!(first.date, Some(1_700_000_000));
    }

    #[tokio::test]
    async fn a_message_delivered_twice_is_there_once() {
        let dir = tempfile::tempdir().expect("dir");
        let mailbox = Mailbox::open(dir.path().into()).expect("mailbox");
        for _ in 0..2 {
            mailbox
                .deliver("../same", &mail("s"))
                .await
                .expect("deliver");
        }
        assert_eq!(read(dir.path()).expect("read").len(), 1);
        let left = fs::read_dir(dir.path().join("tmp")).expect("tmp").count();
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn nobody_can_add_a_header() {
        let dir = tempfile::tempdir().expect("dir");
        let mailbox = Mailbox::open(dir.path().into()).expect("mailbox");
        let mut evil = mail("hi\r\nBcc: eve@example.com");
        evil.to = "ann@example.com\r\nBcc: eve@example.com".into();
        mailbox.deliver("x", &evil).await.expect("deliver");
        let file = fs::read_dir(dir.path().join("new")).expect("new").next();
        let text = fs::read_to_string(file.expect("one").expect("entry").path()).expect("text");
        assert!(!text.lines().any(|line| line.starts_with("Bcc:")), "{text}");
    }
}
