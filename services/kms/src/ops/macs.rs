//! GenerateMac, VerifyMac.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_kms::types as t;

use crate::crypto::asymmetric::incompatible;
use crate::crypto::mac;
use crate::errors::{Refusal, Result};
use crate::model::KeyRow;
use crate::names::Settled;
use crate::spec::{Hash, KeySpec, KeyUsage};
use crate::state::{Kms, unless_dry};

/// The key's hash, if that is what the algorithm asks for.
fn hash(key: &KeyRow, algorithm: &str) -> Result<Hash> {
    match key.spec {
        KeySpec::Hmac(hash) if hash.mac_name() == algorithm => Ok(hash),
        spec => Err(incompatible(algorithm, spec)),
    }
}

pub(crate) async fn generate_mac(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::GenerateMacRequest>,
) -> gureum_schema::Result<t::GenerateMacResponse> {
    let Settled { input, key } = asked;
    let key = kms.at(&cx, key).await?;
    key.ready(KeyUsage::Mac, "GenerateMac")?;
    let hash = hash(&key, &input.mac_algorithm)?;
    unless_dry(input.dry_run)?;
    let (_, secret) = kms.current(&key)?;
    let mac = mac::sign(&secret, hash, &input.message);
    Ok(t::GenerateMacResponse {
        mac: Some(mac.into()),
        mac_algorithm: Some(input.mac_algorithm),
        key_id: Some(key.arn().to_string()),
    })
}

pub(crate) async fn verify_mac(
    kms: Arc<Kms>,
    cx: Cx,
    asked: Settled<t::VerifyMacRequest>,
) -> gureum_schema::Result<t::VerifyMacResponse> {
    let Settled { input, key } = asked;
    let key = kms.at(&cx, key).await?;
    key.ready(KeyUsage::Mac, "VerifyMac")?;
    let hash = hash(&key, &input.mac_algorithm)?;
    unless_dry(input.dry_run)?;
    let (_, secret) = kms.current(&key)?;
    if !mac::verify(&secret, hash, &input.message, &input.mac) {
        return Err(Refusal::Mac.into());
    }
    Ok(t::VerifyMacResponse {
        key_id: Some(key.arn().to_string()),
        mac_valid: Some(true),
        mac_algorithm: Some(input.mac_algorithm),
    })
}
