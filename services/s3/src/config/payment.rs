//! Who pays for requests: here, always the bucket's owner.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_s3::types::{
    GetBucketRequestPaymentOutput, GetBucketRequestPaymentRequest, PutBucketRequestPaymentOutput,
    PutBucketRequestPaymentRequest,
};

use super::Reply;
use crate::S3;
use crate::errors::{Code, Failure};

const OWNER: &str = "BucketOwner";

pub(crate) async fn put(
    _: Arc<S3>,
    _: Cx,
    input: PutBucketRequestPaymentRequest,
) -> Reply<PutBucketRequestPaymentOutput> {
    match input.request_payment_configuration.payer.as_str() {
        OWNER => Ok(PutBucketRequestPaymentOutput::default()),
        "Requester" => Err(Failure::not_implemented("Requester Pays").into()),
        _ => Err(Code::MalformedXML.error().into()),
    }
}

pub(crate) async fn get(
    _: Arc<S3>,
    _: Cx,
    _: GetBucketRequestPaymentRequest,
) -> Reply<GetBucketRequestPaymentOutput> {
    Ok(GetBucketRequestPaymentOutput {
        payer: Some(OWNER.to_owned()),
    })
}
