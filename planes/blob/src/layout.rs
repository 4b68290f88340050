//! The shape of a content file. Pure arithmetic and bytes; touches no disk.
//!
//! ```text
//! block 0 | tag 0 | block 1 | tag 1 | ... | last block | its tag | footer
//! ```
//!
//! Every block but the last holds [`BLOCK`] bytes; empty content is one block of no bytes. The
//! position of any block follows from its number alone, so a range read needs no index. The tag
//! is an XXH3-128 checksum, or the AES-256-GCM tag when the content is encrypted: the same 16
//! bytes either way.
//!
//! The footer (64 bytes, integers little-endian): magic 8, version 2, seal 1, zero 5, id 16,
//! content length 8, key tag 16, XXH3-64 of all that precedes 8.

use crate::{BlobId, Error, Result};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// Content bytes per block.
pub const BLOCK: usize = 64 * 1024;
/// Bytes of the tag that follows each block.
pub const TAG: usize = 16;
/// A full block and its tag, as stored.
pub const STORED_BLOCK: usize = BLOCK + TAG;
/// Bytes of the footer.
pub const FOOTER: usize = 64;
/// Bytes of the footer that its key tag covers.
const SIGNED: usize = 40;
const MAGIC: &[u8; 8] = b"gurblob\n";
const VERSION: u16 = 1;

/// The number of blocks of content of `len` bytes.
pub const fn blocks(len: u64) -> u64 {
    if len == 0 {
        1
    } else {
        len.div_ceil(BLOCK as u64)
    }
}

/// Where stored block `index` begins.
pub const fn block_offset(index: u64) -> u64 {
    index * STORED_BLOCK as u64
}

/// The size of the file that holds `len` bytes; `None` when no file can.
pub fn file_size(len: u64) -> Option<u64> {
    blocks(len)
        .checked_mul(TAG as u64)?
        .checked_add(len)?
        .checked_add(FOOTER as u64)
}

/// The blocks that hold the bytes of a non-empty `range`, at most `limit` of them.
pub fn block_span(range: &Range<u64>, limit: u64) -> Range<u64> {
    let first = range.start / BLOCK as u64;
    let end = range.end.div_ceil(BLOCK as u64);
    first..end.min(first + limit)
}

/// How the blocks of a file are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Checksummed = 0,
    Encrypted = 1,
}

/// What the last 64 bytes of a file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) form: Form,
    pub(crate) id: BlobId,
    pub(crate) len: u64,
    /// Proves that a key is the right one, and that the key's holder wrote this footer.
    pub(crate) key_tag: [u8; TAG],
}

impl Footer {
    /// The bytes that the key tag covers.
    pub(crate) fn signed(&self) -> [u8; SIGNED] {
        let mut out = [0; SIGNED];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[10] = self.form as u8;
        out[16..32].copy_from_slice(self.id.as_bytes());
        out[32..].copy_from_slice(&self.len.to_le_bytes());
        out
    }

    pub(crate) fn encode(&self) -> [u8; FOOTER] {
        let mut out = [0; FOOTER];
        out[..SIGNED].copy_from_slice(&self.signed());
        out[SIGNED..SIGNED + TAG].copy_from_slice(&self.key_tag);
        let sum = xxh3_64(&out[..SIGNED + TAG]);
        out[SIGNED + TAG..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the footer of file `id`, whose whole size is `size`; anything odd is corruption.
    pub(crate) fn decode(bytes: &[u8; FOOTER], id: BlobId, size: u64) -> Result<Self> {
        let corrupt = |what| Error::Corrupt {
            id: Some(id),
            at: 0,
            what,
        };
        let (covered, sum) = bytes.split_at(SIGNED + TAG);
        if xxh3_64(covered).to_le_bytes() != *sum {
            return Err(corrupt("no intact footer"));
        }
        let form = match covered[10] {
            0 => Form::Checksummed,
            1 => Form::Encrypted,
            _ => return Err(corrupt("unknown kind of seal")),
        };
        let mut len = [0; 8];
        len.copy_from_slice(&covered[32..SIGNED]);
        let mut key_tag = [0; TAG];
        key_tag.copy_from_slice(&covered[SIGNED..]);
        let footer = Footer {
            form,
            id,
            len: u64::from_le_bytes(len),
            key_tag,
        };
        if covered[..SIGNED] != footer.signed() {
            return Err(corrupt("not this content's footer"));
        }
        if file_size(footer.len) != Some(size) {
            return Err(corrupt("file size differs from the footer's"));
        }
        Ok(footer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_blocks() {
        assert_eq!(file_size(0), Some(80));
        assert_eq!(file_size(BLOCK as u64), Some(BLOCK as u64 + 80));
        assert_eq!(file_size(BLOCK as u64 + 1), Some(BLOCK as u64 + 1 + 96));
        assert_eq!(file_size(u64::MAX), None);
    }

    #[test]
    fn spans_cover_ranges() {
        let block = BLOCK as u64;
        assert_eq!(block_span(&(0..1), 8), 0..1);
        assert_eq!(block_span(&(block - 1..block + 1), 8), 0..2);
        assert_eq!(block_span(&(block..100 * block), 8), 1..9);
    }
}
