//! The versions of a key: finding one, filing a new one, removing one. Everything that changes an
//! object's rows goes through [`file`], [`mark`], [`rewrite`] and [`remove`], inside a transaction.
//!
//! Between transactions:
//! * a key's newest version is in `Current` if it is an object, and else the first in `Past`;
//! * all its other versions are in `Past`;
//! * `PastNull` names the null version if that is in `Past`, and is absent otherwise.

use gureum_blob::{BlobId, Piece};
use gureum_kit::{AccountId, Reader, Scan, StoreError, Tx, names::id};
use gureum_schema::Timestamp;

use crate::model::{
    Bucket, Content, Current, File, Garbage, Object, Part, Past, PastNull, Stored, Version,
    Versioning,
};

type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The newest version if it is an object.
pub(crate) fn current(from: &impl Reader, bucket: &Bucket, key: &str) -> Result<Option<Version>> {
    Ok(from.get::<Current>((bucket.id, key))?.map(|row| row.0))
}

/// The newest version, be it an object or a delete marker.
pub(crate) fn newest(from: &impl Reader, bucket: &Bucket, key: &str) -> Result<Option<Version>> {
    match current(from, bucket, key)? {
        None if bucket.versioning != Versioning::Never => newest_past(from, bucket, key),
        found => Ok(found),
    }
}

fn newest_past(from: &impl Reader, bucket: &Bucket, key: &str) -> Result<Option<Version>> {
    let first = from
        .scan(Scan::<Past>::of((bucket.id, key)).limit(1))
        .next();
    Ok(first.transpose()?.map(|row| row.0))
}

/// The version with this id, `null` included.
pub(crate) fn by_id(
    from: &impl Reader,
    bucket: &Bucket,
    key: &str,
    wanted: VersionId,
) -> Result<Option<Version>> {
    if let Some(current) = current(from, bucket, key)?
        && current.id() == wanted
    {
        return Ok(Some(current));
    }
    let seq = match wanted {
        VersionId::Numbered { seq, .. } => Some(seq),
        VersionId::Null => from.get::<PastNull>((bucket.id, key))?.map(|row| row.seq),
    };
    let Some(seq) = seq else { return Ok(None) };
    let found = from.get::<Past>((bucket.id, key, !seq))?.map(|row| row.0);
    Ok(found.filter(|version| version.id() == wanted))
}

/// Files `version` as the newest of its key, as the bucket's versioning demands, with the heavy
/// part of it if it has one. Gives it back with its number.
pub(crate) fn file(
    tx: &mut Tx,
    bucket: &Bucket,
    mut version: Version,
    heavy: Option<Content>,
) -> Result<Version> {
    make_room(tx, bucket, &mut version)?;
    if let Some(heavy) = heavy {
        tx.put(&Content {
            seq: version.seq,
            ..heavy
        })?;
    }
    let current = Current(version);
    tx.put(&current)?;
    Ok(current.0)
}

/// Files a delete marker as the newest version of its key.
pub(crate) fn mark(
    tx: &mut Tx,
    bucket: &Bucket,
    key: &str,
    owner: &AccountId,
    now: Timestamp,
) -> Result<Version> {
    let mut marker = Version {
        bucket: bucket.id,
        key: key.to_owned(),
        seq: 0,
        salt: 0,
        null: false,
        modified: now,
        owner: *owner,
        object: None,
    };
    make_room(tx, bucket, &mut marker)?;
    tx.delete::<Current>((bucket.id, key))?;
    put_past(tx, &marker)?;
    Ok(marker)
}

/// Moves or removes what the new version replaces, and numbers the new version.
fn make_room(tx: &mut Tx, bucket: &Bucket, version: &mut Version) -> Result<()> {
    let newest = newest(tx, bucket, &version.key)?;
    let after = newest.as_ref().map_or(0, |newest| newest.seq + 1);
    // Milliseconds with room below for versions of the same one; time alone never decides.
    version.seq = after.max(version.modified.0.unsigned_abs() << 20);
    version.null = bucket.versioning != Versioning::Enabled;
    version.salt = if version.null {
        0
    } else {
        u64::from_be_bytes(id::bytes())
    };
    let replaced = newest.filter(|newest| newest.object.is_some());
    match replaced {
        Some(old) if version.null && old.null => return discard(tx, &old),
        Some(old) => put_past(tx, &old)?,
        None => {}
    }
    if version.null && bucket.versioning != Versioning::Never {
        remove_past_null(tx, bucket, &version.key)?;
    }
    Ok(())
}

fn put_past(tx: &mut Tx, version: &Version) -> Result<()> {
    if version.null {
        tx.put(&PastNull {
            bucket: version.bucket,
            key: version.key.clone(),
            seq: version.seq,
        })?;
    }
    tx.put(&Past(version.clone()))
}

fn remove_past_null(tx: &mut Tx, bucket: &Bucket, key: &str) -> Result<()> {
    let Some(PastNull { seq, .. }) = tx.get((bucket.id, key))? else {
        return Ok(());
    };
    if let Some(Past(old)) = tx.get((bucket.id, key, !seq))? {
        discard(tx, &old)?;
    }
    tx.delete::<Past>((bucket.id, key, !seq))?;
    tx.delete::<PastNull>((bucket.id, key))
}

/// Writes a version back whose traits have changed.
pub(crate) fn rewrite(tx: &mut Tx, bucket: &Bucket, version: &Version) -> Result<()> {
    let newest = current(tx, bucket, &version.key)?;
    if newest.is_some_and(|newest| newest.seq == version.seq) {
        tx.put(&Current(version.clone()))
    } else {
        tx.put(&Past(version.clone()))
    }
}

/// Removes a version for good; what was the newest but one may become the newest.
pub(crate) fn remove(tx: &mut Tx, bucket: &Bucket, version: &Version) -> Result<()> {
    discard(tx, version)?;
    let key = version.key.as_str();
    if current(tx, bucket, key)?.is_some_and(|newest| newest.seq == version.seq) {
        tx.delete::<Current>((bucket.id, key))?;
    } else {
        tx.delete::<Past>((bucket.id, key, !version.seq))?;
        if version.null {
            tx.delete::<PastNull>((bucket.id, key))?;
        }
        if current(tx, bucket, key)?.is_some() {
            return Ok(());
        }
    }
    if bucket.versioning == Versioning::Never {
        return Ok(());
    }
    if let Some(next) = newest_past(tx, bucket, key)?
        && next.object.is_some()
    {
        tx.delete::<Past>((bucket.id, key, !next.seq))?;
        if next.null {
            tx.delete::<PastNull>((bucket.id, key))?;
        }
        tx.put(&Current(next))?;
    }
    Ok(())
}

/// Gives a version's content free.
pub(crate) fn discard(tx: &mut Tx, version: &Version) -> Result<()> {
    let Some(Object { stored, .. }) = &version.object else {
        return Ok(());
    };
    let place = (version.bucket, version.key.as_str(), version.seq);
    match stored {
        Stored::File(id) => release(tx, *id),
        Stored::Inline => tx.delete::<Content>(place),
        Stored::Parts => {
            let content = tx.get::<Content>(place)?;
            for piece in content.iter().flat_map(|content| &content.pieces) {
                release_piece(tx, piece)?;
            }
            tx.delete::<Content>(place)
        }
    }
}

/// Enters a piece's file, if it is one, into the ledger: from here on some row refers to it.
pub(crate) fn retain_piece(tx: &mut Tx, piece: &Piece) -> Result<()> {
    match piece {
        Piece::File(id, _) => tx.put(&File { id: *id }),
        Piece::Inline(_) => Ok(()),
    }
}

pub(crate) fn release_piece(tx: &mut Tx, piece: &Piece) -> Result<()> {
    match piece {
        Piece::File(id, _) => release(tx, *id),
        Piece::Inline(_) => Ok(()),
    }
}

fn release(tx: &mut Tx, id: BlobId) -> Result<()> {
    tx.delete::<File>(id.as_bytes().as_slice())?;
    tx.put(&Garbage { id })
}

/// Removes parts of an upload, all or those that `kept` does not name.
pub(crate) fn release_parts(tx: &mut Tx, upload: &str, kept: impl Fn(u64) -> bool) -> Result<()> {
    let parts: Vec<Part> = tx.scan(Scan::of((upload,))).collect::<Result<_>>()?;
    for part in parts {
        if !kept(part.number) {
            release_piece(tx, &part.piece)?;
        }
        tx.delete::<Part>((upload, part.number))?;
    }
    Ok(())
}

/// A version's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionId {
    Null,
    Numbered { seq: u64, salt: u64 },
}

impl VersionId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        let mut bytes = [0; 16];
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then(|| {
            let both = u128::from_be_bytes(bytes) ^ MASK;
            Self::Numbered {
                seq: (both >> 64) as u64,
                salt: both as u64,
            }
        })
    }
}

/// So that nobody takes the number inside an id for a promise.
const MASK: u128 = 0x6b1d_44a0_c2f7_93e5_58d0_9e3b_7a16_c84f;

impl std::fmt::Display for VersionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Numbered { seq, salt } => {
                let both = (u128::from(*seq) << 64 | u128::from(*salt)) ^ MASK;
                write!(f, "{both:032x}")
            }
        }
    }
}

impl Version {
    pub(crate) fn id(&self) -> VersionId {
        if self.null {
            VersionId::Null
        } else {
            VersionId::Numbered {
                seq: self.seq,
                salt: self.salt,
            }
        }
    }
}

impl Bucket {
    /// The id as replies show it: not at all while the bucket never had versioning.
    pub(crate) fn shown_id(&self, version: &Version) -> Option<String> {
        (self.versioning != Versioning::Never).then(|| version.id().to_string())
    }
}
