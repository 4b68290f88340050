//! The ground floor: what every room stands on and nothing that knows a service.
//!
//! * [`store`] keeps all state: one ordered, transactional key-value store with typed rows.
//! * [`names`] holds accounts, regions, ARNs and the shapes of AWS identifiers.
//! * [`clock`] is the only reader of time, [`shutdown`] the signal to end.
//! * [`reconcile`] drives what makes intent true; [`events`] carry what nobody waits for.
//! * [`reset`] deletes what accounts have, as one.
//! * [`seal`] encrypts content at rest, under the [`secret`]s of the data directory or others.
//! * [`token`], [`idempotency`] and [`remember`] are the small things that every service needs once.
//!
//! This crate imports no other room of the workspace.

pub mod clock;
pub mod events;
pub mod idempotency;
pub mod names;
pub mod reconcile;
pub mod remember;
pub mod reset;
pub mod seal;
pub mod secret;
pub mod shutdown;
pub mod store;
pub mod token;

pub use clock::Clock;
pub use names::{AccountId, Arn, Region};
pub use reconcile::{Driver, Outcome, Reconciler, Waker};
pub use shutdown::Shutdown;
pub use store::{Reader, Row, Scan, Store, StoreError, Tx};
pub use token::PageTokens;
