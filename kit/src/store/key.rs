//! Keys: an order-preserving encoding of tuples.
//!
//! Encoded keys compare, as bytes, the way their tuples compare component by component. Integers
//! are eight big-endian bytes (the sign bit of `i64` flipped). Texts and byte strings are written
//! as they are, with each `00` escaped to `00 FF` and `00 01` at the end: the end sorts before any
//! continuation, so `"a"` comes before `"a\0"` comes before `"ab"`, and a text's encoding without
//! its end is a prefix of exactly those texts that start with it.

use crate::names::{AccountId, Region};

/// A row's key: text, bytes, integer, or a tuple of up to five of them.
pub trait Key: KeyLike<Self> + Sized {}
impl<K: KeyLike<K>> Key for K {}

/// What encodes like a `K` and so can be used to look one up: `&str` for `String`, and so on.
pub trait KeyLike<K> {
    /// Appends the encoded key.
    fn encode(&self, out: &mut Vec<u8>);
}

/// The first components of a `K`: `()` for all keys, `(a,)`, `(a, b)` … up to the whole key.
pub trait PrefixOf<K> {
    /// Appends the encoded components.
    fn encode_prefix(&self, out: &mut Vec<u8>);
}

impl<K, T: KeyLike<K> + ?Sized> KeyLike<K> for &T {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

/// Appends text or bytes without their end.
pub(super) fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == 0) {
        out.extend_from_slice(&rest[..=at]);
        out.push(0xff);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn terminated(bytes: &[u8], out: &mut Vec<u8>) {
    escape(bytes, out);
    out.extend_from_slice(&[0, 1]);
}

macro_rules! textual {
    ($($like:ty => $key:ty: |$it:ident| $bytes:expr;)*) => {$(
        impl KeyLike<$key> for $like {
            fn encode(&self, out: &mut Vec<u8>) {
                let $it = self;
                terminated($bytes, out);
            }
        }
    )*};
}

textual! {
    String => String: |it| it.as_bytes();
    str => String: |it| it.as_bytes();
    Vec<u8> => Vec<u8>: |it| it;
    [u8] => Vec<u8>: |it| it;
    AccountId => AccountId: |it| it.as_str().as_bytes();
    AccountId => String: |it| it.as_str().as_bytes();
    Region => Region: |it| it.as_str().as_bytes();
    Region => String: |it| it.as_str().as_bytes();
}

impl KeyLike<u64> for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

impl KeyLike<i64> for i64 {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.cast_unsigned() ^ (1 << 63)).encode(out);
    }
}

impl KeyLike<()> for () {
    fn encode(&self, _: &mut Vec<u8>) {}
}

macro_rules! tuple {
    ($($like:ident $key:ident $at:tt),+) => {
        impl<$($like: KeyLike<$key>, $key),+> KeyLike<($($key,)+)> for ($($like,)+) {
            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$at.encode(out);)+
            }
        }
    };
}

tuple!(A1 K1 0);
tuple!(A1 K1 0, A2 K2 1);
tuple!(A1 K1 0, A2 K2 1, A3 K3 2);
tuple!(A1 K1 0, A2 K2 1, A3 K3 2, A4 K4 3);
tuple!(A1 K1 0, A2 K2 1, A3 K3 2, A4 K4 3, A5 K5 4);

impl<K, T: KeyLike<K>> PrefixOf<K> for T {
    fn encode_prefix(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
}

macro_rules! prefix {
    ($($like:ident $key:ident $at:tt),* => $($rest:ident),+) => {
        impl<$($like: KeyLike<$key>, $key,)* $($rest),+> PrefixOf<($($key,)* $($rest,)+)>
            for ($($like,)*)
        {
            fn encode_prefix(&self, _out: &mut Vec<u8>) {
                $(self.$at.encode(_out);)*
            }
        }
    };
}

prefix!(=> R1);
prefix!(=> R1, R2);
prefix!(=> R1, R2, R3);
prefix!(=> R1, R2, R3, R4);
prefix!(=> R1, R2, R3, R4, R5);
prefix!(A1 K1 0 => R1);
prefix!(A1 K1 0 => R1, R2);
prefix!(A1 K1 0 => R1, R2, R3);
prefix!(A1 K1 0 => R1, R2, R3, R4);
prefix!(A1 K1 0, A2 K2 1 => R1);
prefix!(A1 K1 0, A2 K2 1 => R1, R2);
prefix!(A1 K1 0, A2 K2 1 => R1, R2, R3);
prefix!(A1 K1 0, A2 K2 1, A3 K3 2 => R1);
prefix!(A1 K1 0, A2 K2 1, A3 K3 2 => R1, R2);
prefix!(A1 K1 0, A2 K2 1, A3 K3 2, A4 K4 3 => R1);

macro_rules! whole_table {
    ($($key:ty)*) => {$(
        impl PrefixOf<$key> for () {
            fn encode_prefix(&self, _: &mut Vec<u8>) {}
        }
    )*};
}

whole_table!(String Vec<u8> u64 i64 AccountId Region);

/// The first byte string after all that start with `prefix`; `None` when there is none.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|b| *b != 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Quint = (String, u64, Vec<u8>, i64, String);

    fn encoded<K: Key>(key: &K) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode(&mut out);
        out
    }

    fn key() -> impl Strategy<Value = Quint> {
        // Few symbols, so that equal components and shared prefixes are common.
        let text = "[a\u{0}\u{1}b]{0,3}";
        let bytes = prop::collection::vec(prop::sample::select(vec![0u8, 1, 0xfe, 0xff]), 0..3);
        let int = prop::sample::select(vec![0u64, 1, 255, 256, u64::MAX]);
        let signed = prop::sample::select(vec![i64::MIN, -1, 0, 1, i64::MAX]);
        (text, int, bytes, signed, text)
    }

    proptest! {
        #[test]
        fn bytes_order_as_tuples_do(a in key(), b in key()) {
            prop_assert_eq!(encoded(&a).cmp(&encoded(&b)), a.cmp(&b));
        }

        #[test]
        fn an_unended_text_is_a_prefix_of_what_starts_with_it(a in "[a\u{0}b]{0,4}", b in "[a\u{0}b]{0,2}") {
            let mut open = Vec::new();
            escape(b.as_bytes(), &mut open);
            prop_assert_eq!(encoded(&a).starts_with(&open), a.starts_with(&b));
        }

        #[test]
        fn components_are_prefixes(a in key(), b in key()) {
            let mut prefix = Vec::new();
            PrefixOf::<Quint>::encode_prefix(&(&*b.0, b.1), &mut prefix);
            prop_assert_eq!(encoded(&a).starts_with(&prefix), (&a.0, a.1) == (&b.0, b.1));
            let end = after_prefix(&prefix).expect("a text's end is not FF");
            prop_assert!(!encoded(&a).starts_with(&prefix) || encoded(&a) < end);
        }
    }
}
