//! Rows: typed values of a table, and their encoding.
//!
//! On the disk a row is its version (two bytes, big-endian) and then MessagePack with field names,
//! so that adding a field with `#[serde(default)]` needs no new version. Binary fields should be
//! `bytes::Bytes`, which is written in one piece; `Vec<u8>` works, as a list of numbers.

use serde::{Serialize, de::DeserializeOwned};

use super::StoreError;
use super::key::{Key, KeyLike, PrefixOf};

/// A type whose values are kept in one table.
pub trait Row: Serialize + DeserializeOwned + Send + 'static {
    /// The table's name, `service.thing`; unique in the program, and never changed afterwards.
    const TABLE: &'static str;
    /// Raise it when old rows no longer decode, and teach [`Row::migrate`] to read them.
    const VERSION: u16 = 1;
    /// What identifies a row; rows are ordered by it.
    type Key: Key;

    /// This row's key.
    fn key(&self) -> Self::Key;

    /// Reads a row that was written as version `from`, which is not [`Row::VERSION`]. `bytes` is
    /// MessagePack with field names; [`decode_as`] reads it as the old type.
    fn migrate(from: u16, bytes: &[u8]) -> Result<Self, StoreError> {
        let _ = bytes;
        Err(StoreError::Version {
            table: Self::TABLE,
            found: from,
            known: Self::VERSION,
        })
    }
}

/// Reads a row's bytes as another type: for [`Row::migrate`].
pub fn decode_as<T: DeserializeOwned>(table: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|error| StoreError::Codec {
        table,
        reason: error.to_string(),
    })
}

/// What an ordinary row takes: it is written without growing.
const ROW_BYTES: usize = 512;

pub(super) fn encode<R: Row>(row: &R) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::with_capacity(ROW_BYTES);
    out.extend_from_slice(&R::VERSION.to_be_bytes());
    rmp_serde::encode::write_named(&mut out, row).map_err(|error| StoreError::Codec {
        table: R::TABLE,
        reason: error.to_string(),
    })?;
    // Rows stay in memory as they are.
    out.shrink_to_fit();
    Ok(out)
}

pub(super) fn decode<R: Row>(bytes: &[u8]) -> Result<R, StoreError> {
    let Some((version, body)) = bytes.split_first_chunk::<2>() else {
        return Err(StoreError::Corrupt(format!(
            "a row of table {} is cut short",
            R::TABLE
        )));
    };
    match u16::from_be_bytes(*version) {
        same if same == R::VERSION => decode_as(R::TABLE, body),
        other => R::migrate(other, body),
    }
}

/// A row as it is stored: what somebody who knows it needs to find out cheaply that it is still so.
pub struct Encoded {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl Encoded {
    /// This row's.
    pub fn of<R: Row>(row: &R) -> Result<Self, StoreError> {
        Ok(Self {
            key: full_key::<R>(row.key()),
            value: encode(row)?,
        })
    }
}

/// The bytes that all keys of a table begin with.
pub(super) fn table_prefix(table: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(table.len() + 64);
    KeyLike::<String>::encode(table, &mut out);
    out
}

/// The table that a key belongs to. No table has a zero in its name, so the first one ends it.
pub(super) fn table_of(key: &[u8]) -> Result<&str, StoreError> {
    let end = key.iter().position(|byte| *byte == 0);
    let name = end.and_then(|end| std::str::from_utf8(&key[..end]).ok());
    name.ok_or_else(|| StoreError::Corrupt("a key names no table".into()))
}

pub(super) fn full_key<R: Row>(key: impl KeyLike<R::Key>) -> Vec<u8> {
    let mut out = table_prefix(R::TABLE);
    key.encode(&mut out);
    out
}

pub(super) fn full_prefix<R: Row>(prefix: impl PrefixOf<R::Key>) -> Vec<u8> {
    let mut out = table_prefix(R::TABLE);
    prefix.encode_prefix(&mut out);
    out
}
