//! Takes content of any size in: small content ends in a frame, larger content in a file.

use crate::{Algorithm, Blobs, Hashing, INLINE_LIMIT, Key, Piece, Result, Sums, Writer};
use bytes::{Bytes, BytesMut};

/// Content on its way in. Dropped before [`finish`](Self::finish) returns, it leaves nothing.
///
/// Writing and digesting go on beside each other, each at most a batch behind.
pub struct Intake {
    blobs: Blobs,
    key: Option<Key>,
    hashing: Hashing,
    /// What came so far, while it may still be kept inline.
    held: BytesMut,
    file: Option<Writer>,
    len: u64,
}

/// Content taken in.
///
/// A file is durable already. A frame is as durable as the row that the caller puts it into.
#[derive(Clone, Debug)]
pub struct Taken {
    pub piece: Piece,
    /// Content bytes.
    pub len: u64,
    pub sums: Sums,
}

impl Intake {
    pub(crate) fn new(blobs: Blobs, key: Option<Key>) -> Self {
        let (hashing, held) = (Hashing::new(&[]), BytesMut::new());
        Self {
            blobs,
            key,
            hashing,
            held,
            file: None,
            len: 0,
        }
    }

    /// Computes these digests of the content on the way. To be said before the first byte.
    pub fn with_digests(mut self, algorithms: &[Algorithm]) -> Self {
        self.hashing = Hashing::new(algorithms);
        self
    }

    /// Content bytes taken so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes more content. Waits when the disk or the digests lag behind.
    ///
    /// Once a call was cancelled, how much of its bytes was taken is unknown: drop the intake.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.len += bytes.len() as u64;
        self.hashing.write(bytes.clone()).await?;
        if let Some(file) = &mut self.file {
            return file.write(bytes).await;
        }
        if self.held.len() + bytes.len() <= INLINE_LIMIT {
            self.held.extend_from_slice(&bytes);
            return Ok(());
        }
        let file = match &self.key {
            Some(key) => self.blobs.create_encrypted(key).await?,
            None => self.blobs.create().await?,
        };
        let file = self.file.insert(file);
        file.write(std::mem::take(&mut self.held).freeze()).await?;
        file.write(bytes).await
    }

    /// Ends the content. From here on its file belongs to the caller, who deletes it when no row
    /// comes to refer to it, say because a digest is not the expected one.
    pub async fn finish(self) -> Result<Taken> {
        let piece = async {
            match self.file {
                Some(file) => {
                    let stored = file.commit().await?;
                    Ok(Piece::File(stored.id, stored.len))
                }
                None => {
                    let frame = crate::seal_inline(&self.held, self.key.as_ref())?;
                    Ok(Piece::Inline(frame.into()))
                }
            }
        };
        let (piece, sums) = tokio::try_join!(piece, self.hashing.finish())?;
        Ok(Taken {
            piece,
            len: self.len,
            sums,
        })
    }
}
