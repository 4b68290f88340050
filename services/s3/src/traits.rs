//! What an uploader says of an object beside its content: system headers, metadata, tags, class.

use std::collections::BTreeMap;

use gureum_dispatch::Cx;
use gureum_schema::Timestamp;

use crate::S3;
use crate::config::acl_request::{self, Wanted};
use crate::errors::{Code, Failure, Result};
use crate::model::{Bucket, Lock, LockMode, StorageClass, Traits};
use crate::tags;

/// Bytes of user metadata, names and values together.
const MAX_METADATA: usize = 2048;

/// What an object is whose uploader doesn't say.
pub(crate) const DEFAULT_TYPE: &str = "binary/octet-stream";

/// The members that an upload, a copy and a multipart upload have in common.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) headers: [(&'static str, Option<&'a str>); 7],
    pub(crate) metadata: Option<&'a BTreeMap<String, String>>,
    pub(crate) class: Option<&'a str>,
    pub(crate) tagging: Option<&'a str>,
    pub(crate) lock_mode: Option<&'a str>,
    pub(crate) lock_until: Option<Timestamp>,
    pub(crate) legal_hold: Option<&'a str>,
    pub(crate) acl: Wanted<'a>,
    pub(crate) customer_key: bool,
}

/// Collects them from a request.
macro_rules! said {
    ($input:expr) => {
        $crate::traits::Said {
            headers: [
                ("cache-control", $input.cache_control.as_deref()),
                ("content-disposition", $input.content_disposition.as_deref()),
                ("content-encoding", $input.content_encoding.as_deref()),
                ("content-language", $input.content_language.as_deref()),
                ("content-type", $input.content_type.as_deref()),
                ("expires", $input.expires.as_deref()),
                (
                    "x-amz-website-redirect-location",
                    $input.website_redirect_location.as_deref(),
                ),
            ],
            metadata: $input.metadata.as_ref(),
            class: $input.storage_class.as_deref(),
            tagging: $input.tagging.as_deref(),
            lock_mode: $input.object_lock_mode.as_deref(),
            lock_until: $input.object_lock_retain_until_date,
            legal_hold: $input.object_lock_legal_hold_status.as_deref(),
            acl: $crate::config::acl_request::wanted!($input, None, None),
            customer_key: $input.sse_customer_algorithm.is_some(),
        }
    };
}

/// Puts the system headers into a reply's members.
macro_rules! show_headers {
    ($out:expr, $traits:expr) => {{
        let header = |name: &str| $traits.headers.get(name).cloned();
        $out.cache_control = header("cache-control");
        $out.content_disposition = header("content-disposition");
        $out.content_encoding = header("content-encoding");
        $out.content_language = header("content-language");
        $out.content_type = header("content-type");
        $out.expires = header("expires");
        $out.website_redirect_location = header("x-amz-website-redirect-location");
    }};
}

pub(crate) use {said, show_headers};

impl Said<'_> {
    /// Checks it all against what the bucket says of new objects.
    pub(crate) fn read(&self, s3: &S3, cx: &Cx, bucket: &Bucket) -> Result<Traits> {
        let rules = s3.rules.get(&s3.store, bucket)?;
        rules.encryption.check_customer_key(self.customer_key)?;
        let (owner, acl) = acl_request::of_new_object(&self.acl, cx.account(), bucket, &rules)?;
        let mut lock = self.lock(bucket, cx.now)?;
        if lock.retention.is_none() {
            lock.retention = rules.lock.map(|default| default.from(cx.now));
        }
        Ok(Traits {
            class: self.class()?,
            headers: self.headers()?,
            metadata: self.metadata()?,
            tags: tags::from_header(self.tagging)?,
            lock,
            acl,
            owner: (owner != bucket.owner).then_some(owner),
        })
    }

    pub(crate) fn class(&self) -> Result<StorageClass> {
        match self.class {
            None => Ok(StorageClass::Standard),
            Some(name) => StorageClass::named(name)
                .ok_or_else(|| Code::InvalidStorageClass.with("StorageClassRequested", name)),
        }
    }

    pub(crate) fn headers(&self) -> Result<BTreeMap<String, String>> {
        let mut headers = BTreeMap::new();
        for (name, value) in self.headers {
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                continue;
            };
            match name {
                "content-encoding" => {
                    let value = without_framing(value);
                    if !value.is_empty() {
                        headers.insert(name.to_owned(), value);
                    }
                }
                "x-amz-website-redirect-location" if !redirects(value) => {
                    return Err(Code::InvalidRequest.says(
                        "The website redirect location must have a prefix of 'http://' or \
                         'https://' or '/'.",
                    ));
                }
                _ => {
                    headers.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        headers
            .entry("content-type".to_owned())
            .or_insert_with(|| DEFAULT_TYPE.to_owned());
        Ok(headers)
    }

    pub(crate) fn metadata(&self) -> Result<BTreeMap<String, String>> {
        let metadata: BTreeMap<String, String> = self
            .metadata
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect();
        let size: usize = metadata
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if size > MAX_METADATA {
            return Err(Code::MetadataTooLarge
                .with("Size", size)
                .with("MaxSizeAllowed", MAX_METADATA));
        }
        Ok(metadata)
    }

    fn lock(&self, bucket: &Bucket, now: Timestamp) -> Result<Lock> {
        let retention = match (self.lock_mode, self.lock_until) {
            (None, None) => None,
            (Some(mode), Some(until)) => {
                let mode = LockMode::named(mode)?;
                if until <= now {
                    return Err(Failure::argument(
                        "x-amz-object-lock-retain-until-date",
                        until,
                        "The retain until date must be in the future!",
                    ));
                }
                Some((mode, until))
            }
            _ => {
                return Err(Code::InvalidArgument.says(
                    "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be \
                     supplied",
                ));
            }
        };
        let legal_hold = match self.legal_hold {
            None => None,
            Some("OFF") => Some(false),
            Some("ON") => Some(true),
            Some(other) => {
                return Err(Failure::argument(
                    "x-amz-object-lock-legal-hold",
                    other,
                    "Legal Hold must be either of 'ON' or 'OFF'",
                ));
            }
        };
        let said = self.lock_mode.is_some() || self.legal_hold.is_some();
        if said && !bucket.object_lock {
            return Err(Code::InvalidRequest.says("Bucket is missing Object Lock Configuration"));
        }
        Ok(Lock {
            retention,
            legal_hold,
        })
    }
}

impl LockMode {
    pub(crate) fn named(name: &str) -> Result<Self> {
        match name {
            "GOVERNANCE" => Ok(Self::Governance),
            "COMPLIANCE" => Ok(Self::Compliance),
            other => Err(Failure::argument(
                "x-amz-object-lock-mode",
                other,
                "Unknown wormMode directive.",
            )),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// `aws-chunked` is how the upload was framed, not what the object is.
fn without_framing(encoding: &str) -> String {
    let kept = encoding.split(',').map(str::trim);
    let kept: Vec<_> = kept
        .filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    kept.join(",")
}

fn redirects(location: &str) -> bool {
    ["/", "http://", "https://"]
        .iter()
        .any(|start| location.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_no_encoding() {
        assert_eq!(without_framing("aws-chunked"), "");
        assert_eq!(without_framing("gzip, aws-chunked"), "gzip");
        assert_eq!(without_framing("gzip,br"), "gzip,br");
    }
}
