//! Items as rows keep them.

use std::fmt;

use bytes::Bytes;
use gureum_kit::seal::Salt;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::DataKey;
use crate::errors::{Refusal, Result};
use crate::value::{Item, item_size};

/// An item in a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Held {
    /// In a table from before all were encrypted.
    Plain(Item),
    /// Encrypted MessagePack with its tag, the salt, and the item's size (four bytes, big-endian),
    /// which background work counts without opening anything.
    Sealed(Bytes),
}

/// The length of what stands behind the tag.
const SALT: usize = size_of::<Salt>();
const TAIL: usize = SALT + 4;

impl Held {
    /// Seals an item; `base` is its key in the table as bytes (see `ItemKey::base`).
    pub(crate) fn seal(key: Option<&DataKey>, base: &[u8], item: &Item) -> Result<Self> {
        let Some(key) = key else {
            return Ok(Self::Plain(item.clone()));
        };
        let size = item_size(item);
        let mut bytes = Vec::with_capacity(size + size / 4 + 64);
        rmp_serde::encode::write(&mut bytes, item)
            .map_err(|error| Refusal::Broken(error.to_string()))?;
        let salt = key.sealer.seal(&key.bound(base), &mut bytes);
        let salt = salt.ok_or_else(|| Refusal::Broken("an item could not be sealed".into()))?;
        bytes.extend_from_slice(&salt);
        // An item is much smaller than this can count.
        bytes.extend_from_slice(&(size as u32).to_be_bytes());
        Ok(Self::Sealed(bytes.into()))
    }

    /// The item, if it was sealed under this key for this place.
    pub(crate) fn open(&self, key: Option<&DataKey>, base: &[u8]) -> Result<Item> {
        let bytes = match self {
            Self::Plain(item) => return Ok(item.clone()),
            Self::Sealed(bytes) => bytes,
        };
        let broken = || Refusal::Broken("an item does not open with its table's key".into());
        let key = key.ok_or_else(broken)?;
        let (sealed, tail) = bytes.split_last_chunk::<TAIL>().ok_or_else(broken)?;
        let salt: &Salt = tail.first_chunk().ok_or_else(broken)?;
        let mut data = sealed.to_vec();
        let opened = key.sealer.open(&key.bound(base), salt, &mut data);
        let item = opened.and_then(|data| rmp_serde::from_slice(data).ok());
        item.ok_or_else(broken)
    }

    /// The item's size, as DynamoDB counts it.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Plain(item) => item_size(item),
            Self::Sealed(bytes) => {
                let size = bytes.last_chunk().map(|size| u32::from_be_bytes(*size));
                size.unwrap_or_default() as usize
            }
        }
    }
}

impl Serialize for Held {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(item) => item.serialize(serializer),
            Self::Sealed(bytes) => bytes.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Held;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item, or one that is sealed")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Held, E> {
                Ok(Held::Sealed(Bytes::copy_from_slice(bytes)))
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Held, E> {
                Ok(Held::Sealed(bytes.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Held, A::Error> {
                let mut item = Item::new();
                while let Some((name, value)) = map.next_entry::<String, _>()? {
                    if item.insert(name, value).is_some() {
                        return Err(A::Error::custom("an attribute is there twice"));
                    }
                }
                Ok(Held::Plain(item))
            }
        }

        deserializer.deserialize_any(Either)
    }
}
