//! Digests that come beside a document: the body must be what its sender says it is.
//!
//! Streamed objects are checked by S3 itself while they are written; this is for the documents of
//! its other operations (tags, lists of keys to delete, configurations).
//!
//! Source: "Checking object integrity" in the S3 User Guide.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, checksum};
use gureum_schema::{Error, Location, OperationSpec, Result, ServiceSpec};
use http::HeaderName;
use md5::{Digest as _, Md5};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};

use super::pipeline::Visit;

type Compute = fn(&[u8]) -> Vec<u8>;

/// Each header, and how the digest in it is made.
const DIGESTS: &[(&str, Compute)] = &[
    ("content-md5", |body| Md5::digest(body).to_vec()),
    ("x-amz-checksum-md5", |body| Md5::digest(body).to_vec()),
    ("x-amz-checksum-crc32", |body| {
        crc(CrcAlgorithm::Crc32IsoHdlc, body, 4)
    }),
    ("x-amz-checksum-crc32c", |body| {
        crc(CrcAlgorithm::Crc32Iscsi, body, 4)
    }),
    ("x-amz-checksum-crc64nvme", |body| {
        crc(CrcAlgorithm::Crc64Nvme, body, 8)
    }),
    ("x-amz-checksum-sha1", |body| {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, body).as_ref().to_vec()
    }),
    ("x-amz-checksum-sha256", |body| {
        digest(&SHA256, body).as_ref().to_vec()
    }),
    ("x-amz-checksum-sha512", |body| {
        digest(&SHA512, body).as_ref().to_vec()
    }),
];

/// Checks every digest that the request carries; some operations must carry one.
pub(super) fn check(
    visit: &Visit,
    service: &ServiceSpec,
    op: &OperationSpec,
    body: &[u8],
) -> Result<()> {
    if service.name != "s3" {
        return Ok(());
    }
    // A digest that nobody computes here must not pass for checked.
    let unknown = |name: &&HeaderName| name.as_str().starts_with("x-amz-checksum-xxhash");
    if let Some(name) = visit.parts.headers.keys().find(unknown)
        && !speaks_of_the_object(op, name.as_str())
    {
        return Err(Error::not_implemented(format!("{name} of {}", op.name)));
    }
    let mut found = false;
    for (name, compute) in DIGESTS {
        let Some(claimed) = visit.header(HeaderName::from_static(name)) else {
            continue;
        };
        found = true;
        if speaks_of_the_object(op, name) {
            continue;
        }
        let claimed = STANDARD.decode(claimed).map_err(|_| invalid(name))?;
        let computed = compute(body);
        if claimed.len() != computed.len() {
            return Err(invalid(name));
        }
        if claimed != computed {
            return Err(mismatch(name));
        }
    }
    if op.checksum_required && !found {
        return Err(Error::new(
            "InvalidRequest",
            400,
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
        ));
    }
    Ok(())
}

/// CompleteMultipartUpload's checksums are those of the object that it makes, not of its document:
/// there the model has them as members, for the service to check.
fn speaks_of_the_object(op: &OperationSpec, header: &str) -> bool {
    let members = op.input.map_or(&[][..], |input| input.members());
    let mut bound = members.iter().filter_map(|member| match member.location {
        Location::Header(name) => Some(name),
        _ => None,
    });
    header.starts_with("x-amz-checksum-") && bound.any(|name| name == header)
}

/// Big-endian, as the headers have it.
fn crc(algorithm: CrcAlgorithm, body: &[u8], size: usize) -> Vec<u8> {
    checksum(algorithm, body).to_be_bytes()[8 - size..].to_vec()
}

fn invalid(name: &str) -> Error {
    match name {
        "content-md5" => Error::new(
            "InvalidDigest",
            400,
            "The Content-MD5 you specified was invalid.",
        ),
        _ => Error::new(
            "InvalidRequest",
            400,
            format!("Value for {name} header is invalid."),
        ),
    }
}

fn mismatch(name: &str) -> Error {
    let told = match name.strip_prefix("x-amz-checksum-") {
        Some(algorithm) => format!(
            "The {} you specified did not match the calculated checksum.",
            algorithm.to_ascii_uppercase()
        ),
        None => "The Content-MD5 you specified did not match what we received.".to_owned(),
    };
    Error::new("BadDigest", 400, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_that_the_world_knows() {
        let of = |name: &str| {
            let (_, compute) = DIGESTS.iter().find(|(n, _)| *n == name).expect(name);
            hex::encode(compute(b"123456789"))
        };
        assert_eq!(of("content-md5"), "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(of("x-amz-checksum-crc32"), "cbf43926");
        assert_eq!(of("x-amz-checksum-crc32c"), "e3069283");
        assert_eq!(of("x-amz-checksum-crc64nvme"), "ae8b14860a799888");
        assert_eq!(
            of("x-amz-checksum-sha1"),
            "f7c3bc1d808e04732adf679965ccc34ca7ae3441"
        );
    }
}
