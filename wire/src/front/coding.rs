//! Request bodies that the client has compressed: `Content-Encoding: gzip`.
//!
//! The signature covers the body as it was sent, so it is unpacked after it was verified. In S3
//! the header is the object's, and nothing is unpacked.
//!
//! Source: Smithy, "requestCompression trait"; RFC 1952; RFC 9110, section 8.4.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use gureum_schema::Error;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// What unpacks to more than this many times its size is a bomb, not a document,
const RATIO: usize = 200;
/// unless it is small all the same.
const HARMLESS: usize = 1 << 20;

/// How a body was made from what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Gzip,
}

/// Why a body cannot be unpacked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// It would be larger than this many bytes.
    TooLarge(usize),
    Broken(String),
}

impl Coding {
    /// Refuses the codings that we would take for garbage, by name.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let mut coding = Self::Plain;
        for value in headers.get_all(CONTENT_ENCODING) {
            let text = String::from_utf8_lossy(value.as_bytes());
            for name in text.split(',').map(str::trim) {
                coding = match (name.to_ascii_lowercase().as_str(), coding) {
                    // The first names no compression; older clients of the JSON protocols send it.
                    // The second is taken off where the signature is verified.
                    ("amz-1.0" | "aws-chunked" | "identity" | "", coding) => coding,
                    ("gzip", Self::Plain) => Self::Gzip,
                    _ => {
                        let what = format!("Content-Encoding {text:.100} of a request");
                        return Err(Error::not_implemented(what));
                    }
                };
            }
        }
        Ok(coding)
    }

    /// What the body says, in at most `limit` bytes.
    pub(super) fn unpack(self, body: Bytes, limit: usize) -> Result<Bytes, Packed> {
        // Whatever the header says, nothing is nothing.
        if self == Self::Plain || body.is_empty() {
            return Ok(body);
        }
        let limit = limit.min(HARMLESS.max(body.len().saturating_mul(RATIO)));
        let mut plain = Vec::new();
        // One byte more tells what is too large from what just fits.
        MultiGzDecoder::new(&*body)
            .take(limit as u64 + 1)
            .read_to_end(&mut plain)
            .map_err(|error| Packed::broken(&error))?;
        if plain.len() > limit {
            return Err(Packed::TooLarge(limit));
        }
        Ok(plain.into())
    }
}

impl Packed {
    fn broken(error: &io::Error) -> Self {
        Self::Broken(format!(
            "The request body is not the gzip data that it is said to be: {error}"
        ))
    }

    /// The reply while it is not known yet which service it is from.
    pub(super) fn error(self) -> Error {
        match self {
            Self::TooLarge(limit) => Error::new(
                "RequestEntityTooLarge",
                413,
                format!("The request body unpacks to more than {limit} bytes."),
            ),
            Self::Broken(message) => Error::new("MalformedQueryString", 400, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).expect("memory");
        encoder.finish().expect("memory").into()
    }

    fn coding(text: &'static str) -> Result<Coding, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(text));
        Coding::of(&headers)
    }

    #[test]
    fn codings_are_known_by_name() {
        assert_eq!(Coding::of(&HeaderMap::new()).ok(), Some(Coding::Plain));
        for plain in ["", "amz-1.0", "aws-chunked", "identity"] {
            assert_eq!(coding(plain).ok(), Some(Coding::Plain), "{plain}");
        }
        for packed in ["gzip", "GZIP", "gzip, aws-chunked", "amz-1.0,gzip"] {
            assert_eq!(coding(packed).ok(), Some(Coding::Gzip), "{packed}");
        }
        for strange in ["br", "deflate", "gzip, gzip", "gzip,zstd"] {
            assert!(coding(strange).is_err(), "{strange}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let bomb = gzip(&vec![0; 64 << 20]);
        let limit = bomb.len() * RATIO;
        assert_eq!(
            Coding::Gzip.unpack(bomb.clone(), 1 << 30),
            Err(Packed::TooLarge(limit))
        );
        assert_eq!(Coding::Gzip.unpack(bomb, 4096), Err(Packed::TooLarge(4096)));
        let tame = vec![0; HARMLESS];
        assert_eq!(Coding::Gzip.unpack(gzip(&tame), 1 << 30), Ok(tame.into()));
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..500), 0..4)) {
            // Several members of a gzip file follow each other.
            let packed = parts.iter().map(|part| gzip(part)).collect::<Vec<_>>().concat();
            prop_assert_eq!(Coding::Gzip.unpack(packed.into(), 1 << 20), Ok(parts.concat().into()));
        }

        #[test]
        fn garbage_is_refused(plain: Vec<u8>, cut in 1usize..18) {
            let packed = gzip(&plain);
            let torn = packed.slice(..packed.len() - cut);
            prop_assert!(matches!(Coding::Gzip.unpack(torn, 1 << 20), Err(Packed::Broken(_))));
        }
    }
}
