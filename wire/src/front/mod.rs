//! The front door: one port for every API, told apart by what the request says of itself.
//!
//! ```text
//! accept ── TLS or plain by the first byte ── HTTP/1.1 or HTTP/2
//!   └─ pipeline ─┬─ pages: /_gureum/…
//!                ├─ web requests that a service claims: websites, preflights, posted forms
//!                └─ call: route -> read -> verify -> decode -> Cloud::call -> encode
//! ```
//!
//! The door decides nothing about AWS resources: it finds the operation, proves who asks, and
//! hands plain structs to `gureum_dispatch::Cloud`.

mod accept;
mod auth;
mod body;
mod call;
mod coding;
mod form;
mod host;
mod insider;
mod integrity;
mod pages;
mod pipeline;
mod query;
mod refuse;
mod route;
mod stall;
pub mod tls;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use gureum_dispatch::Cloud;
use gureum_kit::AccountId;

use crate::sigv4::KeyCache;
use route::Routes;

pub use accept::{Gate, Listening, Opening, Porter};
pub use pages::Resources;

/// How strictly callers are checked.
#[derive(Clone, Debug)]
pub enum AuthMode {
    /// Every signature is verified and IAM decides every call.
    Strict,
    /// Any key pair is root of `account`, or of the account whose number is the access key id.
    Relaxed { account: AccountId },
}

/// What the door needs to know of the world around it.
pub struct Options {
    pub auth: AuthMode,
    /// The domain that our own names end in, `gureum.localhost`.
    pub domain: String,
    /// Host and port of the front door as clients write them, `127.0.0.1:4566`.
    pub authority: String,
    pub resources: Arc<dyn Resources>,
}

/// The front door itself; one serves every connection.
pub struct Door {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) options: Options,
    pub(crate) routes: Routes,
    pub(crate) keys: KeyCache,
}

impl Door {
    pub fn new(cloud: Arc<Cloud>, options: Options) -> Arc<Self> {
        Arc::new(Self {
            routes: Routes::new(&cloud),
            cloud,
            options,
            keys: KeyCache::default(),
        })
    }
}
