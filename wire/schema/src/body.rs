//! A streamed payload: an object on its way in or out.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use sync_wrapper::SyncWrapper;

type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Bytes that are read once, from memory or from a stream of chunks.
///
/// A producer that knows what a failure means to the client puts an [`Error`](crate::Error) inside
/// the [`io::Error`]; [`reason`] takes it out again.
#[derive(Default)]
pub struct Body {
    inner: Inner,
    length: Option<u64>,
    /// Few bodies have any; what has none receives none.
    trailers: Option<Trailers>,
}

/// Header fields that follow a body, such as a checksum made while it was sent.
///
/// The names may be announced before the body; the values are known once it was read to its end.
#[derive(Clone, Debug, Default)]
pub struct Trailers {
    announced: Arc<[String]>,
    received: Arc<OnceLock<Vec<(String, String)>>>,
}

impl Trailers {
    pub fn new(announced: impl IntoIterator<Item = String>) -> Self {
        Self {
            announced: announced.into_iter().collect(),
            received: Arc::default(),
        }
    }

    /// The names that were announced, as they were written.
    pub fn announced(&self) -> &[String] {
        &self.announced
    }

    /// `None` before the body's end, and for a field that was not sent. Case is ignored.
    pub fn get(&self, name: &str) -> Option<&str> {
        let fields = self.received.get()?;
        let (_, value) = fields
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// For the body's producer, once, before it yields the end. Later calls change nothing.
    pub fn receive(&self, fields: Vec<(String, String)>) {
        let _ = self.received.set(fields);
    }
}

/// What a failure to read a body means to the client, if its producer said so.
pub fn reason(error: io::Error) -> Result<crate::Error, io::Error> {
    error.downcast()
}

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Whole(Bytes),
    Chunks(SyncWrapper<Chunks>),
}

impl Body {
    pub fn empty() -> Self {
        Self::from(Bytes::new())
    }

    /// The body of a reply to `HEAD`: nothing, with the length of what `GET` would bring.
    pub fn absent(length: Option<u64>) -> Self {
        Self {
            length,
            ..Self::default()
        }
    }

    /// `length` is the exact number of bytes that will come, where it is known beforehand.
    pub fn stream(
        chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        length: Option<u64>,
    ) -> Self {
        Self {
            inner: Inner::Chunks(SyncWrapper::new(Box::pin(chunks))),
            length,
            trailers: None,
        }
    }

    #[must_use]
    pub fn with_trailers(mut self, trailers: Trailers) -> Self {
        self.trailers = Some(trailers);
        self
    }

    /// A handle on the trailers, good beyond the body's end.
    pub fn trailers(&self) -> Trailers {
        self.trailers.clone().unwrap_or_default()
    }

    /// The number of bytes, where it is known beforehand.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next chunk; `None` at the end.
    pub async fn chunk(&mut self) -> Option<io::Result<Bytes>> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        match &mut self.inner {
            Inner::Empty => Poll::Ready(None),
            Inner::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.inner = Inner::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
            }
            Inner::Chunks(chunks) => chunks.get_mut().as_mut().poll_next(cx),
        }
    }

    /// The same bytes with their failures worded anew.
    #[must_use]
    pub fn map_err(self, word: impl Fn(io::Error) -> io::Error + Send + 'static) -> Self {
        let Self {
            inner: Inner::Chunks(chunks),
            length,
            trailers,
        } = self
        else {
            return self;
        };
        let worded = Worded { chunks, word };
        Self {
            trailers,
            ..Self::stream(worded, length)
        }
    }

    /// Everything in memory; fails with [`io::ErrorKind::FileTooLarge`] when it is more than `limit`
    /// bytes, before reading any of it where the length is known.
    pub async fn collect(mut self, limit: usize) -> io::Result<Bytes> {
        let too_large = || Err(io::ErrorKind::FileTooLarge.into());
        if self.length.is_some_and(|length| length > limit as u64) {
            return too_large();
        }
        // A small body mostly comes at once, and need not be copied.
        let (mut first, mut whole) = (Bytes::new(), Vec::new());
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            if first.len().max(whole.len()) + chunk.len() > limit {
                return too_large();
            }
            if first.is_empty() {
                first = chunk;
                continue;
            }
            if whole.is_empty() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(if whole.is_empty() {
            first
        } else {
            whole.into()
        })
    }
}

/// A stream whose errors go through a function.
struct Worded<W> {
    chunks: SyncWrapper<Chunks>,
    word: W,
}

impl<W> Unpin for Worded<W> {}

impl<W: Fn(io::Error) -> io::Error> Stream for Worded<W> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.chunks.get_mut().as_mut().poll_next(cx);
        polled.map(|chunk| chunk.map(|chunk| chunk.map_err(&self.word)))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self {
            length: Some(bytes.len() as u64),
            inner: Inner::Whole(bytes),
            trailers: None,
        }
    }
}

/// A streamed payload cannot be sent twice: its clone is empty.
impl Clone for Body {
    fn clone(&self) -> Self {
        match &self.inner {
            Inner::Whole(bytes) => Self::from(bytes.clone()),
            Inner::Empty | Inner::Chunks(_) => Self::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length {
            Some(length) => write!(f, "<body of {length} bytes>"),
            None => f.write_str("<body>"),
        }
    }
}
