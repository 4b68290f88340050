//! `aws-chunked`: a body in chunks of its own, each signed or not, with trailing headers.
//!
//! ```text
//! 10000;chunk-signature=<64 digits>\r\n   size in hexadecimal; the signature in signed bodies only
//! <65536 bytes>\r\n
//! 0;chunk-signature=<64 digits>\r\n
//! x-amz-checksum-crc32:<base64>\r\n       trailers, if announced
//! x-amz-trailer-signature:<64 digits>\r\n the signature of the trailers, in signed bodies only
//! \r\n
//! ```
//!
//! Source: "Signature calculations: transferring payload in multiple chunks" and "… including
//! trailing headers" in the S3 API Reference.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use gureum_schema::{Body, Bytes, Trailers};
use http::HeaderMap;
use ring::digest::{self, SHA256};

use super::body::BodyError;
use super::canonical::hex_of;
use super::date::AmzDate;
use super::error::SigError;
use super::key::SigningKey;
use super::{Digest, digest_of, parse_digest, sha256};

/// A signed chunk is held in memory until its signature is known to be right.
pub const MAX_SIGNED_CHUNK: u64 = 16 << 20;
/// A size line with a signature has some 90 bytes; a trailer may be longer.
const MAX_LINE: usize = 4096;
const MAX_TRAILERS: usize = 16;
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// How a chunked body is to be verified.
#[derive(Debug)]
pub struct Chunked {
    chain: Option<Box<Chain>>,
    trailer: bool,
}

impl Chunked {
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`, which anonymous senders use too.
    pub fn unsigned() -> Self {
        Self {
            chain: None,
            trailer: true,
        }
    }

    /// Only the framing is taken off: for a door that checks no signatures.
    pub(super) fn unverified(trailer: bool) -> Self {
        Self {
            chain: None,
            trailer,
        }
    }

    #[cfg(test)]
    pub(super) fn into_chain(self) -> Option<Chain> {
        self.chain.map(|chain| *chain)
    }

    #[cfg(test)]
    pub(super) fn from_chain(chain: Chain, trailer: bool) -> Self {
        Self {
            chain: Some(Box::new(chain)),
            trailer,
        }
    }

    pub(super) fn signed(
        key: SigningKey,
        date: AmzDate,
        scope: String,
        seed: Digest,
        trailer: bool,
    ) -> Self {
        let chain = Chain {
            key,
            date,
            scope,
            previous: seed,
        };
        Self {
            chain: Some(Box::new(chain)),
            trailer,
        }
    }
}

/// Each signature covers the one before it; the first covers that of the request, the seed.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    key: SigningKey,
    date: AmzDate,
    scope: String,
    previous: Digest,
}

impl Chain {
    fn text(&self, kind: &str, hashes: &[Digest]) -> String {
        let mut text = String::with_capacity(256);
        let mut buffer = [0; 64];
        for part in [kind, self.date.as_str(), &self.scope] {
            text.push_str(part);
            text.push('\n');
        }
        text.push_str(hex_of(&self.previous, &mut buffer));
        for hash in hashes {
            text.push('\n');
            text.push_str(hex_of(hash, &mut buffer));
        }
        text
    }

    fn chunk_text(&self, hash: Digest) -> String {
        self.text("AWS4-HMAC-SHA256-PAYLOAD", &[sha256(b""), hash])
    }

    fn trailer_text(&self, trailers: &[(String, String)]) -> String {
        let mut canonical = String::new();
        for (name, value) in trailers {
            canonical.push_str(name);
            canonical.push(':');
            canonical.push_str(value);
            canonical.push('\n');
        }
        self.text("AWS4-HMAC-SHA256-TRAILER", &[sha256(canonical.as_bytes())])
    }

    fn verify(&mut self, text: &str, signature: Digest) -> Result<(), BodyError> {
        if !self.key.verify(text.as_bytes(), &signature) {
            return Err(BodyError::ChunkSignature);
        }
        self.previous = signature;
        Ok(())
    }

    /// The signature of the next chunk, for senders.
    #[cfg(test)]
    pub(super) fn sign_chunk(&mut self, chunk: &[u8]) -> String {
        self.previous = self.key.sign(self.chunk_text(sha256(chunk)).as_bytes());
        hex::encode(self.previous)
    }

    #[cfg(test)]
    pub(super) fn sign_trailer(&mut self, trailers: &[(String, String)]) -> String {
        hex::encode(self.key.sign(self.trailer_text(trailers).as_bytes()))
    }
}

/// The length of the content without its framing.
pub(super) fn decoded_length(headers: &HeaderMap) -> Result<u64, SigError> {
    headers
        .get("x-amz-decoded-content-length")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok())
        .ok_or(SigError::MissingDecodedLength)
}

/// The names in `x-amz-trailer`, in lower case.
pub(super) fn announced_trailers(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all("x-amz-trailer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The content of a chunked body, as it comes in. `length` is enforced, and every announced trailer
/// must come.
pub(super) fn decode(body: Body, chunked: Chunked, length: u64, announced: Vec<String>) -> Body {
    let trailers = Trailers::new(announced.iter().cloned());
    let decoder = Decoder {
        chain: chunked.chain,
        trailer: chunked.trailer,
        announced,
        declared: length,
        announced_bytes: 0,
        state: State::Size,
        line: Vec::new(),
        unverified: None,
        held: Held::default(),
        ready: VecDeque::new(),
        fields: Vec::new(),
        trailers: trailers.clone(),
    };
    let stream = Chunks {
        body,
        input: Bytes::new(),
        decoder,
        ended: false,
    };
    Body::stream(stream, Some(length)).with_trailers(trailers)
}

/// The decoder, fed from a body.
struct Chunks {
    body: Body,
    input: Bytes,
    decoder: Decoder,
    ended: bool,
}

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let failed = loop {
            if let Some(piece) = this.decoder.ready.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            if this.input.is_empty() {
                match ready!(this.body.poll_chunk(cx)) {
                    Some(Ok(bytes)) => this.input = bytes,
                    Some(Err(error)) => break error,
                    None => match this.decoder.finish() {
                        Ok(()) => this.ended = true,
                        Err(error) => break error.into(),
                    },
                }
            } else if let Err(error) = this.decoder.step(&mut this.input) {
                break error.into();
            }
        };
        // Whoever reads on after an error gets nothing more.
        this.ended = true;
        this.body = Body::empty();
        Poll::Ready(Some(Err(failed)))
    }
}

enum State {
    /// In the line before a chunk.
    Size,
    /// In a chunk of which so many bytes are to come.
    Data(u64),
    /// In the line break after a chunk.
    Break,
    /// In the lines after the last chunk.
    Trailer,
    End,
}

/// The framing as a state machine: bytes in, pieces of content out, nothing copied but lines.
struct Decoder {
    chain: Option<Box<Chain>>,
    trailer: bool,
    announced: Vec<String>,
    declared: u64,
    /// The sum of the chunks' sizes so far.
    announced_bytes: u64,
    state: State,
    line: Vec<u8>,
    /// A signed chunk that is not verified yet: its hash so far, its signature, its bytes.
    unverified: Option<(digest::Context, Digest)>,
    held: Held,
    /// Content that may be read.
    ready: VecDeque<Bytes>,
    fields: Vec<(String, String)>,
    trailers: Trailers,
}

impl Decoder {
    /// Takes some of `input`, which is not empty.
    fn step(&mut self, input: &mut Bytes) -> Result<(), BodyError> {
        if let State::Data(left) = self.state {
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
            return self.data(left, input.split_to(size));
        }
        if matches!(self.state, State::End) {
            return Err(BodyError::Malformed("bytes follow its end"));
        }
        let Some(line) = self.take_line(input)? else {
            return Ok(());
        };
        match self.state {
            State::Size => self.size_line(&line),
            State::Break if line.is_empty() => {
                self.state = State::Size;
                Ok(())
            }
            State::Break => Err(BodyError::Malformed("a chunk is longer than announced")),
            _ => self.trailer_line(&line),
        }
    }

    /// The next line without its end, once it is whole.
    fn take_line(&mut self, input: &mut Bytes) -> Result<Option<String>, BodyError> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let part = input.split_to(end.map_or(input.len(), |end| end + 1));
        if self.line.len() + part.len() > MAX_LINE {
            return Err(BodyError::Malformed("a line is too long"));
        }
        self.line.extend_from_slice(&part);
        if end.is_none() {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(line) => Ok(Some(line.to_owned())),
            Err(_) => Err(BodyError::Malformed("a line is not text")),
        }
    }

    fn size_line(&mut self, line: &str) -> Result<(), BodyError> {
        let (size, extension) = line.split_once(';').unwrap_or((line, ""));
        let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16)
            .ok()
            .filter(|_| digits)
            .ok_or(BodyError::Malformed("a chunk's size is no number"))?;
        self.announced_bytes = self.announced_bytes.saturating_add(size);
        if self.announced_bytes > self.declared {
            return Err(self.wrong_length());
        }
        if self.chain.is_some() {
            let signature = extension
                .trim()
                .strip_prefix("chunk-signature=")
                .and_then(parse_digest)
                .ok_or(BodyError::Malformed("a chunk has no signature"))?;
            if size > MAX_SIGNED_CHUNK {
                return Err(BodyError::ChunkTooLarge(size));
            }
            self.unverified = Some((digest::Context::new(&SHA256), signature));
        }
        if size > 0 {
            self.state = State::Data(size);
            return Ok(());
        }
        if self.announced_bytes != self.declared {
            return Err(self.wrong_length());
        }
        self.state = State::Trailer;
        self.verify_chunk()
    }

    /// A piece of a chunk of which `left` bytes were to come.
    fn data(&mut self, left: u64, piece: Bytes) -> Result<(), BodyError> {
        let left = left - piece.len() as u64;
        self.state = if left > 0 {
            State::Data(left)
        } else {
            State::Break
        };
        match &mut self.unverified {
            None => self.ready.push_back(piece),
            Some((hash, _)) => {
                hash.update(&piece);
                self.held.push(piece);
            }
        }
        if left > 0 {
            Ok(())
        } else {
            self.verify_chunk()
        }
    }

    /// At the end of a chunk: what was held may be read now.
    fn verify_chunk(&mut self) -> Result<(), BodyError> {
        if let (Some(chain), Some((hash, signature))) = (&mut self.chain, self.unverified.take()) {
            let text = chain.chunk_text(digest_of(hash.finish().as_ref()));
            chain.verify(&text, signature)?;
            self.held.release(&mut self.ready);
        }
        Ok(())
    }

    fn trailer_line(&mut self, line: &str) -> Result<(), BodyError> {
        if line.is_empty() {
            return self.end_trailers();
        }
        if !self.trailer {
            return Err(BodyError::Trailer("none was announced"));
        }
        if self.fields.len() == MAX_TRAILERS {
            return Err(BodyError::Trailer("it has too many fields"));
        }
        let (name, value) = line
            .split_once(':')
            .ok_or(BodyError::Trailer("a field has no value"))?;
        let name = name.trim().to_ascii_lowercase();
        if self.fields.iter().any(|(other, _)| *other == name) {
            return Err(BodyError::Trailer("a field comes twice"));
        }
        self.fields.push((name, value.trim().to_owned()));
        Ok(())
    }

    /// The empty line at the end.
    fn end_trailers(&mut self) -> Result<(), BodyError> {
        let mut fields = std::mem::take(&mut self.fields);
        let signature = fields
            .iter()
            .position(|(name, _)| name == TRAILER_SIGNATURE)
            .map(|index| fields.remove(index).1);
        if let Some(chain) = self.chain.as_mut().filter(|_| self.trailer) {
            let signature = signature
                .as_deref()
                .and_then(parse_digest)
                .ok_or(BodyError::Trailer("it is not signed"))?;
            let text = chain.trailer_text(&fields);
            chain.verify(&text, signature)?;
        }
        let came = |name: &String| fields.iter().any(|(other, _)| other == name);
        if !self.announced.iter().all(came) {
            return Err(BodyError::Trailer("an announced field is missing"));
        }
        if !fields.iter().all(|(name, _)| self.announced.contains(name)) {
            return Err(BodyError::Trailer("a field was not announced"));
        }
        // It is set here only, and the state admits one end.
        self.trailers.receive(fields);
        self.state = State::End;
        Ok(())
    }

    /// The body has ended: was this its end?
    fn finish(&self) -> Result<(), BodyError> {
        match self.state {
            State::End => Ok(()),
            _ => Err(BodyError::Incomplete),
        }
    }

    fn wrong_length(&self) -> BodyError {
        BodyError::Length {
            declared: self.declared,
            found: self.announced_bytes,
        }
    }
}

/// The pieces of a chunk. Small ones are copied together: a sender who trickles single bytes must
/// not cost many times what the chunk weighs.
#[derive(Default)]
struct Held {
    pieces: VecDeque<Bytes>,
    small: Vec<u8>,
}

impl Held {
    const SMALL: usize = 2048;

    fn push(&mut self, piece: Bytes) {
        if piece.len() < Self::SMALL {
            self.small.extend_from_slice(&piece);
        } else {
            self.settle();
            self.pieces.push_back(piece);
        }
    }

    fn release(&mut self, to: &mut VecDeque<Bytes>) {
        self.settle();
        to.append(&mut self.pieces);
    }

    fn settle(&mut self) {
        if !self.small.is_empty() {
            self.pieces
                .push_back(std::mem::take(&mut self.small).into());
        }
    }
}
