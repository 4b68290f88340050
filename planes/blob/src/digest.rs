//! Digests of content: any set of algorithms in one pass, and CRCs of joined contents.

use crc_fast::CrcAlgorithm;
use md5::Digest as _;
use ring::digest as sha;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xxhash_rust::{xxh3::Xxh3Default, xxh64::Xxh64};

/// A digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha512,
    /// CRC-32/ISO-HDLC, the one of zip and Ethernet.
    Crc32,
    /// CRC-32/ISCSI, Castagnoli's polynomial.
    Crc32c,
    Crc64Nvme,
    /// XXH64 with seed 0.
    Xxh64,
    /// XXH3 of 64 bits with seed 0.
    Xxh3,
    /// XXH3 of 128 bits with seed 0.
    Xxh128,
}

impl Algorithm {
    pub const ALL: [Algorithm; 10] = [
        Algorithm::Md5,
        Algorithm::Sha1,
        Algorithm::Sha256,
        Algorithm::Sha512,
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Crc64Nvme,
        Algorithm::Xxh64,
        Algorithm::Xxh3,
        Algorithm::Xxh128,
    ];

    /// Bytes of a digest.
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(self) -> usize {
        match self {
            Algorithm::Crc32 | Algorithm::Crc32c => 4,
            Algorithm::Crc64Nvme | Algorithm::Xxh64 | Algorithm::Xxh3 => 8,
            Algorithm::Md5 | Algorithm::Xxh128 => 16,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Algorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            _ => None,
        }
    }
}

/// Finished digests by algorithm; checksums of 4, 8 and 16 bytes are big-endian.
pub type Sums = BTreeMap<Algorithm, Vec<u8>>;

/// A set of digests under way.
#[derive(Default)]
pub struct Digests(BTreeMap<Algorithm, State>);

enum State {
    Md5(md5::Md5),
    Sha(sha::Context),
    Crc(crc_fast::Digest),
    Xxh64(Xxh64),
    /// Over half a kilobyte of state, for both widths.
    Xxh3(Box<Xxh3Default>),
}

impl Digests {
    /// Begins the given digests; naming one twice is the same as naming it once.
    pub fn new(algorithms: &[Algorithm]) -> Self {
        Self(
            algorithms
                .iter()
                .map(|&algorithm| (algorithm, State::new(algorithm)))
                .collect(),
        )
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn update(&mut self, bytes: &[u8]) {
        for state in self.0.values_mut() {
            state.update(bytes);
        }
    }

    pub fn finish(self) -> Sums {
        let digest = |(algorithm, state): (_, State)| (algorithm, state.finish(algorithm));
        self.0.into_iter().map(digest).collect()
    }

    /// The digests of bytes at hand.
    pub fn of(algorithms: &[Algorithm], bytes: &[u8]) -> Sums {
        let mut digests = Self::new(algorithms);
        digests.update(bytes);
        digests.finish()
    }
}

impl State {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Md5 => State::Md5(md5::Md5::new()),
            Algorithm::Sha1 => State::Sha(sha::Context::new(&sha::SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Sha256 => State::Sha(sha::Context::new(&sha::SHA256)),
            Algorithm::Sha512 => State::Sha(sha::Context::new(&sha::SHA512)),
            Algorithm::Crc32 => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc)),
            Algorithm::Crc32c => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
            Algorithm::Crc64Nvme => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)),
            Algorithm::Xxh64 => State::Xxh64(Xxh64::new(0)),
            Algorithm::Xxh3 | Algorithm::Xxh128 => State::Xxh3(Box::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            State::Md5(state) => state.update(bytes),
            State::Sha(state) => state.update(bytes),
            State::Crc(state) => state.update(bytes),
            State::Xxh64(state) => state.update(bytes),
            State::Xxh3(state) => state.update(bytes),
        }
    }

    fn finish(self, algorithm: Algorithm) -> Vec<u8> {
        match self {
            State::Md5(state) => state.finalize().to_vec(),
            State::Sha(state) => state.finish().as_ref().to_vec(),
            State::Crc(state) => crc_bytes(algorithm, state.finalize()),
            State::Xxh64(state) => state.digest().to_be_bytes().to_vec(),
            State::Xxh3(state) if algorithm == Algorithm::Xxh128 => {
                state.digest128().to_be_bytes().to_vec()
            }
            State::Xxh3(state) => state.digest().to_be_bytes().to_vec(),
        }
    }
}

/// The CRC of `a` followed by `b`, from the CRCs of both and the length of `b` in bytes.
///
/// `None` when the algorithm is no CRC or a sum has not its length.
pub fn combine(algorithm: Algorithm, a: &[u8], b: &[u8], len_b: u64) -> Option<Vec<u8>> {
    let crc = algorithm.crc()?;
    if a.len() != algorithm.len() || b.len() != algorithm.len() {
        return None;
    }
    let number = |sum: &[u8]| sum.iter().fold(0u64, |n, &byte| n << 8 | u64::from(byte));
    Some(crc_bytes(
        algorithm,
        crc_fast::checksum_combine(crc, number(a), number(b), len_b),
    ))
}

/// The low bytes of a CRC, as many as it has, big-endian.
fn crc_bytes(algorithm: Algorithm, crc: u64) -> Vec<u8> {
    crc.to_be_bytes()[8 - algorithm.len()..].to_vec()
}

#[cfg(test)]
mod tests;
