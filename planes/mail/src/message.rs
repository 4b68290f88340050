//! A message and its MIME form.

use mail_builder::MessageBuilder;
use mail_builder::headers::raw::Raw;

/// A plain text message to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Milliseconds since the epoch.
    pub date: i64,
    /// What stands beside the sender's address.
    pub from_name: String,
    pub from: String,
    pub to: String,
    pub subject: String,
    pub text: String,
    /// Where the reader can end such mails (RFC 2369).
    pub unsubscribe: Option<String>,
}

impl Mail {
    pub(crate) fn print(&self, id: &str) -> Vec<u8> {
        let mut message = MessageBuilder::new()
            .from((one_line(&self.from_name), one_line(&self.from)))
            .to(one_line(&self.to))
            .subject(one_line(&self.subject))
            .message_id(format!("{id}@gureum"))
            .date(self.date / 1000)
            .text_body(self.text.as_str());
        if let Some(url) = &self.unsubscribe {
            let value = format!("<{}>", one_line(url));
            message = message.header("List-Unsubscribe", Raw::new(value));
        }
        let mut text = Vec::new();
        // Writing into memory cannot fail.
        let _ = message.write_to(&mut text);
        text
    }
}

/// Line breaks would begin another header.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
