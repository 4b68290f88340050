//! Browser forms (`multipart/form-data`): the fields before the file, their signature, and the
//! file as a stream.
//!
//! Source: RFC 7578, and "Browser-Based Uploads Using POST" in the S3 API Reference.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use gureum_dispatch::{Caller, FormFields};
use gureum_schema::{Body, Error, Result};
use http::{Method, header};
use memchr::memmem;

use super::Door;
use super::auth::Signature;
use super::pipeline::Visit;
use crate::sigv4::{Family, PostClaim};

/// Everything before the file, at most.
const FIELDS: usize = 64 << 10;
const FIELD_COUNT: usize = 200;

/// A web request as the services see it.
pub(super) struct Read {
    pub(super) caller: Arc<Caller>,
    pub(super) signature: Signature,
    pub(super) fields: Option<FormFields>,
    pub(super) body: Body,
}

/// Takes a form apart, where the request is one; other requests pass as they are, anonymous.
pub(super) async fn read(door: &Door, visit: &Visit, body: Body) -> Result<Read> {
    let anonymous = Arc::new(Caller::anonymous());
    let Some(boundary) = boundary(visit) else {
        return Ok(Read {
            caller: anonymous,
            signature: Signature::NONE,
            fields: None,
            body,
        });
    };
    let mut parser = Parser::new(body, &boundary);
    let fields = parser.fields().await?;
    let (caller, signature) = match claim(&fields)? {
        Some(claim) => {
            let token = fields.get("x-amz-security-token");
            let caller = door.prove_form(&claim, token, visit.now)?;
            let auth_type = "POST";
            (caller, Signature { auth_type, age: 0 })
        }
        None => (anonymous, Signature::NONE),
    };
    Ok(Read {
        caller,
        signature,
        body: parser.file(),
        fields: Some(fields),
    })
}

fn claim(fields: &FormFields) -> Result<Option<PostClaim<'_>>> {
    let (Some(policy), Some(signature)) = (fields.get("policy"), fields.get("x-amz-signature"))
    else {
        return Ok(None);
    };
    let field = |name| fields.get(name).unwrap_or_default();
    PostClaim::parse(
        policy,
        field("x-amz-algorithm"),
        field("x-amz-credential"),
        field("x-amz-date"),
        signature,
    )
    .map(Some)
    .map_err(|error| error.reply(Family::S3))
}

fn boundary(visit: &Visit) -> Option<String> {
    if visit.parts.method != Method::POST {
        return None;
    }
    let value = visit
        .parts
        .headers
        .get(header::CONTENT_TYPE)?
        .to_str()
        .ok()?;
    let (kind, parameters) = value.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut parameters = parameters
        .split(';')
        .filter_map(|p| p.trim().split_once('='));
    let (_, boundary) = parameters.find(|(name, _)| name.eq_ignore_ascii_case("boundary"))?;
    let boundary = boundary.trim_matches('"');
    (1..=200)
        .contains(&boundary.len())
        .then(|| boundary.to_owned())
}

/// Reads a form from a stream, holding no more of it than one field or one chunk.
struct Parser {
    body: Body,
    held: BytesMut,
    /// `\r\n--BOUNDARY`
    delimiter: Vec<u8>,
    ended: bool,
}

impl Parser {
    fn new(body: Body, boundary: &str) -> Self {
        Self {
            body,
            // The first delimiter has no line before it; give it one.
            held: BytesMut::from(&b"\r\n"[..]),
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            ended: false,
        }
    }

    /// The fields up to the one named `file`, whose content comes next.
    async fn fields(&mut self) -> Result<FormFields> {
        let mut fields = FormFields::default();
        let mut budget = FIELDS;
        let delimiter = self.delimiter.clone();
        self.until(&delimiter, budget).await?;
        loop {
            let head = self.until(b"\r\n\r\n", budget).await?;
            let (name, file_name, kind) = part_head(&head)?;
            if name.eq_ignore_ascii_case("file") {
                if let Some(file_name) = file_name {
                    fields.0.push(("file-name".into(), file_name));
                }
                if let (Some(kind), None) = (kind, fields.get("content-type")) {
                    fields.0.push(("file-content-type".into(), kind));
                }
                return Ok(fields);
            }
            let value = self.until(&delimiter, budget).await?;
            let used = head.len() + value.len();
            budget = budget.checked_sub(used).ok_or_else(too_large)?;
            let value = String::from_utf8(value.to_vec()).map_err(|_| malformed())?;
            fields.0.push((name, value));
            if fields.0.len() > FIELD_COUNT {
                return Err(too_large());
            }
        }
    }

    /// What stands before `mark`, which is consumed too.
    async fn until(&mut self, mark: &[u8], limit: usize) -> Result<Bytes> {
        loop {
            if let Some(at) = memmem::find(&self.held, mark) {
                let found = self.held.split_to(at).freeze();
                let _ = self.held.split_to(mark.len());
                return Ok(found);
            }
            if self.held.len() > limit + mark.len() {
                return Err(too_large());
            }
            match self.body.chunk().await {
                Some(Ok(chunk)) => self.held.extend_from_slice(&chunk),
                Some(Err(_)) => return Err(malformed()),
                None => return Err(malformed()),
            }
        }
    }

    /// The file: everything up to the next delimiter. What follows it is not looked at.
    fn file(self) -> Body {
        Body::stream(
            stream::unfold(self, |mut parser| async move {
                let chunk = parser.file_chunk().await?;
                Some((chunk, parser))
            }),
            None,
        )
    }

    async fn file_chunk(&mut self) -> Option<io::Result<Bytes>> {
        while !self.ended {
            if let Some(at) = memmem::find(&self.held, &self.delimiter) {
                self.ended = true;
                let last = self.held.split_to(at).freeze();
                return (!last.is_empty()).then_some(Ok(last));
            }
            // The end of what is held may be the beginning of the delimiter.
            let free = self.held.len().saturating_sub(self.delimiter.len());
            if free > 0 {
                return Some(Ok(self.held.split_to(free).freeze()));
            }
            match self.body.chunk().await {
                Some(Ok(chunk)) => self.held.extend_from_slice(&chunk),
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    self.ended = true;
                    return Some(Err(io::Error::other(malformed())));
                }
            }
        }
        None
    }
}

/// Name, file name and content type of a part.
fn part_head(head: &[u8]) -> Result<(String, Option<String>, Option<String>)> {
    let head = std::str::from_utf8(head).map_err(|_| malformed())?;
    let (mut name, mut file_name, mut kind) = (None, None, None);
    for line in head.lines() {
        let Some((field, value)) = line.split_once(':') else {
            continue;
        };
        if field.eq_ignore_ascii_case("content-type") {
            kind = Some(value.trim().to_owned());
        } else if field.eq_ignore_ascii_case("content-disposition") {
            for parameter in value.split(';') {
                match parameter.trim().split_once('=') {
                    Some(("name", text)) => name = Some(text.trim_matches('"').to_owned()),
                    Some(("filename", text)) => file_name = Some(text.trim_matches('"').to_owned()),
                    _ => {}
                }
            }
        }
    }
    Ok((name.ok_or_else(malformed)?, file_name, kind))
}

fn malformed() -> Error {
    Error::new(
        "MalformedPOSTRequest",
        400,
        "The body of your POST request is not well-formed multipart/form-data.",
    )
}

fn too_large() -> Error {
    Error::new(
        "MaxPostPreDataLengthExceeded",
        400,
        "Your POST request fields preceding the upload file were too large.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--XX\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\na/${filename}\r\n\
        --XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.txt\"\r\n\
        Content-Type: text/plain\r\n\r\none\r\n--X not the end\r\n--XX--\r\n";

    async fn parse(form: &str, size: usize) -> (FormFields, Result<Bytes, io::Error>) {
        let chunks: Vec<_> = form
            .as_bytes()
            .chunks(size)
            .map(|c| Ok(Bytes::copy_from_slice(c)))
            .collect();
        let mut parser = Parser::new(Body::stream(stream::iter(chunks), None), "XX");
        let fields = parser.fields().await.expect("fields");
        (fields, parser.file().collect(1000).await)
    }

    #[tokio::test]
    async fn reads_fields_and_file_however_they_arrive() {
        for size in [1, 2, 3, 7, 50, 1000] {
            let (fields, file) = parse(FORM, size).await;
            assert_eq!(fields.get("Key"), Some("a/${filename}"), "chunks of {size}");
            assert_eq!(fields.get("file-name"), Some("x.txt"));
            assert_eq!(
                file.expect("file"),
                "one\r\n--X not the end",
                "chunks of {size}"
            );
        }
    }

    #[tokio::test]
    async fn a_form_cut_short_is_an_error() {
        let cut = &FORM[..FORM.len() - 10];
        assert!(parse(cut, 5).await.1.is_err());
    }
}
