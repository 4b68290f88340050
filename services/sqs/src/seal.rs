//! Keys: contents at rest, receipt handles and page tokens, all from one master key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gureum_kit::seal::{Salt, Sealer};
use ring::{digest, hmac};

/// The length of the MAC in handles and tokens, in bytes.
const TAG: usize = 16;

/// The longest handle or token that is looked at, in characters.
const MAX_TEXT: usize = 4096;

/// What the service seals and signs with.
pub(crate) struct Keys {
    content: Sealer,
    handle: hmac::Key,
}

/// One receive of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) queue: u64,
    pub(crate) seq: u64,
    /// Which receive in that queue, from 1.
    pub(crate) receive: u32,
}

impl Keys {
    /// Derives what is needed from a secret that is kept outside the store.
    pub(crate) fn new(master: &[u8; 32]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, master);
        let handle = hmac::sign(&secret, b"sqs handle");
        Self {
            content: Sealer::derived(master, b"sqs content"),
            handle: hmac::Key::new(hmac::HMAC_SHA256, handle.as_ref()),
        }
    }

    /// Encrypts `data` in place (and appends the tag); returns the salt to open it with. `id` is
    /// authenticated along with it. With a data key, that one takes the place of our own secret.
    pub(crate) fn seal(
        &self,
        id: u64,
        data: &mut Vec<u8>,
        data_key: Option<&[u8]>,
    ) -> Option<Salt> {
        let bound = id.to_be_bytes();
        match data_key {
            Some(key) => Sealer::new(key).seal(&bound, data),
            None => self.content.seal(&bound, data),
        }
    }

    /// `None` when the bytes are not what was sealed.
    pub(crate) fn open<'a>(
        &self,
        id: u64,
        salt: &Salt,
        data_key: Option<&[u8]>,
        data: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let bound = id.to_be_bytes();
        match data_key {
            Some(key) => Sealer::new(key).open(&bound, salt, data),
            None => self.content.open(&bound, salt, data),
        }
    }

    pub(crate) fn receipt_handle(&self, receipt: Receipt) -> String {
        let mut position = Vec::with_capacity(20);
        position.extend_from_slice(&receipt.queue.to_be_bytes());
        position.extend_from_slice(&receipt.seq.to_be_bytes());
        position.extend_from_slice(&receipt.receive.to_be_bytes());
        self.sign("receipt", &position)
    }

    /// `None` when the handle was not made here.
    pub(crate) fn receipt(&self, handle: &str) -> Option<Receipt> {
        let position = self.verify("receipt", handle)?;
        let (queue, rest) = position.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        Some(Receipt {
            queue: u64::from_be_bytes(*queue),
            seq: u64::from_be_bytes(*seq),
            receive: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }

    /// A text that carries `position`, and that is good only for the listing that `scope` names.
    pub(crate) fn sign(&self, scope: &str, position: &[u8]) -> String {
        let tag = hmac::sign(&self.handle, &scoped(scope, position));
        STANDARD.encode([position, &tag.as_ref()[..TAG]].concat())
    }

    /// The position in a text that was made by [`Keys::sign`] for the same scope.
    pub(crate) fn verify(&self, scope: &str, text: &str) -> Option<Vec<u8>> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let bytes = STANDARD.decode(text).ok()?;
        let (position, tag) = bytes.split_last_chunk::<TAG>()?;
        let expected = hmac::sign(&self.handle, &scoped(scope, position));
        // Compared without an early end, so that timing tells nothing about the right tag.
        let differing = tag
            .iter()
            .zip(expected.as_ref())
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        (differing == 0).then(|| position.to_vec())
    }
}

/// The length keeps scope and position apart.
fn scoped(scope: &str, position: &[u8]) -> Vec<u8> {
    let length = (scope.len() as u64).to_be_bytes();
    [&length, scope.as_bytes(), position].concat()
}

/// SHA-256 in lower-case hexadecimal, as content-based deduplication names a body.
pub(crate) fn sha256_hex(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_open_only_as_they_were_sealed() {
        let keys = Keys::new(&[7; 32]);
        let mut data = b"a secret order".to_vec();
        let salt = keys.seal(5, &mut data, None).expect("sealed");
        assert!(!data.windows(6).any(|part| part == b"secret"));
        let open = |keys: &Keys, id, data: &[u8]| {
            let mut data = data.to_vec();
            keys.open(id, &salt, None, &mut data).map(<[u8]>::to_vec)
        };
        assert_eq!(
            open(&keys, 5, &data).as_deref(),
            Some(&b"a secret order"[..])
        );
        assert_eq!(open(&keys, 6, &data), None);
        assert_eq!(open(&Keys::new(&[8; 32]), 5, &data), None);
        data[0] ^= 1;
        assert_eq!(open(&keys, 5, &data), None);
    }

    #[test]
    fn an_altered_receipt_handle_is_nobodys() {
        let keys = Keys::new(&[7; 32]);
        let receipt = Receipt {
            queue: 1 << 40,
            seq: 77,
            receive: 3,
        };
        let handle = keys.receipt_handle(receipt);
        assert_eq!(keys.receipt(&handle), Some(receipt));
        for at in 0..handle.len() {
            let mut altered = handle.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("ascii");
            assert_eq!(keys.receipt(&altered), None, "{at}");
        }
        assert_eq!(keys.verify("other", &handle), None);
    }
}
