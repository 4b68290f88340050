//! A look at fjall's journals before fjall opens them: is the end torn, or is the middle damaged?
//!
//! fjall replays a journal up to the first thing that it cannot read and cuts off the rest, for that
//! is what a crash leaves behind: a last batch written in part. But damage in the middle looks the
//! same to it, and then the cut takes acknowledged commits with it. So each batch ends with a
//! [`Marker`] of our own: its number, its predecessor's, and a checksum of what it holds. Batches are
//! written one after the other, each durable before the next begins; hence a marker *behind* the
//! first place that is not an intact batch tells how much lay there that was acknowledged: one marker
//! belongs to the torn batch itself, any more prove damage, and then nothing is opened or cut.
//!
//! The journal's framing is that of fjall's format 3: a batch is a start (1), items (2), and an end
//! (3). What cannot be told from a torn write is damage to the very last batch.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::engine::Version;

/// Written under [`Marker::key`] at the end of each batch: which commits it makes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    /// The last commit of the batch.
    pub(super) version: Version,
    /// The last commit of the batch before it, durable before this one was written.
    pub(super) previous: Version,
    /// The [`Sum`] of the batch's other items.
    pub(super) sum: u32,
}

/// A checksum (CRC-32) over the items of a batch, in their order.
#[derive(Default)]
pub(super) struct Sum(crc32fast::Hasher);

impl Sum {
    /// Takes in a pair to be set (`value`), or a key to be removed (`None`).
    pub(super) fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.0.update(&[u8::from(value.is_none())]);
        self.0.update(&(key.len() as u64).to_be_bytes());
        self.0
            .update(&(value.unwrap_or_default().len() as u64).to_be_bytes());
        self.0.update(key);
        self.0.update(value.unwrap_or_default());
    }

    pub(super) fn finish(self) -> u32 {
        self.0.finalize()
    }
}

const MAGIC: [u8; 8] = *b"g\xc3\xbcr\x00um\x1a";
const MARKER_LEN: usize = 32;

impl Marker {
    pub(super) fn key() -> Vec<u8> {
        super::row::table_prefix("kit.commit")
    }

    pub(super) fn encode(self) -> [u8; MARKER_LEN] {
        let mut out = [0; MARKER_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..16].copy_from_slice(&self.version.to_be_bytes());
        out[16..24].copy_from_slice(&self.previous.to_be_bytes());
        out[24..28].copy_from_slice(&self.sum.to_be_bytes());
        let sum = crc32fast::hash(&out[..28]);
        out[28..].copy_from_slice(&sum.to_be_bytes());
        out
    }

    /// Reads a marker; `None` for bytes that are not an intact one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Marker> {
        let bytes: &[u8; MARKER_LEN] = bytes.try_into().ok()?;
        let field = |at: std::ops::Range<usize>| {
            bytes[at]
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let marker = Marker {
            version: field(8..16),
            previous: field(16..24),
            sum: u32::try_from(field(24..28)).ok()?,
        };
        (marker.encode() == *bytes).then_some(marker)
    }
}

/// Checks all journals in fjall's directory, and cuts off a torn end. Changes nothing if there is
/// damage. Returns the version that the store must at least have once fjall has replayed them.
pub(super) fn check(state: &Path) -> Result<Version, StoreError> {
    let journals = journals(state)?;
    let mut least = 0;
    let mut torn = None;
    for (index, path) in journals.iter().enumerate() {
        let active = index + 1 == journals.len();
        let mut file = BufReader::with_capacity(64 * 1024, File::open(path)?);
        let walked = walk(&mut file)?;
        let rest = rest(file.into_inner(), walked.end)?;
        // Only the active journal may end in a torn batch: the others were synced when sealed.
        let excused = usize::from(active);
        if rest.markers.len() > excused {
            return Err(StoreError::Corrupt(format!(
                "{} is damaged at byte {}, and {} later commit groups follow; restore a backup",
                path.display(),
                walked.end,
                rest.markers.len() - excused,
            )));
        }
        least = least
            .max(walked.last)
            .max(rest.markers.first().map_or(0, |torn| torn.previous));
        if rest.dirty {
            torn = Some((path, walked.end));
        }
    }
    if let Some((path, end)) = torn {
        tracing::warn!(journal = %path.display(), end, "cutting off a batch that was written in part");
        let file = File::options().write(true).open(path)?;
        file.set_len(end)?;
        file.sync_all()?;
    }
    Ok(least)
}

fn journals(state: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(state)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let id = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            found.extend(id.map(|id| (id, path)));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

struct Walked {
    /// Where the last whole batch ends.
    end: u64,
    /// The last commit among the whole batches.
    last: Version,
}

/// Follows the journal's framing up to the first place that is not a whole batch.
fn walk(file: &mut BufReader<File>) -> Result<Walked, StoreError> {
    let mut walked = Walked { end: 0, last: 0 };
    loop {
        match batch(file) {
            Ok(Some(version)) => {
                walked.last = walked.last.max(version);
                walked.end = file.stream_position()?;
            }
            Ok(None) => return Ok(walked),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(walked),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads one batch and returns its version; `None` if it is not whole and intact.
fn batch(file: &mut BufReader<File>) -> std::io::Result<Option<Version>> {
    let (1, start) = entry::<12>(file)? else {
        return Ok(None);
    };
    let items = u32::from_le_bytes([start[0], start[1], start[2], start[3]]);
    let mut sum = Sum::default();
    for _ in 1..items {
        let Some(Item {
            removal,
            key,
            value,
        }) = item(file)?
        else {
            return Ok(None);
        };
        sum.add(&key, (!removal).then_some(&value));
    }
    let last = item(file)?.filter(|item| item.key == Marker::key());
    let marker = last.and_then(|item| Marker::decode(&item.value));
    let Some(marker) = marker.filter(|marker| marker.sum == sum.finish()) else {
        return Ok(None);
    };
    let (3, end) = entry::<12>(file)? else {
        return Ok(None);
    };
    Ok((end[8..] == *b"FJL\x03").then_some(marker.version))
}

struct Item {
    removal: bool,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Reads one item as we have fjall write it: set or removed, and not compressed.
fn item(file: &mut BufReader<File>) -> std::io::Result<Option<Item>> {
    let (2, [kind @ 0..=1, 0]) = entry::<2>(file)? else {
        return Ok(None);
    };
    let _keyspace: [u8; 8] = bytes(file)?;
    let key_len = u16::from_le_bytes(bytes(file)?);
    let value_len = u32::from_le_bytes(bytes(file)?);
    if u32::from_le_bytes(bytes(file)?) != value_len {
        return Ok(None);
    }
    let key = piece(file, u64::from(key_len))?;
    let value = piece(file, u64::from(value_len))?;
    Ok(Some(Item {
        removal: kind == 1,
        key,
        value,
    }))
}

/// Reads `len` bytes, without believing that there are so many.
fn piece(file: &mut BufReader<File>, len: u64) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let read = file.take(len).read_to_end(&mut out)?;
    if read as u64 == len {
        Ok(out)
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}

fn entry<const N: usize>(file: &mut impl Read) -> std::io::Result<(u8, [u8; N])> {
    Ok((byte(file)?, bytes(file)?))
}

fn byte(file: &mut impl Read) -> std::io::Result<u8> {
    bytes(file).map(|[byte]| byte)
}

fn bytes<const N: usize>(file: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut out = [0; N];
    file.read_exact(&mut out)?;
    Ok(out)
}

/// What lies behind the last whole batch of a journal.
struct Rest {
    /// Whether there is anything but zeros.
    dirty: bool,
    /// All intact markers, wherever they stand.
    markers: Vec<Marker>,
}

fn rest(mut file: File, start: u64) -> Result<Rest, StoreError> {
    const CHUNK: usize = 1 << 20;
    let mut rest = Rest {
        dirty: false,
        markers: Vec::new(),
    };
    let mut window = Vec::with_capacity(CHUNK + MARKER_LEN);
    let mut at = start;
    // The rest of a journal is mostly a hole, which reads as zeros: go from data to data.
    while let Some(data) = next_data(&file, at)? {
        if data > at {
            window.clear();
        }
        file.seek(SeekFrom::Start(data))?;
        let read = (&file).take(CHUNK as u64).read_to_end(&mut window)?;
        if read == 0 {
            break;
        }
        at = data + read as u64;
        rest.dirty |= window.iter().any(|byte| *byte != 0);
        let mut from = 0;
        while let Some(candidate) = window.get(from..from + MARKER_LEN) {
            if candidate[0] == MAGIC[0] {
                rest.markers.extend(Marker::decode(candidate));
            }
            from += 1;
        }
        // A marker may lie across two chunks.
        window.drain(..from);
    }
    Ok(rest)
}

/// The next place at or after `at` where the file has data; `None` when only a hole is left.
fn next_data(file: &File, at: u64) -> Result<Option<u64>, StoreError> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        // A filesystem that knows no holes: everything is data.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => {
            Ok((at < file.metadata()?.len()).then_some(at))
        }
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}
