//! A streamed payload: an object on its way in or out.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use sync_wrapper::SyncWrapper;

type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Bytes that are read once, from memory or from a stream of chunks.
#[derive(Default)]
pub struct Body {
    inner: Inner,
    length: Option<u64>,
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

    /// `length` is the exact number of bytes that will come, where it is known beforehand.
    pub fn stream(
        chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        length: Option<u64>,
    ) -> Self {
        Self {
            inner: Inner::Chunks(SyncWrapper::new(Box::pin(chunks))),
            length,
        }
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

    /// Everything in memory; fails once it is more than `limit` bytes.
    pub async fn collect(mut self, limit: usize) -> io::Result<Bytes> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            if whole.len() + chunk.len() > limit {
                return Err(io::Error::other(format!(
                    "the body is larger than {limit} bytes"
                )));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.into())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self {
            length: Some(bytes.len() as u64),
            inner: Inner::Whole(bytes),
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
