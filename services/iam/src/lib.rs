//! IAM and STS: who there is in an account, what they may do, and the credentials that prove it.
//!
//! Invariants:
//! * Everything is global and belongs to one account; a row is found under the account of the
//!   caller and nowhere else. Roles are the exception that STS needs: they are found by ARN.
//! * The policy engine decides with what the store holds at the moment of the call: resolved
//!   callers are cached, but no cached one outlives a change of IAM's rows ([`identity`]).
//! * A trust policy means the users and roles that existed when it was stored ([`trust`]).
//! * Secrets leave the service once, when they are made. Passwords are kept as salted hashes.
//!
//! Honest gaps: MFA devices, SAML, server and signing certificates, SSH keys, service-specific
//! credentials, organizations and access advisor are refused as not implemented, and the table of
//! AWS's own managed policies holds simplified equivalents of the well-known ones.

mod ask;
mod document;
mod entity;
mod errors;
mod identity;
mod managed;
mod model;
mod names;
mod ops;
mod page;
mod reconcile;
mod reset;
mod sts;
mod trust;
mod view;

use std::sync::Arc;

use gureum_dispatch::{Service, ServiceBuilder};
use gureum_kit::reconcile::Reconciler;
use gureum_kit::{AccountId, Clock, Store, Tx};
use gureum_outbound::Outbound;

use errors::Outcome;
use identity::{Cache, Uses};
use model::Change;
use sts::authorization_message::Messages;
use sts::provider_keys::{Fetch, ProviderKeys};

pub use identity::Tidied;

/// The access key of the account's root user, which the cloud was started with.
#[derive(Clone)]
pub struct RootKey {
    pub account: AccountId,
    pub access_key_id: String,
    pub secret: String,
}

/// The state that IAM and STS share. It also is the cloud's source of identities:
/// [`gureum_dispatch::Identities`].
pub struct Iam {
    store: Store,
    clock: Clock,
    root: RootKey,
    cache: Cache,
    uses: Uses,
    provider_keys: ProviderKeys,
    messages: Messages,
}

pub(crate) type Table = ServiceBuilder<Iam>;

impl Iam {
    /// `secret` seals authorization messages; `outbound` fetches the keys of OpenID Connect
    /// providers.
    pub fn new(
        store: Store,
        clock: Clock,
        root: RootKey,
        secret: &[u8; 32],
        outbound: Arc<Outbound>,
    ) -> Arc<Self> {
        Self::fetching(store, clock, root, secret, outbound)
    }

    fn fetching(
        store: Store,
        clock: Clock,
        root: RootKey,
        secret: &[u8; 32],
        fetch: Arc<dyn Fetch>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cache: Cache::new(store.watch::<Change>(())),
            uses: Uses::default(),
            provider_keys: ProviderKeys::new(fetch, clock.clone()),
            messages: Messages::new(secret),
            store,
            clock,
            root,
        })
    }

    /// IAM's operations.
    pub fn service(self: &Arc<Self>) -> Service {
        let builder = Service::builder(&gureum_model_iam::SERVICE, Arc::clone(self));
        ops::table(builder).build()
    }

    /// STS's operations.
    pub fn sts_service(self: &Arc<Self>) -> Service {
        let builder = Service::builder(&gureum_model_sts::SERVICE, Arc::clone(self));
        sts::table(builder).admit_anonymous().build()
    }

    /// The background work: writes notes of use, removes what has expired.
    pub fn reconcilers(self: &Arc<Self>) -> Vec<Arc<dyn Reconciler>> {
        vec![Arc::new(reconcile::Tidying(Arc::clone(self)))]
    }

    /// A transaction that may change who may do what.
    async fn write<T: Send>(
        &self,
        mut change: impl FnMut(&mut Tx) -> Outcome<T> + Send,
    ) -> Outcome<T> {
        let outcome = self
            .store
            .transact(|tx| {
                let value = change(tx)?;
                tx.put(&Change)?;
                Ok(value)
            })
            .await;
        // The watch would say so too, but not necessarily before the caller hears of the commit.
        self.cache.forget();
        outcome
    }
}

#[cfg(test)]
mod tests;
