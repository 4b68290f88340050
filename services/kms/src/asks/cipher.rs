//! Asks of the operations that use keys.

use gureum_dispatch::{Ask, Cx};
use gureum_model_kms::types as t;
use gureum_schema::Result;

use super::{Context, at};
use crate::errors::Refusal;
use crate::names::{Pair, Settled};
use crate::state::Kms;

/// An absent encryption context is an empty one.
fn context(context: &Option<Context>) -> Context {
    context.clone().unwrap_or_default()
}

fn with(asks: Vec<Ask>, name: &str, value: Option<&str>) -> Vec<Ask> {
    let add = |ask: Ask| ask.key_opt(name, value);
    asks.into_iter().map(add).collect()
}

/// `encrypting! { name: Input => "kms:Action" }`: a key, an encryption context, grant tokens.
macro_rules! encrypting {
    ($($name:ident: $input:ident => $action:literal;)*) => {$(
        pub(crate) fn $name(kms: &Kms, cx: &Cx, asked: &Settled<t::$input>) -> Result<Vec<Ask>> {
            let input = &asked.input;
            let context = context(&input.encryption_context);
            at(kms, cx, $action, &asked.key, Some(&context), input.grant_tokens.as_ref())
        }
    )*};
}

encrypting! {
    data_key: GenerateDataKeyRequest => "kms:GenerateDataKey";
    data_key_sealed: GenerateDataKeyWithoutPlaintextRequest => "kms:GenerateDataKeyWithoutPlaintext";
}

pub(crate) fn encrypt(kms: &Kms, cx: &Cx, asked: &Settled<t::EncryptRequest>) -> Result<Vec<Ask>> {
    let Settled { input, key } = asked;
    let context = context(&input.encryption_context);
    let tokens = input.grant_tokens.as_ref();
    let asks = at(kms, cx, "kms:Encrypt", key, Some(&context), tokens)?;
    let algorithm = input.encryption_algorithm.as_deref();
    let algorithm = algorithm.unwrap_or("SYMMETRIC_DEFAULT");
    Ok(with(asks, "kms:EncryptionAlgorithm", Some(algorithm)))
}

pub(crate) fn data_key_pair(
    kms: &Kms,
    cx: &Cx,
    asked: &Settled<t::GenerateDataKeyPairRequest>,
) -> Result<Vec<Ask>> {
    let Settled { input, key } = asked;
    let context = context(&input.encryption_context);
    let tokens = input.grant_tokens.as_ref();
    let action = "kms:GenerateDataKeyPair";
    let asks = at(kms, cx, action, key, Some(&context), tokens)?;
    Ok(with(
        asks,
        "kms:DataKeyPairSpec",
        Some(&input.key_pair_spec),
    ))
}

pub(crate) fn data_key_pair_sealed(
    kms: &Kms,
    cx: &Cx,
    asked: &Settled<t::GenerateDataKeyPairWithoutPlaintextRequest>,
) -> Result<Vec<Ask>> {
    let Settled { input, key } = asked;
    let context = context(&input.encryption_context);
    let tokens = input.grant_tokens.as_ref();
    let action = "kms:GenerateDataKeyPairWithoutPlaintext";
    let asks = at(kms, cx, action, key, Some(&context), tokens)?;
    Ok(with(
        asks,
        "kms:DataKeyPairSpec",
        Some(&input.key_pair_spec),
    ))
}

pub(crate) fn decrypt(kms: &Kms, cx: &Cx, asked: &Settled<t::DecryptRequest>) -> Result<Vec<Ask>> {
    let Settled { input, key } = asked;
    let context = context(&input.encryption_context);
    let tokens = input.grant_tokens.as_ref();
    let asks = at(kms, cx, "kms:Decrypt", key, Some(&context), tokens);
    let asks = asks.map_err(|error| hidden(error, input.key_id.is_none()))?;
    let algorithm = input.encryption_algorithm.as_deref();
    let algorithm = algorithm.unwrap_or("SYMMETRIC_DEFAULT");
    Ok(with(asks, "kms:EncryptionAlgorithm", Some(algorithm)))
}

/// The caller did not name the key, the ciphertext did; whether it exists is not told.
fn hidden(error: gureum_schema::Error, unnamed: bool) -> gureum_schema::Error {
    if unnamed && error.code == "NotFoundException" {
        Refusal::foreign_ciphertext().into()
    } else {
        error
    }
}

pub(crate) fn re_encrypt(
    kms: &Kms,
    cx: &Cx,
    asked: &Settled<t::ReEncryptRequest, Pair>,
) -> Result<Vec<Ask>> {
    let Settled { input, key } = asked;
    let source = context(&input.source_encryption_context);
    let destination = context(&input.destination_encryption_context);
    let tokens = input.grant_tokens.as_ref();
    let from = at(
        kms,
        cx,
        "kms:ReEncryptFrom",
        &key.from,
        Some(&source),
        tokens,
    );
    let mut from = from.map_err(|error| hidden(error, input.source_key_id.is_none()))?;
    let to = at(
        kms,
        cx,
        "kms:ReEncryptTo",
        &key.to,
        Some(&destination),
        tokens,
    );
    let mut to = to?;
    let same = matches!((from.first(), to.first()), (Some(a), Some(b)) if a.resource == b.resource);
    from.append(&mut to);
    let add = |ask: Ask| ask.key("kms:ReEncryptOnSameKey", same);
    Ok(from.into_iter().map(add).collect())
}

pub(crate) fn sign(kms: &Kms, cx: &Cx, asked: &Settled<t::SignRequest>) -> Result<Vec<Ask>> {
    let Settled { input, key } = asked;
    let tokens = input.grant_tokens.as_ref();
    let asks = at(kms, cx, "kms:Sign", key, None, tokens)?;
    let asks = with(asks, "kms:SigningAlgorithm", Some(&input.signing_algorithm));
    let form = input.message_type.as_deref().unwrap_or("RAW");
    Ok(with(asks, "kms:MessageType", Some(form)))
}

pub(crate) fn verify(kms: &Kms, cx: &Cx, asked: &Settled<t::VerifyRequest>) -> Result<Vec<Ask>> {
    let Settled { input, key } = asked;
    let tokens = input.grant_tokens.as_ref();
    let asks = at(kms, cx, "kms:Verify", key, None, tokens)?;
    let asks = with(asks, "kms:SigningAlgorithm", Some(&input.signing_algorithm));
    let form = input.message_type.as_deref().unwrap_or("RAW");
    Ok(with(asks, "kms:MessageType", Some(form)))
}

pub(crate) fn public_key(
    kms: &Kms,
    cx: &Cx,
    asked: &Settled<t::GetPublicKeyRequest>,
) -> Result<Vec<Ask>> {
    let Settled { input, key } = asked;
    let tokens = input.grant_tokens.as_ref();
    at(kms, cx, "kms:GetPublicKey", key, None, tokens)
}

pub(crate) fn generate_mac(
    kms: &Kms,
    cx: &Cx,
    asked: &Settled<t::GenerateMacRequest>,
) -> Result<Vec<Ask>> {
    let Settled { input, key } = asked;
    let tokens = input.grant_tokens.as_ref();
    let asks = at(kms, cx, "kms:GenerateMac", key, None, tokens)?;
    Ok(with(asks, "kms:MacAlgorithm", Some(&input.mac_algorithm)))
}

pub(crate) fn verify_mac(
    kms: &Kms,
    cx: &Cx,
    asked: &Settled<t::VerifyMacRequest>,
) -> Result<Vec<Ask>> {
    let Settled { input, key } = asked;
    let tokens = input.grant_tokens.as_ref();
    let asks = at(kms, cx, "kms:VerifyMac", key, None, tokens)?;
    Ok(with(asks, "kms:MacAlgorithm", Some(&input.mac_algorithm)))
}

pub(crate) fn random(_: &Kms, _: &Cx, _: &t::GenerateRandomRequest) -> Result<Vec<Ask>> {
    Ok(vec![Ask::new("kms:GenerateRandom", "*")])
}
