//! Reads content back, verified block by block, one chunk ahead of whoever consumes it.

use crate::blobs::{Blobs, Directory};
use crate::layout::{BLOCK, FOOTER, Footer, Form, STORED_BLOCK, TAG};
use crate::layout::{block_offset, block_span, blocks};
use crate::pieces::{Piece, Span, check_range, plan};
use crate::seal::Seal;
use crate::turns::{blocking, broken};
use crate::{BlobId, Error, Key, Result, open_inline};
use bytes::Bytes;
use futures_core::Stream;
use std::collections::VecDeque;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// Blocks read at once: half a megabyte.
const BATCH: u64 = 8;

/// Content being read, as chunks of at most half a megabyte; also a [`Stream`].
///
/// After an error the reader is at its end.
pub struct Reader(State);

enum State {
    /// A chunk is at hand, and what follows it waits until somebody wants it.
    Ready(Bytes, Box<Cursor>),
    Reading(JoinHandle<Result<(Bytes, Box<Cursor>)>>),
    Ended,
}

impl Reader {
    pub(crate) async fn open_file(
        blobs: &Blobs,
        id: BlobId,
        key: Option<Key>,
        range: Option<Range<u64>>,
    ) -> Result<Self> {
        Self::start(
            blobs,
            vec![Span::File {
                id,
                len: None,
                range,
            }],
            key,
        )
        .await
    }

    pub(crate) async fn open_pieces(
        blobs: &Blobs,
        pieces: &[Piece],
        key: Option<Key>,
        range: Option<Range<u64>>,
    ) -> Result<Self> {
        Self::start(blobs, plan(pieces, range)?, key).await
    }

    async fn start(blobs: &Blobs, spans: Vec<Span>, key: Option<Key>) -> Result<Self> {
        let directory = blobs.0.clone();
        let cursor = Box::new(Cursor {
            directory,
            key,
            spans: spans.into(),
            open: None,
        });
        let (first, cursor) = blocking(move || advance(cursor)).await?;
        Ok(Self(State::Ready(first, cursor)))
    }

    /// The next chunk, never empty; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx))
            .await
            .transpose()
    }
}

impl Stream for Reader {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let State::Reading(step) = &mut self.0 {
            let ended = ready!(Pin::new(step).poll(cx))
                .map_err(broken)
                .and_then(|done| done);
            self.0 = State::Ended;
            let (chunk, cursor) = ended?;
            self.0 = State::Ready(chunk, cursor);
        }
        match std::mem::replace(&mut self.0, State::Ended) {
            State::Ready(chunk, _) if chunk.is_empty() => Poll::Ready(None),
            State::Ready(chunk, cursor) => {
                if !cursor.at_end() {
                    let step = move || advance(cursor);
                    self.0 = State::Reading(tokio::task::spawn_blocking(step));
                }
                Poll::Ready(Some(Ok(chunk)))
            }
            _ => Poll::Ready(None),
        }
    }
}

fn advance(mut cursor: Box<Cursor>) -> Result<(Bytes, Box<Cursor>)> {
    let chunk = cursor.next()?;
    Ok((chunk, cursor))
}

/// Where a reader stands. Blocking; lives on whichever thread reads.
struct Cursor {
    directory: Arc<Directory>,
    key: Option<Key>,
    spans: VecDeque<Span>,
    open: Option<OpenFile>,
}

impl Cursor {
    fn at_end(&self) -> bool {
        self.open.is_none() && self.spans.is_empty()
    }

    /// The next chunk; an empty one at the end.
    fn next(&mut self) -> Result<Bytes> {
        loop {
            if let Some(open) = &mut self.open {
                let chunk = open.next()?;
                if open.range.is_empty() {
                    self.open = None;
                }
                if !chunk.is_empty() {
                    return Ok(chunk);
                }
            }
            match self.spans.pop_front() {
                None => return Ok(Bytes::new()),
                Some(Span::File { id, len, range }) => {
                    let key = self.key.as_ref();
                    self.open = Some(OpenFile::open(&self.directory, id, key, len, range)?);
                }
                Some(Span::Inline { frame, range }) => {
                    let content = open_inline(&frame, self.key.as_ref())?;
                    let range = check_range(Some(range), content.len() as u64)?;
                    // Inside the content's length, hence inside usize.
                    let chunk = content.slice(range.start as usize..range.end as usize);
                    if !chunk.is_empty() {
                        return Ok(chunk);
                    }
                }
            }
        }
    }
}

/// A file whose footer was verified, and the part of its content still to deliver.
struct OpenFile {
    id: BlobId,
    file: File,
    seal: Seal,
    len: u64,
    range: Range<u64>,
}

impl OpenFile {
    fn open(
        directory: &Directory,
        id: BlobId,
        key: Option<&Key>,
        expected: Option<u64>,
        range: Option<Range<u64>>,
    ) -> Result<Self> {
        let file = File::open(directory.path(id)).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::Missing(id),
            _ => e.into(),
        })?;
        let footer = read_footer(&file, id)?;
        if (footer.form == Form::Encrypted) != key.is_some() {
            return Err(Error::Key);
        }
        let seal = Seal::new(*id.as_bytes(), key)?;
        seal.check_key(&footer.signed(), footer.key_tag)?;
        let len = footer.len;
        if expected.is_some_and(|expected| expected != len) {
            return Err(Error::Corrupt {
                id: Some(id),
                at: 0,
                what: "length differs",
            });
        }
        let mut open = Self {
            id,
            file,
            seal,
            len,
            range: check_range(range, len)?,
        };
        if len == 0 {
            open.read_blocks(0..1)?;
        }
        Ok(open)
    }

    /// Up to a batch of blocks' worth of content; empty at the end of the range.
    fn next(&mut self) -> Result<Bytes> {
        if self.range.is_empty() {
            return Ok(Bytes::new());
        }
        let span = block_span(&self.range, BATCH);
        let base = span.start * BLOCK as u64;
        let content = Bytes::from(self.read_blocks(span)?);
        let skip = (self.range.start - base) as usize;
        let wanted = usize::try_from(self.range.end - base).unwrap_or(usize::MAX);
        let end = wanted.min(content.len());
        self.range.start = base + end as u64;
        Ok(content.slice(skip..end))
    }

    /// Reads blocks, verifies every one, and closes the gaps that their tags leave.
    fn read_blocks(&mut self, span: Range<u64>) -> Result<Vec<u8>> {
        let total = blocks(self.len);
        let end = if span.end == total {
            self.len + total * TAG as u64
        } else {
            block_offset(span.end)
        };
        let offset = block_offset(span.start);
        // At most a batch of blocks.
        let mut batch = vec![0; (end - offset) as usize];
        self.file
            .read_exact_at(&mut batch, offset)
            .map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => self.corrupt(span.start, "file cut short"),
                _ => e.into(),
            })?;
        for (index, stored) in span.clone().zip(batch.chunks_mut(STORED_BLOCK)) {
            if !self.seal.open(index, index + 1 == total, stored) {
                return Err(self.corrupt(index, "block does not match its tag"));
            }
        }
        let mut kept = 0;
        for start in (0..batch.len()).step_by(STORED_BLOCK) {
            let content = start..(start + STORED_BLOCK).min(batch.len()) - TAG;
            let len = content.len();
            batch.copy_within(content, kept);
            kept += len;
        }
        batch.truncate(kept);
        Ok(batch)
    }

    fn corrupt(&self, block: u64, what: &'static str) -> Error {
        Error::Corrupt {
            id: Some(self.id),
            at: block * BLOCK as u64,
            what,
        }
    }
}

fn read_footer(file: &File, id: BlobId) -> Result<Footer> {
    let size = file.metadata()?.len();
    let cut = || Error::Corrupt {
        id: Some(id),
        at: 0,
        what: "no intact footer",
    };
    let at = size.checked_sub(FOOTER as u64).ok_or_else(cut)?;
    let mut bytes = [0; FOOTER];
    file.read_exact_at(&mut bytes, at)?;
    Footer::decode(&bytes, id, size)
}
