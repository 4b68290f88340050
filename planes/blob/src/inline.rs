//! Small content as a sealed frame of bytes, for the caller to keep inside a row of its store.
//!
//! ```text
//! kind 1 | content | XXH3-128 of all that precedes 16
//! kind 1 | identity 16 | encrypted content | GCM tag 16 | XXH3-128 of all that precedes 16
//! ```

use crate::layout::TAG;
use crate::seal::Seal;
use crate::{Error, Key, Result};
use bytes::Bytes;
use gureum_kit::names::id;
use xxhash_rust::xxh3::xxh3_128;

/// The longest content that is kept inline: one block.
///
/// From this size on, files of their own become durable about as fast as appends that share one
/// flush among 16 writers (`examples/throughput` prints both); below it, sharing wins, and a file
/// would spend an inode and a directory entry on very little.
pub const INLINE_LIMIT: usize = crate::layout::BLOCK;

const PLAIN: u8 = 1;
const ENCRYPTED: u8 = 2;
const IDENTITY: usize = 16;

/// Seals content of at most [`INLINE_LIMIT`] bytes; with a key, it is also encrypted.
pub fn seal_inline(content: &[u8], key: Option<&Key>) -> Result<Vec<u8>> {
    if content.len() > INLINE_LIMIT {
        return Err(Error::TooLong {
            len: content.len() as u64,
            limit: INLINE_LIMIT as u64,
        });
    }
    let mut frame = Vec::with_capacity(1 + IDENTITY + content.len() + TAG + TAG);
    if let Some(key) = key {
        let identity = id::bytes::<IDENTITY>();
        frame.push(ENCRYPTED);
        frame.extend_from_slice(&identity);
        frame.extend_from_slice(content);
        frame.extend_from_slice(&[0; TAG]);
        Seal::new(identity, Some(key))?.seal(0, true, &mut frame[1 + IDENTITY..])?;
    } else {
        frame.push(PLAIN);
        frame.extend_from_slice(content);
    }
    let sum = xxh3_128(&frame).to_le_bytes();
    frame.extend_from_slice(&sum);
    Ok(frame)
}

/// Verifies a frame and gives its content back.
pub fn open_inline(frame: &Bytes, key: Option<&Key>) -> Result<Bytes> {
    let corrupt = |what| Error::Corrupt {
        id: None,
        at: 0,
        what,
    };
    let covered = frame
        .len()
        .checked_sub(TAG)
        .ok_or(corrupt("frame too short"))?;
    if xxh3_128(&frame[..covered]).to_le_bytes() != frame[covered..] {
        return Err(corrupt("checksum differs"));
    }
    match (frame[..covered].first().copied(), key) {
        (Some(PLAIN), None) => Ok(frame.slice(1..covered)),
        (Some(ENCRYPTED), Some(key)) if covered > IDENTITY + TAG => {
            let mut identity = [0; IDENTITY];
            identity.copy_from_slice(&frame[1..1 + IDENTITY]);
            let mut stored = frame[1 + IDENTITY..covered].to_vec();
            if !Seal::new(identity, Some(key))?.open(0, true, &mut stored) {
                return Err(Error::Key);
            }
            stored.truncate(stored.len() - TAG);
            Ok(stored.into())
        }
        (Some(PLAIN | ENCRYPTED), _) => Err(Error::Key),
        _ => Err(corrupt("unknown kind of frame")),
    }
}

/// The content length of a frame, from its size and kind alone.
pub(crate) fn content_len(frame: &[u8]) -> Result<u64> {
    let overhead = match frame.first() {
        Some(&ENCRYPTED) => 1 + IDENTITY + TAG + TAG,
        _ => 1 + TAG,
    };
    let len = frame.len().checked_sub(overhead);
    len.map(|len| len as u64).ok_or(Error::Corrupt {
        id: None,
        at: 0,
        what: "frame too short",
    })
}
