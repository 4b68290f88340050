//! The ground floor: what every room stands on and nothing that knows a service.
//!
//! * [`store`] keeps all state: one ordered, transactional key-value store with typed rows.
//! * [`names`] holds accounts, regions, ARNs and the shapes of AWS identifiers.
//! * [`clock`] is the only reader of time.
//!
//! This crate imports no other room of the workspace.

pub mod clock;
pub mod names;
pub mod store;

pub use clock::Clock;
pub use names::{AccountId, Arn, Region};
pub use store::{Reader, Row, Scan, Store, StoreError, Tx};
