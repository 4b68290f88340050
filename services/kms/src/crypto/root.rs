//! The root key: what all key material is wrapped with, and what tokens are signed with.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use super::{broken, open, seal};
use crate::errors::Result;

/// The length of the MAC in tokens, in bytes.
const TAG: usize = 16;
/// The longest token that is looked at, in characters.
const MAX_TOKEN: usize = 8192;
/// The length of the salt before wrapped material.
const SALT: usize = 16;

/// Two keys that are derived from one secret, which is kept outside the store.
pub(crate) struct Root {
    wrapping: Vec<u8>,
    tokens: hmac::Key,
}

impl Root {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive = |purpose: &[u8]| hmac::sign(&secret, purpose).as_ref().to_vec();
        Self {
            wrapping: derive(b"kms material"),
            tokens: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"kms tokens")),
        }
    }

    /// Wraps material for this key and this version of it; it cannot be put in another's place.
    pub(crate) fn wrap(&self, key: &str, material: &str, secret: &[u8]) -> Result<Bytes> {
        let (salt, sealed) = seal(&self.wrapping, &place(key, material), secret)?;
        Ok([&salt[..], &sealed].concat().into())
    }

    pub(crate) fn unwrap(&self, key: &str, material: &str, wrapped: &[u8]) -> Result<Vec<u8>> {
        let unreadable = || broken("opening key material");
        let (salt, sealed) = wrapped.split_first_chunk::<SALT>().ok_or_else(unreadable)?;
        open(&self.wrapping, salt, &place(key, material), sealed)?.ok_or_else(unreadable)
    }

    /// A token that carries `position` and is good only for what `scope` names.
    pub(crate) fn token(&self, scope: &str, position: &str) -> String {
        let tag = self.tag(scope, position.as_bytes());
        URL_SAFE_NO_PAD.encode([&tag.as_ref()[..TAG], position.as_bytes()].concat())
    }

    /// The position in a token that was made for this scope.
    pub(crate) fn open_token(&self, scope: &str, token: &str) -> Option<String> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (tag, position) = bytes.split_first_chunk::<TAG>()?;
        let expected = self.tag(scope, position);
        aws_lc_rs::constant_time::verify_slices_are_equal(tag, &expected.as_ref()[..TAG]).ok()?;
        String::from_utf8(position.to_vec()).ok()
    }

    fn tag(&self, scope: &str, position: &[u8]) -> hmac::Tag {
        let mut mac = hmac::Context::with_key(&self.tokens);
        // The length keeps scope and position apart.
        mac.update(&(scope.len() as u64).to_be_bytes());
        mac.update(scope.as_bytes());
        mac.update(position);
        mac.sign()
    }
}

fn place(key: &str, material: &str) -> Vec<u8> {
    format!("{key}/{material}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_opens_only_in_its_own_place() {
        let root = Root::new(&[7; 32]);
        let wrapped = root.wrap("key", "1", b"secret").expect("wrapped");
        assert!(!wrapped.windows(6).any(|part| part == b"secret"));
        assert_eq!(root.unwrap("key", "1", &wrapped).expect("open"), b"secret");
        assert!(root.unwrap("key", "2", &wrapped).is_err());
        assert!(root.unwrap("other", "1", &wrapped).is_err());
        assert!(Root::new(&[8; 32]).unwrap("key", "1", &wrapped).is_err());
    }

    #[test]
    fn an_altered_token_does_not_open() {
        let root = Root::new(&[7; 32]);
        let token = root.token("scope", "here");
        assert_eq!(root.open_token("scope", &token).as_deref(), Some("here"));
        assert_eq!(root.open_token("other", &token), None);
        for at in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("ascii");
            assert_eq!(root.open_token("scope", &altered), None, "{at}");
        }
    }
}
