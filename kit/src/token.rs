//! Page tokens: where a listing goes on, in a form that clients can only hand back.
//!
//! A token carries the position itself, so that the server keeps nothing per listing, and a MAC
//! over it and the scope it was made for (the operation, the account, the filters): one that was
//! altered, or belongs to another listing, does not open. It is not encrypted; a position holds
//! nothing that its reader was not just shown.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::names::id;
use crate::store::{Reader, Row, Store, StoreError};

/// The longest token that is looked at, in characters.
const MAX_TOKEN: usize = 16384;
const TAG: usize = 16;

/// Makes and opens page tokens. Clones share the key.
#[derive(Clone)]
pub struct PageTokens {
    key: hmac::Key,
}

/// The key in the store, so that tokens stay valid across restarts.
#[derive(Serialize, Deserialize)]
struct TokenKey {
    name: String,
    bytes: [u8; 32],
}

impl Row for TokenKey {
    const TABLE: &'static str = "kit.token-key";
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }
}

impl PageTokens {
    /// Reads the key from the store, or makes it.
    pub async fn load(store: &Store) -> Result<PageTokens, StoreError> {
        let key = store
            .transact(|tx| {
                if let Some(key) = tx.get::<TokenKey>("page")? {
                    return Ok::<_, StoreError>(key.bytes);
                }
                let key = TokenKey {
                    name: "page".into(),
                    bytes: id::bytes(),
                };
                tx.put(&key)?;
                Ok(key.bytes)
            })
            .await?;
        Ok(PageTokens {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        })
    }

    fn tag(&self, scope: &str, position: &[u8]) -> hmac::Tag {
        let mut mac = hmac::Context::with_key(&self.key);
        // The length keeps scope and position apart.
        mac.update(&(scope.len() as u64).to_be_bytes());
        mac.update(scope.as_bytes());
        mac.update(position);
        mac.sign()
    }

    /// A token (base64url) for a position in the listing that `scope` names: the operation, the
    /// account, and whatever else must stay the same from page to page.
    pub fn seal(&self, scope: &str, position: &[u8]) -> String {
        let tag = self.tag(scope, position);
        URL_SAFE_NO_PAD.encode([&tag.as_ref()[..TAG], position].concat())
    }

    /// The position in a token; `None` if it was not sealed for this scope by this store.
    pub fn open(&self, scope: &str, token: &str) -> Option<Vec<u8>> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (tag, position) = bytes.split_first_chunk::<TAG>()?;
        let expected = self.tag(scope, position);
        // Compared without an early end, so that timing tells nothing about the right tag.
        let differing = tag
            .iter()
            .zip(expected.as_ref())
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        (differing == 0).then(|| position.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_opens_only_as_it_was_sealed() {
        let store = Store::memory();
        let tokens = PageTokens::load(&store).await.expect("tokens");
        let token = tokens.seal("sqs:ListQueues/1", b"orders");
        assert_eq!(
            tokens.open("sqs:ListQueues/1", &token).as_deref(),
            Some(&b"orders"[..])
        );
        assert_eq!(tokens.open("sqs:ListQueues/2", &token), None);
        for at in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("ascii");
            assert_eq!(tokens.open("sqs:ListQueues/1", &altered), None, "{at}");
        }
        for wrong in ["", "=", "AAAA", &"A".repeat(MAX_TOKEN + 1)] {
            assert_eq!(tokens.open("sqs:ListQueues/1", wrong), None);
        }
        let again = PageTokens::load(&store).await.expect("tokens");
        assert!(
            again.open("sqs:ListQueues/1", &token).is_some(),
            "the key was not kept"
        );
        let other = PageTokens::load(&Store::memory()).await.expect("tokens");
        assert_eq!(other.open("sqs:ListQueues/1", &token), None);
    }
}
