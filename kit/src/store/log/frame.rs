//! One batch of commits as it lies in the log: a head, the changes, and zeros to the next sector.
//!
//! A frame begins where a disk's sector begins, so that writing one never touches the bytes of those
//! before it. It carries the nonce of its segment: what a segment held in an earlier life, and what a
//! tenant's value imitates, is no frame of it.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::sync::Arc;

use super::super::StoreError;
use super::super::engine::{Commit, Version};

/// What disks write as a whole, or not at all.
pub(super) const SECTOR: usize = 512;

const MAGIC: [u8; 8] = *b"gur\xc3\xbcm\x00\x02";
const HEAD: usize = 48;
const ITEM: usize = 9;

/// What stands before the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) nonce: u64,
    /// The last commit of the batch.
    pub(super) version: Version,
    /// The last commit of the batch before it, which was durable before this one was written.
    pub(super) previous: Version,
    /// The bytes of the changes.
    len: u32,
    /// Their checksum (CRC-32).
    sum: u32,
}

impl Head {
    fn encode(self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        out[..8].copy_from_slice(&MAGIC);
        out[8..16].copy_from_slice(&self.nonce.to_le_bytes());
        out[16..24].copy_from_slice(&self.version.to_le_bytes());
        out[24..32].copy_from_slice(&self.previous.to_le_bytes());
        out[32..36].copy_from_slice(&self.len.to_le_bytes());
        out[36..40].copy_from_slice(&self.sum.to_le_bytes());
        let sum = crc32fast::hash(&out[..40]);
        out[40..44].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the head of a frame of this segment; `None` for anything else.
    pub(super) fn decode(bytes: &[u8], nonce: u64) -> Option<Head> {
        let bytes = bytes.first_chunk::<HEAD>()?;
        if bytes[..8] != MAGIC || u32_at(bytes, 40) != crc32fast::hash(&bytes[..40]) {
            return None;
        }
        let head = Head {
            nonce: u64_at(bytes, 8),
            version: u64_at(bytes, 16),
            previous: u64_at(bytes, 24),
            len: u32_at(bytes, 32),
            sum: u32_at(bytes, 36),
        };
        (head.nonce == nonce).then_some(head)
    }

    /// The bytes that the frame takes in its segment.
    fn frame_len(self) -> u64 {
        (HEAD as u64 + u64::from(self.len)).next_multiple_of(SECTOR as u64)
    }
}

/// Makes one frame of all these commits in `out`, and returns its head.
pub(super) fn encode(
    out: &mut Vec<u8>,
    nonce: u64,
    previous: Version,
    commits: &[Arc<Commit>],
) -> Result<Head, StoreError> {
    out.clear();
    out.resize(HEAD, 0);
    for (key, value) in commits.iter().flat_map(|commit| &commit.changes) {
        out.push(u8::from(value.is_none()));
        out.extend_from_slice(&length(key.len())?.to_le_bytes());
        let value = value.as_deref().unwrap_or_default();
        out.extend_from_slice(&length(value.len())?.to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    let head = Head {
        nonce,
        version: commits.last().map_or(previous, |last| last.version),
        previous,
        len: length(out.len() - HEAD)?,
        sum: crc32fast::hash(&out[HEAD..]),
    };
    out[..HEAD].copy_from_slice(&head.encode());
    out.resize(out.len().next_multiple_of(SECTOR), 0);
    Ok(head)
}

fn length(len: usize) -> Result<u32, StoreError> {
    u32::try_from(len).map_err(|_| StoreError::TooLarge {
        size: len,
        limit: u32::MAX as usize,
    })
}

/// Frames read one after the other, as far as they are intact.
pub(super) struct Frames {
    file: BufReader<File>,
    nonce: u64,
    /// Where the frame begins that is read next.
    pub(super) at: u64,
    /// The file's length, beyond which nothing is believed.
    len: u64,
    changes: Vec<u8>,
}

impl Frames {
    pub(super) fn of(file: File, nonce: u64) -> std::io::Result<Frames> {
        Ok(Frames {
            len: file.metadata()?.len(),
            file: BufReader::with_capacity(64 << 10, file),
            nonce,
            at: 0,
            changes: Vec::new(),
        })
    }

    /// The next frame, if a whole and intact one follows.
    pub(super) fn next(&mut self) -> std::io::Result<Option<(Head, Changes<'_>)>> {
        let mut bytes = [0; HEAD];
        if !whole(self.file.read_exact(&mut bytes))? {
            return Ok(None);
        }
        let head = Head::decode(&bytes, self.nonce);
        let Some(head) = head.filter(|head| self.at + head.frame_len() <= self.len) else {
            return Ok(None);
        };
        let rest = head.frame_len() as usize - HEAD;
        self.changes.resize(rest, 0);
        if !whole(self.file.read_exact(&mut self.changes))? {
            return Ok(None);
        }
        let changes = &self.changes[..head.len as usize];
        if crc32fast::hash(changes) != head.sum {
            return Ok(None);
        }
        self.at += head.frame_len();
        Ok(Some((head, Changes(changes))))
    }
}

/// Whether a read came to its end before the file did.
fn whole(read: std::io::Result<()>) -> std::io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The changes of a frame, in their order: keys with the value to set, or `None` to remove.
pub(in super::super) struct Changes<'f>(&'f [u8]);

impl<'f> Iterator for Changes<'f> {
    type Item = Result<(&'f [u8], Option<&'f [u8]>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let item = self.item();
        if item.is_none() {
            self.0 = &[];
        }
        // Its checksum was right, so only a defect of the program could have written this.
        let unreadable = || StoreError::Corrupt("a batch of the log is unreadable".into());
        Some(item.ok_or_else(unreadable))
    }
}

impl<'f> Changes<'f> {
    fn item(&mut self) -> Option<(&'f [u8], Option<&'f [u8]>)> {
        let (head, rest) = self.0.split_at_checked(ITEM)?;
        let (key, rest) = rest.split_at_checked(u32_at(head, 1) as usize)?;
        let (value, rest) = rest.split_at_checked(u32_at(head, 5) as usize)?;
        self.0 = rest;
        Some((key, (head[0] == 0).then_some(value)))
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes[at..].first_chunk();
    field.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes[at..].first_chunk();
    field.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
