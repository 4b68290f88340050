//! Ciphertexts of symmetric keys. They say which key, and which version of it, opens them:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | format, 1 |
//! | 12 | account |
//! | 16 | key id (UUID) |
//! | 32 | id of the key material |
//! | 16 | salt |
//! | rest | AES-256-GCM ciphertext and its 16-byte tag |
//!
//! The bytes before the salt and the encryption context are authenticated along with it.

use std::collections::BTreeMap;

use super::{broken, open, seal};
use crate::errors::Result;

const FORMAT: u8 = 1;
const HEADER: usize = 1 + 12 + 16 + 32;

/// Which key and material a ciphertext is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) account: String,
    pub(crate) key: String,
    pub(crate) material: String,
}

pub(crate) type Context = BTreeMap<String, String>;

pub(crate) fn encrypt(
    secret: &[u8],
    address: &Address,
    context: &Context,
    plaintext: &[u8],
) -> Result<Vec<u8>> {
    let header = address
        .encode()
        .ok_or_else(|| broken("encoding a key id"))?;
    let (salt, sealed) = seal(secret, &authenticated(&header, context), plaintext)?;
    Ok([&header[..], &salt, &sealed].concat())
}

/// `None` when the ciphertext was altered, or made with another context or secret.
pub(crate) fn decrypt(secret: &[u8], context: &Context, blob: &[u8]) -> Result<Option<Vec<u8>>> {
    let parts = blob.split_at_checked(HEADER);
    let parts = parts.and_then(|(header, rest)| Some((header, rest.split_first_chunk()?)));
    let Some((header, (salt, sealed))) = parts else {
        return Ok(None);
    };
    open(secret, salt, &authenticated(header, context), sealed)
}

/// The address on a ciphertext; `None` if it is none of ours. It is not authentic until the
/// ciphertext was opened.
pub(crate) fn address(blob: &[u8]) -> Option<Address> {
    let (format, rest) = blob.split_first()?;
    let (account, rest) = rest.split_at_checked(12)?;
    let (key, rest) = rest.split_at_checked(16)?;
    let (material, _) = rest.split_at_checked(32)?;
    if *format != FORMAT || !account.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(Address {
        account: String::from_utf8(account.to_vec()).ok()?,
        key: uuid(&hex::encode(key)),
        material: hex::encode(material),
    })
}

impl Address {
    fn encode(&self) -> Option<Vec<u8>> {
        let key = hex::decode(self.key.replace('-', "")).ok()?;
        let material = hex::decode(&self.material).ok()?;
        let header = [&[FORMAT], self.account.as_bytes(), &key, &material].concat();
        (header.len() == HEADER).then_some(header)
    }
}

fn uuid(digits: &str) -> String {
    let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// Header and context as one unambiguous string of bytes: every text comes after its length, and
/// the order of the pairs is that of their names.
fn authenticated(header: &[u8], context: &Context) -> Vec<u8> {
    let mut out = header.to_vec();
    for text in context.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to() -> Address {
        Address {
            account: "123456789012".into(),
            key: gureum_kit::names::id::uuid(),
            material: gureum_kit::names::id::hex_digits(64),
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_with_the_same_context_only(
            plaintext in prop::collection::vec(any::<u8>(), 0..100),
            context in prop::collection::btree_map("[a-b]{0,2}", "[a-b]{0,2}", 0..3),
            other in prop::collection::btree_map("[a-b]{0,2}", "[a-b]{0,2}", 0..3),
            flip in any::<prop::sample::Index>(),
        ) {
            let to = to();
            let blob = encrypt(&[1; 32], &to, &context, &plaintext).expect("encrypted");
            prop_assert_eq!(address(&blob), Some(to));
            let open = |secret: &[u8], context: &Context, blob: &[u8]| {
                decrypt(secret, context, blob).expect("no failure")
            };
            prop_assert_eq!(open(&[1; 32], &context, &blob), Some(plaintext));
            prop_assert_eq!(open(&[2; 32], &context, &blob), None);
            if other != context {
                prop_assert_eq!(open(&[1; 32], &other, &blob), None);
            }
            let mut altered = blob.clone();
            altered[flip.index(blob.len())] ^= 1;
            prop_assert_eq!(open(&[1; 32], &context, &altered), None);
        }

        #[test]
        fn no_bytes_break_it(blob in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = address(&blob);
            prop_assert_eq!(decrypt(&[1; 32], &Context::new(), &blob).expect("no failure"), None);
        }
    }
}
