//! HMAC keys (RFC 2104).

use aws_lc_rs::hmac;

use super::hmac_algorithm;
use crate::spec::Hash;

pub(crate) fn sign(secret: &[u8], hash: Hash, message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac_algorithm(hash), secret);
    hmac::sign(&key, message).as_ref().to_vec()
}

/// Takes the same time for every wrong MAC.
pub(crate) fn verify(secret: &[u8], hash: Hash, message: &[u8], mac: &[u8]) -> bool {
    let key = hmac::Key::new(hmac_algorithm(hash), secret);
    hmac::verify(&key, message, mac).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn it_is_the_rfcs_hmac() {
        let mac = sign(b"Jefe", Hash::Sha256, b"what do ya want for nothing?");
        assert_eq!(
            hex::encode(&mac),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert!(verify(
            b"Jefe",
            Hash::Sha256,
            b"what do ya want for nothing?",
            &mac
        ));
        assert!(!verify(b"Jefe", Hash::Sha256, b"what do ya want?", &mac));
        assert_eq!(sign(b"k", Hash::Sha224, b"m").len(), 28);
    }
}
