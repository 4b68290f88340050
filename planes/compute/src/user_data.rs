//! User data, taken apart: scripts, cloud-config, and MIME parts of either. Pure.
//! <https://cloudinit.readthedocs.io/en/latest/explanation/format.html>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Runs once in the instance's life, at the end of its first boot.
    Script(Vec<u8>),
    /// Runs early, at every boot.
    Boothook(Vec<u8>),
    CloudConfig(String),
    /// What we do not run, in words for the console.
    Ignored(String),
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The most parts of a message that are looked at.
const MOST_PARTS: usize = 100;

/// Whether it must be unzipped before it is taken apart.
pub(crate) fn is_gzip(data: &[u8]) -> bool {
    data.starts_with(&GZIP)
}

pub(crate) fn parse(data: &[u8]) -> Vec<Part> {
    let text = String::from_utf8_lossy(data);
    let head = text.trim_start();
    let lower = head.get(..64).unwrap_or(head).to_ascii_lowercase();
    if lower.starts_with("content-type:") || lower.starts_with("mime-version:") {
        return mime(head);
    }
    match plain(data) {
        Part::Ignored(_) if data.iter().all(u8::is_ascii_whitespace) => Vec::new(),
        part => vec![part],
    }
}

/// By its first line alone.
fn plain(data: &[u8]) -> Part {
    let first = data.split(|b| *b == b'\n').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    match first.trim_end() {
        "#cloud-config" => Part::CloudConfig(String::from_utf8_lossy(data).into_owned()),
        "#cloud-boothook" => Part::Boothook(data.to_vec()),
        line if line.starts_with("#!") => Part::Script(data.to_vec()),
        line => {
            let shown: String = line.chars().take(40).collect();
            Part::Ignored(format!("begins with {shown:?}"))
        }
    }
}

/// A message of several parts (RFC 2046), or of one.
fn mime(text: &str) -> Vec<Part> {
    let text = text.replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let kind = header(head, "content-type").unwrap_or_default();
    let Some(boundary) = parameter(&kind, "boundary") else {
        return vec![part(head, body)];
    };
    let begin = format!("--{boundary}");
    let mut parts = Vec::new();
    for piece in body.split(&begin).skip(1).take(MOST_PARTS) {
        // "--BOUNDARY--" is the end.
        if piece.starts_with("--") {
            break;
        }
        let piece = piece.strip_prefix('\n').unwrap_or(piece);
        let (head, body) = match piece.strip_prefix('\n') {
            Some(body) => ("", body),
            None => piece.split_once("\n\n").unwrap_or((piece, "")),
        };
        // The line break before a boundary belongs to the boundary.
        parts.push(part(head, body.strip_suffix('\n').unwrap_or(body)));
    }
    parts
}

fn part(head: &str, body: &str) -> Part {
    let encoding = header(head, "content-transfer-encoding").unwrap_or_default();
    let data = match encoding.to_ascii_lowercase().as_str() {
        "base64" => {
            let tight: String = body.split_ascii_whitespace().collect();
            match STANDARD.decode(tight) {
                Ok(data) => data,
                Err(error) => return Part::Ignored(format!("is no base64: {error}")),
            }
        }
        _ => body.as_bytes().to_vec(),
    };
    let kind = header(head, "content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "text/x-shellscript" => Part::Script(data),
        "text/cloud-boothook" => Part::Boothook(data),
        "text/cloud-config" => Part::CloudConfig(String::from_utf8_lossy(&data).into_owned()),
        "" | "text/plain" => plain(&data),
        other => Part::Ignored(format!("is of type {other}")),
    }
}

/// A header's value, its continuation lines joined.
fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().skip_while(|line| {
        let key = line.split(':').next().unwrap_or_default();
        !key.trim().eq_ignore_ascii_case(name)
    });
    let (_, value) = lines.next()?.split_once(':')?;
    let more = lines.take_while(|line| line.starts_with([' ', '\t']));
    Some(more.fold(value.trim().to_owned(), |all, line| all + " " + line.trim()))
}

fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let same = key.trim().eq_ignore_ascii_case(name);
        same.then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_line_says_what_it_is() {
        let script = b"#!/bin/bash\necho hi\n";
        assert_eq!(parse(script), [Part::Script(script.to_vec())]);
        let config = "#cloud-config\nruncmd: []\n";
        assert_eq!(parse(config.as_bytes()), [Part::CloudConfig(config.into())]);
        assert!(matches!(parse(b"hello")[..], [Part::Ignored(_)]));
        assert_eq!(parse(b" \n"), []);
        assert_eq!(parse(b""), []);
    }

    #[test]
    fn a_message_of_several_parts_is_taken_apart() {
        let message = "Content-Type: multipart/mixed;\n boundary=\"//\"\nMIME-Version: 1.0\n\n\
            --//\nContent-Type: text/cloud-config; charset=\"us-ascii\"\n\n#cloud-config\na: 1\n\
            --//\r\nContent-Type: text/x-shellscript\r\nContent-Transfer-Encoding: base64\r\n\r\n\
            IyEvYmluL3NoCmVjaG8gaGkK\r\n--//\nContent-Type: text/html\n\n<p>\n--//--\ntrailer";
        let parts = parse(message.as_bytes());
        assert_eq!(
            parts,
            [
                Part::CloudConfig("#cloud-config\na: 1".into()),
                Part::Script(b"#!/bin/sh\necho hi\n".to_vec()),
                Part::Ignored("is of type text/html".into()),
            ]
        );
    }

    proptest! {
        #[test]
        fn noise_is_taken_apart_without_panic(data: Vec<u8>, text in "(?s)(Content-Type: multipart/mixed; boundary=x\n\n)?.{0,200}") {
            parse(&data);
            parse(text.as_bytes());
        }
    }
}
