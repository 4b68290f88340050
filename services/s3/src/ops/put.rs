//! PutObject.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx, ServiceBuilder};
use gureum_model_s3::op;
use gureum_model_s3::types::{PutObjectOutput, PutObjectRequest};
use gureum_schema::Result;

use crate::S3;
use crate::asks::{Door, Gate};
use crate::checksum::{self, Claims};
use crate::conditions::WriteIf;
use crate::content::Received;
use crate::errors;
use crate::kms::Wanted;
use crate::model::{Bucket, Object, Traits};
use crate::rules::Rules;
use crate::sealing::{self, Sealing, Wish, show_sealing};
use crate::traits::{Said, said};
use crate::versions;
use crate::{names, tags};

pub(super) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    builder.op_finding::<op::PutObject, _, _>(
        &["SSEKMSEncryptionContext", "WriteOffsetBytes"],
        |s3, cx, input| {
            let (bucket, rules) = Door::of(s3, cx, &input)?.into_parts();
            Ok(Putting {
                input,
                bucket,
                rules,
            })
        },
        |_, cx, putting| {
            let Putting { input, .. } = putting;
            let encryption = encryption!(input);
            let gate = putting.gate(cx);
            Ok(asks(gate, &input.key, said!(input), encryption)?)
        },
        put,
    )
}

/// A request with the bucket that it is about.
struct Putting {
    input: PutObjectRequest,
    bucket: Bucket,
    rules: Arc<Rules>,
}

impl Putting {
    fn gate<'a>(&'a self, cx: &'a Cx) -> Gate<'a> {
        Gate {
            cx,
            bucket: &self.bucket,
            rules: &self.rules,
        }
    }
}

/// What a request says of encryption by the service, as its policies may ask.
macro_rules! encryption {
    ($input:expr) => {
        (
            $input.server_side_encryption.as_deref(),
            $input.ssekms_key_id.as_deref(),
        )
    };
}
pub(super) use encryption;

/// What whoever makes an object must be allowed to do to it.
pub(super) fn asks(
    gate: Gate<'_>,
    key: &str,
    said: Said<'_>,
    (encryption, kms_key): (Option<&str>, Option<&str>),
) -> errors::Result<Vec<Ask>> {
    let tags = tags::from_header(said.tagging)?;
    let ask = |action| {
        let mut ask = gate
            .ask_object(action, key)
            .key_opt("s3:x-amz-acl", said.acl.canned)
            .key_opt("s3:x-amz-storage-class", said.class)
            .key_opt("s3:x-amz-server-side-encryption", encryption)
            .key_opt("s3:x-amz-server-side-encryption-aws-kms-key-id", kms_key)
            .key_opt("s3:object-lock-mode", said.lock_mode)
            .key_opt("s3:object-lock-retain-until-date", said.lock_until)
            .key_opt("s3:object-lock-legal-hold", said.legal_hold);
        for (name, value) in &tags {
            ask = ask.key(format!("s3:RequestObjectTag/{name}"), value);
        }
        if !tags.is_empty() {
            ask = ask.keys(
                "s3:RequestObjectTagKeys",
                tags.iter().map(|(n, _)| n.clone()).collect(),
            );
        }
        ask
    };
    let mut asks = vec![ask("s3:PutObject")];
    if !tags.is_empty() {
        asks.push(ask("s3:PutObjectTagging"));
    }
    // The policies by which services deliver logs allow putting objects, on condition of this list, and
    // no more.
    let delivered = gate.is_for_service() && said.acl.canned == Some("bucket-owner-full-control");
    if !said.acl.is_silent() && !delivered {
        asks.push(ask("s3:PutObjectAcl"));
    }
    if said.lock_mode.is_some() {
        asks.push(ask("s3:PutObjectRetention"));
    }
    if said.legal_hold.is_some() {
        asks.push(ask("s3:PutObjectLegalHold"));
    }
    Ok(asks)
}

async fn put(s3: Arc<S3>, cx: Cx, putting: Putting) -> Result<PutObjectOutput> {
    let Putting {
        mut input, bucket, ..
    } = putting;
    names::check_key(&input.key)?;
    let traits = said!(input).read(&s3, &cx, &bucket)?;
    let condition = WriteIf::read(input.if_match.as_deref(), input.if_none_match.as_deref())?;
    if condition.is_given() {
        // Decided again when the object is filed; said early, it spares the client the upload.
        let there = versions::newest(&s3.store.read(), &bucket, &input.key);
        condition.check(there.map_err(errors::Failure::from)?.as_ref(), &input.key)?;
    }
    let customer = sealing::customer_key(
        cx.request.secure,
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key.as_deref(),
        input.sse_customer_key_md5.as_deref(),
    )?;
    let wish = Wish::read(
        input.server_side_encryption.as_deref(),
        input.ssekms_key_id.as_deref(),
        customer.is_some(),
    )?;
    let body = std::mem::take(&mut input.body);
    let claims = Claims::read(
        input.content_md5.as_deref(),
        checksum::sent!(input),
        input.checksum_algorithm.as_deref(),
        &body.trailers(),
        checksum::DEFAULT,
    )?;
    let wanted = Wanted {
        wish,
        bucket_key: input.bucket_key_enabled,
    };
    let place = (&bucket, input.key.as_str());
    let (sealing, key) = s3.seal(&cx, place, customer.as_ref(), wanted).await?;
    let received = s3.receive(body, &sealing, &key, &claims).await?;
    let object = object(&received, sealing, traits);
    let event = match cx.request.auth_type {
        "POST" => "ObjectCreated:Post",
        _ => "ObjectCreated:Put",
    };
    let published = s3.publish(
        (&cx, event),
        &bucket,
        &input.key,
        &object,
        &received.piece,
        &condition,
    );
    let (bucket, version) = published.await?;
    let mut out = PutObjectOutput {
        e_tag: Some(format!("\"{}\"", object.etag)),
        checksum_type: object.checksum.as_ref().map(|checksum| checksum.kind()),
        version_id: bucket.shown_id(&version),
        expiration: s3.expiration(&bucket, &version)?,
        sse_customer_algorithm: customer.as_ref().map(|_| "AES256".to_owned()),
        sse_customer_key_md5: customer.map(|customer| customer.md5),
        ..Default::default()
    };
    checksum::show!(out, &object.checksum);
    show_sealing!(out, &object.sealing);
    Ok(out)
}

/// An object of content that came in one go.
pub(super) fn object(received: &Received, sealing: Sealing, traits: Traits) -> Object {
    Object {
        size: received.size,
        etag: received.etag.clone(),
        stored: received.stored(),
        sealing,
        checksum: Some(received.checksum.clone()),
        traits,
        parts: 0,
        upload: None,
        restore: None,
    }
}
