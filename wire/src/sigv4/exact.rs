//! A body whose SHA-256 was signed: hashed as it passes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use gureum_schema::{Body, Bytes};
use ring::digest::{self, SHA256};
use std::io;

use super::body::BodyError;
use super::{Digest, digest_of};

/// Fails with [`BodyError::ContentHash`] where the hash differs: instead of the last chunk when the
/// length is known beforehand, else instead of the end.
pub(super) fn verify(body: Body, declared: Digest) -> Body {
    let length = body.length();
    let verifier = Exact {
        body,
        left: length,
        hash: Some(digest::Context::new(&SHA256)),
        declared,
    };
    Body::stream(verifier, length)
}

struct Exact {
    body: Body,
    /// Bytes to come, where that is known.
    left: Option<u64>,
    /// Gone once the hash is known to be right or wrong.
    hash: Option<digest::Context>,
    declared: Digest,
}

impl Exact {
    fn finish(&mut self) -> Result<(), BodyError> {
        let Some(hash) = self.hash.take() else {
            return Ok(());
        };
        let computed = digest_of(hash.finish().as_ref());
        if computed == self.declared {
            return Ok(());
        }
        Err(BodyError::ContentHash {
            declared: self.declared,
            computed,
        })
    }

    fn pass(&mut self, chunk: Bytes) -> Result<Bytes, BodyError> {
        let Some(hash) = &mut self.hash else {
            return Err(BodyError::Malformed("there is more of it than announced"));
        };
        hash.update(&chunk);
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(chunk.len() as u64)
                .ok_or(BodyError::Malformed("there is more of it than announced"))?;
            if *left == 0 {
                self.finish()?;
            }
        }
        Ok(chunk)
    }
}

impl Stream for Exact {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let passed = match ready!(this.body.poll_chunk(cx)) {
            Some(Ok(chunk)) if chunk.is_empty() => Some(Ok(chunk)),
            Some(Ok(chunk)) => Some(this.pass(chunk).map_err(io::Error::from)),
            Some(Err(error)) => Some(Err(error)),
            None if this.left.is_some_and(|left| left > 0) => {
                Some(Err(BodyError::Incomplete.into()))
            }
            None => this.finish().err().map(|error| Err(error.into())),
        };
        if matches!(passed, Some(Err(_))) {
            // Whoever reads on after an error gets nothing more.
            this.body = Body::empty();
            this.left = None;
            this.hash = None;
        }
        Poll::Ready(passed)
    }
}
