//! Uploads by a browser's form: the file goes the way of `PutObject`, in the name of whoever
//! signed the form's policy.
//!
//! Source: "Browser-Based Uploads Using POST" in the S3 API Reference.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use futures_util::stream;
use gureum_dispatch::{Cx, FormFields, RequestInfo, WebReply};
use gureum_model_s3::op;
use gureum_model_s3::types::{PutObjectOutput, PutObjectRequest};
use gureum_schema::{Body, Error};
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::form_policy::FormPolicy;
use super::pages;
use crate::S3;
use crate::errors::{Code, Failure, Result};

const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

pub(super) async fn serve(s3: &S3, cx: &Cx, request: &Parts, file: Body, bucket: &str) -> WebReply {
    let fields = request.extensions.get::<FormFields>();
    let outcome = match fields {
        Some(fields) => upload(s3, cx, fields, file, bucket).await,
        None => Err(Code::MalformedPOSTRequest.error().into()),
    };
    match outcome {
        Ok(reply) => reply,
        Err(error) => pages::xml(cx, &error),
    }
}

async fn upload(
    s3: &S3,
    cx: &Cx,
    fields: &FormFields,
    file: Body,
    bucket: &str,
) -> Result<WebReply, Error> {
    let row = s3.bucket(bucket)?;
    if fields.get("signature").is_some() {
        return Err(Code::InvalidRequest
            .says(
                "The authorization mechanism you have provided is not supported. Please use \
                 AWS4-HMAC-SHA256.",
            )
            .into());
    }
    let key = key(fields)?;
    let policy = fields.get("policy").map(FormPolicy::read).transpose()?;
    let file = match &policy {
        None => file,
        Some(policy) => {
            policy.check(&expanded(fields, bucket, &key), cx.now)?;
            match policy.length {
                Some(range) => measured(file, range),
                None => file,
            }
        }
    };
    let input = request(fields, bucket, &key, file)?;
    let mut cx = cx.in_region(row.region);
    cx.request = Arc::new(RequestInfo {
        auth_type: "POST",
        ..(*cx.request).clone()
    });
    let put = cx.call::<op::PutObject>(input).await?;
    Ok(answer(&cx, fields, bucket, &key, &put))
}

/// The key, with the name of the browser's file in it where the form wants that.
fn key(fields: &FormFields) -> Result<String> {
    let key = fields.get("key").ok_or_else(|| {
        Code::InvalidArgument
            .says(
                "Bucket POST must contain a field named 'key'.  If it is specified, please check \
                 the order of the fields.",
            )
            .with("ArgumentName", "key")
    })?;
    let name = fields.get("file-name").unwrap_or_default();
    // Some browsers send the whole path.
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    Ok(key.replace("${filename}", name))
}

/// The fields as the policy is to judge them.
fn expanded(fields: &FormFields, bucket: &str, key: &str) -> Vec<(String, String)> {
    let others = fields.0.iter().filter(|(name, _)| {
        !name.eq_ignore_ascii_case("key") && !name.eq_ignore_ascii_case("bucket")
    });
    let own = [("key", key), ("bucket", bucket)];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    others.cloned().chain(own).collect()
}

/// The same bytes, which must be as many as the policy says.
fn measured(file: Body, (least, most): (u64, u64)) -> Body {
    let refusal = |failure: Failure| io::Error::other(Error::from(failure));
    let chunks = stream::unfold(
        (file, 0_u64, false),
        move |(mut file, seen, ended)| async move {
            if ended {
                return None;
            }
            match file.chunk().await {
                Some(Ok(chunk)) => {
                    let seen = seen.saturating_add(chunk.len() as u64);
                    if seen > most {
                        let failure = Code::EntityTooLarge
                            .with("ProposedSize", seen)
                            .with("MaxSizeAllowed", most);
                        return Some((Err(refusal(failure)), (file, seen, true)));
                    }
                    Some((Ok(chunk), (file, seen, false)))
                }
                Some(Err(error)) => Some((Err(error), (file, seen, true))),
                None if seen < least => {
                    let failure = Code::EntityTooSmall
                        .with("ProposedSize", seen)
                        .with("MinSizeAllowed", least);
                    Some((Err(refusal(failure)), (file, seen, true)))
                }
                None => None,
            }
        },
    );
    Body::stream(chunks, None)
}

fn request(fields: &FormFields, bucket: &str, key: &str, body: Body) -> Result<PutObjectRequest> {
    let field = |name: &str| fields.get(name).map(str::to_owned);
    for unknown in ["tagging", "x-amz-object-lock-retain-until-date"] {
        if fields.get(unknown).is_some() {
            return Err(Failure::not_implemented(format!(
                "The form field {unknown}"
            )));
        }
    }
    let metadata: BTreeMap<String, String> = fields
        .0
        .iter()
        .filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            Some((name.strip_prefix("x-amz-meta-")?.to_owned(), value.clone()))
        })
        .collect();
    Ok(PutObjectRequest {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        body,
        acl: field("acl"),
        cache_control: field("cache-control"),
        content_disposition: field("content-disposition"),
        content_encoding: field("content-encoding"),
        content_type: field("content-type").or_else(|| field("file-content-type")),
        content_md5: field("content-md5"),
        expires: field("expires"),
        metadata: (!metadata.is_empty()).then_some(metadata),
        storage_class: field("x-amz-storage-class"),
        website_redirect_location: field("x-amz-website-redirect-location"),
        server_side_encryption: field("x-amz-server-side-encryption"),
        ssekms_key_id: field("x-amz-server-side-encryption-aws-kms-key-id"),
        sse_customer_algorithm: field("x-amz-server-side-encryption-customer-algorithm"),
        sse_customer_key: field("x-amz-server-side-encryption-customer-key"),
        sse_customer_key_md5: field("x-amz-server-side-encryption-customer-key-md5"),
        checksum_algorithm: field("x-amz-checksum-algorithm"),
        checksum_crc32: field("x-amz-checksum-crc32"),
        checksum_crc32c: field("x-amz-checksum-crc32c"),
        checksum_crc64_nvme: field("x-amz-checksum-crc64nvme"),
        checksum_sha1: field("x-amz-checksum-sha1"),
        checksum_sha256: field("x-amz-checksum-sha256"),
        ..Default::default()
    })
}

fn answer(
    cx: &Cx,
    fields: &FormFields,
    bucket: &str,
    key: &str,
    put: &PutObjectOutput,
) -> WebReply {
    let etag = put.e_tag.clone().unwrap_or_default();
    let wanted = fields
        .get("success_action_redirect")
        .or_else(|| fields.get("redirect"));
    let wanted = wanted.filter(|url| url.starts_with("http://") || url.starts_with("https://"));
    if let Some(url) = wanted {
        let joint = if url.contains('?') { '&' } else { '?' };
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let location = format!(
            "{url}{joint}bucket={}&key={}&etag={}",
            encode(bucket),
            encode(key),
            encode(&etag)
        );
        return pages::redirect(cx, 303, &location);
    }
    let location = format!(
        "{}/{bucket}/{}",
        cx.request.endpoint,
        utf8_percent_encode(key, PATH)
    );
    let mut reply = match fields.get("success_action_status") {
        Some("200") => pages::reply(cx, 200, [], Body::empty()),
        Some("201") => {
            let document = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{}</Location>\
                 <Bucket>{}</Bucket><Key>{}</Key><ETag>{}</ETag></PostResponse>",
                pages::escape(&location),
                pages::escape(bucket),
                pages::escape(key),
                pages::escape(&etag)
            );
            pages::document_reply(cx, 201, document)
        }
        _ => pages::reply(cx, 204, [], Body::empty()),
    };
    pages::set(&mut reply, "etag", &etag);
    pages::set(&mut reply, "location", &location);
    if let Some(version) = &put.version_id {
        pages::set(&mut reply, "x-amz-version-id", version);
    }
    reply
}
