//! Seals and opens single blocks: by checksum, or by AES-256-GCM under a key of the file's own.
//!
//! Each block is bound to its content's identity, its number and whether it is the last one, so
//! blocks that were swapped, moved between files, or cut off at the end are noticed.

use crate::layout::{Form, TAG};
use crate::{Error, Result};
use ring::{aead, hkdf};
use std::{fmt, io};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// A 256-bit secret under which content is encrypted. Never printed.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl From<[u8; 32]> for Key {
    fn from(key: [u8; 32]) -> Self {
        Self(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Nonces of blocks and of the footer must never meet: they differ in this first byte.
#[derive(Clone, Copy)]
enum Purpose {
    Block = 0,
    Footer = 1,
}

/// Seals the blocks of one content.
pub(crate) struct Seal {
    identity: [u8; 16],
    key: Option<aead::LessSafeKey>,
}

impl Seal {
    /// `identity` must be unique to this content: it salts the derivation (HKDF, RFC 5869) of the
    /// content's own AES key, which is why block numbers are enough as nonces.
    pub(crate) fn new(identity: [u8; 16], key: Option<&Key>) -> Result<Self> {
        let key = key
            .map(|Key(secret)| {
                let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &identity).extract(secret);
                prk.expand(&[b"gureum-blob content"], &aead::AES_256_GCM)
                    .map(|okm| aead::LessSafeKey::new(okm.into()))
                    .map_err(refused)
            })
            .transpose()?;
        Ok(Self { identity, key })
    }

    pub(crate) fn form(&self) -> Form {
        if self.key.is_some() {
            Form::Encrypted
        } else {
            Form::Checksummed
        }
    }

    /// Seals a block in place; `stored` is the content followed by room for the tag.
    pub(crate) fn seal(&self, index: u64, last: bool, stored: &mut [u8]) -> Result<()> {
        let place = self.place(index, last);
        let (data, room) = split(stored)?;
        match &self.key {
            None => room.copy_from_slice(&checksum(&place, data)),
            Some(key) => {
                let nonce = nonce(Purpose::Block, index);
                let tag = key
                    .seal_in_place_separate_tag(nonce, aead::Aad::from(place), data)
                    .map_err(refused)?;
                room.copy_from_slice(tag.as_ref());
            }
        }
        Ok(())
    }

    /// Verifies a stored block and leaves its content in front of the tag; whether it was intact.
    #[must_use]
    pub(crate) fn open(&self, index: u64, last: bool, stored: &mut [u8]) -> bool {
        let place = self.place(index, last);
        match &self.key {
            None => split(stored).is_ok_and(|(data, tag)| checksum(&place, data) == *tag),
            Some(key) => {
                let nonce = nonce(Purpose::Block, index);
                key.open_in_place(nonce, aead::Aad::from(place), stored)
                    .is_ok()
            }
        }
    }

    /// The tag by which a footer vouches for the key; zero when there is none.
    pub(crate) fn key_tag(&self, signed: &[u8]) -> Result<[u8; TAG]> {
        let mut out = [0; TAG];
        if let Some(key) = &self.key {
            let nonce = nonce(Purpose::Footer, 0);
            let tag = key
                .seal_in_place_separate_tag(nonce, aead::Aad::from(signed), &mut [])
                .map_err(refused)?;
            out.copy_from_slice(tag.as_ref());
        }
        Ok(out)
    }

    /// Whether the key is the one that made `tag` over `signed`.
    pub(crate) fn check_key(&self, signed: &[u8], tag: [u8; TAG]) -> Result<()> {
        let Some(key) = &self.key else { return Ok(()) };
        let nonce = nonce(Purpose::Footer, 0);
        let mut sealed = tag;
        match key.open_in_place(nonce, aead::Aad::from(signed), &mut sealed) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Key),
        }
    }

    fn place(&self, index: u64, last: bool) -> [u8; 25] {
        let mut place = [0; 25];
        place[..16].copy_from_slice(&self.identity);
        place[16..24].copy_from_slice(&index.to_le_bytes());
        place[24] = u8::from(last);
        place
    }
}

fn checksum(place: &[u8], data: &[u8]) -> [u8; TAG] {
    xxh3_128_with_seed(data, xxh3_64(place)).to_le_bytes()
}

fn split(stored: &mut [u8]) -> Result<(&mut [u8], &mut [u8])> {
    let at = stored
        .len()
        .checked_sub(TAG)
        .ok_or_else(|| refused(ring::error::Unspecified))?;
    Ok(stored.split_at_mut(at))
}

fn nonce(purpose: Purpose, index: u64) -> aead::Nonce {
    let mut nonce = [0; aead::NONCE_LEN];
    nonce[0] = purpose as u8;
    nonce[4..].copy_from_slice(&index.to_be_bytes());
    aead::Nonce::assume_unique_for_key(nonce)
}

/// The cipher refuses only lengths that this plane never produces.
fn refused(_: ring::error::Unspecified) -> Error {
    Error::Io(io::Error::other("the cipher refused a block"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(seal: &Seal) -> Result<Vec<u8>> {
        let mut stored = [&b"content"[..], &[0; TAG]].concat();
        seal.seal(3, false, &mut stored)?;
        Ok(stored)
    }

    #[test]
    fn a_block_opens_only_in_its_own_place() -> Result<()> {
        for key in [None, Some(Key::from([7; 32]))] {
            let seal = Seal::new([1; 16], key.as_ref())?;
            let other = Seal::new([2; 16], key.as_ref())?;
            assert!(seal.open(3, false, &mut sealed(&seal)?));
            assert!(!seal.open(3, true, &mut sealed(&seal)?));
            assert!(!seal.open(4, false, &mut sealed(&seal)?));
            assert!(!other.open(3, false, &mut sealed(&seal)?));
        }
        Ok(())
    }

    #[test]
    fn one_key_encrypts_two_contents_differently() -> Result<()> {
        let key = Key::from([7; 32]);
        let (one, two) = (
            Seal::new([1; 16], Some(&key))?,
            Seal::new([2; 16], Some(&key))?,
        );
        assert_ne!(sealed(&one)?[..7], sealed(&two)?[..7]);
        Ok(())
    }
}
