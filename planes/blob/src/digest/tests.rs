//! Known answers, and CRCs of joined contents against CRCs of the whole.

use super::*;
use proptest::prelude::*;

const CRCS: [Algorithm; 3] = [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme];

fn hex_of(algorithm: Algorithm, bytes: &[u8]) -> String {
    hex::encode(&Digests::of(&[algorithm], bytes)[&algorithm])
}

#[test]
fn digests_match_published_vectors() {
    let abc = [
        (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
        (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            Algorithm::Sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            Algorithm::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (Algorithm::Xxh64, "44bc2cf5ad770999"),
        (Algorithm::Xxh3, "78af5f94892f3950"),
        (Algorithm::Xxh128, "06b05ab6733a618578af5f94892f3950"),
    ];
    for (algorithm, expected) in abc {
        assert_eq!(hex_of(algorithm, b"abc"), expected, "{algorithm:?}");
    }
    // The check values of the CRC catalogue.
    assert_eq!(hex_of(Algorithm::Crc32, b"123456789"), "cbf43926");
    assert_eq!(hex_of(Algorithm::Crc32c, b"123456789"), "e3069283");
    assert_eq!(
        hex_of(Algorithm::Crc64Nvme, b"123456789"),
        "ae8b14860a799888"
    );
}

#[test]
fn digests_have_their_length() {
    for (algorithm, sum) in Digests::of(&Algorithm::ALL, b"") {
        assert_eq!(sum.len(), algorithm.len(), "{algorithm:?}");
    }
}

#[test]
fn combine_refuses_what_it_cannot_combine() {
    assert_eq!(combine(Algorithm::Md5, &[0; 16], &[0; 16], 1), None);
    assert_eq!(combine(Algorithm::Crc32, &[0; 4], &[0; 8], 1), None);
}

proptest! {
    #[test]
    fn combined_crcs_equal_the_whole(whole: Vec<u8>, at: prop::sample::Index) {
        let (a, b) = whole.split_at(at.index(whole.len() + 1));
        for algorithm in CRCS {
            let sum = |bytes| Digests::of(&[algorithm], bytes)[&algorithm].clone();
            let joined = combine(algorithm, &sum(a), &sum(b), b.len() as u64);
            prop_assert_eq!(joined, Some(sum(&whole)));
        }
    }

    #[test]
    fn updates_may_be_cut_anywhere(whole: Vec<u8>, at: prop::sample::Index) {
        let (a, b) = whole.split_at(at.index(whole.len() + 1));
        let mut digests = Digests::new(&Algorithm::ALL);
        digests.update(a);
        digests.update(b);
        prop_assert_eq!(digests.finish(), Digests::of(&Algorithm::ALL, &whole));
    }
}
