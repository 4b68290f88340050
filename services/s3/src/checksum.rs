//! Checksums that clients send, ask for and get back.
//!
//! Source: "Checking object integrity in Amazon S3" in the S3 User Guide.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gureum_blob::{Algorithm, Digests, Sums, combine};
use gureum_schema::Trailers;

use crate::errors::{Code, Failure, Result};
use crate::model::Checksum;

/// What an object gets whose uploader asks for nothing.
pub(crate) const DEFAULT: Algorithm = Algorithm::Crc64Nvme;

/// Every algorithm with its name in requests; the header is `x-amz-checksum-` and the name in
/// lower case.
const NAMES: [(Algorithm, &str); 10] = [
    (Algorithm::Crc32, "CRC32"),
    (Algorithm::Crc32c, "CRC32C"),
    (Algorithm::Crc64Nvme, "CRC64NVME"),
    (Algorithm::Sha1, "SHA1"),
    (Algorithm::Sha256, "SHA256"),
    (Algorithm::Sha512, "SHA512"),
    (Algorithm::Md5, "MD5"),
    (Algorithm::Xxh64, "XXHASH64"),
    (Algorithm::Xxh3, "XXHASH3"),
    (Algorithm::Xxh128, "XXHASH128"),
];

pub(crate) fn name(algorithm: Algorithm) -> &'static str {
    let found = NAMES.iter().find(|(known, _)| *known == algorithm);
    found.map_or("", |(_, name)| name)
}

pub(crate) fn named(name: &str) -> Result<Algorithm> {
    let found = NAMES
        .iter()
        .find(|(_, known)| known.eq_ignore_ascii_case(name));
    found.map(|(algorithm, _)| *algorithm).ok_or_else(|| {
        Code::InvalidRequest.says("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256, SHA512, MD5, XXHASH64, XXHASH3, XXHASH128]")
    })
}

fn header(algorithm: Algorithm) -> String {
    format!("x-amz-checksum-{}", name(algorithm).to_ascii_lowercase())
}

/// CRCs of parts can be joined to the CRC of the whole.
pub(crate) fn joins(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme
    )
}

/// The checksums among a structure's members, as `(algorithm, value)`.
macro_rules! sent {
    ($from:expr) => {
        $crate::checksum::present([
            (gureum_blob::Algorithm::Crc32, &$from.checksum_crc32),
            (gureum_blob::Algorithm::Crc32c, &$from.checksum_crc32c),
            (
                gureum_blob::Algorithm::Crc64Nvme,
                &$from.checksum_crc64_nvme,
            ),
            (gureum_blob::Algorithm::Sha1, &$from.checksum_sha1),
            (gureum_blob::Algorithm::Sha256, &$from.checksum_sha256),
            (gureum_blob::Algorithm::Sha512, &$from.checksum_sha512),
            (gureum_blob::Algorithm::Md5, &$from.checksum_md5),
            (gureum_blob::Algorithm::Xxh64, &$from.checksum_xxhash64),
            (gureum_blob::Algorithm::Xxh3, &$from.checksum_xxhash3),
            (gureum_blob::Algorithm::Xxh128, &$from.checksum_xxhash128),
        ])
    };
}

/// Puts a checksum into a structure's members.
macro_rules! show {
    ($into:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            use gureum_blob::Algorithm;
            let member = match checksum.algorithm {
                Algorithm::Crc32 => &mut $into.checksum_crc32,
                Algorithm::Crc32c => &mut $into.checksum_crc32c,
                Algorithm::Crc64Nvme => &mut $into.checksum_crc64_nvme,
                Algorithm::Sha1 => &mut $into.checksum_sha1,
                Algorithm::Sha256 => &mut $into.checksum_sha256,
                Algorithm::Sha512 => &mut $into.checksum_sha512,
                Algorithm::Md5 => &mut $into.checksum_md5,
                Algorithm::Xxh64 => &mut $into.checksum_xxhash64,
                Algorithm::Xxh3 => &mut $into.checksum_xxhash3,
                Algorithm::Xxh128 => &mut $into.checksum_xxhash128,
            };
            *member = Some(checksum.value.clone());
        }
    };
}

pub(crate) use {sent, show};

pub(crate) fn present(members: [(Algorithm, &Option<String>); 10]) -> Vec<(Algorithm, String)> {
    let given =
        |(algorithm, value): (Algorithm, &Option<String>)| Some((algorithm, value.clone()?));
    members.into_iter().filter_map(given).collect()
}

/// What an upload says of its content, and what must therefore be computed of it.
#[derive(Debug)]
pub(crate) struct Claims {
    md5: Option<Vec<u8>>,
    /// The one that the client speaks of.
    algorithm: Algorithm,
    /// The one whose checksum is kept, where that is another.
    kept: Option<Algorithm>,
    /// The value, when it came before the content.
    value: Option<String>,
    /// The field that brings the value behind the content.
    trailer: Option<String>,
}

impl Claims {
    /// `sent` holds the checksum headers, `algorithm` what `x-amz-sdk-checksum-algorithm` says, and
    /// `trailers` the fields announced. `otherwise` is the algorithm when nothing of it is said.
    pub(crate) fn read(
        content_md5: Option<&str>,
        sent: Vec<(Algorithm, String)>,
        algorithm: Option<&str>,
        trailers: &Trailers,
        otherwise: Algorithm,
    ) -> Result<Self> {
        let md5 = content_md5.map(|text| match STANDARD.decode(text) {
            Ok(sum) if sum.len() == Algorithm::Md5.len() => Ok(sum),
            _ => Err(Code::InvalidDigest.with("Content-MD5", text)),
        });
        let announced = trailers.announced().iter().find_map(|field| {
            let name = field.to_ascii_lowercase();
            let name = name.strip_prefix("x-amz-checksum-")?;
            Some((named(name), field.clone()))
        });
        let mut claims = Self {
            md5: md5.transpose()?,
            algorithm: algorithm.map(named).transpose()?.unwrap_or(otherwise),
            kept: None,
            value: None,
            trailer: None,
        };
        let mut sent = sent.into_iter();
        match (sent.next(), announced) {
            (Some(_), Some(_)) => {
                return Err(Code::InvalidRequest.says(
                    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not \
                     allowed.",
                ));
            }
            (Some((algorithm, value)), None) => {
                check_form(algorithm, &value)?;
                claims.algorithm = algorithm;
                claims.value = Some(value);
            }
            (None, Some((algorithm, field))) => {
                claims.algorithm = algorithm?;
                claims.trailer = Some(field);
            }
            (None, None) => {}
        }
        if sent.next().is_some() {
            return Err(Code::InvalidRequest.says(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not \
                 allowed.",
            ));
        }
        Ok(claims)
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whatever the client checks, this checksum is kept.
    pub(crate) fn keeping(mut self, algorithm: Algorithm) -> Self {
        self.kept = Some(algorithm).filter(|kept| *kept != self.algorithm);
        self
    }

    /// What must be computed of the content.
    pub(crate) fn wanted(&self) -> Vec<Algorithm> {
        let own = [Algorithm::Md5, self.algorithm];
        own.into_iter().chain(self.kept).collect()
    }

    /// The kept checksum.
    pub(crate) fn keep(&self, sums: &Sums) -> Option<Checksum> {
        let algorithm = self.kept.unwrap_or(self.algorithm);
        let value = STANDARD.encode(sums.get(&algorithm)?);
        Some(Checksum {
            algorithm,
            value,
            composite: false,
        })
    }

    /// Compares what was said with what came. Gives the checksum of the client's algorithm.
    pub(crate) fn check(&self, sums: &Sums, trailers: &Trailers) -> Result<Checksum> {
        let sum = |algorithm| sums.get(&algorithm).map(Vec::as_slice).unwrap_or_default();
        if let Some(md5) = &self.md5
            && md5 != sum(Algorithm::Md5)
        {
            return Err(Code::BadDigest
                .with("ExpectedDigest", STANDARD.encode(md5))
                .with("CalculatedDigest", STANDARD.encode(sum(Algorithm::Md5))));
        }
        let computed = Checksum {
            algorithm: self.algorithm,
            value: STANDARD.encode(sum(self.algorithm)),
            composite: false,
        };
        let trailing = match &self.trailer {
            None => None,
            Some(field) => match trailers.get(field) {
                Some(value) => {
                    check_form(self.algorithm, value)?;
                    Some(value)
                }
                None => {
                    return Err(Code::InvalidRequest.says(format!(
                        "The announced trailing header {field} did not come."
                    )));
                }
            },
        };
        match self.value.as_deref().or(trailing) {
            Some(said) if said != computed.value => Err(mismatch(self.algorithm)),
            _ => Ok(computed),
        }
    }
}

pub(crate) fn mismatch(algorithm: Algorithm) -> Failure {
    Code::BadDigest.says(format!(
        "The {} you specified did not match the calculated checksum.",
        name(algorithm)
    ))
}

fn check_form(algorithm: Algorithm, value: &str) -> Result<()> {
    let bytes = STANDARD.decode(value).ok();
    if bytes.is_some_and(|bytes| bytes.len() == algorithm.len()) {
        return Ok(());
    }
    Err(Code::InvalidRequest.says(format!(
        "Value for {} header is invalid.",
        header(algorithm)
    )))
}

/// The checksum of a whole from those of its parts, each with its part's length in bytes: joined,
/// or (composite) the checksum of the parts' checksums. `None` when a part has none.
pub(crate) fn of_parts(
    algorithm: Algorithm,
    composite: bool,
    parts: &[(Option<&Checksum>, u64)],
) -> Option<Checksum> {
    let raw = |checksum: Option<&Checksum>| {
        let checksum = checksum.filter(|checksum| checksum.algorithm == algorithm)?;
        STANDARD.decode(&checksum.value).ok()
    };
    if composite {
        let mut all = Digests::new(&[algorithm]);
        for (checksum, _) in parts {
            all.update(&raw(*checksum)?);
        }
        let sum = all.finish().remove(&algorithm)?;
        let value = format!("{}-{}", STANDARD.encode(sum), parts.len());
        return Some(Checksum {
            algorithm,
            value,
            composite,
        });
    }
    let mut parts = parts.iter();
    let (first, _) = parts.next()?;
    let mut sum = raw(*first)?;
    for (checksum, len) in parts {
        sum = combine(algorithm, &sum, &raw(*checksum)?, *len)?;
    }
    Some(Checksum {
        algorithm,
        value: STANDARD.encode(sum),
        composite,
    })
}

impl Checksum {
    pub(crate) fn kind(&self) -> String {
        if self.composite {
            "COMPOSITE"
        } else {
            "FULL_OBJECT"
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let sums = Digests::of(&[algorithm], bytes);
        Checksum {
            algorithm,
            value: STANDARD.encode(&sums[&algorithm]),
            composite: false,
        }
    }

    proptest! {
        #[test]
        fn joined_crcs_are_the_crc_of_the_whole(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6)) {
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let sums: Vec<_> = parts.iter().map(|part| sum(algorithm, part)).collect();
                let pairs: Vec<_> = sums.iter().zip(&parts).map(|(sum, part)| (Some(sum), part.len() as u64)).collect();
                prop_assert_eq!(of_parts(algorithm, false, &pairs), Some(sum(algorithm, &parts.concat())));
            }
        }
    }

    #[test]
    fn a_wrong_checksum_is_noticed_in_header_and_trailer() {
        let sums = Digests::of(&Algorithm::ALL, b"hello");
        let none = Trailers::default();
        for (algorithm, name) in NAMES {
            let right = STANDARD.encode(&sums[&algorithm]);
            let wrong = STANDARD.encode(vec![0; algorithm.len()]);
            let header = |value: &str| {
                let sent = vec![(algorithm, value.to_owned())];
                Claims::read(None, sent, None, &none, DEFAULT).and_then(|c| c.check(&sums, &none))
            };
            assert!(
                header(&right).is_ok_and(|kept| kept.value == right),
                "{name}"
            );
            assert!(
                header(&wrong).is_err_and(|f| f.code() == "BadDigest"),
                "{name}"
            );
            assert!(
                header("AA").is_err_and(|f| f.code() == "InvalidRequest"),
                "{name}"
            );
            let trailer = |value: Option<&str>| {
                let field = super::header(algorithm);
                let trailers = Trailers::new([field.clone()]);
                let claims = Claims::read(None, vec![], Some(name), &trailers, DEFAULT)?;
                trailers.receive(
                    value
                        .map(|value| (field, value.to_owned()))
                        .into_iter()
                        .collect(),
                );
                claims.check(&sums, &trailers)
            };
            assert!(trailer(Some(&right)).is_ok(), "{name}");
            assert!(
                trailer(Some(&wrong)).is_err_and(|f| f.code() == "BadDigest"),
                "{name}"
            );
            assert!(trailer(None).is_err(), "{name}");
        }
    }
}
