//! Encryption at rest: AES-256-XTS, the mode made for disks, with a block's number as its tweak.
//!
//! XTS hides content and needs no room; it does not detect tampering (IEEE 1619, NIST SP 800-38E).

use aes::Aes256;
use aes::cipher::KeyInit;
use serde::{Deserialize, Serialize};
use xts_mode::{Xts128, get_tweak_default};

use crate::BLOCK;

/// A volume's key: two AES-256 keys. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key(#[serde(with = "hex")] pub [u8; 64]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

pub(crate) struct Cipher(Xts128<Aes256>);

impl Cipher {
    pub(crate) fn new(key: &Key) -> Self {
        let (data, tweak) = key.0.split_at(32);
        // Both halves are the 32 bytes that AES-256 takes.
        let aes = |half: &[u8]| {
            let mut key = [0; 32];
            key.copy_from_slice(half);
            Aes256::new(&key.into())
        };
        Self(Xts128::new(aes(data), aes(tweak)))
    }

    /// Encrypts whole blocks in place, the first of which has number `first`.
    pub(crate) fn seal(&self, blocks: &mut [u8], first: u64) {
        self.0
            .encrypt_area(blocks, BLOCK, u128::from(first), get_tweak_default);
    }

    /// The inverse of [`Cipher::seal`].
    pub(crate) fn open(&self, blocks: &mut [u8], first: u64) {
        self.0
            .decrypt_area(blocks, BLOCK, u128::from(first), get_tweak_default);
    }
}
