//! Key attributes as bytes whose order is DynamoDB's: UTF-8 for strings, numeric for numbers,
//! unsigned bytes for binary. Pure.

use md5::{Digest, Md5};

use super::Value;

/// The bytes of a key attribute; `None` for what cannot be a key.
pub(crate) fn encode(value: &Value) -> Option<Vec<u8>> {
    Some(match value {
        Value::S(text) => text.as_bytes().to_vec(),
        Value::B(bytes) => bytes.to_vec(),
        Value::N(number) => {
            let mut out = Vec::with_capacity(24);
            number.encode_key(&mut out);
            out
        }
        _ => return None,
    })
}

/// Where a partition key lies in the order of a scan: spread evenly, so that the segments of a
/// parallel scan are ranges of about equal size.
pub(crate) fn place(partition: &[u8]) -> u64 {
    let digest = Md5::digest(partition);
    let mut out = [0; 8];
    out.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(out)
}
