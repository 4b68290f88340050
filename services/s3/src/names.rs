//! What buckets and keys may be called.

use std::net::Ipv4Addr;

use crate::errors::{Code, Failure, Result};

/// Bytes of the longest key.
const MAX_KEY: usize = 1024;

const RESERVED_STARTS: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_ENDS: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

/// Checks a new bucket's name.
///
/// Source: "General purpose bucket naming rules" in the S3 User Guide.
pub(crate) fn check_bucket(name: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    let valid = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|&b| plain(b) || b == b'.' || b == b'-')
        && bytes.first().copied().is_some_and(plain)
        && bytes.last().copied().is_some_and(plain)
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err()
        && !RESERVED_STARTS.iter().any(|start| name.starts_with(start))
        && !RESERVED_ENDS.iter().any(|end| name.ends_with(end));
    if valid {
        Ok(())
    } else {
        Err(Code::InvalidBucketName.with("BucketName", clip(name)))
    }
}

pub(crate) fn check_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Failure::argument("key", "", "Object key Missing"));
    }
    if key.len() > MAX_KEY {
        return Err(Code::KeyTooLongError
            .error()
            .with("Size", key.len())
            .with("MaxSizeAllowed", MAX_KEY));
    }
    Ok(())
}

pub(crate) fn bucket_arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

pub(crate) fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

/// A name from outside, short enough to be printed in an error.
fn clip(name: &str) -> String {
    name.chars().take(255).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_rules() {
        for good in ["abc", "my-bucket.example", "1bucket1", &"a".repeat(63)] {
            assert!(check_bucket(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            &"a".repeat(64),
            "Bucket",
            "under_score",
            "-abc",
            "abc-",
            ".abc",
            "a..b",
            "192.168.5.4",
            "xn--abc",
            "abc-s3alias",
            "abc--x-s3",
            "å-bucket",
        ] {
            assert!(check_bucket(bad).is_err(), "{bad}");
        }
    }
}
