//! KMS: keys that never leave, and who may use them for what.
//!
//! Invariants:
//! * key material is in the store only as wrapped by the root key, which is kept outside of it,
//!   bound to its key and version; it is never logged;
//! * the key policy decides over every use, the caller's grants being further statements of it
//!   ([`access`]): one policy engine has the only say;
//! * a ciphertext says which key and which version of it opens it, and opens only with the
//!   encryption context it was made with ([`crypto::envelope`]);
//! * rotation adds material and forgets none, until the key is deleted.
//!
//! Other services use keys in the name of their callers: `cx.via("s3").call::<GenerateDataKey>(…)`,
//! with the customer's key or with `alias/aws/s3`, which is made when it is first needed
//! ([`managed`]).
//!
//! Honest gaps: imported material, custom key stores, multi-Region keys, key agreement, SM2,
//! ML-DSA and Ed25519 keys, and attested recipients (Nitro enclaves) are refused as not
//! implemented. Principals in key policies and grants are matched by ARN: whether they exist is
//! not checked, and one that is deleted and made anew has what its namesake had. There are no
//! request quotas.

mod access;
mod asks;
mod crypto;
mod errors;
mod managed;
mod model;
mod names;
mod ops;
mod page;
mod reconcile;
mod reset;
mod spec;
mod state;

use std::sync::Arc;

use gureum_dispatch::{Service, ServiceBuilder};
use gureum_model_kms::{SERVICE, op};

use names::{settle, settle_pair};
pub use state::Kms;

type Table = ServiceBuilder<Kms>;

impl Kms {
    /// The table: operation, what it asks of the policy engine, handler.
    pub fn service(self: &Arc<Self>) -> Service {
        let table = Service::builder(&SERVICE, Arc::clone(self));
        uses(management(table)).build()
    }
}

/// Keys, and what belongs to them.
fn management(table: Table) -> Table {
    use ops::{aliases, grants, keys, policies, rotation, states, tags};
    table
        .op_refusing::<op::CreateKey, _>(
            &["CustomKeyStoreId", "XksKeyId"],
            asks::create_key,
            keys::create_key,
        )
        .op_finding::<op::DescribeKey, _, _>(&[], settle, asks::describe_key, keys::describe_key)
        .op::<op::ListKeys, _>(asks::list_keys, keys::list_keys)
        .op::<op::UpdateKeyDescription, _>(asks::update_description, keys::update_description)
        .op::<op::EnableKey, _>(asks::enable_key, states::enable_key)
        .op::<op::DisableKey, _>(asks::disable_key, states::disable_key)
        .op::<op::ScheduleKeyDeletion, _>(asks::schedule_deletion, states::schedule_deletion)
        .op::<op::CancelKeyDeletion, _>(asks::cancel_deletion, states::cancel_deletion)
        .op::<op::PutKeyPolicy, _>(asks::put_policy, policies::put_policy)
        .op::<op::GetKeyPolicy, _>(asks::get_policy, policies::get_policy)
        .op::<op::ListKeyPolicies, _>(asks::list_policies, policies::list_policies)
        .op::<op::CreateAlias, _>(asks::create_alias, aliases::create_alias)
        .op::<op::UpdateAlias, _>(asks::update_alias, aliases::update_alias)
        .op::<op::DeleteAlias, _>(asks::delete_alias, aliases::delete_alias)
        .op::<op::ListAliases, _>(asks::list_aliases, aliases::list_aliases)
        .op::<op::TagResource, _>(asks::tag, tags::tag)
        .op::<op::UntagResource, _>(asks::untag, tags::untag)
        .op::<op::ListResourceTags, _>(asks::list_tags, tags::list_tags)
        .op::<op::EnableKeyRotation, _>(asks::enable_rotation, rotation::enable_rotation)
        .op::<op::DisableKeyRotation, _>(asks::disable_rotation, rotation::disable_rotation)
        .op::<op::GetKeyRotationStatus, _>(asks::get_rotation_status, rotation::get_rotation_status)
        .op::<op::RotateKeyOnDemand, _>(asks::rotate_now, rotation::rotate_now)
        .op::<op::ListKeyRotations, _>(asks::list_rotations, rotation::list_rotations)
        .op::<op::CreateGrant, _>(asks::create_grant, grants::create_grant)
        .op::<op::ListGrants, _>(asks::list_grants, grants::list_grants)
        .op::<op::ListRetirableGrants, _>(asks::list_retirable, grants::list_retirable)
        .op::<op::RetireGrant, _>(asks::retire_grant, grants::retire_grant)
        .op::<op::RevokeGrant, _>(asks::revoke_grant, grants::revoke_grant)
}

/// What keys are for.
fn uses(table: Table) -> Table {
    use ops::{cipher, data_keys, macs, signatures};
    table
        .op_finding::<op::Encrypt, _, _>(&[], settle, asks::encrypt, cipher::encrypt)
        .op_finding::<op::Decrypt, _, _>(
            &["Recipient", "DryRunModifiers"],
            settle,
            asks::decrypt,
            cipher::decrypt,
        )
        .op_finding::<op::ReEncrypt, _, _>(
            &["DryRunModifiers"],
            settle_pair,
            asks::re_encrypt,
            cipher::re_encrypt,
        )
        .op_finding::<op::GenerateDataKey, _, _>(
            &["Recipient"],
            settle,
            asks::data_key,
            data_keys::data_key,
        )
        .op_finding::<op::GenerateDataKeyWithoutPlaintext, _, _>(
            &[],
            settle,
            asks::data_key_sealed,
            data_keys::data_key_sealed,
        )
        .op_finding::<op::GenerateDataKeyPair, _, _>(
            &["Recipient"],
            settle,
            asks::data_key_pair,
            data_keys::data_key_pair,
        )
        .op_finding::<op::GenerateDataKeyPairWithoutPlaintext, _, _>(
            &[],
            settle,
            asks::data_key_pair_sealed,
            data_keys::data_key_pair_sealed,
        )
        .op_refusing::<op::GenerateRandom, _>(
            &["CustomKeyStoreId", "Recipient"],
            asks::random,
            data_keys::random,
        )
        .op_finding::<op::Sign, _, _>(&[], settle, asks::sign, signatures::sign)
        .op_finding::<op::Verify, _, _>(&[], settle, asks::verify, signatures::verify)
        .op_finding::<op::GetPublicKey, _, _>(&[], settle, asks::public_key, signatures::public_key)
        .op_finding::<op::GenerateMac, _, _>(&[], settle, asks::generate_mac, macs::generate_mac)
        .op_finding::<op::VerifyMac, _, _>(&[], settle, asks::verify_mac, macs::verify_mac)
}

#[cfg(test)]
mod tests;
