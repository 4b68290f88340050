//! Names of content files.

use crate::Result;
use gureum_kit::names::id;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// The name of one content file: 96 random bits, then the 32-bit epoch of the directory in which
/// it was made. An id is never used again, so it also serves as the salt of the file's key.
///
/// The epoch grows by one each time the directory is opened; it tells a sweep which files are
/// older than this process without asking any clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId([u8; 16]);

impl BlobId {
    pub(crate) fn random(epoch: u32) -> Self {
        let mut id = [0; 16];
        id::fill(&mut id[..12]);
        id[12..].copy_from_slice(&epoch.to_be_bytes());
        Self(id)
    }

    pub(crate) fn epoch(&self) -> u32 {
        let [.., a, b, c, d] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The subdirectory that holds the file: the first, random, byte.
    pub(crate) fn shard(&self) -> u8 {
        self.0[0]
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({self})")
    }
}

impl FromStr for BlobId {
    type Err = hex::FromHexError;

    /// Accepts exactly what `Display` prints: 32 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(index) = text.bytes().position(|b| b.is_ascii_uppercase()) {
            return Err(hex::FromHexError::InvalidHexCharacter {
                c: char::from(text.as_bytes()[index]),
                index,
            });
        }
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id)?;
        Ok(Self(id))
    }
}

/// 32 hexadecimal digits in readable formats, 16 bytes in binary ones.
impl Serialize for BlobId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            self.0.serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for BlobId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            String::deserialize(from)?
                .parse()
                .map_err(serde::de::Error::custom)
        } else {
            <[u8; 16]>::deserialize(from).map(Self)
        }
    }
}
