//! How an operation is called.
//!
//! A service is a table: operation -> who may ([`Ask`]) and what happens (a handler). The front
//! door, other services and the console all call through [`Cloud::call`], which is the only way
//! in: it asks the policy engine about everything the operation touches, runs the handler, counts
//! and audits. So an operation behaves the same whoever calls it, and services never import each
//! other.
//!
//! ```text
//! front door --decode--> Cloud::call --asks--> policy --allowed--> handler --> reply
//! another service --Cx::call---^
//! ```
//!
//! This room knows no protocol: inputs and outputs are the models' plain structs.

mod ask;
mod authorize;
mod caller;
mod cloud;
mod cx;
mod denial;
mod principal;
mod service;
mod web;

pub use ask::Ask;
pub use caller::{Caller, CallerKind, Credential, Identities, Policies};
pub use cloud::{Builder, Cloud};
pub use cx::{Cx, RequestInfo, VpcEndpoint};
pub use denial::Denial;
pub use principal::{Standing, Unbound};
pub use service::{Counters, Invalid, Op, Service, ServiceBuilder};
pub use web::{FormFields, Web, WebReply, WebRequest};
