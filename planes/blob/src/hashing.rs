//! Digests of a stream, computed on blocking threads while the stream goes on.

use crate::turns::Turns;
use crate::{Algorithm, Digests, Result, Sums};
use bytes::Bytes;

/// Bytes gathered before a thread is asked to digest them: less is not worth the hop.
const BATCH: usize = 512 * 1024;

/// Digests under way beside other work on the same bytes.
///
/// Each call returns as soon as its bytes are accepted; no more than two batches are held.
pub struct Hashing {
    waiting: Vec<Bytes>,
    waiting_len: usize,
    digests: Turns<Digests>,
    wanted: bool,
}

impl Hashing {
    pub fn new(algorithms: &[Algorithm]) -> Self {
        let digests = Turns::Idle(Digests::new(algorithms));
        Self {
            waiting: Vec::new(),
            waiting_len: 0,
            digests,
            wanted: !algorithms.is_empty(),
        }
    }

    /// Takes more bytes. Waits when digesting lags behind by more than a batch.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if !self.wanted || bytes.is_empty() {
            return Ok(());
        }
        self.waiting_len += bytes.len();
        self.waiting.push(bytes);
        if self.waiting_len >= BATCH {
            self.digest().await
        } else {
            Ok(())
        }
    }

    /// The digests of everything written.
    pub async fn finish(mut self) -> Result<Sums> {
        if self.waiting_len > crate::INLINE_LIMIT {
            self.digest().await?;
        }
        let mut digests = std::mem::take(self.digests.idle().await?);
        for bytes in &self.waiting {
            digests.update(bytes);
        }
        Ok(digests.finish())
    }

    async fn digest(&mut self) -> Result<()> {
        self.digests.idle().await?;
        let batch = std::mem::take(&mut self.waiting);
        self.waiting_len = 0;
        let step = move |digests: &mut Digests| {
            batch.iter().for_each(|bytes| digests.update(bytes));
            Ok(())
        };
        self.digests.start(step).await
    }
}
