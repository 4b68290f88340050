//! Reading the mailbox, for people and their tests.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use mail_parser::MessageParser;

/// A message as it lies in the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The file's name.
    pub file: String,
    /// Seconds since the epoch.
    pub date: Option<i64>,
    pub from: String,
    pub to: Vec<String>,
    pub subject: String,
    pub text: String,
}

/// All messages of the maildir at `dir`, oldest first; none where there is no maildir.
pub fn read(dir: &Path) -> io::Result<Vec<Received>> {
    let mut found = Vec::new();
    for folder in ["new", "cur"] {
        let entries = match fs::read_dir(dir.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let text = match fs::read(entry.path()) {
                Ok(text) => text,
                // A mail program may move it from one folder to the other as we look.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            found.extend(parse(
                entry.file_name().to_string_lossy().into_owned(),
                &text,
            ));
        }
    }
    found.sort_by(|a, b| (a.date, &a.file).cmp(&(b.date, &b.file)));
    Ok(found)
}

fn parse(file: String, text: &[u8]) -> Option<Received> {
    let message = MessageParser::default().parse(text)?;
    let addresses = |list: Option<&mail_parser::Address<'_>>| -> Vec<String> {
        let all = list.into_iter().flat_map(mail_parser::Address::iter);
        all.filter_map(|one| one.address().map(str::to_owned))
            .collect()
    };
    Some(Received {
        file,
        date: message.date().map(mail_parser::DateTime::to_timestamp),
        from: addresses(message.from())
            .into_iter()
            .next()
            .unwrap_or_default(),
        to: addresses(message.to()),
        subject: message.subject().unwrap_or_default().to_owned(),
        text: message
            .body_text(0)
            .unwrap_or_default()
            .replace("\r\n", "\n"),
    })
}
