//! Sealing content at rest, each piece of it under a key of its own. Pure.
//!
//! The key of a piece is derived from a secret and a random salt (HMAC-SHA256), and used once, with
//! AES-256-GCM; so any number of pieces may be sealed under one secret, and the nonce may stay the
//! same.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;

use crate::names::id;

/// What makes the key of one piece; kept beside it.
pub type Salt = [u8; 16];

/// How many bytes longer a sealed piece is.
pub const TAG: usize = 16;

/// Seals and opens under one secret.
pub struct Sealer(hmac::Key);

impl Sealer {
    /// Seals under this secret, a data key of 32 bytes for example.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Seals under what is derived from a secret for one purpose, so that what was sealed for
    /// another does not open.
    pub fn derived(secret: &[u8], purpose: &[u8]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self::new(hmac::sign(&secret, purpose).as_ref())
    }

    /// Encrypts in place and appends a tag of [`TAG`] bytes; what it is bound to is authenticated
    /// along with it. `None` for content that is too long for the cipher (64 GiB).
    pub fn seal(&self, bound: &[u8], data: &mut Vec<u8>) -> Option<Salt> {
        let salt = id::bytes();
        self.cipher(&salt)?
            .seal_in_place_append_tag(nonce(), Aad::from(bound), data)
            .ok()?;
        Some(salt)
    }

    /// Opens in place. `None` when this is not what was sealed, or was bound to something else.
    pub fn open<'d>(&self, bound: &[u8], salt: &Salt, data: &'d mut [u8]) -> Option<&'d [u8]> {
        let opened = self
            .cipher(salt)?
            .open_in_place(nonce(), Aad::from(bound), data);
        opened.ok().map(|data| &*data)
    }

    fn cipher(&self, salt: &Salt) -> Option<LessSafeKey> {
        let key = hmac::sign(&self.0, salt);
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).ok()?;
        Some(LessSafeKey::new(key))
    }
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_only_as_it_was_sealed() {
        let sealer = Sealer::new(&[7; 32]);
        let mut data = b"a secret order".to_vec();
        let salt = sealer.seal(b"5", &mut data).expect("sealed");
        assert_eq!(data.len(), 14 + TAG);
        assert!(!data.windows(6).any(|part| part == b"secret"));
        let open = |sealer: &Sealer, bound: &[u8], data: &[u8]| {
            let mut data = data.to_vec();
            sealer.open(bound, &salt, &mut data).map(<[u8]>::to_vec)
        };
        assert_eq!(
            open(&sealer, b"5", &data).as_deref(),
            Some(&b"a secret order"[..])
        );
        assert_eq!(open(&sealer, b"6", &data), None);
        assert_eq!(open(&Sealer::new(&[8; 32]), b"5", &data), None);
        assert_eq!(open(&Sealer::derived(&[7; 32], b"x"), b"5", &data), None);
        data[0] ^= 1;
        assert_eq!(open(&sealer, b"5", &data), None);
    }
}
