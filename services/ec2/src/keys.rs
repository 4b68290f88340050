//! Key pairs: making them, reading them, and their fingerprints.
//!
//! Made RSA keys have the SHA-1 of their PKCS #8 form as fingerprint, imported ones the MD5 of
//! their public key's DER form; Ed25519 keys have OpenSSH's SHA-256.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/verify-keys.html>, RFC 4253 §6.6 and
//! RFC 8709 (public keys), OpenSSH's PROTOCOL.key (private ones), RFC 8017 §A.1 (RSA in DER).

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gureum_kit::names::id;
use md5::Digest as _;

use crate::errors::{Refusal, Result};

/// A new key pair.
pub(crate) struct Made {
    /// The private key, in PEM.
    pub(crate) private: String,
    pub(crate) public: Public,
}

/// A public key.
pub(crate) struct Public {
    pub(crate) kind: Kind,
    /// `ssh-… base64`
    pub(crate) line: String,
    pub(crate) fingerprint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa,
    Ed25519,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Rsa => "rsa",
            Kind::Ed25519 => "ed25519",
        }
    }

    fn ssh(self) -> &'static str {
        match self {
            Kind::Rsa => "ssh-rsa",
            Kind::Ed25519 => "ssh-ed25519",
        }
    }
}

fn broken(what: &str) -> Refusal {
    Refusal::Broken(format!("{what} failed"))
}

/// A new RSA key of 2048 bits.
pub(crate) fn make_rsa() -> Result<Made> {
    let pair = rsa::KeyPair::generate(KeySize::Rsa2048).map_err(|_| broken("making an RSA key"))?;
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| broken("PKCS #8"))?;
    let pkcs8 = pkcs8.as_ref();
    let pkcs1 = pkcs1(pkcs8).ok_or_else(|| broken("PKCS #8"))?;
    // version, modulus, public exponent, …
    let mut fields = Der(pkcs1)
        .inner(SEQUENCE)
        .ok_or_else(|| broken("PKCS #1"))?;
    let mut integer = || fields.next(INTEGER).ok_or_else(|| broken("PKCS #1"));
    let (_, modulus, exponent) = (integer()?, integer()?, integer()?);
    let blob = wire(&[Kind::Rsa.ssh().as_bytes(), exponent, modulus]);
    Ok(Made {
        private: pem("RSA PRIVATE KEY", pkcs1),
        public: Public {
            kind: Kind::Rsa,
            line: line(Kind::Rsa, &blob),
            fingerprint: colons(&sha1::Sha1::digest(pkcs8)),
        },
    })
}

/// A new Ed25519 key, in OpenSSH's own form.
pub(crate) fn make_ed25519() -> Result<Made> {
    let seed: [u8; 32] = id::bytes();
    let pair =
        Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| broken("making an Ed25519 key"))?;
    let public = pair.public_key().as_ref();
    let blob = wire(&[Kind::Ed25519.ssh().as_bytes(), public]);
    let secret = [&seed[..], public].concat();
    Ok(Made {
        private: pem("OPENSSH PRIVATE KEY", &openssh(&blob, public, &secret)),
        public: Public {
            kind: Kind::Ed25519,
            line: line(Kind::Ed25519, &blob),
            fingerprint: STANDARD.encode(sha2::Sha256::digest(&blob)),
        },
    })
}

/// Reads a public key of OpenSSH's form, `ssh-… base64 comment`.
pub(crate) fn read(material: &[u8]) -> Result<Public> {
    let malformed = || {
        Refusal::new(
            "InvalidKey.Format",
            "Key is not in valid OpenSSH public key format",
        )
    };
    let text = std::str::from_utf8(material).map_err(|_| malformed())?;
    let mut words = text.split_whitespace();
    let kind = match words.next() {
        Some("ssh-rsa") => Kind::Rsa,
        Some("ssh-ed25519") => Kind::Ed25519,
        _ => return Err(malformed()),
    };
    let blob = STANDARD
        .decode(words.next().unwrap_or_default())
        .map_err(|_| malformed())?;
    let fields = fields(&blob).ok_or_else(malformed)?;
    let fingerprint = match (kind, &fields[..]) {
        (Kind::Rsa, [name, exponent, modulus]) if *name == b"ssh-rsa" => {
            if !(128..=2049).contains(&modulus.len()) {
                return Err(malformed());
            }
            colons(&md5::Md5::digest(spki(modulus, exponent)))
        }
        (Kind::Ed25519, [name, key]) if *name == b"ssh-ed25519" && key.len() == 32 => {
            STANDARD.encode(sha2::Sha256::digest(&blob))
        }
        _ => return Err(malformed()),
    };
    Ok(Public {
        kind,
        line: line(kind, &blob),
        fingerprint,
    })
}

fn line(kind: Kind, blob: &[u8]) -> String {
    format!("{} {}", kind.ssh(), STANDARD.encode(blob))
}

fn colons(digest: &[u8]) -> String {
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for at in (0..text.len()).step_by(64) {
        // Base64 is ASCII, so every position is a boundary.
        out.push_str(&text[at..text.len().min(at + 64)]);
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

/// SSH's strings: each with its length before it.
fn wire(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        // Keys are a few kilobytes at most.
        out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

fn fields(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut out = Vec::new();
    while !blob.is_empty() {
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        out.push(field);
        blob = rest;
    }
    Some(out)
}

/// OpenSSH's file of one unencrypted Ed25519 key.
fn openssh(blob: &[u8], public: &[u8], secret: &[u8]) -> Vec<u8> {
    let check: [u8; 4] = id::bytes();
    let mut private = [check, check].concat();
    private.extend(wire(&[Kind::Ed25519.ssh().as_bytes(), public, secret, b""]));
    for pad in 1..=u8::MAX {
        if private.len().is_multiple_of(8) {
            break;
        }
        private.push(pad);
    }
    let mut out = b"openssh-key-v1\0".to_vec();
    out.extend(wire(&[b"none", b"none", b""]));
    out.extend(1u32.to_be_bytes());
    out.extend(wire(&[blob, &private]));
    out
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// DER, as far as keys need it.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next element, which must be of this kind.
    fn next(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&[found, length], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match length {
            0..0x80 => (usize::from(length), rest),
            _ => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                let add = |sum: usize, byte: &u8| Some(sum.checked_mul(256)? + usize::from(*byte));
                (bytes.iter().try_fold(0, add)?, rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (found == tag).then_some(content)
    }

    fn inner(mut self, tag: u8) -> Option<Der<'a>> {
        self.next(tag).map(Der)
    }
}

/// The PKCS #1 key inside of a PKCS #8 one.
fn pkcs1(pkcs8: &[u8]) -> Option<&[u8]> {
    let mut outer = Der(pkcs8).inner(SEQUENCE)?;
    outer.next(INTEGER)?;
    outer.next(SEQUENCE)?;
    outer.next(OCTET_STRING)
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length @ 0..0x80) => out.push(length),
        _ => {
            let length = content.len().to_be_bytes();
            let zeros = length.iter().take_while(|byte| **byte == 0).count();
            // At most eight bytes of length.
            out.push(0x80 | u8::try_from(length.len() - zeros).unwrap_or(8));
            out.extend_from_slice(&length[zeros..]);
        }
    }
    out.extend_from_slice(content);
    out
}

/// An RSA public key in X.509's form.
fn spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    // rsaEncryption and no parameters.
    const ALGORITHM: [u8; 13] = [
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    let numbers = [der(INTEGER, modulus), der(INTEGER, exponent)].concat();
    let key = [vec![0], der(SEQUENCE, &numbers)].concat();
    let parts = [der(SEQUENCE, &ALGORITHM), der(BIT_STRING, &key)].concat();
    der(SEQUENCE, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_can_be_imported() {
        let ed = make_ed25519().expect("key").public;
        let again = read(format!("{} me@home", ed.line).as_bytes()).expect("line");
        assert_eq!(
            (again.kind, again.fingerprint),
            (Kind::Ed25519, ed.fingerprint)
        );
        let rsa = make_rsa().expect("key").public;
        let again = read(rsa.line.as_bytes()).expect("line");
        assert_eq!((again.kind, again.line), (Kind::Rsa, rsa.line));
        assert_eq!((rsa.fingerprint.len(), again.fingerprint.len()), (59, 47));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in [
            "",
            "ssh-rsa",
            "ssh-rsa AAAA",
            "ssh-dss AAAAB3NzaC1kc3M=",
            "ssh-ed25519 !!!!",
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
